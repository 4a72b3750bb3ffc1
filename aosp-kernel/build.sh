#!/bin/bash
# Usage: build.sh SOURCE FRAGMENT OUT
#
# Builds the kernel in the current directory, which must be empty, and installs
# into OUT:
#
#   Image System.map config    the kernel
#   modules/*.ko               its modules, in one folder
#   build/                     what modules of others are built against:
#                              make -C OUT/build M=$PWD ARCH=arm64 \
#                                  CROSS_COMPILE=aarch64-linux-gnu- modules
#
# SOURCE is a kernel tree or a tarball of one. The same input gives the same
# bytes when the current directory has the same path.
set -euo pipefail

if [ $# -ne 3 ]; then
    echo "usage: $0 SOURCE FRAGMENT OUT" >&2
    exit 2
fi
source=$(realpath "$1") fragment=$(realpath "$2") out=$(realpath -m "$3")
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

# What the kernel would otherwise take from the machine and the clock.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
export KBUILD_BUILD_USER=tantalum KBUILD_BUILD_HOST=tantalum
export KBUILD_BUILD_VERSION=1
export ARCH=arm64 CROSS_COMPILE="${CROSS_COMPILE:-aarch64-linux-gnu-}"

if [ -d "$source" ]; then
    # A tree that is somebody's checkout stays as it is.
    cp -r --no-preserve=ownership "$source" tree
    chmod -R u+w tree
else
    echo "unpacking $(basename "$source")"
    mkdir tree
    tar -xf "$source" --strip-components=1 -C tree
fi
if [ ! -f tree/arch/arm64/kvm/hyp/nvhe/ffa.c ]; then
    echo "$source: not a kernel with pKVM's FF-A proxy (arch/arm64/kvm/hyp/nvhe/ffa.c)" >&2
    exit 1
fi

tree=$PWD/tree objects=$PWD/objects
mkdir objects
bash "$here/configure.sh" "$tree" "$objects" "$fragment"

make -C "$tree" O="$objects" -j"${NIX_BUILD_CORES:-$(nproc)}" Image modules

mkdir -p "$out/modules"
cp "$objects/arch/arm64/boot/Image" "$objects/System.map" "$out/"
cp "$objects/.config" "$out/config"
while read -r module; do
    cp "$objects/${module%.o}.ko" "$out/modules/"
done <"$objects/modules.order"

# Sources and generated files become one tree, so that it works at any path.
# Folders of include/ that only drivers of whole subsystems need stay out.
build=$out/build
mkdir "$build"
cd "$tree"
find Makefile scripts arch/arm64/Makefile arch/arm64/include include \
    \( -path include/drm -o -path include/dt-bindings -o -path include/media \
    -o -path include/rdma -o -path include/scsi -o -path include/sound \
    -o -path include/soc -o -path include/video -o -path include/xen \
    -o -path scripts/atomic -o -path scripts/coccinelle -o -path scripts/dtc \
    -o -path scripts/gdb -o -path scripts/kconfig -o -path scripts/package \
    \) -prune -o -type f -print0 |
    xargs -0 cp --parents --no-preserve=ownership -t "$build"
cd "$objects"
find Module.symvers arch/arm64/include/generated include/config \
    include/generated scripts/module.lds scripts/basic/fixdep \
    scripts/mod/modpost scripts/mod/elfconfig.h \
    scripts/mod/devicetable-offsets.h ! -name '*.cmd' -type f -print0 |
    xargs -0 cp --parents --no-preserve=ownership -t "$build"

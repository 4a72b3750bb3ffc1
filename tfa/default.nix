# TF-A's own images and tools for QEMU's virt machine, from Debian's source
# without a patch. Nothing here depends on the hypervisor: flash.nix adds that.
#
# Out: bl1.bin bl2.bin bl31.bin (and .elf, for debuggers), fiptool, sptool.py.
{
  lib,
  sysroots,
  sources,
  # "release", or "debug": assertions, and a line for each step of the boot.
  build ? "release",
  # Where the normal world's first image is. "preloaded": QEMU put it at
  # 0x60000000, and it is entered at NS-EL2 as Linux wants it, with x0 at the
  # device tree. "fip": it comes in the FIP (flash.nix: bl33), and x0 is the
  # MPIDR of the boot CPU.
  bl33 ? "preloaded",
}:

let
  debugFlag =
    {
      release = "0";
      debug = "1";
    }
    .${build} or (throw "tfa: build is \"release\" or \"debug\", not \"${build}\"");
  bl33Flags =
    {
      preloaded = "ARM_LINUX_KERNEL_AS_BL33=1 PRELOADED_BL33_BASE=0x60000000";
      fip = "";
    }
    .${bl33} or (throw "tfa: bl33 is \"preloaded\" or \"fip\", not \"${bl33}\"");
in
lib.build {
  name = "tfa-${build}" + (if bl33 == "fip" then "-fip" else "");
  sysroot = sysroots.cc;
  src = sources.arm-trusted-firmware;
  inherit build bl33Flags debugFlag;
  script = ''
    tar -xf "$src" --strip-components=1

    # TF-A insists on a layout file with SPMD_SPM_AT_SEL2. The real one is used
    # when the flash image is composed.
    echo '{}' > no_partitions.json

    flags=(
      PLAT=qemu
      DEBUG="$debugFlag"
      CROSS_COMPILE=aarch64-linux-gnu-
      HOSTCC=gcc
      # In place of the time of the build.
      BUILD_MESSAGE_TIMESTAMP='"from pinned sources"'
      QEMU_USE_GIC_DRIVER=QEMU_GICV3

      # The SPMC runs at S-EL2, from secure DRAM, and the SPMD relays to it.
      SPD=spmd
      SPMD_SPM_AT_SEL2=1
      SP_LAYOUT_FILE="$PWD/no_partitions.json"
      NEED_BL32=yes
      # Both worlds may use pointer authentication.
      CTX_INCLUDE_PAUTH_REGS=1
      $bl33Flags
    )
    make -j"$NIX_BUILD_CORES" "''${flags[@]}" bl1 bl2 bl31 fiptool

    mkdir -p "$out"
    for image in bl1 bl2 bl31; do
      cp "build/qemu/$build/$image.bin" "build/qemu/$build/$image/$image.elf" "$out/"
    done
    cp tools/fiptool/fiptool tools/sptool/sptool.py "$out/"
  '';
}

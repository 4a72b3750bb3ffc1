# The file system of a Linux in a virtual machine: BusyBox, an init that runs
# jobs, the programs that these need, and the modules of the kernel and tests.
# Out: initramfs.cpio.gz and root.ext2, a disk, with the same in it
{
  lib,
  sysroots,
  sources,
  # Holds modules/*.ko.
  kernel,
  # Holds tantalum_ffa_test.ko and run-scenarios.
  kmod,
  # Size of the disk in MiB.
  disk ? 24,
}:

let
  root = lib.build {
    name = "guest-root";
    sysroot = sysroots.cc;
    busybox = import ../busybox.nix { inherit lib sysroots sources; };
    inherit kernel kmod;
    etc = ../etc;
    files = lib.source {
      root = ./.;
      paths = [
        "init"
        "lib.sh"
        "jobs"
        "src"
      ];
    };
    script = ''
      mkdir -p "$out"
      cp -r --no-dereference --preserve=mode,links "$busybox/." "$out/"
      # What comes from the store is read-only.
      chmod -R u+w "$out"
      mkdir -p "$out"/{etc,dev,proc,sys,tmp,root,data} "$out"/lib/{modules,tantalum}
      cp -r "$etc/." "$out/etc/"
      cp "$files/init" "$out/"
      cp -r "$files/lib.sh" "$files/jobs" "$kmod/run-scenarios" "$out/lib/tantalum/"
      cp "$kernel"/modules/*.ko "$kmod"/*.ko "$out/lib/modules/"
      for source in "$files"/src/*.c; do
        program=$(basename "$source" .c)
        aarch64-linux-gnu-gcc -O2 -static -s -Wall -Wextra -Werror -o "$out/usr/bin/$program" "$source"
      done

      # Modes as on a usual system, whatever umask the checkout had.
      chmod -R u=rwX,go=rX "$out"
      chmod 755 "$out/init" "$out/lib/tantalum/run-scenarios"
    '';
  };

  initramfs = lib.build {
    name = "guest-initramfs";
    sysroot = sysroots.base;
    inherit root;
    pack = ../mkinitramfs;
    script = ''
      cp -r --no-dereference --preserve=mode,links "$root" root
      chmod -R u+w root
      mkdir -p "$out"
      bash "$pack" root "$out/initramfs.cpio.gz"
    '';
  };

  ext2 = lib.build {
    name = "guest-disk";
    sysroot = sysroots.disk;
    inherit root;
    pack = ./mkdisk;
    size = toString disk;
    script = ''
      mkdir -p "$out"
      bash "$pack" "$root" "$size" "$out/root.ext2"
    '';
  };
in
lib.build {
  name = "guest";
  sysroot = sysroots.base;
  inherit initramfs ext2;
  script = ''
    mkdir -p "$out"
    ln -s "$initramfs/initramfs.cpio.gz" "$ext2/root.ext2" "$out/"
  '';
}

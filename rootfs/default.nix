# The initramfs: BusyBox, init, and the modules of the kernel and of the tests.
# Out: initramfs.cpio.gz
{
  lib,
  sysroots,
  sources,
  # Holds modules/ffa-core.ko and modules/ffa-module.ko, among others.
  kernel,
  # Holds tantalum_ffa_test.ko and run-scenarios, the script that uses it.
  kmod,
}:

lib.build {
  name = "rootfs";
  sysroot = sysroots.cc;
  busybox = import ./busybox.nix { inherit lib sysroots sources; };
  inherit kernel kmod;
  files = lib.source {
    root = ./.;
    paths = [
      "init"
      "etc"
    ];
  };
  pack = ./mkinitramfs;
  script = ''
    mkdir root
    cp -r --no-dereference --preserve=mode,links "$busybox/." root/
    # What comes from the store is read-only.
    chmod -R u+w root
    cp -r "$files/." root/
    chmod -R u+w root
    mkdir -p root/{dev,proc,sys,tmp,root} root/lib/{modules,tantalum}
    cp "$kernel"/modules/*.ko "$kmod"/*.ko root/lib/modules/
    cp "$kmod/run-scenarios" root/lib/tantalum/

    # Modes as on a usual system, whatever umask the checkout had.
    chmod -R u=rwX,go=rX root
    chmod 755 root/init root/lib/tantalum/run-scenarios

    mkdir -p "$out"
    bash "$pack" root "$out/initramfs.cpio.gz"
  '';
}

# What is in a virtual machine, for a machine of its own without a hypervisor: to compare with.
# Out: Image, and disk.img or initramfs.cpio.gz; manifest.json
{
  lib,
  sysroots,
  # Holds Image.
  kernel,
  # Holds initramfs.cpio.gz and root.ext2.
  guest,
  # Whether its root is a disk, or memory.
  disk ? true,
}:

lib.build {
  name = "guest-image";
  sysroot = sysroots.base;
  inherit kernel guest;
  root = if disk then "disk.img" else "initramfs.cpio.gz";
  from = if disk then "root.ext2" else "initramfs.cpio.gz";
  hashes = ./image/manifest.sh;
  script = ''
    mkdir -p "$out"
    install -m 644 "$kernel/Image" "$out/"
    install -m 644 "$guest/$from" "$out/$root"
    cd "$out"
    . "$hashes"
    write_manifest Image "$root"
  '';
}

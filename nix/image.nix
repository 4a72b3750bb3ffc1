# All that boots, in one folder: the firmware, Linux, its initramfs, a script
# that starts QEMU with them, and their hashes.
{
  lib,
  sysroots,
  # Holds flash.bin.
  firmware,
  # Holds Image.
  kernel,
  # Holds initramfs.cpio.gz.
  rootfs,
}:

lib.build {
  name = "image";
  sysroot = sysroots.base;
  inherit firmware kernel rootfs;
  run = ./image/run;
  manifest = ./image/manifest.sh;
  script = ''
    mkdir -p "$out"
    install -m 644 "$firmware/flash.bin" "$kernel/Image" "$rootfs/initramfs.cpio.gz" "$out/"
    install -m 755 "$run" "$out/run"
    cd "$out"

    . "$manifest"
    write_manifest flash.bin Image initramfs.cpio.gz run
  '';
}

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
  script = ''
    mkdir -p "$out"
    install -m 644 "$firmware/flash.bin" "$kernel/Image" "$rootfs/initramfs.cpio.gz" "$out/"
    install -m 755 "$run" "$out/run"
    cd "$out"

    # { "FILE": { "sha256": ..., "size": ... }, ... }
    separator='{'
    for file in flash.bin Image initramfs.cpio.gz run; do
      read -r hash _ < <(sha256sum "$file")
      printf '%s\n  "%s": { "sha256": "%s", "size": %d }' \
        "$separator" "$file" "$hash" "$(stat --format=%s "$file")"
      separator=,
    done > manifest.json
    printf '\n}\n' >> manifest.json
  '';
}

# All that boots for the bare-metal suite, in one folder: the firmware, the suite, and their hashes.
{
  lib,
  sysroots,
  # Holds flash.bin.
  firmware,
  # Holds bl33.bin.
  bl33,
}:

lib.build {
  name = "bl33-image";
  sysroot = sysroots.base;
  inherit firmware bl33;
  manifest = ./image/manifest.sh;
  script = ''
    mkdir -p "$out"
    install -m 644 "$firmware/flash.bin" "$bl33/bl33.bin" "$out/"
    cd "$out"
    . "$manifest"
    write_manifest flash.bin bl33.bin
  '';
}

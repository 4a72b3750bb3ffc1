# The bare-metal suite for virtual machines, for a machine of its own without a hypervisor: the suite and its hash.
{
  lib,
  sysroots,
  # Holds Image.
  guest-suite,
}:

lib.build {
  name = "guest-suite-image";
  sysroot = sysroots.base;
  suite = guest-suite;
  hashes = ./image/manifest.sh;
  script = ''
    mkdir -p "$out"
    install -m 644 "$suite/Image" "$out/"
    cd "$out"
    . "$hashes"
    write_manifest Image
  '';
}

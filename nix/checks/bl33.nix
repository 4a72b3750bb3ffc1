# The bare-metal suite in place of Linux, on eight CPUs, once for each version that the normal world may speak.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner bl33-image;

  run = { version, raw }: lib.build {
    name = "bl33-${version}";
    sysroot = sysroots.qemu;
    inherit runner version raw;
    image = bl33-image;
    expect = ../../tests/scenarios/bl33.txt;
    script = ''
      mkdir -p "$out/bl33-$version"
      "$runner/bin/runner" run --bare-metal --cpus 8 --image "$image" --expect "$expect" --accel icount \
        --append "bl33.version=$raw" --name "bl33-$version" --out "$out/bl33-$version" || true
      mv "$out/bl33-$version/junit.xml" "$out/junit.xml"
    '';
  };
in
map run [
  { version = "1.0"; raw = "10000"; }
  { version = "1.1"; raw = "10001"; }
  { version = "1.2"; raw = "10002"; }
]

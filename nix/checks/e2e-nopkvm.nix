# The scenarios on the same kernel without pKVM: Linux speaks with the firmware itself.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner image;
in
[
  (lib.build {
    name = "e2e-nopkvm-run";
    sysroot = sysroots.qemu;
    inherit runner image;
    expect = ../../tests/scenarios/list.txt;
    script = ''
      mkdir -p "$out"
      "$runner/bin/runner" run --without-pkvm --image "$image" --expect "$expect" --accel icount --name e2e-nopkvm \
        --out "$out" || true
    '';
  })
]

# The scenarios, through the whole stack in QEMU.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner image;
in
[
  (lib.build {
    name = "e2e-run";
    sysroot = sysroots.qemu;
    inherit runner image;
    expect = ../../tests/scenarios/list.txt;
    script = ''
      mkdir -p "$out"
      # A virtual clock: the run, and so the report, does not depend on how busy the machine is.
      "$runner/bin/runner" run --image "$image" --expect "$expect" --accel icount --out "$out" || true
    '';
  })
]

# The scenarios on the same kernel without pKVM: Linux speaks with the firmware itself. Once in FF-A 1.1, with Linux's
# driver, and once in 1.2, which this kernel's driver does not speak.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner image;

  run = { name, version }: lib.build {
    name = "${name}-run";
    sysroot = sysroots.qemu;
    inherit runner image version;
    suite = name;
    expect = ../../tests/scenarios/list.txt;
    script = ''
      mkdir -p "$out/$suite"
      "$runner/bin/runner" run --without-pkvm --image "$image" --expect "$expect" --accel icount --name "$suite" \
        --append "tantalum.ffa=$version" --out "$out/$suite" || true
      mv "$out/$suite/junit.xml" "$out/junit.xml"
    '';
  };
in
map run [
  { name = "e2e-nopkvm"; version = "1.2"; }
  { name = "e2e-nopkvm-1.1"; version = "1.1"; }
]

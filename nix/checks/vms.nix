# Several Linux VMs: two with CPUs of their own on one switch, and four that share two CPUs.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner;

  run = { name, image, cpus, expect }: lib.build {
    inherit name runner image expect;
    sysroot = sysroots.qemu;
    cpus = toString cpus;
    run = name;
    script = ''
      mkdir -p "$out/$run"
      "$runner/bin/runner" run --vmm --cpus "$cpus" --image "$image" --expect "$expect" --accel icount \
        --limit 3600 --quiet-limit 600 --name "$run" --out "$out/$run" || true
      mv "$out/$run/junit.xml" "$out/junit.xml"
    '';
  };
in
map run [
  { name = "vms"; image = packages.vms-image; cpus = 4; expect = ../../tests/scenarios/vms.txt; }
  { name = "four"; image = packages.four-image; cpus = 2; expect = ../../tests/scenarios/four.txt; }
]

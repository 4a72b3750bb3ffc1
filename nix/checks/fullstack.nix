# TF-A, the SPMC with its partitions, the hypervisor above them, and Linux in a virtual machine.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner;
in
[
  (lib.build {
    name = "fullstack";
    sysroot = sysroots.qemu;
    inherit runner;
    image = packages.fullstack-image.override {
      jobs = "boot,devices,disk_write,ffa tantalum.cpus=4 tantalum.devices=blk,net,console,rng tantalum.ffa=1.1";
    };
    expect = ../../tests/scenarios/fullstack.txt;
    script = ''
      mkdir -p "$out/fullstack"
      "$runner/bin/runner" run --fullstack --image "$image" --expect "$expect" --accel icount --limit 3600 \
        --quiet-limit 600 --name fullstack --out "$out/fullstack" || true
      mv "$out/fullstack/junit.xml" "$out/junit.xml"
    '';
  })
]

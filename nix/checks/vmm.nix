# The bare-metal suite for virtual machines: on QEMU's virt board itself, which says what is right.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner;

  run = { name, options, image }: lib.build {
    inherit name runner options image;
    run = name;
    sysroot = sysroots.qemu;
    expect = ../../tests/scenarios/guest.txt;
    script = ''
      mkdir -p "$out/$run"
      # shellcheck disable=SC2086 # a list of options
      "$runner/bin/runner" run $options --image "$image" --expect "$expect" --accel icount --name "$run" \
        --out "$out/$run" || true
      mv "$out/$run/junit.xml" "$out/junit.xml"
    '';
  };
in
[
  (run {
    name = "vmm-reference";
    options = "--guest-suite --memory 256M";
    image = packages.guest-suite-image;
  })
]

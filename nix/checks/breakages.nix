# The scenarios notice a broken SPMC. For each folder of tests/breakages: apply breakage.patch to the hypervisor,
# compose an image with the SPMC that results, and let the runner confirm that the run fails with the verdict in
# verdict.txt. A breakage that goes unnoticed fails the check.
{ lib, sysroots, packages, ... }:

let
  inherit (packages) runner image firmware spmc;
  folder = ../../tests/breakages;
  entries = if builtins.pathExists folder then builtins.readDir folder else { };
  names = builtins.filter (name: entries.${name} == "directory") (builtins.attrNames entries);

  breakage = name:
    let
      broken = image.override {
        firmware = firmware.override {
          spmc = spmc.override { patches = [ (folder + "/${name}/breakage.patch") ]; };
        };
      };
    in
    lib.build {
      name = "breakage-${name}";
      sysroot = sysroots.qemu;
      inherit runner;
      image = broken;
      breakage = name;
      verdict = folder + "/${name}/verdict.txt";
      expect = ../../tests/scenarios/list.txt;
      script = ''
        mkdir -p "$out/$breakage"
        "$runner/bin/runner" expect-failure --verdict-file "$verdict" \
          run --image "$image" --expect "$expect" --accel icount --quiet-limit 30 --name "$breakage" \
          --out "$out/$breakage" || true
        mv "$out/$breakage/junit.xml" "$out/junit.xml"
      '';
    };
in
map breakage names

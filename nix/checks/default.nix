# The checks, one per file. Each file gives a list of parts: derivations that always build and hold a junit.xml,
# whatever it says. From these come
#   results.NAME  all parts' cases in one junit.xml, and the reports beside it; always builds
#   checks.NAME   the same, but fails to build when a case failed: what `nix flake check` wants
# nix/check builds the results, so that it can show and count every case.
{ lib, sysroots, packages, vendors }:
let
  inherit (builtins) mapAttrs;
  inherit (packages) runner;

  # Crates of the workspace that are for the host alone.
  hostOnly = "--exclude tantalum-sim --exclude tantalum-model --exclude tantalum-fuzz";

  # The crates from outside, as tests and lints compile them. Both do so by the same commands as here.
  dependencies = {
    hypervisor = lib.cargoDependencies {
      name = "hypervisor-check-dependencies";
      root = ../../hypervisor;
      vendor = vendors.hypervisor;
      core = packages.rust-core;
      commands = ''
        cargo test --locked --no-run
        cargo clippy --locked --all-targets
        cargo clippy --locked --workspace ${hostOnly} --target "$target"
      '';
    };
    runner = lib.cargoDependencies {
      name = "runner-check-dependencies";
      root = ../../tests/runner;
      vendor = vendors."tests/runner";
      commands = ''
        cargo test --locked --no-run
        cargo clippy --locked --all-targets
      '';
    };
  };

  scope = {
    inherit lib sysroots packages vendors dependencies hostOnly;
    cases = ./cases.sh;
  };
  parts = {
    seed = import ./seed.nix scope;
    lint = import ./lint scope;
    unit = import ./unit.nix scope;
    e2e = import ./e2e.nix scope;
    resident = import ./resident.nix scope;
    e2e-nopkvm = import ./e2e-nopkvm.nix scope;
    bl33 = import ./bl33.nix scope;
    bench = import ./bench.nix scope;
    trace = import ./trace.nix scope;
    vmm = import ./vmm.nix scope;
    linux = import ./linux.nix scope;
    vms = import ./vms.nix scope;
    fullstack = import ./fullstack.nix scope;
  } // (if builtins.pathExists ../../tests/breakages then { breakages = import ./breakages.nix scope; } else { });

  results = mapAttrs
    (name: parts: lib.build {
      name = "${name}-results";
      sysroot = sysroots.base;
      inherit parts;
      script = ''
        mkdir -p "$out"
        {
          echo '<?xml version="1.0" encoding="UTF-8"?>'
          echo '<testsuites>'
          for part in $parts; do
            grep -v '^<?xml' "$part/junit.xml"
          done
          echo '</testsuites>'
        } > "$out/junit.xml"
        for part in $parts; do
          find "$part" -mindepth 1 -maxdepth 1 ! -name junit.xml -exec cp -r -t "$out" {} +
        done
      '';
    })
    parts;
in
{
  inherit parts results;

  checks = mapAttrs
    (name: result: lib.build {
      inherit name runner;
      sysroot = sysroots.base;
      results = result;
      script = ''
        if ! "$runner/bin/runner" sum "$results/junit.xml"; then
          "$runner/bin/runner" show "$results" || true
          echo "Failed. All reports: $results"
          exit 1
        fi
        cp -r "$results" "$out"
      '';
    })
    results;
}

# Host tests: the hypervisor's logic, the runner, and the firmware's table of partitions.
{ lib, sysroots, packages, vendors, dependencies, cases, ... }:

let
  inherit (packages) runner;

  cargoTest = name: workspace: vendor: dependencies: lib.cargo {
    name = "unit-${name}";
    inherit workspace vendor dependencies runner;
    suite = name;
    script = ''
      # A test that fails, or tests that do not build, are a result like any other; the runner finds them in the log.
      cargo test --locked --no-fail-fast > log 2>&1 || true
      cat log
      mkdir -p "$out"
      "$runner/bin/runner" libtest --name "unit-$suite" --out "$out/junit.xml" < log || true
      cp log "$out/unit-$suite.log"
    '';
  };
in
[
  (cargoTest "hypervisor" (import ../../hypervisor/source.nix { inherit lib; }) vendors.hypervisor
    dependencies.hypervisor)
  # Threads of the SPMC in every order, or in many: its locks and atomic words are those of a test then.
  (lib.cargo {
    name = "unit-interleavings";
    workspace = import ../../hypervisor/source.nix { inherit lib; };
    vendor = vendors.hypervisor;
    inherit runner;
    script = ''
      in_every_order() {
        cargo test --locked --no-fail-fast --config 'target.x86_64-unknown-linux-gnu.rustflags=["--cfg=shuttle"]' "$@"
      }
      {
        in_every_order --package tantalum-spmc --lib interleavings || true
        in_every_order --package tantalum-sim --test interleavings || true
      } > log 2>&1
      cat log
      mkdir -p "$out"
      "$runner/bin/runner" libtest --name unit-interleavings --out "$out/junit.xml" < log || true
      cp log "$out/unit-interleavings.log"
    '';
  })
  (cargoTest "runner" (import ../../tests/runner/source.nix { inherit lib; }) vendors."tests/runner"
    dependencies.runner)

  # These are pure evaluation: a failure stops it, with the names of the cases that failed.
  (lib.build {
    name = "unit-partition-table";
    sysroot = sysroots.base;
    inherit cases;
    count = import ../../tfa/tests.nix;
    script = ''
      . "$cases"
      suite unit-partition-table
      check "tfa/tests.nix: $count cases" test "$count" -gt 0
      suite_end
    '';
  })
]

# The fuzz targets, on the host, with a counter for each edge of the control flow.
# Out: bin/tantalum-fuzz
{ lib, vendor }:

lib.cargo {
  name = "fuzz";
  inherit vendor;
  workspace = import ../source.nix { inherit lib; };
  host = "x86_64-unknown-linux-gnu";
  script = ''
    # For the target's code only, not for what runs while it is built: hence --target.
    counters='"-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-level=3"'
    counters="$counters, \"-Cllvm-args=-sanitizer-coverage-inline-8bit-counters\""
    cargo build --profile fast --locked --package tantalum-fuzz --target "$host" \
      --config "target.$host.rustflags=[$counters]"
    mkdir -p "$out/bin"
    cp "target/$host/fast/tantalum-fuzz" "$out/bin/"
  '';
}

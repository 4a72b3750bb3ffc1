# The host program that boots an image, judges the run and writes the reports.
# Out: bin/runner
{ lib, vendor }:

lib.cargo {
  name = "runner";
  inherit vendor;
  workspace = import ./source.nix { inherit lib; };
  script = ''
    cargo build --release --locked --bin runner
    mkdir -p "$out/bin"
    cp target/release/runner "$out/bin/"
  '';
}

# Long runs of the SPMC against its reference model, on the host.
# Out: bin/tantalum-model
{ lib, vendor }:

lib.cargo {
  name = "model";
  inherit vendor;
  workspace = import ../source.nix { inherit lib; };
  script = ''
    cargo build --profile fast --locked --package tantalum-model
    mkdir -p "$out/bin"
    cp target/fast/tantalum-model "$out/bin/"
  '';
}

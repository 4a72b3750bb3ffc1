# What the workspace is built from. Notes and package expressions are left out, so that they can be edited
# without a rebuild.
{ lib }:

lib.source {
  name = "hypervisor";
  root = ./.;
  paths = [
    "Cargo.toml"
    "Cargo.lock"
    "crates"
    "bin"
    "partitions"
    "payloads"
    "sim"
    "model"
    "fuzz"
  ];
  optional = [ ".cargo" "clippy.toml" "rustfmt.toml" ];
  ignore = [ "README.md" "default.nix" "manifest.dts" ];
}

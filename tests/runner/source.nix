# What the runner is built from.
{ lib }:

lib.source {
  name = "runner-source";
  root = ./.;
  paths = [ "Cargo.toml" "Cargo.lock" "src" ];
  optional = [ "clippy.toml" "rustfmt.toml" "tests" "assets" ];
  ignore = [ "README.md" ];
}

# Everything the project builds, without the flake around it: `nix build -f ./nix packages.image`.
# The commands nix/run and nix/check come this way, so they work in any copy of the tree, with git or without.
{ system ? "x86_64-linux" }:
let
  lib = import ./lib { inherit system; };
in
{
  inherit lib;
  vendors = { };
  packages = { };
  checks = { };
  apps = { };
}

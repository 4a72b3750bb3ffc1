# lib.call ./package.nix { ... }: the package, with an `override` that calls it again with some inputs replaced:
#   kernel.override { overrideSource = ./linux; }
let
  call = file: inputs:
    import file inputs // { override = replaced: call file (inputs // replaced); };
in
call

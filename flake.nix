{
  description = "Tantalum: an Arm firmware distribution around a hypervisor and SPMC in Rust";

  # No inputs: every byte comes from the pinned files in nix/lock and Cargo.lock.
  outputs = { self }:
    let
      system = "x86_64-linux";
      tantalum = import ./nix { inherit system; };
    in
    {
      packages.${system} = tantalum.packages;
      checks.${system} = tantalum.checks;
      apps.${system} = tantalum.apps;

      # For users of nixpkgs: the same packages, built the same way, as pkgs.tantalum.
      overlays.default = final: prev: { tantalum = tantalum.packages; };

      # For experiments: the sysroots, the sources and the functions that packages are written with.
      legacyPackages.${system} = tantalum.lib;
    };
}

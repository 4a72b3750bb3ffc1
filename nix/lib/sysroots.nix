# One sysroot per set of packages in nix/packages.json, unpacked from the .debs in nix/lock/debian.json.
# They are separate derivations so that, say, a new QEMU does not rebuild the kernel.
{ system, seed, fetch, lock }:
let
  debs = builtins.mapAttrs (fetch.debian lock.snapshot) lock.debs;
  make = set: names: derivation {
    name = "sysroot-${set}";
    inherit system seed;
    builder = "${seed}/busybox";
    args = [ "sh" ./unpack.sh ];
    debs = map (name: debs.${name}) names;
  };
in
{
  inherit debs;
  sysroots = builtins.mapAttrs make lock.sets;
}

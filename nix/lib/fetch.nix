# Every byte the project takes from outside goes through here. The hash names the file, so it does not matter
# who fetched it: Nix from the URL, or nix/bootstrap from a mirror of the machine, which puts it where Nix looks.
{ system }:
rec {
  file = { name, url, sha256 }: derivation {
    inherit name url system;
    builder = "builtin:fetchurl";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = sha256;
    executable = false;
    unpack = false;
    preferLocalBuild = true;
  };

  # Debian keeps every version it ever published under the time it was there. Mirrors keep only the newest.
  debianUrl = snapshot: entry:
    "https://snapshot.debian.org/archive/${entry.archive}/${snapshot}/${entry.path}";

  debian = snapshot: name: entry: file {
    inherit name;
    inherit (entry) sha256;
    url = debianUrl snapshot entry;
  };

  crate = { name, version, sha256 }: file {
    name = "${name}-${version}.crate";
    url = "https://static.crates.io/crates/${name}/${name}-${version}.crate";
    inherit sha256;
  };
}

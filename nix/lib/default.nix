# What package expressions are written against: `lib`, `sysroots` and `sources`. One function per file.
{ system }:
let
  read = path: builtins.fromJSON (builtins.readFile path);
  lock = read ../lock/debian.json;
  sourceLock = read ../lock/sources.json;

  # The only binary in the repository: Debian's static busybox. The check `seed` proves it.
  seed = ../seed;

  fetch = import ./fetch.nix { inherit system; };
  inherit (import ./sysroots.nix { inherit system seed fetch lock; }) debs sysroots;
  build = import ./build.nix { inherit system; seed = "${seed}"; };
  cargo = import ./cargo.nix { inherit build; sysroot = sysroots.rust; };
  sourceFiles = builtins.mapAttrs
    (_: entry: fetch.debian sourceLock.snapshot entry.file entry)
    sourceLock.sources;

  # Debian ships the kernel's source as a binary package around one tarball.
  linux = build {
    name = "linux-source-6.12.tar.xz";
    sysroot = sysroots.base;
    deb = sourceFiles.linux;
    script = ''
      ar=/usr/bin/busybox
      $ar ar -p "$deb" data.tar.xz | xz -dc | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' > "$out"
    '';
  };
in
{
  inherit system lock debs sysroots seed;
  sources = sourceFiles // { inherit linux; };
  inherit sourceFiles;
  sourceLock = sourceLock.sources;
  inherit build;
  source = import ./source.nix;
  vendor = import ./vendor.nix { inherit fetch build; sysroot = sysroots.base; };
  inherit cargo;
  cargoDependencies = import ./cargo-dependencies.nix { inherit cargo; };
  call = import ./call.nix;
}

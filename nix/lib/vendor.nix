# lib.vendor "name" ./Cargo.lock: every crate of a Cargo.lock, laid out as a cargo vendor directory. Its config.toml
# goes to $CARGO_HOME/config.toml.
# The attribute `crates` has the crates' files alone, for nix/bootstrap to fetch.
{ fetch, build, sysroot }:
name: lockFile:
let
  packages = (builtins.fromTOML (builtins.readFile lockFile)).package or [ ];
  fromRegistry = builtins.filter (package: package ? checksum) packages;
  foreign = builtins.filter (package: package ? source && !(package ? checksum)) packages;
  crates = map
    (package: fetch.crate { inherit (package) name version; sha256 = package.checksum; })
    fromRegistry;
in
if foreign != [ ] then
  throw "lib.vendor: ${toString lockFile}: ${(builtins.head foreign).name} is not from crates.io"
else
  build {
    name = "vendor-${name}";
    inherit sysroot crates;
    names = map (package: "${package.name}-${package.version}") fromRegistry;
    checksums = map (package: package.checksum) fromRegistry;
    script = ''
      read -ra names <<< "$names"
      read -ra checksums <<< "$checksums"
      mkdir -p "$out"
      index=0
      for crate in $crates; do
        tar -xzf "$crate" -C "$out"
        printf '{"files":{},"package":"%s"}' "''${checksums[index]}" > "$out/''${names[index]}/.cargo-checksum.json"
        index=$((index + 1))
      done
      cat > "$out/config.toml" <<TOML
      [source.crates-io]
      replace-with = "vendored"
      [source.vendored]
      directory = "$out"
      TOML
    '';
  } // { inherit crates; }

# The Secure Partitions of an image.
# Out: NAME.bin (raw, position as linked), NAME.elf (with symbols), for every image in the table
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
  # What is in the flash image: tfa/partitions.nix says how an entry looks.
  table ? import ../../tfa/partitions.nix,
}:

let
  # Each image once, in the table's order.
  names = builtins.foldl' (
    names: partition:
    let
      image = partition.image or partition.name;
    in
    if builtins.elem image names then names else names ++ [ image ]
  ) [ ] table;
in

lib.cargo {
  name = "partitions";
  inherit vendor dependencies names;
  core = rust-core;
  workspace = import ../source.nix { inherit lib; };
  script = ''
    packages=()
    for name in $names; do
      packages+=(--package "tantalum-$name")
    done
    cargo build --release --locked --target "$target" "''${packages[@]}"

    mkdir -p "$out"
    for name in $names; do
      cp "target/$target/release/$name" "$out/$name.elf"
      aarch64-linux-gnu-objcopy -O binary "$out/$name.elf" "$out/$name.bin"
    done
  '';
}

# The Secure Partitions of the image.
# Out: NAME.bin (raw, position as linked), NAME.elf (with symbols), for every partition in tfa/partitions.nix
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
  names ? map (partition: partition.name) (import ../../tfa/partitions.nix),
}:

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

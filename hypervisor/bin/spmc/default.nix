# The SPMC, TF-A's BL32.
# Out: spmc.bin (raw, entered at its first byte), spmc.elf (with symbols)
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
  # Applied to the sources (`git diff` in hypervisor/ makes such files), for experiments and for tests/breakages.
  patches ? [ ],
  # Whether it records all that enters and leaves it, in memory that the normal world can read.
  trace ? false,
  # How many partitions there is room for, 1 to 8: most of the image's memory is theirs.
  partitionCount ? builtins.length (import ../../../tfa/partitions.nix),
}:

lib.cargo {
  name = "spmc";
  inherit vendor dependencies patches;
  features = if trace then "--features trace" else "";
  core = rust-core;
  workspace = import ../../source.nix { inherit lib; };
  TANTALUM_PARTITIONS = toString partitionCount;
  script = ''
    for patch in $patches; do
      patch -p2 < "$patch"
    done
    cargo build --release --locked --target "$target" --package tantalum-spmc-image $features
    mkdir -p "$out"
    cp "target/$target/release/spmc" "$out/spmc.elf"
    aarch64-linux-gnu-objcopy -O binary "$out/spmc.elf" "$out/spmc.bin"
  '';
}

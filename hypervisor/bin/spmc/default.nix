# The SPMC, TF-A's BL32.
# Out: spmc.bin (raw, entered at its first byte), spmc.elf (with symbols)
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
  # Applied to the sources (`git diff` in hypervisor/ makes such files), for experiments and for tests/breakages.
  patches ? [ ],
}:

lib.cargo {
  name = "spmc";
  inherit vendor dependencies patches;
  core = rust-core;
  workspace = import ../../source.nix { inherit lib; };
  script = ''
    for patch in $patches; do
      patch -p2 < "$patch"
    done
    cargo build --release --locked --target "$target" --package tantalum-spmc-image
    mkdir -p "$out"
    cp "target/$target/release/spmc" "$out/spmc.elf"
    aarch64-linux-gnu-objcopy -O binary "$out/spmc.elf" "$out/spmc.bin"
  '';
}

# The bare-metal suite that runs in a virtual machine at EL1, as a kernel would.
# Out: Image (by its header one of Linux), guest.elf (with symbols)
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
}:

lib.cargo {
  name = "guest-suite";
  inherit vendor dependencies;
  core = rust-core;
  workspace = import ../../source.nix { inherit lib; };
  script = ''
    cargo build --release --locked --target "$target" --package tantalum-guest
    mkdir -p "$out"
    cp "target/$target/release/guest" "$out/guest.elf"
    aarch64-linux-gnu-objcopy -O binary "$out/guest.elf" "$out/Image"
  '';
}

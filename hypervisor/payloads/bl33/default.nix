# The bare-metal FF-A test suite, which runs at NS-EL2 in place of Linux.
# Out: bl33.bin (raw, entered at its first byte), bl33.elf (with symbols)
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
}:

lib.cargo {
  name = "bl33";
  inherit vendor dependencies;
  core = rust-core;
  workspace = import ../../source.nix { inherit lib; };
  script = ''
    cargo build --release --locked --target "$target" --package tantalum-bl33
    mkdir -p "$out"
    cp "target/$target/release/bl33" "$out/bl33.elf"
    aarch64-linux-gnu-objcopy -O binary "$out/bl33.elf" "$out/bl33.bin"
  '';
}

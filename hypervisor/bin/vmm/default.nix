# The hypervisor of virtual machines, at NS-EL2.
# Out: vmm.bin (raw: an arm64 Image, which is BL33 to TF-A as well), vmm.elf (with symbols)
{
  lib,
  rust-core,
  vendor,
  dependencies ? null,
  # Applied to the sources (`git diff` in hypervisor/ makes such files), for experiments.
  patches ? [ ],
}:

lib.cargo {
  name = "vmm";
  inherit vendor dependencies patches;
  core = rust-core;
  workspace = import ../../source.nix { inherit lib; };
  script = ''
    for patch in $patches; do
      patch -p2 < "$patch"
    done
    cargo build --release --locked --target "$target" --package tantalum-vmm-image
    mkdir -p "$out"
    cp "target/$target/release/vmm" "$out/vmm.elf"
    aarch64-linux-gnu-objcopy -O binary "$out/vmm.elf" "$out/vmm.bin"
    size=$(stat -c %s "$out/vmm.bin")
    if [ "$size" -gt $((200 * 1024)) ]; then
      echo "vmm.bin has $size bytes: it is to have at most 200 KB"
      exit 1
    fi
  '';
}

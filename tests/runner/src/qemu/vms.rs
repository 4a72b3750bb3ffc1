//! What the hypervisor and its VMs need of the machine, and the machine that is like such a VM.

use super::{Arguments, joined, loader};
use crate::image::Image;
use std::path::Path;

/// Where lies in memory what the hypervisor starts. The manifest of VMs names the same places.
const PLACES: [(&str, u64); 4] = [
    ("manifest.dtb", 0x6100_0000),
    ("Image", 0x6200_0000),
    ("initramfs.cpio.gz", 0x6400_0000),
    ("ramdisk.img", 0x6600_0000),
];

/// Has QEMU's virtio over MMIO be of version 1: else it is what came before.
const MODERN: &str = "virtio-mmio.force-legacy=false";

/// Puts what the image has into memory.
pub fn load(args: &mut Arguments, image: &Image) {
    for (name, address) in PLACES {
        if let Some(path) = image.path(name) {
            args.pair("-device", loader(&path, address));
        }
    }
}

/// Gives the machine its disk. What is written to the image's own is lost at the end; `kept` is a copy of it that is
/// written to.
pub fn disk(args: &mut Arguments, own: &Path, kept: Option<&Path>) {
    let mut drive = joined("if=none,id=disk,format=raw,file=", kept.unwrap_or(own));
    if kept.is_none() {
        drive.push(",snapshot=on");
    }
    args.pair("-drive", drive);
    args.pair("-global", MODERN);
    args.pair("-device", "virtio-blk-device,drive=disk");
}

/// Gives the machine the other devices of a VM, connected to nobody.
pub fn guest_devices(args: &mut Arguments) {
    args.pair("-global", MODERN);
    args.pair("-netdev", "hubport,id=net,hubid=0");
    args.pair("-device", "virtio-net-device,netdev=net,mac=02:00:00:00:00:01");
    args.pair("-chardev", "null,id=hvc");
    args.pair("-device", "virtio-serial-device");
    args.pair("-device", "virtconsole,chardev=hvc");
    args.pair("-object", "rng-builtin,id=rng");
    args.pair("-device", "virtio-rng-device,rng=rng");
}

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

/// Gives the machine the devices that the suite for VMs looks at: a disk that may be written, in memory as far as the
/// suite can tell, and one that may not, both empty; entropy, of which it may ask for as much as it likes; two ports of
/// one network; a console that nobody listens to.
pub fn suite_devices(args: &mut Arguments) {
    args.pair("-global", MODERN);
    args.pair("-drive", "if=none,id=disk,driver=null-co,size=8M,read-zeroes=on,snapshot=on,discard=unmap");
    args.pair("-device", "virtio-blk-device,drive=disk,serial=tantalum-disk");
    args.pair("-drive", "if=none,id=rom,driver=null-co,size=1M,read-zeroes=on,readonly=on");
    args.pair("-device", "virtio-blk-device,drive=rom,serial=tantalum-rom");
    args.pair("-object", "rng-builtin,id=rng");
    // Its limit is a timer, to which an idle machine on a virtual clock jumps ahead: in milliseconds, not minutes.
    args.pair("-device", "virtio-rng-device,rng=rng,max-bytes=65536,period=1");
    for port in ["1", "2"] {
        args.pair("-netdev", format!("hubport,id=net{port},hubid=0"));
        args.pair("-device", format!("virtio-net-device,netdev=net{port},mac=02:00:00:00:00:0{port}"));
    }
    args.pair("-chardev", "null,id=hvc");
    args.pair("-device", "virtio-serial-device");
    args.pair("-device", "virtconsole,chardev=hvc");
}

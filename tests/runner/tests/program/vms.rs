//! Runs of virtual machines: which machine QEMU is asked for, and what is made of several VMs on one console.

use crate::support::{Bench, Ran};
use std::fs;

/// A run of an image of the named files, and the arguments that QEMU was given.
fn boot(files: &[&str], options: &[&str], transcript: &str) -> (Ran, String) {
    let bench = Bench::with_files(files);
    fs::write(
        bench.path("list.txt"),
        "1 one.boot 0.1 x\n2 two.boot 0.1 x\n3 one.transfer 0.1 x\n4 two.transfer 0.1 x\n",
    )
    .unwrap();
    let args = bench.path("args");
    bench.qemu(&format!("echo \"$*\" > '{}'; {}", args.display(), bench.transcript(transcript)));
    let ran = bench.run(options);
    let image = bench.path("image").canonicalize().unwrap();
    (ran, fs::read_to_string(args).unwrap_or_default().replace(&image.display().to_string(), "IMAGE"))
}

fn vms() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vms.txt")).unwrap()
}

#[test]
fn vms_are_loaded_and_judged() {
    let files = ["vmm.bin", "manifest.dtb", "Image", "initramfs.cpio.gz"];
    let (ran, args) = boot(&files, &["--vmm", "--append", "x=1"], &vms());
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.verdict(), "passed: 4 scenarios, 27 assertions, 4 CPUs under the hypervisor");
    assert!(ran.stdout.contains("VM two starts"), "{}", ran.stdout);
    for part in [
        "-M virt,virtualization=on,gic-version=3 ",
        "loader,file=IMAGE/manifest.dtb,addr=0x61000000,force-raw=on ",
        "loader,file=IMAGE/Image,addr=0x62000000,force-raw=on ",
        "loader,file=IMAGE/initramfs.cpio.gz,addr=0x64000000,force-raw=on ",
        "-kernel IMAGE/vmm.bin -append x=1",
    ] {
        assert!(args.contains(part), "{part} is not in {args}");
    }
    // QEMU puts the hypervisor where its header says, and this machine has no disk.
    assert!(!args.contains("file=IMAGE/vmm.bin") && !args.contains("virtio-blk"), "{args}");
}

#[test]
fn above_firmware_the_hypervisor_is_loaded_too() {
    let files = ["flash.bin", "vmm.bin", "manifest.dtb", "Image", "disk.img"];
    let (ran, args) = boot(&files, &["--fullstack"], &vms());
    // The firmware has to be seen.
    assert_eq!(ran.status, Some(1));
    assert_eq!(ran.verdict(), "FAILED: boot: TF-A BL1 was never seen");
    for part in [
        "-M virt,secure=on,virtualization=on,gic-version=3 ",
        "-bios IMAGE/flash.bin ",
        "loader,file=IMAGE/vmm.bin,addr=0x60000000,force-raw=on ",
        "file=IMAGE/disk.img,snapshot=on ",
    ] {
        assert!(args.contains(part), "{part} is not in {args}");
    }
}

#[test]
fn a_guest_alone_has_the_devices_of_a_vm() {
    let (_, args) = boot(&["Image", "disk.img"], &["--guest", "--disk", "/kept"], "");
    for part in [
        "-M virt,gic-version=3 ",
        "if=none,id=disk,format=raw,file=/kept ",
        "virtio-blk-device",
        "virtio-net-device",
        "virtio-rng-device",
        "virtconsole",
        "-kernel IMAGE/Image -append console=ttyAMA0 printk.devkmsg=on root=/dev/vda",
    ] {
        assert!(args.contains(part), "{part} is not in {args}");
    }
    let (_, args) = boot(&["Image", "initramfs.cpio.gz"], &["--guest"], "");
    assert!(args.contains("-initrd IMAGE/initramfs.cpio.gz") && !args.contains("root="), "{args}");
    let (ran, _) = boot(&["Image"], &["--guest"], "");
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("manifest.json names neither disk.img nor initramfs.cpio.gz"),
        "{}",
        ran.stderr
    );
}

//! The device tree describes the machine that is there: QEMU's virt board, as far as a virtual machine has it.

use dtoolkit::Node;

use crate::machine::sysreg::read;
use crate::machine::{cpus, gic, memory, tree};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![tree: header, root, memory_node, cpu_nodes, psci_node, timer_node, gic_node, uart_node, rtc_node, virtio_nodes, chosen];

fn header(t: &Test) {
    let tree = tree::tree();
    t.check(tree.version() >= 17, format_args!("version {}", tree.version()));
    t.equal("last compatible version", tree.last_comp_version().into(), 16);
    t.check(tree.data().len() >= 0x40, format_args!("{} bytes", tree.data().len()));
}

fn root(t: &Test) {
    let root = tree::tree().root();
    t.equal("#address-cells", tree::cell(&root, "#address-cells", 0).unwrap_or(0).into(), 2);
    t.equal("#size-cells", tree::cell(&root, "#size-cells", 0).unwrap_or(0).into(), 2);
    t.check(root.property("compatible").is_some(), format_args!("the root has no compatible"));
    let parent = tree::cell(&root, "interrupt-parent", 0);
    let gic = tree::compatible("arm,gic-v3").next();
    let gic = gic.and_then(|gic| tree::cell(&gic, "phandle", 0));
    t.check(parent.is_some() && parent == gic, format_args!("interrupt-parent {parent:?}, the GIC {gic:?}"));
}

fn memory_node(t: &Test) {
    let (ram, size) = tree::ram();
    t.equal("RAM begins at", ram, 0x4000_0000);
    t.check(size >= 0x200_0000, format_args!("{size:#x} bytes of RAM"));
    t.equal("odd bytes of RAM", size % memory::PAGE as u64, 0);
}

fn cpu_nodes(t: &Test) {
    t.equal("CPUs", tree::cpus().count() as u64, cpus::count() as u64);
    for (cpu, node) in tree::cpus().enumerate() {
        // One cell or two, as the parent says; the last one has the lower half.
        let affinity = tree::cell(&node, "reg", 1).or(tree::cell(&node, "reg", 0));
        t.check(tree::is_text(&node, "device_type", "cpu"), format_args!("CPU {cpu} is no cpu"));
        t.check(tree::is_text(&node, "enable-method", "psci"), format_args!("CPU {cpu} is not by PSCI"));
        cpus::on(cpu, || {
            t.equal("reg", affinity.unwrap_or(u32::MAX).into(), read::mpidr_el1() & 0xff_ffff);
        });
    }
}

fn psci_node(t: &Test) {
    let psci = tree::compatible("arm,psci-1.0").next();
    t.check(psci.is_some(), format_args!("there is no PSCI 1.0"));
    if let Some(psci) = psci {
        let method = tree::is_text(&psci, "method", "hvc") || tree::is_text(&psci, "method", "smc");
        t.check(method, format_args!("the method is neither hvc nor smc"));
    }
}

fn timer_node(t: &Test) {
    let timer = tree::compatible("arm,armv8-timer").next();
    t.check(timer.is_some(), format_args!("there is no timer"));
    let Some(timer) = timer else { return };
    // Secure, Non-secure physical, virtual, of the hypervisor: each a PPI.
    for (index, ppi) in [(1, 14), (2, 11)] {
        t.equal("kind", tree::cell(&timer, "interrupts", index * 3).unwrap_or(9).into(), 1);
        t.equal("PPI", tree::cell(&timer, "interrupts", index * 3 + 1).unwrap_or(99).into(), ppi);
    }
}

fn gic_node(t: &Test) {
    let gic = tree::compatible("arm,gic-v3").next();
    t.check(gic.is_some(), format_args!("there is no GICv3"));
    let Some(gic) = gic else { return };
    t.equal("#interrupt-cells", tree::cell(&gic, "#interrupt-cells", 0).unwrap_or(0).into(), 3);
    let distributor = tree::reg(&gic, 0).unwrap_or_default();
    t.equal("distributor", distributor.0, gic::DISTRIBUTOR as u64);
    t.equal("its size", distributor.1, 0x1_0000);
    let redistributors = tree::reg(&gic, 1).unwrap_or_default();
    t.equal("redistributors", redistributors.0, gic::REDISTRIBUTORS as u64);
    let least = (cpus::count() * gic::REDISTRIBUTOR_SIZE) as u64;
    t.check(redistributors.1 >= least, format_args!("{:#x} bytes of redistributors", redistributors.1));
}

/// Asserts where a device is and which SPI it has.
#[track_caller]
fn device(t: &Test, name: &str, address: u64, intid: usize) {
    let node = tree::compatible(name).next();
    t.check(node.is_some(), format_args!("there is no {name}"));
    let Some(node) = node else { return };
    t.equal("address", tree::reg(&node, 0).unwrap_or_default().0, address);
    t.equal("INTID", tree::spi(&node).unwrap_or(0) as u64, intid as u64);
    t.equal("level, high", tree::cell(&node, "interrupts", 2).unwrap_or(0).into(), 4);
}

fn uart_node(t: &Test) {
    device(t, "arm,pl011", 0x0900_0000, 33);
}

fn rtc_node(t: &Test) {
    device(t, "arm,pl031", 0x0901_0000, 34);
}

fn virtio_nodes(t: &Test) {
    t.check(tree::compatible("virtio,mmio").count() > 0, format_args!("there is no virtio"));
    for node in tree::compatible("virtio,mmio") {
        let (address, size) = tree::reg(&node, 0).unwrap_or_default();
        let slot = address.wrapping_sub(0x0a00_0000) / 0x200;
        t.check(slot < 32 && address % 0x200 == 0, format_args!("virtio at {address:#x}"));
        t.check((0x100..=0x200).contains(&size), format_args!("virtio of {size:#x} bytes"));
        t.equal("INTID", tree::spi(&node).unwrap_or(0) as u64, 48 + slot);
    }
}

fn chosen(t: &Test) {
    let chosen = tree::tree().root().children().find(|node| node.name() == "chosen");
    t.check(chosen.is_some(), format_args!("there is no chosen"));
    let known = tree::argument("guest.").is_some();
    t.check(known, format_args!("the command line does not have what this suite was started with"));
}

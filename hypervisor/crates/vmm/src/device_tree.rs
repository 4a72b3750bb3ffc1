//! The device tree that a virtual machine gets.

use core::fmt::Write;

use heapless::String;
use tantalum_manifest::VmManifest;

use crate::fdt::{Full, Writer};
use crate::layout::{
    CLOCK, CLOCK_INTID, DEVICE_SIZE, DISTRIBUTOR, MEMORY, PHYSICAL_TIMER_INTID, REDISTRIBUTORS, UART,
    UART_INTID, VIRTIO, VIRTIO_INTID, VIRTIO_SIZE, VIRTUAL_TIMER_INTID,
};
use crate::vgic::{DISTRIBUTOR_SIZE, REDISTRIBUTOR_SIZE};

const NAMES: [&str; 25] = [
    "compatible",
    "#address-cells",
    "#size-cells",
    "interrupt-parent",
    "model",
    "device_type",
    "reg",
    "enable-method",
    "method",
    "interrupts",
    "always-on",
    "#interrupt-cells",
    "interrupt-controller",
    "#redistributor-regions",
    "phandle",
    "#clock-cells",
    "clock-frequency",
    "clocks",
    "clock-names",
    "dma-coherent",
    "bootargs",
    "stdout-path",
    "linux,initrd-start",
    "linux,initrd-end",
    "rng-seed",
];

const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;

/// Kinds of interrupts in `interrupts`, and how they are triggered.
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const EDGE: u32 = 1;
const LEVEL: u32 = 4;

/// Says what else a virtual machine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The first byte of the initial file system and the first one behind it, if there is one.
    pub initramfs: Option<(u64, u64)>,
    /// Random bytes, if there are any.
    pub seed: Option<[u64; 4]>,
}

/// Writes the device tree of a virtual machine into `blob` and returns it.
///
/// # Errors
/// Says so if it does not fit.
pub fn write<'a>(blob: &'a mut [u8], manifest: &VmManifest, boot: &Boot) -> Result<&'a [u8], Full> {
    let mut tree = Writer::new(blob, &NAMES)?;
    tree.begin("")?;
    tree.text("compatible", "linux,dummy-virt")?;
    tree.text("model", "tantalum,vm")?;
    tree.cells("#address-cells", &[2])?;
    tree.cells("#size-cells", &[2])?;
    tree.cells("interrupt-parent", &[GIC_PHANDLE])?;
    write_chosen(&mut tree, manifest, boot)?;
    tree.begin(&node("memory", MEMORY)?)?;
    tree.text("device_type", "memory")?;
    tree.numbers("reg", &[MEMORY, manifest.memory.size()])?;
    tree.end()?;
    write_cpus(&mut tree, manifest.cpus.len())?;
    tree.begin("psci")?;
    tree.texts("compatible", ["arm,psci-1.0", "arm,psci-0.2"])?;
    tree.text("method", "hvc")?;
    tree.end()?;
    write_timer(&mut tree)?;
    write_gic(&mut tree, manifest.cpus.len())?;
    write_primecells(&mut tree)?;
    for (index, _) in (0..).zip(&manifest.devices) {
        write_virtio(&mut tree, index)?;
    }
    tree.end()?;
    tree.finish()
}

fn write_chosen(tree: &mut Writer<'_>, manifest: &VmManifest, boot: &Boot) -> Result<(), Full> {
    tree.begin("chosen")?;
    tree.text("bootargs", &manifest.bootargs)?;
    tree.text("stdout-path", &path("pl011", UART)?)?;
    if let Some((start, end)) = boot.initramfs {
        tree.numbers("linux,initrd-start", &[start])?;
        tree.numbers("linux,initrd-end", &[end])?;
    }
    if let Some(seed) = boot.seed {
        tree.numbers("rng-seed", &seed)?;
    }
    tree.end()
}

fn write_cpus(tree: &mut Writer<'_>, count: usize) -> Result<(), Full> {
    tree.begin("cpus")?;
    tree.cells("#address-cells", &[1])?;
    tree.cells("#size-cells", &[0])?;
    for cpu in (0..).take(count) {
        tree.begin(&node("cpu", cpu.into())?)?;
        tree.text("device_type", "cpu")?;
        tree.text("compatible", "arm,armv8")?;
        tree.cells("reg", &[cpu])?;
        tree.text("enable-method", "psci")?;
        tree.end()?;
    }
    tree.end()
}

fn write_timer(tree: &mut Writer<'_>) -> Result<(), Full> {
    tree.begin("timer")?;
    tree.text("compatible", "arm,armv8-timer")?;
    let private = |intid: u32| [PRIVATE, intid.wrapping_sub(16), LEVEL];
    let [a, b, c] = private(29);
    let [d, e, f] = private(PHYSICAL_TIMER_INTID);
    let [g, h, i] = private(VIRTUAL_TIMER_INTID);
    let [j, k, l] = private(26);
    tree.cells("interrupts", &[a, b, c, d, e, f, g, h, i, j, k, l])?;
    tree.flag("always-on")?;
    tree.end()
}

fn write_gic(tree: &mut Writer<'_>, count: usize) -> Result<(), Full> {
    let count = u64::try_from(count).map_err(|_| Full)?;
    tree.begin(&node("intc", DISTRIBUTOR)?)?;
    tree.text("compatible", "arm,gic-v3")?;
    tree.cells("#interrupt-cells", &[3])?;
    tree.flag("interrupt-controller")?;
    tree.cells("#redistributor-regions", &[1])?;
    let redistributors = REDISTRIBUTOR_SIZE.saturating_mul(count);
    tree.numbers("reg", &[DISTRIBUTOR, DISTRIBUTOR_SIZE, REDISTRIBUTORS, redistributors])?;
    tree.cells("phandle", &[GIC_PHANDLE])?;
    tree.end()
}

fn write_primecells(tree: &mut Writer<'_>) -> Result<(), Full> {
    tree.begin("apb-pclk")?;
    tree.text("compatible", "fixed-clock")?;
    tree.cells("#clock-cells", &[0])?;
    tree.cells("clock-frequency", &[24_000_000])?;
    tree.cells("phandle", &[CLOCK_PHANDLE])?;
    tree.end()?;

    tree.begin(&node("pl011", UART)?)?;
    tree.texts("compatible", ["arm,pl011", "arm,primecell"])?;
    tree.numbers("reg", &[UART, DEVICE_SIZE])?;
    tree.cells("interrupts", &[SHARED, UART_INTID.wrapping_sub(32), LEVEL])?;
    tree.cells("clocks", &[CLOCK_PHANDLE, CLOCK_PHANDLE])?;
    tree.texts("clock-names", ["uartclk", "apb_pclk"])?;
    tree.end()?;

    tree.begin(&node("pl031", CLOCK)?)?;
    tree.texts("compatible", ["arm,pl031", "arm,primecell"])?;
    tree.numbers("reg", &[CLOCK, DEVICE_SIZE])?;
    tree.cells("interrupts", &[SHARED, CLOCK_INTID.wrapping_sub(32), LEVEL])?;
    tree.cells("clocks", &[CLOCK_PHANDLE])?;
    tree.text("clock-names", "apb_pclk")?;
    tree.end()
}

fn write_virtio(tree: &mut Writer<'_>, index: u32) -> Result<(), Full> {
    let address = VIRTIO.saturating_add(VIRTIO_SIZE.saturating_mul(index.into()));
    let interrupt = VIRTIO_INTID.wrapping_sub(32).wrapping_add(index);
    tree.begin(&node("virtio_mmio", address)?)?;
    tree.text("compatible", "virtio,mmio")?;
    tree.numbers("reg", &[address, VIRTIO_SIZE])?;
    tree.cells("interrupts", &[SHARED, interrupt, EDGE])?;
    tree.flag("dma-coherent")?;
    tree.end()
}

/// Returns the name of a node with a unit address.
fn node(name: &str, address: u64) -> Result<String<32>, Full> {
    let mut node = String::new();
    write!(node, "{name}@{address:x}").map_err(|_| Full)?;
    Ok(node)
}

fn path(name: &str, address: u64) -> Result<String<32>, Full> {
    let mut path = String::new();
    write!(path, "/{name}@{address:x}").map_err(|_| Full)?;
    Ok(path)
}

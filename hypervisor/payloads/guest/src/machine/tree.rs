//! The device tree.

use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicUsize, Ordering};

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

/// Is where it lies.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// Takes it from where the CPU was told that it is.
pub(super) fn set(address: u64) {
    let pointer = with_exposed_provenance::<u8>(address as usize);
    // SAFETY: x0 of the boot CPU says so (booting.rst), and nobody writes it any more.
    if let Err(error) = unsafe { Fdt::from_raw(pointer) } {
        panic!("there is no device tree at {address:#x}: {error}");
    }
    PLACE.store(address as usize, Ordering::Release);
}

/// Returns it.
pub(crate) fn tree() -> Fdt<'static> {
    // SAFETY: it was checked when it was taken, and nobody writes it.
    unsafe { Fdt::from_raw_unchecked(with_exposed_provenance(PLACE.load(Ordering::Acquire))) }
}

/// Returns its address and size.
pub(crate) fn place() -> (u64, u64) {
    (PLACE.load(Ordering::Acquire) as u64, tree().data().len() as u64)
}

/// Returns the nodes below the root whose `compatible` has `name`.
pub(crate) fn compatible(name: &str) -> impl Iterator<Item = FdtNode<'static>> {
    tree()
        .root()
        .children()
        .filter(move |node| node.compatible().is_some_and(|mut names| names.any(|found| found == name)))
}

/// Returns a 32-bit cell of a property.
pub(crate) fn cell(node: &FdtNode<'static>, property: &str, index: usize) -> Option<u32> {
    let property = node.properties().find(|found| found.name() == property)?;
    let bytes = property.value().get(index * 4..index * 4 + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Returns the address and size that entry `index` of `reg` has, two cells each.
pub(crate) fn reg(node: &FdtNode<'static>, index: usize) -> Option<(u64, u64)> {
    let wide = |at| Some(u64::from(cell(node, "reg", at)?) << 32 | u64::from(cell(node, "reg", at + 1)?));
    Some((wide(index * 4)?, wide(index * 4 + 2)?))
}

/// Returns the number of the SPI that `interrupts` begins with, as the GIC counts.
pub(crate) fn spi(node: &FdtNode<'static>) -> Option<usize> {
    (cell(node, "interrupts", 0)? == 0).then_some(())?;
    Some(cell(node, "interrupts", 1)? as usize + 32)
}

/// Tells whether a property is this text.
pub(crate) fn is_text(node: &FdtNode<'static>, property: &str, text: &str) -> bool {
    node.properties()
        .find(|found| found.name() == property)
        .is_some_and(|found| found.value().strip_suffix(&[0]) == Some(text.as_bytes()))
}

/// Returns where RAM begins and its size.
pub(crate) fn ram() -> (u64, u64) {
    tree()
        .root()
        .children()
        .find(|node| node.name_without_address() == "memory")
        .and_then(|memory| reg(&memory, 0))
        .unwrap_or_else(|| panic!("the device tree has no memory"))
}

/// Returns the CPUs' nodes.
pub(crate) fn cpus() -> impl Iterator<Item = FdtNode<'static>> {
    let cpus = tree().root().children().find(|node| node.name() == "cpus");
    cpus.into_iter().flat_map(|cpus| cpus.children()).filter(|node| node.name_without_address() == "cpu")
}

/// Returns the words of the command line.
fn arguments() -> impl Iterator<Item = &'static str> {
    let chosen = tree().root().children().find(|node| node.name() == "chosen");
    let line = chosen
        .and_then(|chosen| chosen.properties().find(|property| property.name() == "bootargs"))
        .and_then(|property| property.value_as::<&'static str>().ok());
    line.unwrap_or_default().split(' ')
}

/// Returns what the command line has behind `name`, such as `guest.hostile=`.
pub(crate) fn argument(name: &str) -> Option<&'static str> {
    arguments().find_map(|word| word.strip_prefix(name))
}

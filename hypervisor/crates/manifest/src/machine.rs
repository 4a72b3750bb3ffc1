//! The device tree of the machine itself, as its firmware passes it. Of all that it says, its memory is wanted.

use tantalum_types::{Pa, PageRange};

use crate::error::ManifestError;
use crate::tree::Tree;
use crate::vm::file;

/// Returns the memory of the machine that `first` is part of (Devicetree Specification 0.4, section 3.4).
///
/// # Errors
/// Says so if `blob` does not begin with a device tree, or none of its nodes of memory, each of one range whose address and
/// size are two cells, holds `first`.
pub fn machine_memory(blob: &[u8], first: Pa) -> Result<PageRange<Pa>, ManifestError> {
    let tree = Tree::new(blob)?;
    let root = tree.root()?;
    for node in root.children().filter(|node| node.name().starts_with("memory@")) {
        let Some(range) = file(&node, "reg")? else { continue };
        let range =
            PageRange::from_size(range.start, range.size).map_err(|reason| node.bad_range("reg", reason))?;
        if range.contains(first) {
            return Ok(range);
        }
    }
    Err(ManifestError::MissingNode("of the machine's memory"))
}

//! Makes sure that bytes are a flattened device tree before anything else looks at them.
//!
//! The `fdt` crate takes well-formed input for granted and panics on other input. What passes here is well
//! formed in every respect that it relies on (Devicetree Specification 0.4, chapter 5).

/// Bounds the depth of nodes, the root included. A manifest needs four; `fdt` recurses as deep as there are.
pub(crate) const MAX_DEPTH: usize = 8;

const MAGIC: u32 = 0xd00d_feed;
const HEADER_SIZE: usize = 40;
/// The structure and the strings are laid out as in version 17, which every tool has written since 2007.
const VERSION: u32 = 17;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Returns the part of `blob` that is the device tree.
///
/// # Errors
/// Says where the bytes stop being a device tree that this crate reads.
pub(crate) fn validate(blob: &[u8]) -> Result<&[u8], &'static str> {
    let mut header = Cursor { bytes: blob, at: 0 };
    let mut field = || header.word().ok_or("it is shorter than a header");
    if field()? != MAGIC {
        return Err("it does not begin with the magic number 0xd00dfeed");
    }
    let total = field()?;
    let structure_offset = field()?;
    let strings_offset = field()?;
    let reservations_offset = field()?;
    let version = field()?;
    let compatible_version = field()?;
    let _boot_cpu = field()?;
    let strings_size = field()?;
    let structure_size = field()?;
    if version < VERSION || compatible_version > VERSION {
        return Err("its layout is not that of version 17");
    }
    let tree = slice(blob, 0, total).ok_or("its header says that there are more bytes than there are")?;
    if tree.len() < HEADER_SIZE {
        return Err("its header says that it ends within the header");
    }
    if !structure_offset.is_multiple_of(4) {
        return Err("its structure block does not begin on a multiple of four bytes");
    }
    let structure = slice(tree, structure_offset, structure_size)
        .ok_or("its header says that the structure block ends behind the tree")?;
    let strings = slice(tree, strings_offset, strings_size)
        .ok_or("its header says that the strings block ends behind the tree")?;
    slice(tree, reservations_offset, 16)
        .ok_or("its header says that the memory reservations end behind the tree")?;
    walk(structure, strings)?;
    Ok(tree)
}

/// Checks the structure block against the grammar: one root, properties before nodes, names that are text.
fn walk(structure: &[u8], strings: &[u8]) -> Result<(), &'static str> {
    let mut cursor = Cursor { bytes: structure, at: 0 };
    let mut depth: usize = 0;
    let mut properties_allowed = false;
    let mut root_seen = false;
    loop {
        match cursor.word().ok_or("its structure block ends within a node")? {
            BEGIN_NODE => {
                if depth == 0 && root_seen {
                    return Err("it has two root nodes");
                }
                root_seen = true;
                let name = cursor.text().ok_or("the name of a node is not printable text")?;
                if (depth == 0) != name.is_empty() || name.contains('/') {
                    return Err("a node has a name that it cannot have");
                }
                depth = depth.saturating_add(1);
                if depth > MAX_DEPTH {
                    return Err("its nodes are more than 8 levels deep");
                }
                properties_allowed = true;
            }
            END_NODE => {
                depth = depth.checked_sub(1).ok_or("a node ends that has not begun")?;
                properties_allowed = false;
            }
            PROPERTY => {
                if !properties_allowed {
                    return Err("a property stands behind a node instead of before it");
                }
                let length = cursor.word().ok_or("its structure block ends within a property")?;
                let name_offset = cursor.word().ok_or("its structure block ends within a property")?;
                let length =
                    usize::try_from(length).map_err(|_| "a property is longer than the structure block")?;
                cursor.skip(length).ok_or("a property is longer than the structure block")?;
                let name = usize::try_from(name_offset)
                    .ok()
                    .and_then(|at| text_at(strings, at))
                    .ok_or("the name of a property is not printable text in the strings block")?;
                if name.is_empty() {
                    return Err("a property has no name");
                }
            }
            END => {
                return if depth == 0 && root_seen { Ok(()) } else { Err("it ends within a node") };
            }
            // Tools leave these where they have cut something out. Nobody edits a signed manifest, and `fdt`
            // does not skip them everywhere.
            NOP => return Err("it has been edited in place; compile it anew"),
            _ => return Err("its structure block holds a token that does not exist"),
        }
    }
}

/// Returns the `size` bytes at `offset`.
fn slice(bytes: &[u8], offset: u32, size: u32) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    bytes.get(start..end)
}

/// Returns the printable text at `at` up to the next zero byte, which must be there.
fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let rest = bytes.get(at..)?;
    let text = rest.get(..rest.iter().position(|byte| *byte == 0)?)?;
    let text = core::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// Reads a block from its beginning to its end.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Reads a big-endian number.
    fn word(&mut self) -> Option<u32> {
        let end = self.at.checked_add(4)?;
        let word = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(u32::from_be_bytes(word))
    }

    /// Reads text that ends in a zero byte, and the padding behind it.
    fn text(&mut self) -> Option<&'a str> {
        let text = text_at(self.bytes, self.at)?;
        self.skip(text.len().checked_add(1)?)?;
        Some(text)
    }

    /// Passes over `count` bytes and the padding behind them.
    fn skip(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count.checked_next_multiple_of(4)?)?;
        self.bytes.get(..at)?;
        self.at = at;
        Some(())
    }
}

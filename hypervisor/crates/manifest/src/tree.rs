//! A device tree's nodes with typed, strict access to what they hold.

use fdt::Fdt;
use fdt::node::FdtNode;
use tantalum_types::RangeError;

use crate::error::{ManifestError, Name, name};
use crate::validate::validate;

/// Is a device tree that has been found well formed.
pub(crate) struct Tree<'a>(Fdt<'a>);

impl<'a> Tree<'a> {
    /// Reads the tree at the beginning of `blob`.
    ///
    /// # Errors
    /// Says what makes it none.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, ManifestError> {
        let tree = validate(blob).map_err(ManifestError::NotADeviceTree)?;
        Fdt::new(tree).map(Self).map_err(|_| ManifestError::NotADeviceTree("its header is wrong"))
    }

    /// Returns the root node.
    ///
    /// # Errors
    /// None for a tree that has been found well formed.
    pub(crate) fn root(&self) -> Result<Node<'_, 'a>, ManifestError> {
        self.0.find_node("/").map(Node).ok_or(ManifestError::NotADeviceTree("it has no root node"))
    }
}

/// Says what a node may hold.
pub(crate) struct Fields {
    /// Properties that are read.
    pub properties: &'static [&'static str],
    /// Nodes that are read, each at most once.
    pub nodes: &'static [&'static str],
    /// Properties and nodes that exist but are not served, and what to do instead.
    pub unserved: &'static [(&'static str, &'static str)],
}

/// Is one node.
#[derive(Clone, Copy)]
pub(crate) struct Node<'b, 'a>(FdtNode<'b, 'a>);

impl<'b, 'a: 'b> Node<'b, 'a> {
    /// Returns the name; the root's is "/".
    pub(crate) fn name(&self) -> &'a str {
        if self.0.name.is_empty() { "/" } else { self.0.name }
    }

    /// Returns the name for an error.
    #[inline(never)]
    pub(crate) fn label(&self) -> Name {
        name(self.name())
    }

    /// Yields the nodes in this one, in order.
    pub(crate) fn children(&self) -> impl Iterator<Item = Node<'b, 'a>> {
        self.0.children().map(Node)
    }

    /// Returns the node `name` in this one, if there is one.
    pub(crate) fn child(&self, name: &str) -> Option<Node<'b, 'a>> {
        self.children().find(|child| child.name() == name)
    }

    /// Checks that the node holds nothing but `fields`, and nothing twice.
    ///
    /// # Errors
    /// Names the first property or node that is unknown, not served or there twice.
    pub(crate) fn check_fields(&self, fields: &Fields) -> Result<(), ManifestError> {
        self.check_properties(fields)?;
        for child in self.children() {
            self.check_name(child.name(), fields.nodes, fields)?;
            if self.children().filter(|other| other.name() == child.name()).count() > 1 {
                return Err(self.twice(child.name()));
            }
        }
        Ok(())
    }

    /// Checks that the node holds no properties but those of `fields`, and none twice; its nodes may be any.
    ///
    /// # Errors
    /// As [`Node::check_fields`].
    pub(crate) fn check_properties(&self, fields: &Fields) -> Result<(), ManifestError> {
        for property in self.0.properties() {
            self.check_name(property.name, fields.properties, fields)?;
            if self.0.properties().filter(|other| other.name == property.name).count() > 1 {
                return Err(self.twice(property.name));
            }
        }
        Ok(())
    }

    fn check_name(&self, found: &str, known: &[&str], fields: &Fields) -> Result<(), ManifestError> {
        if known.contains(&found) {
            return Ok(());
        }
        match fields.unserved.iter().find(|(field, _)| *field == found) {
            Some((field, instead)) => Err(ManifestError::Unsupported { node: self.label(), field, instead }),
            None => Err(ManifestError::UnknownField { node: self.label(), field: name(found) }),
        }
    }

    #[inline(never)]
    fn twice(&self, field: &str) -> ManifestError {
        ManifestError::Twice { node: self.label(), field: name(field) }
    }

    /// Returns the error for a property `field` that should be `expected`.
    #[inline(never)]
    pub(crate) fn bad(&self, field: &'static str, expected: &'static str) -> ManifestError {
        ManifestError::BadValue { node: self.label(), field, expected }
    }

    /// Returns the error for a property `field` that should be there.
    #[inline(never)]
    pub(crate) fn missing(&self, field: &'static str) -> ManifestError {
        ManifestError::MissingField { node: self.label(), field }
    }

    /// Returns the error for a property `field` that with its size is no range.
    #[inline(never)]
    pub(crate) fn bad_range(&self, field: &'static str, reason: RangeError) -> ManifestError {
        ManifestError::BadRange { node: self.label(), field, reason }
    }

    /// Checks that `compatible` is `value`.
    ///
    /// # Errors
    /// Says so, in the words of `expected`, if it is not.
    pub(crate) fn check_compatible(&self, value: &str, expected: &'static str) -> Result<(), ManifestError> {
        if self.text("compatible")? == Some(value) { Ok(()) } else { Err(self.bad("compatible", expected)) }
    }

    /// Tells whether the property `field` is there.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.value(field).is_some()
    }

    /// Returns the bytes of the property `field`, if it is there.
    pub(crate) fn bytes(&self, field: &str) -> Option<&'a [u8]> {
        self.value(field)
    }

    #[inline(never)]
    fn value(&self, field: &str) -> Option<&'a [u8]> {
        self.0.property(field).map(|property| property.value)
    }

    /// Tells whether the empty property `field` is there.
    ///
    /// # Errors
    /// Says so if it has a value.
    pub(crate) fn flag(&self, field: &'static str) -> Result<bool, ManifestError> {
        match self.value(field) {
            None => Ok(false),
            Some([]) => Ok(true),
            Some(_) => Err(self.bad(field, "without a value: its presence is what counts")),
        }
    }

    /// Returns the property `field`, one cell, if it is there.
    ///
    /// # Errors
    /// Says so if it has another size.
    #[inline(never)]
    pub(crate) fn cell(&self, field: &'static str) -> Result<Option<u32>, ManifestError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let value = value.try_into().map_err(|_| self.bad(field, "one 32-bit number"))?;
        Ok(Some(u32::from_be_bytes(value)))
    }

    /// Returns the property `field`, one cell.
    ///
    /// # Errors
    /// Says so if it is not there or has another size.
    pub(crate) fn required_cell(&self, field: &'static str) -> Result<u32, ManifestError> {
        self.cell(field)?.ok_or_else(|| self.missing(field))
    }

    /// Returns the property `field`, a number of one or two cells, if it is there.
    ///
    /// # Errors
    /// Says so if it has another size.
    pub(crate) fn number(&self, field: &'static str) -> Result<Option<u64>, ManifestError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        if let Ok(value) = value.try_into() {
            return Ok(Some(u64::from(u32::from_be_bytes(value))));
        }
        let value = value.try_into().map_err(|_| self.bad(field, "one number of 32 or 64 bits"))?;
        Ok(Some(u64::from_be_bytes(value)))
    }

    /// Returns the property `field`, a number of one or two cells.
    ///
    /// # Errors
    /// Says so if it is not there or has another size.
    pub(crate) fn required_number(&self, field: &'static str) -> Result<u64, ManifestError> {
        self.number(field)?.ok_or_else(|| self.missing(field))
    }

    /// Returns the property `field`, a text, if it is there.
    ///
    /// # Errors
    /// Says so if it is not one text of printable characters that ends in a zero byte.
    pub(crate) fn text(&self, field: &'static str) -> Result<Option<&'a str>, ManifestError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let text = value.split_last().and_then(|(end, text)| {
            let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            if *end == 0 && text.iter().all(printable) { core::str::from_utf8(text).ok() } else { None }
        });
        text.map(Some).ok_or_else(|| self.bad(field, "one text of printable characters"))
    }

    /// Returns the property `field`, a text.
    ///
    /// # Errors
    /// Says so if it is not there or not one text of printable characters that ends in a zero byte.
    pub(crate) fn required_text(&self, field: &'static str) -> Result<&'a str, ManifestError> {
        self.text(field)?.ok_or_else(|| self.missing(field))
    }

    /// Yields the cells of the property `field`, in records of `per_record`, or nothing if it is not there.
    ///
    /// # Errors
    /// Says that it should be `expected` if it is there and not at least one whole record.
    pub(crate) fn cells(
        &self,
        field: &'static str,
        per_record: usize,
        expected: &'static str,
    ) -> Result<impl Iterator<Item = u32> + use<'a>, ManifestError> {
        let value = self.value(field);
        let record = per_record.saturating_mul(4);
        if value.is_some_and(|value| value.is_empty() || value.len().checked_rem(record) != Some(0)) {
            return Err(self.bad(field, expected));
        }
        let cell = |bytes: &'a [u8]| bytes.try_into().map(u32::from_be_bytes).unwrap_or(0);
        Ok(value.unwrap_or_default().chunks_exact(4).map(cell))
    }
}

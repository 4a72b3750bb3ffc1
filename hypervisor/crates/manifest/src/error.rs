//! What can be wrong with a manifest or a package.

use core::error::Error;
use core::fmt;

use tantalum_types::{EndpointId, Pa, PageRange, RangeError};

/// Holds a name found in a manifest, cut off behind 32 bytes.
pub type Name = heapless::String<32>;

/// Copies as much of `text` as a [`Name`] holds.
pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::new();
    for character in text.chars() {
        if name.push(character).is_err() {
            break;
        }
    }
    name
}

/// Says what is wrong with a manifest or a package, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// The bytes are not a well-formed flattened device tree; the text says where they stop being one.
    NotADeviceTree(&'static str),
    /// The device tree is well formed but is not this kind of manifest.
    NotCompatible {
        /// What its root node's `compatible` should be.
        expected: &'static str,
    },
    /// A node that must be there is not.
    MissingNode(&'static str),
    /// A property that must be there is not.
    MissingField {
        /// The node that lacks it.
        node: Name,
        /// The property.
        field: &'static str,
    },
    /// A property or a node is not one of those that exist.
    UnknownField {
        /// The node that holds it.
        node: Name,
        /// The property or node.
        field: Name,
    },
    /// A property or a node exists in FF-A but is not served.
    Unsupported {
        /// The node that holds it.
        node: Name,
        /// The property or node.
        field: &'static str,
        /// Why not, and what to do.
        instead: &'static str,
    },
    /// The id that the manifest asks for is another one than the partition gets.
    OtherId {
        /// The id that it gets.
        given: EndpointId,
    },
    /// A property or a node is there twice.
    Twice {
        /// The node that holds both.
        node: Name,
        /// The property or node.
        field: Name,
    },
    /// A property's value is not one that it can have.
    BadValue {
        /// The node that holds it.
        node: Name,
        /// The property.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A node's name is not one that it can have.
    BadName {
        /// The node.
        node: Name,
        /// What would be right.
        expected: &'static str,
    },
    /// A property, or a node of a kind, is there more often than there is room for.
    TooMany {
        /// The property or node.
        field: &'static str,
        /// How many there can be.
        limit: usize,
    },
    /// An address and a size do not make a range of pages.
    BadRange {
        /// The node that holds them.
        node: Name,
        /// The property that gives the address.
        field: &'static str,
        /// Why not.
        reason: RangeError,
    },
    /// The package's header is wrong; the text says how.
    BadPackage(&'static str),
    /// A field of the partition's manifest says something else than the SPMC manifest does.
    Contradiction {
        /// The field of the partition's manifest.
        field: &'static str,
        /// The property of the SPMC manifest.
        spmc_field: &'static str,
    },
    /// Two ranges that must not have a page in common have one.
    Overlap {
        /// The range at fault.
        field: Name,
        /// Where it lies.
        range: PageRange<Pa>,
        /// What it overlaps.
        other: Name,
    },
    /// A range does not lie in the memory that it must lie in.
    Outside {
        /// The range at fault.
        field: Name,
        /// Where it lies.
        range: PageRange<Pa>,
        /// The node of the SPMC manifest that says what exists.
        expected: &'static str,
    },
    /// A value that must differ between partitions is another one's already.
    Taken {
        /// The field.
        field: &'static str,
        /// The name of the partition that has it.
        by: Name,
    },
}

impl ManifestError {
    /// Puts `parent` before the name of the node at fault, if the error names one.
    pub(crate) fn within(mut self, parent: &str) -> Self {
        if let Self::MissingField { node, .. }
        | Self::UnknownField { node, .. }
        | Self::Unsupported { node, .. }
        | Self::Twice { node, .. }
        | Self::BadValue { node, .. }
        | Self::BadName { node, .. }
        | Self::BadRange { node, .. } = &mut self
        {
            let mut path = name(parent);
            for character in core::iter::once('/').chain(node.chars()) {
                // What does not fit is cut off.
                let _ = path.push(character);
            }
            *node = path;
        }
        self
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADeviceTree(why) => write!(f, "not a device tree: {why}"),
            Self::NotCompatible { expected } => {
                write!(f, "the root node's \"compatible\" has to be {expected}")
            }
            Self::MissingNode(node) => write!(f, "the node \"{node}\" is missing"),
            Self::MissingField { node, field } => {
                write!(f, "the property \"{field}\" is missing in \"{node}\"")
            }
            Self::UnknownField { node, field } => {
                write!(f, "\"{field}\" in \"{node}\" is not a field that exists; correct or remove it")
            }
            Self::Unsupported { node, field, instead } => {
                write!(f, "\"{field}\" in \"{node}\" is not served: {instead}")
            }
            Self::OtherId { given } => write!(
                f,
                "\"id\" has to be {given}, which the place of the partition in the SPMC manifest gives it, or be \
                 left out"
            ),
            Self::Twice { node, field } => {
                write!(f, "\"{field}\" is in \"{node}\" twice; remove one")
            }
            Self::BadValue { node, field, expected } => {
                write!(f, "\"{field}\" in \"{node}\" has to be {expected}")
            }
            Self::BadName { node, expected } => write!(f, "the name of \"{node}\" has to be {expected}"),
            Self::TooMany { field, limit } => write!(f, "there can be at most {limit} of \"{field}\""),
            Self::BadRange { node, field, reason } => {
                write!(f, "\"{field}\" in \"{node}\" and its size are not a range of pages: {reason}")
            }
            Self::BadPackage(why) => write!(f, "the package is not usable: {why}"),
            Self::Contradiction { field, spmc_field } => {
                write!(f, "\"{field}\" has to say the same as \"{spmc_field}\" in the SPMC manifest")
            }
            Self::Overlap { field, range, other } => write!(
                f,
                "\"{field}\" ({}, {} pages) overlaps {other}; move one of them",
                range.start(),
                range.page_count()
            ),
            Self::Outside { field, range, expected } => write!(
                f,
                "\"{field}\" ({}, {} pages) has to lie in {expected} of the SPMC manifest",
                range.start(),
                range.page_count()
            ),
            Self::Taken { field, by } => {
                write!(f, "\"{field}\" is already that of partition \"{by}\"; it has to be unique")
            }
        }
    }
}

impl Error for ManifestError {}

//! The services of a partition: their UUIDs, and the messages that each of them takes and sends.
//!
//! Version 1.0 of the binding has lists, `uuid` and `messaging-method`, in the root node; version 1.1 has a node
//! `services` with one node for each. Both are read, never in one manifest.

use heapless::Vec;
use tantalum_types::Uuid;

use crate::error::ManifestError;
use crate::tree::{Fields, Node};

/// Bounds the UUIDs of one partition.
pub const MAX_UUIDS: usize = 4;

const SERVICES: Fields = Fields { properties: &["compatible"], nodes: &[], unserved: &[] };
const SERVICE: Fields =
    Fields { properties: &["description", "uuid", "messaging-method"], nodes: &[], unserved: &[] };

/// Names the messages that a partition sends and receives (bits of `messaging-method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messaging {
    /// Bit 0: it receives direct requests.
    pub receives_direct: bool,
    /// Bit 1: it sends direct requests.
    pub sends_direct: bool,
    /// Bit 2: it sends and receives indirect messages.
    pub indirect: bool,
    /// Bit 9: it receives direct requests of the second form, FFA_MSG_SEND_DIRECT_REQ2.
    pub receives_direct2: bool,
    /// Bit 10: it sends direct requests of the second form.
    pub sends_direct2: bool,
}

impl Messaging {
    /// Reads the bits of `messaging-method` in `node`.
    fn from_bits(node: &Node<'_, '_>, bits: u32) -> Result<Self, ManifestError> {
        if bits & !0b110_0000_0111 != 0 {
            return Err(node.bad("messaging-method", "a sum of bits 0, 1, 2, 9 and 10"));
        }
        let has = |bit: u32| bits & bit != 0;
        Ok(Self {
            receives_direct: has(1 << 0),
            sends_direct: has(1 << 1),
            indirect: has(1 << 2),
            receives_direct2: has(1 << 9),
            sends_direct2: has(1 << 10),
        })
    }

    /// Returns what one or the other does.
    fn or(self, other: Self) -> Self {
        Self {
            receives_direct: self.receives_direct || other.receives_direct,
            sends_direct: self.sends_direct || other.sends_direct,
            indirect: self.indirect || other.indirect,
            receives_direct2: self.receives_direct2 || other.receives_direct2,
            sends_direct2: self.sends_direct2 || other.sends_direct2,
        }
    }
}

/// Holds the services as they were read: at least one, as many messaging methods as UUIDs.
pub(crate) struct Services {
    /// The UUIDs, all of them different and none nil.
    pub uuids: Vec<Uuid, MAX_UUIDS>,
    /// The messages of each.
    pub methods: Vec<Messaging, MAX_UUIDS>,
}

impl Services {
    /// Returns the messages of all services together.
    pub(crate) fn messaging(&self) -> Messaging {
        self.methods.iter().copied().fold(Messaging::default(), Messaging::or)
    }

    /// Adds a service.
    fn push(&mut self, node: &Node<'_, '_>, uuid: Uuid, method: Messaging) -> Result<(), ManifestError> {
        if uuid.is_nil() || self.uuids.contains(&uuid) {
            return Err(node.bad("uuid", "different from every other one, and not nil"));
        }
        let full = ManifestError::TooMany { field: "uuid", limit: MAX_UUIDS };
        self.uuids.push(uuid).map_err(|_| full.clone())?;
        self.methods.push(method).map_err(|_| full)
    }
}

/// Reads the services in whichever form the manifest has them.
pub(crate) fn parse(root: &Node<'_, '_>) -> Result<Services, ManifestError> {
    match root.child("services") {
        Some(node) => {
            for field in ["uuid", "messaging-method"] {
                if root.has(field) {
                    return Err(root.bad(field, "left out where there is \"services\", which says it"));
                }
            }
            parse_nodes(&node)
        }
        None => parse_lists(root),
    }
}

/// Reads `uuid`, four cells for each UUID, and `messaging-method`, a cell for each UUID or one for all.
///
/// The four cells are the values of the registers that carry a UUID in FF-A: the first byte of the UUID is the
/// lowest of the first register.
fn parse_lists(root: &Node<'_, '_>) -> Result<Services, ManifestError> {
    const METHODS: &str = "one cell for all UUIDs, or one cell for each";
    let mut services = Services { uuids: Vec::new(), methods: Vec::new() };
    let mut cells = root.cells("uuid", 4, "UUIDs of four cells each")?;
    if !root.has("uuid") {
        return Err(root.missing("uuid"));
    }
    if !root.has("messaging-method") {
        return Err(root.missing("messaging-method"));
    }
    let mut methods = root.cells("messaging-method", 1, METHODS)?;
    // The only one counts for all.
    let shared = if root.cells("messaging-method", 1, METHODS)?.count() == 1 { methods.next() } else { None };
    while let (Some(a), Some(b), Some(c), Some(d)) = (cells.next(), cells.next(), cells.next(), cells.next())
    {
        let mut bytes = [0; 16];
        for (to, cell) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
            to.copy_from_slice(&cell.to_le_bytes());
        }
        let bits = shared.or_else(|| methods.next()).ok_or_else(|| root.bad("messaging-method", METHODS))?;
        let method = Messaging::from_bits(root, bits)?;
        services.push(root, Uuid::from_bytes(bytes), method)?;
    }
    if methods.next().is_some() {
        return Err(root.bad("messaging-method", METHODS));
    }
    Ok(services)
}

/// Reads a node for each service, with the UUID as text.
fn parse_nodes(node: &Node<'_, '_>) -> Result<Services, ManifestError> {
    node.check_properties(&SERVICES)?;
    node.check_compatible("arm,ffa-manifest-services", "\"arm,ffa-manifest-services\"")?;
    let mut services = Services { uuids: Vec::new(), methods: Vec::new() };
    for service in node.children() {
        service.check_fields(&SERVICE)?;
        let _ = service.text("description")?;
        let text = service.required_text("uuid")?;
        let uuid = Uuid::try_parse(text)
            .ok()
            // Other forms than that of RFC 9562 have another length.
            .filter(|_| text.len() == 36)
            .ok_or_else(|| service.bad("uuid", "text like \"00112233-4455-6677-8899-aabbccddeeff\""))?;
        let method = Messaging::from_bits(&service, service.required_cell("messaging-method")?)?;
        services.push(&service, uuid, method)?;
    }
    if services.uuids.is_empty() {
        return Err(ManifestError::MissingNode("service in \"services\""));
    }
    Ok(services)
}

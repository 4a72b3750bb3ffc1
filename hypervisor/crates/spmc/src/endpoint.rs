//! What the SPMC keeps of every endpoint that calls it: its version and its mailbox.

use crate::sync::Mutex;
use tantalum_ffa::Version;

use crate::mailbox::Mailbox;
use crate::version::Negotiation;

/// Is an endpoint, of either world, as the one that makes calls.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The version of FF-A that it speaks.
    pub negotiation: Negotiation,
    /// Its RX/TX buffers.
    pub mailbox: Mutex<Mailbox>,
}

impl Endpoint {
    /// Builds an endpoint without buffers that is taken to speak `version` until it says so itself.
    pub(crate) const fn new(version: Version) -> Self {
        Self { negotiation: Negotiation::new(version), mailbox: Mutex::new(Mailbox::new()) }
    }

    /// Forgets the buffers and what has been agreed on, since the endpoint begins anew.
    pub(crate) fn reset(&self, version: Version) {
        self.negotiation.reset(version);
        *self.mailbox.lock() = Mailbox::new();
    }
}

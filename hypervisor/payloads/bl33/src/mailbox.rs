//! The RX and TX buffers of the normal world.

use tantalum_ffa::{Call, Width};
use tantalum_types::EndpointId;

use crate::machine::memory::Pages;
use crate::test::Test;

/// Is a pair of buffers that is mapped as long as the value lives.
pub(crate) struct Mailbox<'a> {
    test: &'a Test,
    pub(crate) tx: Pages,
    pub(crate) rx: Pages,
}

/// Builds the call that maps buffers.
pub(crate) const fn map(tx: u64, rx: u64, page_count: u32) -> Call {
    Call::RxtxMap { width: Width::Bits64, tx, rx, page_count }
}

/// Unmaps the buffers of the normal world itself.
pub(crate) const UNMAP: Call = Call::RxtxUnmap { endpoint: EndpointId::HYPERVISOR };
/// Releases the RX buffer of the normal world itself.
pub(crate) const RELEASE: Call = Call::RxRelease { endpoint: EndpointId::HYPERVISOR };

impl<'a> Mailbox<'a> {
    /// Maps buffers of a page each.
    #[track_caller]
    pub(crate) fn new(test: &'a Test) -> Self {
        Self::of_size(test, 1)
    }

    /// Maps buffers of `count` pages each.
    #[track_caller]
    pub(crate) fn of_size(test: &'a Test, count: usize) -> Self {
        let (tx, rx) = (Pages::at(0, count), Pages::at(64, count));
        tx.fill(0);
        rx.fill(0xa5);
        test.succeeds(&map(tx.address(), rx.address(), count as u32));
        Self { test, tx, rx }
    }

    /// Releases the RX buffer, which must be full.
    #[track_caller]
    pub(crate) fn release(&self) {
        self.test.succeeds(&RELEASE);
    }
}

impl Drop for Mailbox<'_> {
    fn drop(&mut self) {
        self.test.succeeds(&UNMAP);
    }
}

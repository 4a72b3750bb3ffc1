//! Function identifiers of FF-A 1.0 to 1.2 (FF-A 1.2, chapters 13 to 18, and the memory management
//! supplement 1.2).
//!
//! A call of the SMC32 calling convention carries 32-bit parameters, one of SMC64 carries 64-bit ones. Where
//! a call exists in both forms, the names end in `_32` and `_64`.

use crate::Width;

/// Tells the SMC64 form of a call from its SMC32 form (SMC Calling Convention, section 2.5).
const SMC64: u32 = 1 << 30;

/// Returns the width of the parameters of a call.
#[inline]
pub const fn width(function: u32) -> Width {
    if function & SMC64 == 0 { Width::Bits32 } else { Width::Bits64 }
}

/// Tells whether a function identifier lies in the range that is FF-A's: what is not a call in there is
/// answered by FFA_ERROR, what lies outside is answered as the SMC Calling Convention says.
#[inline]
pub const fn is_ffa(function: u32) -> bool {
    matches!(function & !SMC64, 0x8400_0060..=0x8400_00ef)
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $id:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = $id;)*

        /// Lists every function identifier, in ascending order of the call numbers.
        pub const ALL: &[u32] = &[$($name),*];
    };
}

functions! {
    /// Reports an error.
    ERROR = 0x8400_0060;
    /// Reports success with 32-bit results.
    SUCCESS_32 = 0x8400_0061;
    /// Reports success with 64-bit results.
    SUCCESS_64 = 0xc400_0061;
    /// Reports an interrupt: of a call by its callee, or to an execution context that waits.
    INTERRUPT = 0x8400_0062;
    /// Negotiates the version.
    VERSION = 0x8400_0063;
    /// Asks whether a call or a feature is there.
    FEATURES = 0x8400_0064;
    /// Gives the RX buffer back to its producer.
    RX_RELEASE = 0x8400_0065;
    /// Registers the RX and TX buffers by 32-bit addresses.
    RXTX_MAP_32 = 0x8400_0066;
    /// Registers the RX and TX buffers by 64-bit addresses.
    RXTX_MAP_64 = 0xc400_0066;
    /// Forgets the RX and TX buffers.
    RXTX_UNMAP = 0x8400_0067;
    /// Describes partitions in the RX buffer.
    PARTITION_INFO_GET = 0x8400_0068;
    /// Returns the caller's id.
    ID_GET = 0x8400_0069;
    /// Polls for a message: removed in 1.1.
    MSG_POLL = 0x8400_006a;
    /// Waits for a message.
    MSG_WAIT = 0x8400_006b;
    /// Gives processor time back for a while.
    YIELD = 0x8400_006c;
    /// Gives processor time to an execution context.
    RUN = 0x8400_006d;
    /// Sends an indirect message: removed in 1.1.
    MSG_SEND = 0x8400_006e;
    /// Sends a direct request with 32-bit words.
    DIRECT_REQ_32 = 0x8400_006f;
    /// Sends a direct request with 64-bit words.
    DIRECT_REQ_64 = 0xc400_006f;
    /// Answers a direct request with 32-bit words.
    DIRECT_RESP_32 = 0x8400_0070;
    /// Answers a direct request with 64-bit words.
    DIRECT_RESP_64 = 0xc400_0070;
    /// Begins to give memory away.
    MEM_DONATE_32 = 0x8400_0071;
    /// Begins to give memory away, descriptor at a 64-bit address.
    MEM_DONATE_64 = 0xc400_0071;
    /// Begins to lend memory.
    MEM_LEND_32 = 0x8400_0072;
    /// Begins to lend memory, descriptor at a 64-bit address.
    MEM_LEND_64 = 0xc400_0072;
    /// Begins to share memory.
    MEM_SHARE_32 = 0x8400_0073;
    /// Begins to share memory, descriptor at a 64-bit address.
    MEM_SHARE_64 = 0xc400_0073;
    /// Asks for memory that was offered.
    MEM_RETRIEVE_REQ_32 = 0x8400_0074;
    /// Asks for memory that was offered, descriptor at a 64-bit address.
    MEM_RETRIEVE_REQ_64 = 0xc400_0074;
    /// Describes memory that was retrieved.
    MEM_RETRIEVE_RESP = 0x8400_0075;
    /// Gives borrowed memory back.
    MEM_RELINQUISH = 0x8400_0076;
    /// Takes lent memory back.
    MEM_RECLAIM = 0x8400_0077;
    /// Reports that a memory management operation takes longer than its time slice.
    MEM_OP_PAUSE = 0x8400_0078;
    /// Goes on with a paused memory management operation.
    MEM_OP_RESUME = 0x8400_0079;
    /// Asks for the next fragment of a memory transaction descriptor.
    MEM_FRAG_RX = 0x8400_007a;
    /// Sends the next fragment of a memory transaction descriptor.
    MEM_FRAG_TX = 0x8400_007b;
    /// Resumes the normal world after a secure interrupt.
    NORMAL_WORLD_RESUME = 0x8400_007c;
    /// Makes the notification bitmaps of a VM.
    NOTIFICATION_BITMAP_CREATE = 0x8400_007d;
    /// Removes the notification bitmaps of a VM.
    NOTIFICATION_BITMAP_DESTROY = 0x8400_007e;
    /// Lets a sender use notifications.
    NOTIFICATION_BIND = 0x8400_007f;
    /// Takes notifications from a sender.
    NOTIFICATION_UNBIND = 0x8400_0080;
    /// Signals notifications.
    NOTIFICATION_SET = 0x8400_0081;
    /// Reads and clears the pending notifications.
    NOTIFICATION_GET = 0x8400_0082;
    /// Lists endpoints with pending notifications, by 32-bit registers.
    NOTIFICATION_INFO_GET_32 = 0x8400_0083;
    /// Lists endpoints with pending notifications, by 64-bit registers.
    NOTIFICATION_INFO_GET_64 = 0xc400_0083;
    /// Takes ownership of a VM's RX buffer.
    RX_ACQUIRE = 0x8400_0084;
    /// Returns the id of the SPMC or SPMD.
    SPM_ID_GET = 0x8400_0085;
    /// Sends an indirect message.
    MSG_SEND2 = 0x8400_0086;
    /// Registers the entry point of further execution contexts by a 32-bit address.
    SECONDARY_EP_REGISTER_32 = 0x8400_0087;
    /// Registers the entry point of further execution contexts by a 64-bit address.
    SECONDARY_EP_REGISTER_64 = 0xc400_0087;
    /// Returns the permissions of a page, by a 32-bit address.
    MEM_PERM_GET_32 = 0x8400_0088;
    /// Returns the permissions of a page, by a 64-bit address.
    MEM_PERM_GET_64 = 0xc400_0088;
    /// Sets the permissions of pages, by a 32-bit address.
    MEM_PERM_SET_32 = 0x8400_0089;
    /// Sets the permissions of pages, by a 64-bit address.
    MEM_PERM_SET_64 = 0xc400_0089;
    /// Writes up to 24 characters to the log.
    CONSOLE_LOG_32 = 0x8400_008a;
    /// Writes up to 128 characters to the log.
    CONSOLE_LOG_64 = 0xc400_008a;
    /// Describes partitions in registers.
    PARTITION_INFO_GET_REGS = 0xc400_008b;
    /// Hands a Group 0 interrupt to EL3.
    EL3_INTR_HANDLE = 0x8400_008c;
    /// Sends a direct request to a service by its UUID.
    DIRECT_REQ2 = 0xc400_008d;
    /// Answers a direct request to a service.
    DIRECT_RESP2 = 0xc400_008e;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_in_range_and_listed_once() {
        for (index, id) in ALL.iter().enumerate() {
            assert!(is_ffa(*id), "{id:#x}");
            assert!(!ALL[..index].contains(id), "{id:#x}");
        }
        assert!(ALL.is_sorted_by_key(|id| (id & !SMC64, *id)));
    }

    #[test]
    fn neighbouring_ranges_are_not_ffa() {
        // The random number and errata calls, calls of other services, a yielding call.
        for id in [0x8400_005f, 0x8400_00f0, 0xff03, 0x8600_0060, 0x0400_0060] {
            assert!(!is_ffa(id), "{id:#x}");
        }
    }
}

//! What FFA_FEATURES is asked for (FF-A 1.2, section 13.3).

/// Names the notification pending interrupt.
pub const NOTIFICATION_PENDING_INTERRUPT: u32 = 1;
/// Names the schedule receiver interrupt.
pub const SCHEDULE_RECEIVER_INTERRUPT: u32 = 2;
/// Names the managed exit interrupt.
pub const MANAGED_EXIT_INTERRUPT: u32 = 3;

/// Asks, of MEM_RETRIEVE_REQ, that retrieved memory be reported as Non-secure where it is.
pub const RETRIEVE_INPUT_NON_SECURE: u32 = 1 << 1;

/// Tells what the number that FFA_FEATURES is asked for stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// A call, by its function identifier.
    Function(u32),
    /// A feature, by its number below 256.
    Feature(u32),
    /// Neither: bits 30:8 of a feature id must be zero.
    Malformed,
}

impl Query {
    /// Sorts the number in w1.
    pub const fn new(id: u32) -> Self {
        if id >> 31 != 0 {
            Self::Function(id)
        } else if id <= 0xff {
            Self::Feature(id)
        } else {
            Self::Malformed
        }
    }
}

/// Names the sizes that RX and TX buffers can be multiples of, as bits 1:0 of w2 in the answer about RXTX_MAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BufferGranularity {
    /// 4 KiB.
    Size4K = 0,
    /// 64 KiB.
    Size64K = 1,
    /// 16 KiB.
    Size16K = 2,
}

/// Returns w2 of the answer about RXTX_MAP. The maximum, in pages of 4 KiB, is for callers of 1.2 and newer;
/// for others, and for "no limit", it is zero.
pub const fn rxtx_map_properties(granularity: BufferGranularity, maximum_pages: u16) -> u32 {
    let [low, high] = maximum_pages.to_le_bytes();
    u32::from_le_bytes([granularity as u8, 0, low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_ids() {
        assert_eq!(Query::new(0x8400_0063), Query::Function(0x8400_0063));
        assert_eq!(Query::new(2), Query::Feature(2));
        assert_eq!(Query::new(0x102), Query::Malformed);
    }

    #[test]
    fn puts_the_maximum_into_the_high_half() {
        assert_eq!(rxtx_map_properties(BufferGranularity::Size4K, 0), 0);
        assert_eq!(rxtx_map_properties(BufferGranularity::Size16K, 3), 0x0003_0002);
    }
}

//! The serial port: Arm PrimeCell UART PL011, revision r1p4 (Arm DDI 0183).
//!
//! What is written is sent at once, so the transmit FIFO is always empty; it is given to a sink line by line. What comes
//! in is in the receive FIFO at once, and the receive timeout has always passed. Nothing has errors or modem lines, and
//! bytes go both ways whether CR enables the port or not, as firmware that has not set it up expects.

use super::{Answer, cut, identification, register};

/// Counts the entries of the receive FIFO.
pub const FIFO: usize = 16;

/// Bounds the bytes that are given to a sink at once.
pub const LINE: usize = 128;

/// Marks, in FR: the transmit FIFO is empty, the receive FIFO is full, is empty.
const TX_EMPTY: u32 = 1 << 7;
const RX_FULL: u32 = 1 << 6;
const RX_EMPTY: u32 = 1 << 4;

/// Enables the FIFOs (LCR_H.FEN).
const FIFO_ENABLE: u32 = 1 << 4;

/// Lets what is sent be received (CR.LBE).
const LOOPBACK: u32 = 1 << 7;

/// Marks, in RIS and its like: receive, transmit, receive timeout.
const RX: u32 = 1 << 4;
const TX: u32 = 1 << 5;
const TIMEOUT: u32 = 1 << 6;

/// Masks the interrupts that there are.
const INTERRUPTS: u32 = 0x7ff;

/// Is a serial port.
#[derive(Debug)]
pub struct Pl011 {
    received: [u8; FIFO],
    /// Where the oldest byte is, below [`FIFO`].
    first: usize,
    count: usize,
    line: [u8; LINE],
    line_length: usize,
    low_power: u32,
    integer_divisor: u32,
    fraction_divisor: u32,
    line_control: u32,
    control: u32,
    levels: u32,
    mask: u32,
    raised: u32,
    dma: u32,
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pl011 {
    /// Builds the state after reset.
    pub const fn new() -> Self {
        Self {
            received: [0; FIFO],
            first: 0,
            count: 0,
            line: [0; LINE],
            line_length: 0,
            low_power: 0,
            integer_divisor: 0,
            fraction_divisor: 0,
            line_control: 0,
            control: 0x300,
            levels: 0x12,
            mask: 0,
            raised: 0,
            dma: 0,
        }
    }

    /// Tells whether the interrupt line is up.
    pub const fn interrupt(&self) -> bool {
        self.raised & self.mask != 0
    }

    /// Reads `size` bytes at `offset`.
    pub fn read(&mut self, offset: u32, size: u8) -> Answer {
        let value = register(offset, size).map_or(0, |offset| cut(self.read_register(offset), size));
        Answer { value, interrupt: self.interrupt() }
    }

    fn read_register(&mut self, offset: u32) -> u32 {
        match offset {
            0x000 => self.take(),
            0x018 => self.flags(),
            0x020 => self.low_power,
            0x024 => self.integer_divisor,
            0x028 => self.fraction_divisor,
            0x02c => self.line_control,
            0x030 => self.control,
            0x034 => self.levels,
            0x038 => self.mask,
            0x03c => self.raised,
            0x040 => self.raised & self.mask,
            0x048 => self.dma,
            _ => identification(offset, [0x11, 0x10, 0x14, 0x00]),
        }
    }

    /// Writes `size` bytes at `offset` and returns whether the interrupt line is up. Lines that become complete, and
    /// parts of those that are longer than [`LINE`], go to `sink`.
    #[must_use = "the interrupt line has to follow"]
    pub fn write(&mut self, offset: u32, size: u8, value: u32, sink: &mut impl FnMut(&[u8])) -> bool {
        if let Some(offset) = register(offset, size) {
            self.write_register(offset, cut(value, size), sink);
        }
        self.interrupt()
    }

    fn write_register(&mut self, offset: u32, value: u32, sink: &mut impl FnMut(&[u8])) {
        match offset {
            0x000 => {
                let [byte, ..] = value.to_le_bytes();
                self.send(byte, sink);
            }
            0x020 => self.low_power = value & 0xff,
            0x024 => self.integer_divisor = value & 0xffff,
            0x028 => self.fraction_divisor = value & 0x3f,
            0x02c => {
                if (value ^ self.line_control) & FIFO_ENABLE != 0 {
                    self.count = 0;
                    self.raised &= !(RX | TIMEOUT);
                }
                self.line_control = value & 0xff;
            }
            0x030 => self.control = value & 0xff87,
            0x034 => {
                self.levels = value & 0x3f;
                self.look_at_level();
            }
            0x038 => self.mask = value & INTERRUPTS,
            0x044 => self.raised &= !value,
            0x048 => self.dma = value & 7,
            _ => {}
        }
    }

    /// Puts bytes that have come into the receive FIFO; returns how many there was room for, and whether the interrupt
    /// line is up. While the port receives what it sends, there is room for none.
    #[must_use = "the interrupt line has to follow"]
    pub fn receive(&mut self, bytes: &[u8]) -> (usize, bool) {
        let open = self.control & LOOPBACK == 0;
        let taken = bytes.iter().take_while(|byte| open && self.put(**byte)).count();
        (taken, self.interrupt())
    }

    /// Returns how many bytes there is room for in the receive FIFO.
    pub const fn room(&self) -> usize {
        if self.control & LOOPBACK != 0 { 0 } else { self.depth().saturating_sub(self.count) }
    }

    /// Gives what was sent of a line that is not complete to `sink`.
    pub fn flush(&mut self, sink: &mut impl FnMut(&[u8])) {
        if self.line_length != 0 {
            sink(self.line.get(..self.line_length).unwrap_or_default());
            self.line_length = 0;
        }
    }

    const fn depth(&self) -> usize {
        if self.line_control & FIFO_ENABLE != 0 { FIFO } else { 1 }
    }

    const fn flags(&self) -> u32 {
        let empty = if self.count == 0 { RX_EMPTY } else { 0 };
        let full = if self.count >= self.depth() { RX_FULL } else { 0 };
        TX_EMPTY | empty | full
    }

    /// Returns how many bytes in the FIFO raise the receive interrupt (IFLS.RXIFLSEL).
    const fn level(&self) -> usize {
        match (self.line_control & FIFO_ENABLE, self.levels >> 3) {
            (0, _) => 1,
            (_, 0) => 2,
            (_, 1) => 4,
            (_, 2) => 8,
            (_, 3) => 12,
            _ => 14,
        }
    }

    const fn look_at_level(&mut self) {
        if self.count >= self.level() {
            self.raised |= RX;
        } else {
            self.raised &= !RX;
        }
    }

    fn send(&mut self, byte: u8, sink: &mut impl FnMut(&[u8])) {
        self.raised |= TX;
        if self.control & LOOPBACK != 0 {
            self.put(byte);
            return;
        }
        if let Some(end) = self.line.get_mut(self.line_length) {
            *end = byte;
            self.line_length = self.line_length.saturating_add(1);
        }
        if byte == b'\n' || self.line_length >= LINE {
            self.flush(sink);
        }
    }

    /// Puts a byte into the receive FIFO, and says whether there was room.
    fn put(&mut self, byte: u8) -> bool {
        if self.count >= self.depth() {
            return false;
        }
        let end = self.first.wrapping_add(self.count) & (FIFO - 1);
        if let Some(end) = self.received.get_mut(end) {
            *end = byte;
        }
        self.count = self.count.saturating_add(1);
        self.raised |= TIMEOUT;
        self.look_at_level();
        true
    }

    /// Takes the oldest byte from the receive FIFO.
    fn take(&mut self) -> u32 {
        if self.count == 0 {
            return 0;
        }
        let byte = self.received.get(self.first).copied().unwrap_or_default();
        self.first = self.first.wrapping_add(1) & (FIFO - 1);
        self.count = self.count.saturating_sub(1);
        if self.count < self.level() {
            self.raised &= !RX;
        }
        if self.count == 0 {
            self.raised &= !TIMEOUT;
        }
        byte.into()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const DATA: u32 = 0x000;
    const FLAGS: u32 = 0x018;
    const LINE_CONTROL: u32 = 0x02c;
    const CONTROL: u32 = 0x030;
    const LEVELS: u32 = 0x034;
    const MASK: u32 = 0x038;
    const RAISED: u32 = 0x03c;
    const MASKED: u32 = 0x040;
    const CLEAR: u32 = 0x044;

    fn write(port: &mut Pl011, offset: u32, value: u32) -> bool {
        port.write(offset, 4, value, &mut |_| panic!("nothing is sent"))
    }

    fn read(port: &mut Pl011, offset: u32) -> u32 {
        port.read(offset, 4).value
    }

    fn with_fifo() -> Pl011 {
        let mut port = Pl011::new();
        assert!(!write(&mut port, LINE_CONTROL, 0x70));
        port
    }

    #[test]
    fn drivers_find_the_device() {
        let mut port = Pl011::new();
        let bytes = |port: &mut Pl011, base: u32| [0, 4, 8, 12].map(|offset| read(port, base + offset));
        // Linux: 0x00041011 under the mask 0x000fffff; a revision below 3 has 16 entries.
        assert_eq!(bytes(&mut port, 0xfe0), [0x11, 0x10, 0x14, 0x00]);
        assert_eq!(bytes(&mut port, 0xff0), [0x0d, 0xf0, 0x05, 0xb1]);
    }

    #[test]
    fn registers_have_their_values_after_reset() {
        let mut port = Pl011::new();
        let expected =
            [(FLAGS, 0x90), (CONTROL, 0x300), (LEVELS, 0x12), (MASK, 0), (RAISED, 0), (LINE_CONTROL, 0)];
        for (offset, value) in expected {
            assert_eq!(read(&mut port, offset), value, "{offset:#x}");
        }
        assert!(!port.interrupt());
    }

    #[test]
    fn registers_keep_what_they_have_bits_for() {
        let mut port = Pl011::new();
        let widths = [
            (0x020, 0xff),
            (0x024, 0xffff),
            (0x028, 0x3f),
            (LINE_CONTROL, 0xff),
            (CONTROL, 0xff87),
            (LEVELS, 0x3f),
            (MASK, 0x7ff),
            (0x048, 7),
        ];
        for (offset, expected) in widths {
            let _up = write(&mut port, offset, 0xffff_ffff);
            assert_eq!(read(&mut port, offset), expected, "{offset:#x}");
            let _up = port.write(offset, 1, 0, &mut |_| {});
            assert_eq!(read(&mut port, offset), 0, "{offset:#x}: what is not written is zero");
        }
        for (offset, size) in [(0x24, 8), (0x25, 1), (0x26, 2), (0x26, 4)] {
            let _up = port.write(offset, size, 5, &mut |_| {});
            assert_eq!(port.read(offset, size).value, 0);
        }
        assert_eq!(read(&mut port, 0x24), 0);
    }

    #[test]
    fn lines_are_sent_whole() {
        let mut port = Pl011::new();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for byte in *b"one\r\ntwo\nthr" {
            let _up = port.write(DATA, 1, byte.into(), &mut |line| sent.push(line.to_vec()));
        }
        assert_eq!(sent, [b"one\r\n".to_vec(), b"two\n".to_vec()]);
        port.flush(&mut |line| sent.push(line.to_vec()));
        port.flush(&mut |_| panic!("there is nothing more"));
        assert_eq!(sent[2], b"thr");
        sent.clear();
        for _ in 0..LINE + 1 {
            let _up = port.write(DATA, 2, 0xff41, &mut |line| sent.push(line.to_vec()));
        }
        assert_eq!(sent, [std::vec![b'A'; LINE]]);
        assert_eq!(read(&mut port, FLAGS), 0x90, "it is never full");
    }

    #[test]
    fn what_was_sent_raises_the_transmit_interrupt() {
        let mut port = Pl011::new();
        assert!(!write(&mut port, MASK, TX), "not before something was sent");
        assert!(port.write(DATA, 1, 0x41, &mut |_| {}));
        assert_eq!((read(&mut port, RAISED), read(&mut port, MASKED)), (TX, TX));
        assert!(!write(&mut port, MASK, RX));
        assert_eq!((read(&mut port, RAISED), read(&mut port, MASKED)), (TX, 0));
        assert!(write(&mut port, MASK, TX));
        assert!(!write(&mut port, CLEAR, TX));
        assert_eq!(read(&mut port, RAISED), 0);
    }

    #[test]
    fn without_fifos_one_byte_is_held() {
        let mut port = Pl011::new();
        let _up = write(&mut port, MASK, RX);
        assert_eq!(port.room(), 1);
        assert_eq!(port.receive(b"ab"), (1, true));
        assert_eq!(read(&mut port, FLAGS), 0xc0);
        assert_eq!(port.read(DATA, 4), Answer { value: u32::from(b'a'), interrupt: false });
        assert_eq!(read(&mut port, FLAGS), 0x90);
        assert_eq!(port.read(DATA, 4), Answer { value: 0, interrupt: false });
    }

    #[test]
    fn the_receive_interrupt_follows_the_level() {
        for (select, level) in [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14)] {
            let mut port = with_fifo();
            let _up = write(&mut port, LEVELS, select << 3);
            let _up = write(&mut port, MASK, RX);
            for received in 1..=FIFO {
                assert_eq!(port.receive(b"x"), (1, received >= level), "{received} of {level}");
            }
            assert_eq!(port.receive(b"x"), (0, true));
            assert_eq!(read(&mut port, FLAGS), 0xc0);
            for left in (0..FIFO).rev() {
                assert_eq!(port.read(DATA, 1).interrupt, left >= level, "{left} of {level}");
            }
        }
    }

    #[test]
    fn the_timeout_lasts_until_everything_is_read() {
        let mut port = with_fifo();
        let _up = write(&mut port, MASK, TIMEOUT);
        assert_eq!(port.receive(b"ab"), (2, true));
        assert!(port.read(DATA, 1).interrupt);
        assert!(!port.read(DATA, 1).interrupt);
        // It can be cleared, and then the next byte raises it again.
        assert_eq!(port.receive(b"a"), (1, true));
        assert!(!write(&mut port, CLEAR, TIMEOUT));
        assert_eq!(port.receive(b"b"), (1, true));
        // FIFOs are empty when they are switched.
        assert!(!write(&mut port, LINE_CONTROL, 0));
        assert_eq!(read(&mut port, FLAGS), 0x90);
    }

    #[test]
    fn loopback_receives_what_is_sent_and_nothing_else() {
        let mut port = with_fifo();
        let _up = write(&mut port, CONTROL, 0x381);
        assert_eq!((port.room(), port.receive(b"x")), (0, (0, false)));
        for byte in *b"hi\n" {
            let _up = write(&mut port, DATA, byte.into());
        }
        assert_eq!([0; 3].map(|_: u8| read(&mut port, DATA)), [0x68, 0x69, 0x0a]);
        for _ in 0..2 * FIFO {
            let _up = write(&mut port, DATA, 0x20);
        }
        assert_eq!(read(&mut port, FLAGS), 0xc0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_byte_goes_through_in_its_order(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            pieces in proptest::collection::vec(1..20_usize, 1..20),
        ) {
            let mut port = with_fifo();
            let mut arrived = Vec::new();
            let mut sent = Vec::new();
            let (mut left, mut piece) = (bytes.as_slice(), pieces.iter().cycle());
            while !left.is_empty() || port.read(FLAGS, 4).value & RX_EMPTY == 0 {
                let (taken, _) = port.receive(&left[..left.len().min(*piece.next().unwrap())]);
                left = &left[taken..];
                for _ in 0..*piece.next().unwrap() {
                    if port.read(FLAGS, 4).value & RX_EMPTY == 0 {
                        let byte = port.read(DATA, 1).value;
                        arrived.push(byte as u8);
                        let _up = port.write(DATA, 1, byte, &mut |part| sent.extend_from_slice(part));
                    }
                }
            }
            port.flush(&mut |part| sent.extend_from_slice(part));
            prop_assert_eq!(&arrived, &bytes);
            prop_assert_eq!(&sent, &bytes);
        }

        #[test]
        fn any_access_has_an_answer(
            accesses in proptest::collection::vec((0..0x1004_u32, 0..9_u8, any::<u32>(), any::<bool>()), 0..100),
        ) {
            let mut port = Pl011::new();
            for (offset, size, value, write) in accesses {
                let up = if write {
                    port.write(offset, size, value, &mut |_| {})
                } else {
                    port.read(offset, size).interrupt
                };
                let masked = port.read(MASKED, 4);
                prop_assert_eq!(up, masked.value != 0);
                prop_assert!(port.room() <= FIFO);
            }
        }
    }
}

//! The resident partition on an SPMC that answers what it is told to: every call, with every register, in order.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tantalum_ffa::{DirectMessage, Status, Width};
use tantalum_protocol::resident::{Resident, UART_INTERRUPT, Uart, command, refused};
use tantalum_sdk::{Buffers, Conduit, Memory, PageWords, Spmc, WORDS_PER_PAGE};
use tantalum_types::{AddressSpace, CallRegisters, EndpointId};

const RX_RELEASE: u64 = 0x8400_0065;
const SUCCESS: u64 = 0x8400_0061;
const ERROR: u64 = 0x8400_0060;
const ADDRESS: u64 = 0x1_4010_0000;

/// Is an SPMC in whose place a test answers; it has one page of memory for the partition.
struct Hvc {
    answers: RefCell<VecDeque<[u64; 4]>>,
    made: RefCell<Vec<[u64; 8]>>,
    buffers: Buffers,
    /// What the SPMC puts into the RX buffer. The test writes it through the buffer's address, as an SPMC does.
    page: PageWords,
    looked_at: Cell<Option<(u64, AddressSpace)>>,
}

impl Hvc {
    fn new(answers: impl IntoIterator<Item = [u64; 4]>) -> Self {
        Self {
            answers: RefCell::new(answers.into_iter().collect()),
            made: RefCell::default(),
            buffers: Buffers::new(),
            page: [const { AtomicU64::new(0) }; WORDS_PER_PAGE],
            looked_at: Cell::new(None),
        }
    }

    /// Lets the buffers be known already, and forgets the call.
    fn with_buffers(answers: impl IntoIterator<Item = [u64; 4]>) -> Self {
        let hvc = Self::new([[SUCCESS, 0, 0, 0]]);
        drop(hvc.buffers.take(&Spmc::new(&hvc)).unwrap());
        hvc.made.take();
        hvc.answers.borrow_mut().extend(answers);
        hvc
    }

    fn made(&self) -> Vec<[u64; 8]> {
        assert!(self.answers.borrow().is_empty(), "fewer calls than answers");
        self.made.take()
    }

    fn in_tx<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let quiet = Hvc::new([]);
        self.buffers.take(&Spmc::new(&quiet)).unwrap().tx().read(&mut bytes);
        bytes
    }

    fn put_in_rx(&self, bytes: &[u8]) {
        let quiet = Hvc::new([]);
        self.buffers.take(&Spmc::new(&quiet)).unwrap().rx().write(bytes);
    }
}

impl Conduit for Hvc {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        let [first @ .., _, _, _, _, _, _, _, _, _, _] = registers.0;
        self.made.borrow_mut().push(first);
        let [x0, x1, x2, x3] = self.answers.borrow_mut().pop_front().unwrap_or([SUCCESS, 0, 0, 0]);
        CallRegisters::from_first_eight([x0, x1, x2, x3, 0, 0, 0, 0])
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }
}

impl Memory for Hvc {
    fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    fn spare_page(&self, _: usize) -> Option<u64> {
        None
    }

    fn with_page(&self, address: u64, space: AddressSpace, work: &mut dyn FnMut(&PageWords)) -> bool {
        self.looked_at.set(Some((address, space)));
        work(&self.page);
        true
    }
}

#[derive(Default)]
struct FakeUart {
    raised: AtomicU32,
    quieted: AtomicU32,
}

impl Uart for FakeUart {
    fn raise(&self) {
        self.raised.fetch_add(1, Ordering::Relaxed);
    }

    fn quiet(&self) {
        self.quieted.fetch_add(1, Ordering::Relaxed);
    }
}

fn request(payload: [u64; 5]) -> DirectMessage {
    let (sender, receiver) = (EndpointId::new(0), EndpointId::new(0x8001));
    DirectMessage { width: Width::Bits32, sender, receiver, framework: None, payload }
}

/// Boots a partition on an SPMC that serves everything.
fn booted() -> Resident {
    let resident = Resident::new();
    resident.boot(&Spmc::new(&Hvc::new(boot_answers()))).unwrap();
    resident
}

fn boot_answers() -> [[u64; 4]; 8] {
    [
        [0x1_0002, 0, 0, 0],
        [SUCCESS, 0, 0, 0],
        [SUCCESS, 0, 0x8000, 0],
        [SUCCESS, 0, 0x8001, 0],
        [SUCCESS, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [SUCCESS, 0, 0, 0],
    ]
}

#[test]
fn boots_by_the_calls_that_an_spmc_of_the_field_sees() {
    let hvc = Hvc::new(boot_answers());
    let resident = Resident::new();
    resident.boot(&Spmc::new(&hvc)).unwrap();
    let made = hvc.made();
    let heads: Vec<[u64; 4]> = made.iter().map(|call| [call[0], call[1], call[2], call[3]]).collect();
    assert_eq!(heads[0], [0x8400_0063, 0x1_0001, 0, 0]);
    let [map, tx, rx, pages] = heads[1];
    assert_eq!((map, tx % 4096, rx % 4096, pages), (0xc400_0066, 0, 0, 1));
    assert_ne!(tx, rx);
    assert_eq!(
        heads[2..7],
        [
            [0x8400_0085, 0, 0, 0],
            [0x8400_0069, 0, 0, 0],
            [0x8400_0064, 0x8400_0081, 0, 0],
            [0xff03, UART_INTERRUPT.into(), 1, 0],
            [0xff09, UART_INTERRUPT.into(), 1, 1],
        ]
    );
    assert_eq!((heads[7][0], heads.len()), (0xc400_008a, 8));
    let state =
        resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &request([command::STATE, 0, 0, 0, 0]));
    assert_eq!(state, [0, 0x8000_8001, 0x1_0002, 0, 0]);
}

#[test]
fn remembers_what_was_refused_and_goes_on() {
    let mut answers = boot_answers();
    answers[4] = [ERROR, 0, Status::NotSupported.to_raw().into(), 0];
    answers[5] = [0xffff_ffff, 0, 0, 0];
    answers[6] = [0xffff_ffff, 0, 0, 0];
    let hvc = Hvc::new(answers);
    let resident = Resident::new();
    resident.boot(&Spmc::new(&hvc)).unwrap();
    let all = refused::NOTIFICATIONS | refused::ENABLE | refused::RECONFIGURE;
    let state =
        resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &request([command::STATE, 0, 0, 0, 0]));
    assert_eq!(state[3], u64::from(all));
}

#[test]
fn gives_up_where_it_cannot_do_without() {
    for (at, answer) in
        [(0, [0xffff_ffff, 0, 0, 0]), (1, [ERROR, 0, 0xffff_fffe, 0]), (3, [ERROR, 0, 0xffff_ffff, 0])]
    {
        let mut answers = boot_answers();
        answers[at] = answer;
        assert!(Resident::new().boot(&Spmc::new(&Hvc::new(answers))).is_err(), "call {at}");
    }
}

/// Builds a response of FF-A 1.1: one record of 16 bytes at 48, the composite at 64, ranges at 80.
fn response(attributes: u16, ranges: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; 80 + 16 * ranges.len()];
    bytes[2..4].copy_from_slice(&attributes.to_le_bytes());
    bytes[24..28].copy_from_slice(&16_u32.to_le_bytes());
    bytes[28..32].copy_from_slice(&1_u32.to_le_bytes());
    bytes[32..36].copy_from_slice(&48_u32.to_le_bytes());
    bytes[48..50].copy_from_slice(&0x8001_u16.to_le_bytes());
    bytes[52..56].copy_from_slice(&64_u32.to_le_bytes());
    for (range, (address, pages)) in bytes[80..].chunks_exact_mut(16).zip(ranges) {
        range[..8].copy_from_slice(&address.to_le_bytes());
        range[8..12].copy_from_slice(&pages.to_le_bytes());
    }
    bytes
}

const HANDLE: [u64; 2] = [0x89ab_cdef, 0x0123_4567];

#[test]
fn retrieves_looks_at_and_relinquishes_memory_of_the_normal_world() {
    let resident = booted();
    let uart = FakeUart::default();
    let bytes = response(0x6f, &[(ADDRESS, 3)]);
    let size = bytes.len() as u64;
    let hvc = Hvc::with_buffers([[0x8400_0075, size, size, 0], [SUCCESS, 0, 0, 0]]);
    hvc.put_in_rx(&bytes);
    let spmc = Spmc::new(&hvc);
    let answer = resident.answer(&spmc, &uart, &request([command::RETRIEVE, HANDLE[0], HANDLE[1], 0, 0]));
    assert_eq!(answer, [0, 0, ADDRESS & 0xffff_ffff, ADDRESS >> 32, 3]);
    assert_eq!(hvc.made(), [[0x8400_0074, 0x40, 0x40, 0, 0, 0, 0, 0], [RX_RELEASE, 0, 0, 0, 0, 0, 0, 0]]);
    let mut expected = [0; 64];
    expected[2] = 0x2f;
    expected[4] = 8;
    expected[8..16].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_le_bytes());
    expected[24] = 16;
    expected[28] = 1;
    expected[32] = 48;
    expected[48..51].copy_from_slice(&[0x01, 0x80, 2]);
    assert_eq!(hvc.in_tx::<64>(), expected);

    hvc.page[7].store(0x1111, Ordering::Relaxed);
    let exchanged = resident.answer(&spmc, &uart, &request([command::EXCHANGE, 1024 + 7, 0x2222, 0, 0]));
    assert_eq!(exchanged, [0, 0, 0x1111, 0, 0]);
    assert_eq!(hvc.page[7].load(Ordering::Relaxed), 0x2222);
    assert_eq!(hvc.looked_at.take(), Some((ADDRESS + 0x2000, AddressSpace::NonSecure)));
    let beyond = resident.answer(&spmc, &uart, &request([command::EXCHANGE, 3 * 512, 1, 0, 0]));
    assert_eq!(beyond[..2], [0, 1]);

    let answer = resident.answer(&spmc, &uart, &request([command::RELINQUISH, 0, 0, 0, 0]));
    assert_eq!(answer, [0; 5]);
    assert_eq!(hvc.made(), [[0x8400_0076, 0, 0, 0, 0, 0, 0, 0]]);
    let mut expected = [0; 18];
    expected[..8].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_le_bytes());
    expected[12] = 1;
    expected[16..].copy_from_slice(&[0x01, 0x80]);
    assert_eq!(hvc.in_tx::<18>(), expected);
    let after = resident.answer(&spmc, &uart, &request([command::EXCHANGE, 7, 1, 0, 0]));
    assert_eq!((&after[..2], hvc.looked_at.take()), (&[0, 1][..], None));
}

#[test]
fn takes_a_full_page_of_ranges_and_nothing_in_pieces() {
    let ranges = vec![(ADDRESS, 1); 251];
    let bytes = response(0x2f, &ranges);
    assert_eq!(bytes.len(), 4096);
    let resident = booted();
    let ask = request([command::RETRIEVE, HANDLE[0], HANDLE[1], 0, 0]);
    let hvc = Hvc::with_buffers([[0x8400_0075, 4096, 4096, 0]]);
    hvc.put_in_rx(&bytes);
    assert_eq!(resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &ask)[1], 0);
    // Secure memory is looked at as such.
    resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &request([command::EXCHANGE, 0, 1, 0, 0]));
    assert_eq!(hvc.looked_at.take(), Some((ADDRESS, AddressSpace::Secure)));

    for (total, fragment) in [(8192, 4096), (4112, 4112), (80, 80)] {
        let hvc = Hvc::with_buffers([[0x8400_0075, total, fragment, 0]]);
        hvc.put_in_rx(&bytes);
        let answer = resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &ask);
        assert_eq!(answer[1], u64::from(Status::NoMemory.to_raw()), "{total} in {fragment}");
    }
    let refused = u64::from(Status::InvalidParameters.to_raw());
    let hvc = Hvc::with_buffers([[ERROR, 0, refused, 0]]);
    assert_eq!(resident.answer(&Spmc::new(&hvc), &FakeUart::default(), &ask)[1], refused);
}

#[test]
fn an_interrupt_of_the_uart_becomes_a_notification() {
    let resident = booted();
    let uart = FakeUart::default();
    let quiet = Hvc::new([]);
    let raised = resident.answer(&Spmc::new(&quiet), &uart, &request([command::RAISE, 35, 0, 0, 0]));
    assert_eq!((raised, uart.raised.load(Ordering::Relaxed)), ([0; 5], 1));
    assert!(quiet.made().is_empty());

    let none = [0xffff_ffff, 0, 0, 0];
    let hvc = Hvc::new([[40, 0, 0, 0], [SUCCESS, 0, 0, 0], [0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0], none]);
    resident.interrupted(&Spmc::new(&hvc), &uart);
    let made: Vec<[u64; 5]> =
        hvc.made().iter().map(|call| [call[0], call[1], call[2], call[3], call[4]]).collect();
    assert_eq!(
        made,
        [
            [0xff04, 0, 0, 0, 0],
            [0x8400_0081, 0x8001_0000, 2, 0, 1 << 3],
            [0xff08, 40, 40, 0, 0],
            // Another one, which is not the UART's.
            [0xff04, 0, 0, 0, 0],
            [0xff08, 5, 5, 0, 0],
            [0xff04, 0, 0, 0, 0],
        ]
    );
    assert_eq!(uart.quieted.load(Ordering::Relaxed), 1);
    let state = resident.answer(&Spmc::new(&quiet), &uart, &request([command::STATE, 0, 0, 0, 0]));
    assert_eq!(state[4], 2);
    let last = resident.answer(&Spmc::new(&quiet), &uart, &request([command::LAST_INTERRUPT, 0, 0, 0, 0]));
    assert_eq!(last, [0, 5, 0, 0, 0]);
}

#[test]
fn what_is_no_command_comes_back() {
    let quiet = Hvc::new([]);
    let payload = [1, 2, 3, 4, 5];
    assert_eq!(booted().answer(&Spmc::new(&quiet), &FakeUart::default(), &request(payload)), payload);
}

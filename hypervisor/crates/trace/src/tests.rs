//! The recorder on a piece of memory.

use std::cell::RefCell;
use std::path::Path;
use std::vec;
use std::vec::Vec;

use tantalum_hal::{
    AccessError, Action, Entry, Event, ForeignInterrupts, InterruptLine, PhysicalMemory, RegisterAccess,
    Stage2Roots, TimerAccess, TimerRegister, Trap, TrapKind, VcpuStart, VirtualInterrupts,
};
use tantalum_types::{
    AddressSpace, CallRegisters, CpuIndex, Ipa, MAX_CPUS, Pa, PageRange, PartitionIndex, VcpuId, VcpuIndex,
};

use crate::layout::{self, BASE, CAPACITY, HEADER_SIZE, MAGIC, RECORD_SIZE, RECORD_WORDS, RING_SIZE};
use crate::{Counters, Recorder};

/// Memory of the normal world from [`BASE`] on. It keeps every state that it was in, as far as it matters: who stops
/// the machine may find any of them.
struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// What each write left in word 0 of the record that it was for.
    numbers: RefCell<Vec<u64>>,
}

impl Memory {
    fn new(size: usize) -> Self {
        Self { bytes: RefCell::new(vec![0; size]), numbers: RefCell::default() }
    }

    fn word(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes.borrow()[offset..offset + 8].try_into().unwrap())
    }

    fn record(&self, cpu: usize, slot: usize) -> [u64; RECORD_WORDS] {
        core::array::from_fn(|word| self.word(cpu * RING_SIZE + HEADER_SIZE + slot * RECORD_SIZE + word * 8))
    }
}

impl PhysicalMemory for Memory {
    fn read(&self, _: Pa, _: &mut [u8]) -> Result<(), AccessError> {
        panic!("nothing of a ring is read again");
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        assert_eq!(to.space(), AddressSpace::NonSecure);
        let start = to.raw().checked_sub(BASE).ok_or(AccessError { address: to })? as usize;
        let mut bytes = self.bytes.borrow_mut();
        let place = bytes.get_mut(start..start + from.len()).ok_or(AccessError { address: to })?;
        place.copy_from_slice(from);
        self.numbers.borrow_mut().push(u64::from_le_bytes(from[..8].try_into().unwrap()));
        Ok(())
    }

    fn zero(&self, _: &PageRange<Pa>) -> Result<(), AccessError> {
        panic!("nothing of a ring is cleared");
    }
}

fn cpu(index: usize) -> CpuIndex {
    CpuIndex::new(index).unwrap()
}

fn vcpu(partition: usize, index: usize) -> VcpuId {
    VcpuId { partition: PartitionIndex::new(partition).unwrap(), index: VcpuIndex::new(index).unwrap() }
}

fn run(vcpu: VcpuId, entry: Entry) -> Action {
    let roots = Stage2Roots { secure: Pa::secure(0), non_secure: Pa::secure(0), vmid: 1 };
    let signals = VirtualInterrupts { irq: true, fiq: false };
    Action::Run { vcpu, entry, roots, foreign: ForeignInterrupts::Taken, signals }
}

fn call(first: u64) -> CallRegisters {
    CallRegisters(core::array::from_fn(|index| first + index as u64))
}

fn with_recorder<T>(memory: &Memory, on: usize, then: impl FnOnce(&Recorder<'_, Memory>) -> T) -> T {
    then(&Recorder::new(memory, &Counters::new(), cpu(on), 1_000_000_000).unwrap())
}

#[test]
fn each_ring_begins_with_its_header() {
    let memory = Memory::new(layout::TOTAL_SIZE);
    with_recorder(&memory, MAX_CPUS - 1, |_| ());
    let header: [u64; 4] = core::array::from_fn(|word| memory.word((MAX_CPUS - 1) * RING_SIZE + word * 8));
    assert_eq!(header, [MAGIC, 168, 6241, 1_000_000_000]);
    assert_eq!(memory.word(0), 0, "the ring of a processing element that never ran stays empty");
}

#[test]
fn records_follow_each_other_from_number_one() {
    let memory = Memory::new(RING_SIZE);
    with_recorder(&memory, 0, |recorder| {
        recorder.event(100, None, &Event::Started);
        let action = run(vcpu(2, 1), Entry::Answer(call(7)));
        recorder.action(110, &action);
        recorder.event(120, Some(&action), &Event::PartitionCall(call(40)));
    });
    assert_eq!(memory.record(0, 0)[..3], [1, 100, 1]);
    assert_eq!(memory.record(0, 1)[..5], [2, 110, 9 | 3 << 8 | 0x8003 << 32 | 1 << 48, 7, 8]);
    assert_eq!(memory.record(0, 2)[..4], [3, 120, 3 | 0x8003 << 32 | 1 << 48, 40]);
    assert_eq!(memory.record(0, 2)[20], 57, "x17 is the last word");
    assert_eq!(memory.record(0, 3), [0; RECORD_WORDS]);
}

#[test]
fn a_full_ring_loses_its_oldest_record_and_no_other() {
    let memory = Memory::new(RING_SIZE + RECORD_SIZE);
    with_recorder(&memory, 0, |recorder| {
        for now in 0..=CAPACITY as u64 {
            recorder.action(now, &Action::CallNormalWorld(call(now)));
        }
    });
    assert_eq!(memory.record(0, 0)[..2], [CAPACITY as u64 + 1, CAPACITY as u64]);
    assert_eq!(memory.record(0, 1)[..2], [2, 1]);
    assert_eq!(memory.record(0, CAPACITY - 1)[..2], [CAPACITY as u64, CAPACITY as u64 - 1]);
    let behind = memory.bytes.borrow()[RING_SIZE..].to_vec();
    assert!(behind.iter().all(|byte| *byte == 0), "the next ring is another's");
}

#[test]
fn a_record_has_its_number_last() {
    let memory = Memory::new(RING_SIZE);
    with_recorder(&memory, 0, |recorder| {
        memory.numbers.borrow_mut().clear();
        recorder.event(1, None, &Event::Started);
        recorder.action(2, &Action::Halt);
    });
    assert_eq!(*memory.numbers.borrow(), [0, 1, 0, 2]);
}

#[test]
fn a_processing_element_that_was_off_goes_on_in_its_ring() {
    let memory = Memory::new(RING_SIZE);
    let counters = Counters::new();
    for life in 0..2 {
        let recorder = Recorder::new(&memory, &counters, cpu(0), 1).unwrap();
        recorder.event(life, None, &Event::Started);
    }
    assert_eq!([memory.record(0, 0)[0], memory.record(0, 1)[0]], [1, 2]);
}

#[test]
fn without_memory_there_is_no_recorder() {
    for size in [0, HEADER_SIZE, RING_SIZE - 1 - (RING_SIZE - HEADER_SIZE) % RECORD_SIZE] {
        let memory = Memory::new(size);
        let refused = Recorder::new(&memory, &Counters::new(), cpu(0), 1).is_err();
        assert!(refused, "{size} bytes");
        assert!(memory.bytes.borrow().iter().all(|byte| *byte == 0), "{size} bytes");
    }
}

/// Records one of each, in an order that could happen.
fn sample(recorder: &Recorder<'_, Memory>) {
    const DIRECT_REQ_64: u64 = 0xc400_006f;
    const DIRECT_RESP_64: u64 = 0xc400_0070;
    const MSG_WAIT: u64 = 0x8400_006b;
    let call = |first| CallRegisters::from_first_eight(first);
    let mut now = 0;
    let mut turn = None;
    let mut step = |event: Event, action: Action| {
        now += 1_000_000;
        recorder.event(now, turn.as_ref(), &event);
        recorder.action(now + 250_000, &action);
        turn = Some(action);
    };
    let begin = VcpuStart {
        entry_point: Ipa::secure(0x0e30_4000),
        boot_info_register: 0,
        boot_info: 0x0e30_3000,
        mpidr: 1,
    };
    let (first, second) = (vcpu(0, 0), vcpu(2, 1));
    let request = call([DIRECT_REQ_64, 0x8001, 0, 0x5441_0001, 42, 0, 0, 0]);
    let to_second = call([DIRECT_REQ_64, 0x8003, 0, 0x5441_0001, 42, 0, 0, 0]);
    let response = call([DIRECT_RESP_64, 0x8001 << 16, 0, 43, 0, 0, 0, 0]);
    let refused = call([0x8400_0060, 0, 0xffff_fffa, 0, 0, 0, 0, 0]);

    step(Event::Started, run(first, Entry::Start(begin)));
    step(Event::PartitionCall(call([MSG_WAIT, 0, 0, 0, 0, 0, 0, 0])), Action::CallNormalWorld(request));
    step(Event::NormalWorldCall(request), run(first, Entry::Answer(request)));
    step(Event::Interrupt(InterruptLine::Secure), run(first, Entry::Resume));
    step(Event::Interrupt(InterruptLine::Foreign), run(first, Entry::Resume));
    step(Event::Interrupt(InterruptLine::Group0), run(first, Entry::Resume));
    let read = TimerAccess { register: TimerRegister::TimerValue, access: RegisterAccess::Read { to: 3 } };
    step(Event::TimerAccess(read), run(first, Entry::Register { to: 3, value: 77 }));
    let write = TimerAccess { register: TimerRegister::Control, access: RegisterAccess::Write { value: 1 } };
    step(Event::TimerAccess(write), run(first, Entry::Resume));
    step(Event::PartitionCall(response), Action::CallNormalWorld(response));
    step(Event::NormalWorldCall(to_second), run(second, Entry::Answer(to_second)));
    for kind in [
        TrapKind::InstructionAbort { address: Ipa::secure(0x1000) },
        TrapKind::Instruction,
        TrapKind::SystemError,
        TrapKind::DataAbort { address: Ipa::secure(0x4000_2000), write: true },
    ] {
        let trap = Trap { kind, pc: 0x0e40_1234, syndrome: 0x9200_0047 };
        step(Event::PartitionTrap(trap), Action::CallNormalWorld(refused));
        step(Event::NormalWorldCall(to_second), run(second, Entry::Answer(to_second)));
    }
    step(Event::PartitionCall(call([0xff03, 34, 1, 0, 0, 0, 0, 0])), Action::Halt);
}

/// The decoder, which is a program of its own, reads the same file in its tests. With UPDATE_SAMPLE set, this one
/// writes it anew.
#[test]
fn the_sample_is_what_the_recorder_writes() {
    let memory = Memory::new(RING_SIZE);
    with_recorder(&memory, 0, sample);
    let count = (0..CAPACITY).find(|slot| memory.word(HEADER_SIZE + slot * RECORD_SIZE) == 0).unwrap();
    let written = memory.bytes.borrow()[..HEADER_SIZE + count * RECORD_SIZE].to_vec();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample.bin");
    if std::env::var_os("UPDATE_SAMPLE").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), written);
}

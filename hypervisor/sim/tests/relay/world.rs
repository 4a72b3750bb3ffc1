//! Two virtual machines above a relay, above the SPMC with partitions that do as they are told.

use std::collections::HashSet;
use std::sync::Mutex;

use tantalum_ffa::memory::{Constituent, Handle, Layout, TransactionKind};
use tantalum_ffa::{Call, Status, Width};
use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_sim::Sim;
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Ipa, Pa, PageRange, VcpuIndex, VmIndex};
use tantalum_vmm::ffa::{Below, Buffers, Caller, PageState, Relay, VmMemory, endpoint_of};

use crate::bench::{Bench, PAGE, RX, TX, begin, encode, offer};

/// Is where every virtual machine sees its RAM.
pub const RAM: u64 = 0x4000_0000;
/// Counts its pages.
pub const RAM_PAGES: u64 = 1024;
/// Are its TX and RX buffers.
pub const VM_TX: u64 = RAM + 0x1000;
pub const VM_RX: u64 = RAM + 0x2000;

/// Returns where the RAM of virtual machine `vm` is.
pub fn base(vm: usize) -> u64 {
    0x6000_0000 + vm as u64 * 0x1000_0000
}

/// Returns where a page of a virtual machine is.
pub fn physical(vm: usize, address: u64) -> Pa {
    Pa::non_secure(address - RAM + base(vm))
}

pub fn index(vm: usize) -> VmIndex {
    VmIndex::new(vm).unwrap()
}

pub fn id(vm: usize) -> EndpointId {
    endpoint_of(index(vm))
}

/// Knows whose memory is whose, and which pages were taken from their owner.
#[derive(Default)]
pub struct Memory {
    taken: Mutex<HashSet<(VmIndex, u64)>>,
    /// How many more pages can be taken, if that is bounded.
    pub room: Mutex<Option<u64>>,
}

impl VmMemory for Memory {
    fn physical(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Option<PageRange<Pa>> {
        let ram = PageRange::new(Ipa::non_secure(RAM), RAM_PAGES).unwrap();
        let start = physical(vm.get(), pages.start().raw().max(RAM));
        ram.contains_range(pages).then(|| PageRange::new(start, pages.page_count()).unwrap())
    }

    fn take(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Result<(), Status> {
        if let Some(room) = &mut *self.room.lock().unwrap() {
            *room = room.checked_sub(pages.page_count()).ok_or(Status::NoMemory)?;
        }
        for page in pages.pages() {
            assert!(self.taken.lock().unwrap().insert((vm, page.raw())), "{page} is taken twice");
        }
        Ok(())
    }

    fn give_back(&self, vm: VmIndex, pages: &PageRange<Ipa>) {
        for page in pages.pages() {
            assert!(self.taken.lock().unwrap().remove(&(vm, page.raw())), "{page} was not taken");
        }
    }
}

impl Memory {
    /// Tells whether a virtual machine does not reach a page.
    pub fn is_taken(&self, vm: usize, address: u64) -> bool {
        self.taken.lock().unwrap().contains(&(index(vm), address))
    }
}

/// Is the SPMC, as one processing element reaches it.
pub struct Spmc<'a>(pub &'a Sim, pub usize);

impl Below for Spmc<'_> {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        self.0.raw(self.1, *registers)
    }
}

impl PhysicalMemory for Spmc<'_> {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        self.0.machine().read(from, to)
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        self.0.machine().write(to, from)
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        self.0.machine().zero(range)
    }
}

pub struct World {
    pub bench: Bench,
    pub relay: Relay,
    pub memory: Memory,
}

/// Returns the hypervisor's buffers.
pub fn own_buffers() -> Buffers {
    let page = |address| PageRange::new(Pa::non_secure(address), 1).unwrap();
    Buffers { tx: page(TX), rx: page(RX) }
}

impl World {
    /// Begins with two virtual machines of two virtual CPUs, that have no buffers.
    pub fn of(bench: Bench) -> Self {
        let _ = bench.sim.call(0, Call::RxtxUnmap { endpoint: EndpointId::HYPERVISOR });
        let world = Self { bench, relay: Relay::new(), memory: Memory::default() };
        assert_eq!(world.relay.find(own_buffers(), &world.spmc(0)), Ok(true));
        for vm in 0..2 {
            assert_eq!(world.relay.start(index(vm), 2, &world.spmc(0)), Ok(()));
        }
        world
    }

    /// Begins with `partitions` partitions, and virtual machines that have buffers.
    pub fn new(partitions: usize) -> Self {
        let world = Self::of(crate::bench::bench(partitions));
        for vm in 0..2 {
            assert_eq!(world.does(vm, map(VM_TX, VM_RX, 1)), Ok(()));
        }
        world
    }

    pub fn spmc(&self, cpu: usize) -> Spmc<'_> {
        Spmc(&self.bench.sim, cpu)
    }

    /// Makes a call of a virtual machine on `cpu`, from its registers.
    pub fn raw_on(&self, cpu: usize, vm: usize, registers: CallRegisters) -> CallRegisters {
        let caller =
            Caller { vm: index(vm), vcpu: VcpuIndex::new(cpu).unwrap(), cpu: CpuIndex::new(cpu).unwrap() };
        self.relay.call(caller, &registers, &self.spmc(cpu), &self.memory)
    }

    /// Makes a call of a virtual machine on `cpu`.
    pub fn ask_on(&self, cpu: usize, vm: usize, call: Call) -> Call {
        Call::decode(&self.raw_on(cpu, vm, call.encode())).unwrap()
    }

    pub fn ask(&self, vm: usize, call: Call) -> Call {
        self.ask_on(0, vm, call)
    }

    /// Makes a call that succeeds or is refused.
    pub fn does(&self, vm: usize, call: Call) -> Result<(), Status> {
        crate::bench::ok(self.ask(vm, call))
    }

    /// Makes a call and returns its results.
    pub fn results(&self, vm: usize, call: Call) -> Result<[u32; 6], Status> {
        match self.ask(vm, call) {
            Call::Success32 { results, .. } => Ok(results),
            Call::Error { status, .. } => Err(status),
            other => panic!("{other:?}"),
        }
    }

    /// Returns what a page of a virtual machine is, and asserts that it reaches it if it should.
    pub fn state(&self, vm: usize, address: u64) -> PageState {
        let state = self.relay.page_state(index(vm), Ipa::non_secure(address));
        let reached = matches!(state, PageState::Owned | PageState::Buffer | PageState::Shared);
        assert_eq!(!self.memory.is_taken(vm, address), reached, "{state:?} {address:#x}");
        state
    }

    /// Writes to the RAM of a virtual machine.
    pub fn write(&self, vm: usize, address: u64, bytes: &[u8]) {
        self.bench.sim.machine().write(physical(vm, address), bytes).unwrap();
    }

    /// Reads from it.
    pub fn read<const N: usize>(&self, vm: usize, address: u64) -> [u8; N] {
        self.bench.sim.machine().bytes(physical(vm, address))
    }

    /// Sends a descriptor of a virtual machine in fragments of at most `size` bytes, and returns the handle.
    pub fn send_in(
        &self,
        vm: usize,
        kind: TransactionKind,
        bytes: &[u8],
        size: usize,
    ) -> Result<Handle, Status> {
        let first = bytes.len().min(size);
        self.write(vm, VM_TX, &bytes[..first]);
        let mut answer = self.ask(vm, begin(kind, bytes.len(), first));
        loop {
            match answer {
                Call::Success32 { results: [low, high, ..], .. } => return Ok(Handle::from_words(low, high)),
                Call::Error { status, .. } => return Err(status),
                Call::MemFragRx { handle, offset, endpoint } => {
                    assert_eq!(endpoint, EndpointId::HYPERVISOR);
                    let rest = &bytes[offset as usize..];
                    let next = &rest[..rest.len().min(size)];
                    self.write(vm, VM_TX, next);
                    answer = self.ask(vm, Call::MemFragTx { handle, length: next.len() as u32, endpoint });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Offers ranges of a virtual machine to partitions, and returns the handle.
    pub fn offer(
        &self,
        vm: usize,
        kind: TransactionKind,
        receivers: &[EndpointId],
        ranges: &[Constituent],
    ) -> Result<Handle, Status> {
        let bytes = encode(Layout::V1_1, &offer(id(vm), kind, receivers), ranges);
        self.send_in(vm, kind, &bytes, bytes.len())
    }

    pub fn reclaim(&self, vm: usize, handle: Handle) -> Result<(), Status> {
        self.does(vm, Call::MemReclaim { handle: handle.raw(), flags: 0 })
    }
}

pub fn map(tx: u64, rx: u64, page_count: u32) -> Call {
    Call::RxtxMap { width: Width::Bits64, tx, rx, page_count }
}

/// Returns the address of page `number` of the RAM, of those that are nobody's buffers.
pub fn page(number: u64) -> u64 {
    RAM + (16 + number) * PAGE
}

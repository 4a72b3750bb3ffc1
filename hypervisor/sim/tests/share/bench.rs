//! What every test needs: partitions that do as they are told, calls with descriptors, views of memory.

use std::sync::{Arc, Mutex};

use tantalum_ffa::memory::{
    Composite, Constituent, DataAccess, Handle, InstructionAccess, Layout, List, MemoryAttributes,
    Permissions, Receiver, Relinquish, RelinquishFlags, Transaction, TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Call, DirectMessage, MemoryTransaction, Status, Version, Width};
use tantalum_hal::{Entry, PhysicalMemory, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::manifests::partition_base;
use tantalum_sim::script::{Script, call, wait};
use tantalum_sim::{AccessKind, Context, Sim, SimBuilder};
use tantalum_types::{EndpointId, Ipa, Pa};

pub use tantalum_sim::manifests::CPUS;

/// Is the normal world's hypervisor or OS.
pub const HOST: EndpointId = EndpointId::HYPERVISOR;
/// Is where the normal world's TX buffer lies, and behind 64 KiB its RX buffer.
pub const TX: u64 = 0x4000_0000;
pub const RX: u64 = 0x4001_0000;
/// Is memory of the normal world for tests to share.
pub const NS: u64 = 0x5000_0000;
pub const PAGE: u64 = 0x1000;

/// Returns the id of partition `index`.
pub const fn sp(index: usize) -> EndpointId {
    EndpointId::new(0x8001 + index as u16)
}

/// Returns a page of partition `index` that nobody needs.
pub fn own_page(index: usize, page: u64) -> u64 {
    partition_base(index) + 0x2_0000 + page * PAGE
}

/// Says what a partition shall do next.
enum Task {
    /// Make a call after writing bytes into its TX buffer.
    Call(Vec<u8>, Call),
    /// Reach for memory, and survive it.
    Touch(Ipa, AccessKind),
    /// Be stopped as by this trap.
    Trap(TrapKind),
}

/// Says what came of it.
enum Outcome {
    Answer(Call),
    Touched(Result<(), TrapKind>),
}

/// Is a partition that does as it is told.
#[derive(Clone, Default)]
struct Puppet {
    task: Arc<Mutex<Option<Task>>>,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Puppet {
    fn script(&self) -> Script {
        let puppet = self.clone();
        let mut open: Option<DirectMessage> = None;
        Box::new(move |context| {
            let answer = |request: DirectMessage| Ok(call(Call::DirectResponse(request.answer([0; 5]))));
            if let Some(request) = open.take() {
                let Entry::Answer(registers) = context.entry else { panic!("{:?}", context.entry) };
                *puppet.outcome.lock().unwrap() = Some(Outcome::Answer(Call::decode(&registers).unwrap()));
                return answer(request);
            }
            let Some(request) = context.request() else { return Ok(wait()) };
            match puppet.task.lock().unwrap().take().expect("a task") {
                Task::Call(bytes, next) => {
                    let tx = Ipa::secure(tx_of(context.vcpu.partition.get()));
                    context.write(tx, &bytes)?;
                    open = Some(request);
                    Ok(call(next))
                }
                Task::Touch(ipa, kind) => {
                    let touched = touch(context, ipa, kind);
                    *puppet.outcome.lock().unwrap() = Some(Outcome::Touched(touched));
                    answer(request)
                }
                Task::Trap(kind) => Err(kind),
            }
        })
    }
}

fn touch(context: &Context<'_>, ipa: Ipa, kind: AccessKind) -> Result<(), TrapKind> {
    match kind {
        AccessKind::Read => context.read::<1>(ipa).map(|_| ()),
        AccessKind::Write => context.write(ipa, &[0xee]),
        AccessKind::Fetch => context.fetch(ipa),
    }
}

fn tx_of(index: usize) -> u64 {
    partition_base(index) + 0x8000
}

fn rx_of(index: usize) -> u64 {
    partition_base(index) + 0x9000
}

/// Is a machine with puppets on it.
pub struct Bench {
    pub sim: Sim,
    puppets: Vec<Puppet>,
}

/// Boots `count` partitions with buffers of a page, and a normal world that speaks FF-A 1.1.
pub fn bench(count: usize) -> Bench {
    bench_of(&vec![Version::V1_1; count], Version::V1_1)
}

/// Boots partitions and a normal world that speak these versions.
pub fn bench_of(versions: &[Version], normal_world: Version) -> Bench {
    bench_with(versions, normal_world, |_, _| {})
}

/// Boots them after `edit` has changed the manifest of each partition.
pub fn bench_with(
    versions: &[Version],
    normal_world: Version,
    edit: impl Fn(usize, &mut Node) + Copy,
) -> Bench {
    let mut builder = SimBuilder::new();
    let mut puppets = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let puppet = Puppet::default();
        builder = builder.partition_with(&format!("p{index}"), [puppet.script()], |manifest| {
            manifest.set("ffa-version", version.to_raw());
            edit(index, manifest);
        });
        puppets.push(puppet);
    }
    let bench = Bench { sim: builder.boot(), puppets };
    bench.sim.call(0, Call::Version { requested: normal_world.to_raw() });
    bench.map_buffers(1);
    for index in 0..versions.len() {
        bench.map_buffers_of(index);
    }
    bench
}

/// Returns whether a call went well.
pub fn ok(answer: Call) -> Result<(), Status> {
    match answer {
        Call::Success32 { .. } => Ok(()),
        Call::Error { status, .. } => Err(status),
        other => panic!("{other:?}"),
    }
}

/// Makes calls of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Host,
    Sp(usize),
}

impl Who {
    pub fn id(self) -> EndpointId {
        match self {
            Self::Host => HOST,
            Self::Sp(index) => sp(index),
        }
    }
}

impl Bench {
    /// Is a machine with other partitions on it.
    #[allow(dead_code)] // Only some tests have their own partitions.
    pub fn around(sim: Sim) -> Self {
        Self { sim, puppets: Vec::new() }
    }

    /// Maps buffers of the normal world of so many pages.
    pub fn map_buffers(&self, page_count: u32) {
        let _ = self.sim.call(0, Call::RxtxUnmap { endpoint: HOST });
        let map = Call::RxtxMap { width: Width::Bits64, tx: TX, rx: RX, page_count };
        assert_eq!(ok(self.sim.ask(0, map)), Ok(()));
    }

    /// Lets partition `index` map its buffers.
    pub fn map_buffers_of(&self, index: usize) {
        let map = Call::RxtxMap { width: Width::Bits64, tx: tx_of(index), rx: rx_of(index), page_count: 1 };
        assert_eq!(ok(self.sp_call(index, &[], map)), Ok(()));
    }

    fn task(&self, cpu: usize, index: usize, task: Task) -> Option<Outcome> {
        *self.puppets[index].task.lock().unwrap() = Some(task);
        let request = DirectMessage {
            width: Width::Bits64,
            sender: HOST,
            receiver: sp(index),
            framework: None,
            payload: [0; 5],
        };
        match self.sim.ask(cpu, Call::DirectRequest(request)) {
            Call::DirectResponse(_) => Some(self.puppets[index].outcome.lock().unwrap().take().unwrap()),
            Call::Error { status: Status::Aborted, .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// Lets partition `index` make a call on `cpu`.
    pub fn sp_call_on(&self, cpu: usize, index: usize, tx: &[u8], call: Call) -> Call {
        match self.task(cpu, index, Task::Call(tx.into(), call)) {
            Some(Outcome::Answer(answer)) => answer,
            _ => panic!("{call:?} is not answered"),
        }
    }

    /// Lets partition `index` make a call.
    pub fn sp_call(&self, index: usize, tx: &[u8], call: Call) -> Call {
        self.sp_call_on(0, index, tx, call)
    }

    /// Lets somebody make a call after writing a descriptor into the TX buffer.
    pub fn call(&self, who: Who, tx: &[u8], call: Call) -> Call {
        match who {
            Who::Host => {
                self.sim.machine().write(Pa::non_secure(TX), tx).unwrap();
                self.sim.ask(0, call)
            }
            Who::Sp(index) => self.sp_call(index, tx, call),
        }
    }

    /// Returns the first `N` bytes of somebody's RX buffer.
    pub fn rx(&self, who: Who, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let at = match who {
            Who::Host => Pa::non_secure(RX),
            Who::Sp(index) => Pa::secure(rx_of(index)),
        };
        self.sim.machine().read(at, &mut bytes).unwrap();
        bytes
    }

    pub fn release_rx(&self, who: Who) -> Result<(), Status> {
        ok(self.call(who, &[], Call::RxRelease { endpoint: HOST }))
    }

    /// Lets partition `index` reach for an address in every TLB, and returns whether it may. All must agree.
    pub fn may(&self, index: usize, ipa: Ipa, kind: AccessKind) -> bool {
        let mut seen = (0..CPUS).map(|cpu| match self.task(cpu, index, Task::Touch(ipa, kind)) {
            Some(Outcome::Touched(result)) => result.is_ok(),
            _ => panic!("the partition did not survive"),
        });
        let first = seen.next().unwrap();
        assert!(seen.all(|other| other == first), "TLBs disagree about {ipa}");
        first
    }

    /// Returns what partition `index` may do with a page: "rwx", "-" for not.
    pub fn access(&self, index: usize, ipa: Ipa) -> String {
        [(AccessKind::Read, 'r'), (AccessKind::Write, 'w'), (AccessKind::Fetch, 'x')]
            .into_iter()
            .map(|(kind, letter)| if self.may(index, ipa, kind) { letter } else { '-' })
            .collect()
    }

    /// Tells whether partition `index` does what it is asked for, rather than that it was stopped.
    pub fn serves(&self, index: usize) -> bool {
        self.task(0, index, Task::Touch(Ipa::secure(partition_base(index)), AccessKind::Read)).is_some()
    }

    /// Stops partition `index`.
    pub fn stop(&self, index: usize) {
        let kind = TrapKind::DataAbort { address: Ipa::secure(0), write: true };
        assert!(self.task(0, index, Task::Trap(kind)).is_none(), "it is stopped");
    }

    /// Sends a descriptor in fragments of at most `size` bytes, and returns the handle.
    pub fn send_in(
        &self,
        who: Who,
        kind: TransactionKind,
        bytes: &[u8],
        size: usize,
    ) -> Result<Handle, Status> {
        let first = bytes.len().min(size);
        let mut answer = self.call(who, &bytes[..first], begin(kind, bytes.len(), first));
        loop {
            match answer {
                Call::Success32 { results: [low, high, ..], .. } => return Ok(Handle::from_words(low, high)),
                Call::Error { status, .. } => return Err(status),
                Call::MemFragRx { handle, offset, endpoint } => {
                    let rest = &bytes[offset as usize..];
                    let next = &rest[..rest.len().min(size)];
                    let length = next.len() as u32;
                    answer = self.call(who, next, Call::MemFragTx { handle, length, endpoint });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends a descriptor in one piece.
    pub fn send(&self, who: Who, kind: TransactionKind, bytes: &[u8]) -> Result<Handle, Status> {
        self.send_in(who, kind, bytes, bytes.len())
    }

    /// Offers ranges to receivers in the simplest way and returns the handle.
    pub fn offer(
        &self,
        who: Who,
        kind: TransactionKind,
        receivers: &[EndpointId],
        ranges: &[Constituent],
    ) -> Result<Handle, Status> {
        self.send(who, kind, &encode(Layout::V1_1, &offer(who.id(), kind, receivers), ranges))
    }

    /// Asks for memory by the descriptor `request`. Returns the answer and its ranges.
    pub fn retrieve_with(
        &self,
        who: Who,
        layout: Layout,
        request: &Transaction,
    ) -> Result<(Transaction, Vec<Constituent>), Status> {
        let bytes = encode(layout, request, &[]);
        self.retrieve_bytes(who, layout, &bytes)
    }

    /// Asks for memory by the bytes of a descriptor, and reads all fragments of the answer.
    pub fn retrieve_bytes(
        &self,
        who: Who,
        layout: Layout,
        bytes: &[u8],
    ) -> Result<(Transaction, Vec<Constituent>), Status> {
        self.retrieve_from(who, layout, bytes, HOST)
    }

    /// Does that where further fragments name `endpoint`.
    fn retrieve_from(
        &self,
        who: Who,
        layout: Layout,
        bytes: &[u8],
        endpoint: EndpointId,
    ) -> Result<(Transaction, Vec<Constituent>), Status> {
        let length = bytes.len() as u32;
        let (total, first) =
            match self.call(who, bytes, Call::MemRetrieveRequest(transaction(length, length))) {
                Call::MemRetrieveResponse { total_length, fragment_length } => {
                    (total_length, fragment_length)
                }
                Call::Error { status, .. } => return Err(status),
                other => panic!("{other:?}"),
            };
        let mut answer = self.rx(who, first as usize);
        assert_eq!(self.release_rx(who), Ok(()));
        let handle = Handle::new(u64::from_le_bytes(answer[8..16].try_into().unwrap())).raw();
        while answer.len() < total as usize {
            let next = Call::MemFragRx { handle, offset: answer.len() as u32, endpoint };
            match self.call(who, &[], next) {
                Call::MemFragTx { handle: of, length, endpoint: to } => {
                    assert_eq!((of, to), (handle, endpoint));
                    answer.extend(self.rx(who, length as usize));
                    assert_eq!(self.release_rx(who), Ok(()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answer.len(), total as usize);
        let decoded = Transaction::decode(layout, &answer).unwrap();
        assert_eq!(decoded.total_length, total);
        let ranges = tantalum_ffa::memory::Constituents::new(decoded.constituents).unwrap();
        Ok((decoded.transaction, ranges.map(Result::unwrap).collect()))
    }

    /// Asks for memory in the simplest way.
    pub fn retrieve(
        &self,
        index: usize,
        from: EndpointId,
        handle: Handle,
        kind: TransactionKind,
        receivers: &[EndpointId],
    ) -> Result<(Transaction, Vec<Constituent>), Status> {
        self.retrieve_with(Who::Sp(index), Layout::V1_1, &request(from, handle, kind, receivers))
    }

    /// Asks for everything about memory that the normal world has sent, as a hypervisor does: with nothing but the
    /// sender and the handle in a header of 48 bytes.
    pub fn ask_for_all(
        &self,
        handle: Handle,
        sender: EndpointId,
    ) -> Result<(Transaction, Vec<Constituent>), Status> {
        let mut bytes = vec![0; 48];
        bytes[..2].copy_from_slice(&sender.raw().to_le_bytes());
        bytes[8..16].copy_from_slice(&handle.raw().to_le_bytes());
        self.retrieve_from(Who::Host, Layout::V1_1, &bytes, sender)
    }

    pub fn relinquish(&self, who: Who, handle: Handle, flags: RelinquishFlags) -> Result<(), Status> {
        let mut bytes = [0; 18];
        Relinquish { handle, flags, endpoints: List::of_one(who.id()) }.encode(&mut bytes).unwrap();
        ok(self.call(who, &bytes, Call::MemRelinquish))
    }

    pub fn reclaim(&self, who: Who, handle: Handle, flags: u32) -> Result<(), Status> {
        ok(self.call(who, &[], Call::MemReclaim { handle: handle.raw(), flags }))
    }

    /// Lets partition `index` offer ranges on `cpu`.
    pub fn offer_on(
        &self,
        cpu: usize,
        index: usize,
        kind: TransactionKind,
        receivers: &[EndpointId],
        ranges: &[Constituent],
    ) -> Result<Handle, Status> {
        let bytes = encode(Layout::V1_1, &offer(sp(index), kind, receivers), ranges);
        match self.sp_call_on(cpu, index, &bytes, begin(kind, bytes.len(), bytes.len())) {
            Call::Success32 { results: [low, high, ..], .. } => Ok(Handle::from_words(low, high)),
            Call::Error { status, .. } => Err(status),
            other => panic!("{other:?}"),
        }
    }

    /// Lets partition `index`, the only receiver, retrieve memory on `cpu`.
    pub fn retrieve_on(
        &self,
        cpu: usize,
        index: usize,
        from: EndpointId,
        handle: Handle,
        kind: TransactionKind,
    ) -> Result<(), Status> {
        let bytes = encode(Layout::V1_1, &request(from, handle, kind, &[sp(index)]), &[]);
        let length = bytes.len() as u32;
        let retrieve = Call::MemRetrieveRequest(transaction(length, length));
        match self.sp_call_on(cpu, index, &bytes, retrieve) {
            Call::MemRetrieveResponse { .. } => {
                ok(self.sp_call_on(cpu, index, &[], Call::RxRelease { endpoint: HOST }))
            }
            Call::Error { status, .. } => Err(status),
            other => panic!("{other:?}"),
        }
    }

    /// Lets partition `index` relinquish memory on `cpu`.
    pub fn relinquish_on(&self, cpu: usize, index: usize, handle: Handle) -> Result<(), Status> {
        let mut bytes = [0; 18];
        let endpoints = List::of_one(sp(index));
        Relinquish { handle, flags: RelinquishFlags::empty(), endpoints }.encode(&mut bytes).unwrap();
        ok(self.sp_call_on(cpu, index, &bytes, Call::MemRelinquish))
    }

    /// Lets partition `index` reclaim memory on `cpu`.
    pub fn reclaim_on(&self, cpu: usize, index: usize, handle: Handle) -> Result<(), Status> {
        ok(self.sp_call_on(cpu, index, &[], Call::MemReclaim { handle: handle.raw(), flags: 0 }))
    }

    pub fn fill(&self, page: Pa, byte: u8) {
        self.sim.machine().write(page, &[byte; PAGE as usize]).unwrap();
    }

    /// Returns the byte with which all of a page is filled.
    pub fn byte(&self, page: Pa) -> u8 {
        let bytes: [u8; PAGE as usize] = self.sim.machine().bytes(page);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{page} is not filled with one byte");
        bytes[0]
    }
}

/// Begins to send a descriptor.
pub fn begin(kind: TransactionKind, total: usize, fragment: usize) -> Call {
    let transaction = transaction(total as u32, fragment as u32);
    match kind {
        TransactionKind::Share => Call::MemShare(transaction),
        TransactionKind::Lend => Call::MemLend(transaction),
        TransactionKind::Donate => Call::MemDonate(transaction),
    }
}

pub fn transaction(total_length: u32, fragment_length: u32) -> MemoryTransaction {
    MemoryTransaction { width: Width::Bits32, total_length, fragment_length, address: 0, page_count: 0 }
}

/// Returns a range.
pub fn range(address: u64, page_count: u32) -> Constituent {
    Constituent { address, page_count }
}

/// Encodes a descriptor and its ranges.
pub fn encode(layout: Layout, transaction: &Transaction, ranges: &[Constituent]) -> Vec<u8> {
    let mut transaction = *transaction;
    if !ranges.is_empty() {
        transaction.composite = Some(Composite {
            total_pages: ranges.iter().map(|range| range.page_count).sum(),
            range_count: ranges.len() as u32,
        });
    }
    let mut bytes = vec![0; 1024];
    let length = transaction.encode(layout, &mut bytes).unwrap();
    bytes.truncate(length);
    bytes.extend(ranges.iter().flat_map(Constituent::encode));
    bytes
}

/// Describes an offer that permits everything.
pub fn offer(sender: EndpointId, kind: TransactionKind, receivers: &[EndpointId]) -> Transaction {
    let permissions = match kind {
        TransactionKind::Donate => Permissions::NOT_SPECIFIED,
        TransactionKind::Share | TransactionKind::Lend => Permissions::READ_WRITE,
    };
    let open = kind != TransactionKind::Share && receivers.len() == 1;
    Transaction {
        sender,
        attributes: if open { MemoryAttributes::NOT_SPECIFIED } else { MemoryAttributes::NORMAL },
        flags: TransactionFlags::empty(),
        handle: Handle::NONE,
        tag: 0x7a67,
        receivers: list(receivers, permissions),
        composite: None,
    }
}

/// Describes a request for all that was offered, but for execution.
pub fn request(
    from: EndpointId,
    handle: Handle,
    kind: TransactionKind,
    receivers: &[EndpointId],
) -> Transaction {
    let alone = kind != TransactionKind::Share && receivers.len() == 1;
    let instruction = if alone { InstructionAccess::NotExecutable } else { InstructionAccess::NotSpecified };
    Transaction {
        sender: from,
        attributes: MemoryAttributes::NORMAL,
        flags: kind.flags(),
        handle,
        tag: 0x7a67,
        receivers: list(receivers, Permissions { data: DataAccess::NotSpecified, instruction }),
        composite: None,
    }
}

fn list(receivers: &[EndpointId], permissions: Permissions) -> List<Receiver> {
    let receivers: Vec<Receiver> = receivers.iter().map(|id| Receiver::new(*id, permissions)).collect();
    List::from_slice(&receivers).unwrap()
}

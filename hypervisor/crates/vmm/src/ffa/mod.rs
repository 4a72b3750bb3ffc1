//! FF-A calls of virtual machines: the hypervisor's part of the framework at the Non-secure virtual instance
//! (FF-A 1.1; memory management in DEN0140).
//!
//! A virtual machine has the id that is its number, from 1 on. The relay checks what it asks for, puts physical addresses
//! in the place of its own, and makes the call to the SPMC in its name; the SPMC keeps the mailboxes, notifications and
//! transactions of all. Towards the SPMC the hypervisor speaks FF-A 1.1; each virtual machine speaks 1.0 or 1.1.
//!
//! | module | what lives there |
//! |---|---|
//! | `below` | what is asked of the SPMC and of the rest of the hypervisor |
//! | `features` | what FFA_FEATURES and FFA_VERSION answer |
//! | `mailbox` | RX/TX buffers, indirect messages, discovery of partitions |
//! | `memory`, `ledger` | memory that is donated, lent and shared, and the state of each page |
//! | `direct`, `turns` | direct requests, FFA_RUN, and who goes on with what |
//! | `notify` | notifications, and the schedule receiver interrupt |
//!
//! A virtual machine sends memory to partitions and takes it back; it does not receive any, so FFA_MEM_RETRIEVE_REQ,
//! FFA_MEM_RELINQUISH and FFA_MEM_FRAG_RX are NOT_SUPPORTED, as is everything between virtual machines.
//!
//! Locks: that of a virtual machine, then that of the hypervisor's own buffers, then that of the turns. None is held
//! while a partition runs.

mod below;
mod direct;
mod features;
mod ledger;
mod mailbox;
mod memory;
mod notify;
#[cfg(test)]
mod tests;
mod turns;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::Mutex;
use tantalum_ffa::feature::SCHEDULE_RECEIVER_INTERRUPT;
use tantalum_ffa::{Call, DecodeError, PartitionInfo, Status, Uuid, Version, Width, answer};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Ipa, MAX_VMS, VcpuIndex, VmIndex};

use below::{ask, command};
use features::Negotiation;
use ledger::Ledger;
use turns::{Partition, Turns};

pub use below::{Below, Buffers, VmMemory};
pub use features::{NOTIFICATION_INTERRUPT, RELAY_VERSION};
pub use ledger::{MAX_RANGES, MAX_SHARES, PageState};
pub use notify::Scheduled;

/// Says who makes a call, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The virtual machine.
    pub vm: VmIndex,
    /// Its virtual CPU.
    pub vcpu: VcpuIndex,
    /// The processing element that it runs on.
    pub cpu: CpuIndex,
}

impl Caller {
    /// Returns the endpoint id of the virtual machine.
    const fn id(&self) -> EndpointId {
        endpoint_of(self.vm)
    }
}

/// Returns the endpoint id of a virtual machine: 1 for the first.
pub const fn endpoint_of(vm: VmIndex) -> EndpointId {
    EndpointId::new(vm.as_u16().wrapping_add(1))
}

/// Returns the virtual machine with an endpoint id, if there can be such a one.
fn vm_of(endpoint: EndpointId) -> Option<VmIndex> {
    VmIndex::new(usize::from(endpoint.raw().checked_sub(1)?))
}

/// Holds what the relay knows of one virtual machine.
#[derive(Debug)]
struct Vm {
    negotiation: Negotiation,
    buffers: Option<VmBuffers>,
    ledger: Ledger,
    /// Whether the SPMC keeps notifications for it.
    has_notifications: bool,
}

/// Is a virtual machine's pair of buffers.
#[derive(Clone, Copy, Debug)]
struct VmBuffers {
    /// Where they are.
    physical: Buffers,
}

impl Vm {
    const fn new() -> Self {
        Self {
            negotiation: Negotiation::new(),
            buffers: None,
            ledger: Ledger::new(),
            has_notifications: false,
        }
    }
}

/// Carries FF-A calls of virtual machines to the SPMC.
#[derive(Debug)]
pub struct Relay {
    /// Whether there is an SPMC.
    is_there: AtomicBool,
    /// The number of the schedule receiver interrupt, 0 if there is none.
    schedule_receiver: AtomicU32,
    vms: [Mutex<Vm>; MAX_VMS],
    /// The hypervisor's own buffers, through which descriptors go.
    own: Mutex<Option<Buffers>>,
    turns: Mutex<Turns>,
    /// Whether an execution context of a partition may have to be given time.
    has_work: AtomicBool,
}

impl Default for Relay {
    fn default() -> Self {
        Self::new()
    }
}

impl Relay {
    /// Builds a relay that knows of no SPMC: its virtual machines see none.
    pub const fn new() -> Self {
        Self {
            is_there: AtomicBool::new(false),
            schedule_receiver: AtomicU32::new(0),
            vms: [const { Mutex::new(Vm::new()) }; MAX_VMS],
            own: Mutex::new(None),
            turns: Mutex::new(Turns::new()),
            has_work: AtomicBool::new(false),
        }
    }

    /// Looks for an SPMC, at boot, and says whether there is one. `buffers` are two pages of the hypervisor's own, which
    /// it reaches as it does the RAM of virtual machines; nobody else uses them from then on.
    ///
    /// # Errors
    /// As the SPMC says. It is as if there were none then.
    pub fn find(&self, buffers: Buffers, below: &impl Below) -> Result<bool, Status> {
        let requested = Call::Version { requested: RELAY_VERSION.to_raw() };
        let [x0, ..] = below.call(&requested.encode()).0;
        // Who does not know the call answers -1, in 32 bits or in 64.
        let version = u32::try_from(x0).ok().and_then(Version::from_raw);
        if !version.is_some_and(|version| version.is_compatible_with(RELAY_VERSION)) {
            return Ok(false);
        }
        let (tx, rx) = (buffers.tx.start().raw(), buffers.rx.start().raw());
        let page_count = u32::try_from(buffers.tx.page_count()).map_err(|_| Status::InvalidParameters)?;
        command(below, &Call::RxtxMap { width: Width::Bits64, tx, rx, page_count })?;
        let mut own = self.own.lock();
        *own = Some(buffers);
        mailbox::describe(buffers, &Uuid::nil(), below, |info: &PartitionInfo| {
            // More than one is one for each processing element (FF-A 1.1, section 4.6).
            let is_multi_processor = info.execution_context_count > 1;
            self.turns.lock().add(Partition { endpoint: info.id, is_multi_processor });
            Ok(())
        })?;
        let interrupt = Call::Features { id: SCHEDULE_RECEIVER_INTERRUPT, input: 0 };
        if let Ok([intid, ..]) = command(below, &interrupt) {
            self.schedule_receiver.store(intid, Ordering::Relaxed);
        }
        self.is_there.store(true, Ordering::Release);
        Ok(true)
    }

    /// Returns the number of the physical interrupt for which [`Self::schedule`] has to be called, once there is an
    /// SPMC that raises it.
    pub fn schedule_receiver_interrupt(&self) -> Option<u32> {
        Some(self.schedule_receiver.load(Ordering::Relaxed)).filter(|intid| *intid != 0)
    }

    /// Begins a virtual machine with `vcpu_count` virtual CPUs: what the SPMC has to keep for it.
    ///
    /// # Errors
    /// As the SPMC says; it has no notifications then.
    pub fn start(&self, vm: VmIndex, vcpu_count: u32, below: &impl Below) -> Result<(), Status> {
        let Some(state) = self.vm(vm).filter(|_| self.is_there()) else { return Ok(()) };
        let mut state = state.lock();
        state.negotiation = Negotiation::new();
        let create = Call::NotificationBitmapCreate { endpoint: endpoint_of(vm), vcpu_count };
        command(below, &create)?;
        state.has_notifications = true;
        Ok(())
    }

    /// Ends a virtual machine, of which no virtual CPU runs, and says whether all its memory is its own again: what a
    /// partition has not relinquished, or was donated, is not.
    pub fn stop(&self, vm: VmIndex, below: &impl Below, memory: &impl VmMemory) -> bool {
        let Some(state) = self.vm(vm).filter(|_| self.is_there()) else { return true };
        let mut state = state.lock();
        self.turns.lock().abandon(vm);
        self.has_work.store(true, Ordering::SeqCst);
        memory::take_all_back(vm, &mut state.ledger, below, memory);
        if state.buffers.is_some() && command(below, &Call::RxtxUnmap { endpoint: endpoint_of(vm) }).is_ok() {
            state.ledger.remove_buffers();
            state.buffers = None;
        }
        if state.has_notifications {
            let destroy = Call::NotificationBitmapDestroy { endpoint: endpoint_of(vm) };
            state.has_notifications = command(below, &destroy).is_err();
        }
        state.ledger.is_empty()
    }

    /// Returns what a page of a virtual machine is.
    pub fn page_state(&self, vm: VmIndex, page: Ipa) -> PageState {
        self.vm(vm).map_or(PageState::Owned, |state| state.lock().ledger.state(page))
    }

    /// Answers a call of a virtual machine whose function identifier is FF-A's ([`tantalum_ffa::function::is_ffa`]).
    ///
    /// A direct request and FFA_RUN give the processing element to a partition until it answers, or an interrupt of the
    /// normal world stops it.
    pub fn call(
        &self,
        caller: Caller,
        registers: &CallRegisters,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> CallRegisters {
        let mut answer = self.answer(caller, registers, below, memory);
        // Nothing up to FF-A 1.1 uses the other registers: they stay the caller's (SMC Calling Convention 1.2, section 2.6).
        for (to, own) in answer.0.iter_mut().zip(&registers.0).skip(8) {
            *to = *own;
        }
        answer
    }

    fn answer(
        &self,
        caller: Caller,
        registers: &CallRegisters,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> CallRegisters {
        if !self.is_there() {
            return answer::unknown_function();
        }
        let served = match Call::decode(registers) {
            Ok(Call::Version { requested }) => return answer::version(self.version(caller.vm, requested)),
            decoded => self.serve(caller, decoded, registers, below, memory),
        };
        served.unwrap_or_else(answer::error)
    }

    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    fn vm(&self, vm: VmIndex) -> Option<&Mutex<Vm>> {
        self.vms.get(vm.get())
    }

    fn version(&self, vm: VmIndex, requested: u32) -> Option<Version> {
        self.vm(vm)?.lock().negotiation.request(requested)
    }

    fn serve(
        &self,
        caller: Caller,
        decoded: Result<Call, DecodeError>,
        registers: &CallRegisters,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> Result<CallRegisters, Status> {
        let mut vm = self.vm(caller.vm).ok_or(Status::NotSupported)?.lock();
        let version = vm.negotiation.freeze();
        if !features::is_offered(registers, version) {
            return Err(Status::NotSupported);
        }
        let call = &decoded?;
        match call {
            Call::DirectRequest(_) | Call::Run { .. } => {
                // Others of the virtual machine's virtual CPUs make their calls meanwhile.
                drop(vm);
                self.direct_call(caller, call, below)
            }
            Call::Features { id, input } => features::features(version, *id, *input, below),
            Call::IdGet => Ok(answer::success32([u32::from(caller.id().raw()), 0, 0, 0, 0, 0])),
            Call::SpmIdGet => ask(below, call).map(|answer| answer.encode()),
            Call::Yield { .. } => Ok(answer::success()),
            Call::RxtxMap { .. }
            | Call::RxtxUnmap { .. }
            | Call::RxRelease { .. }
            | Call::PartitionInfoGet { .. }
            | Call::MsgSend2 { .. } => self.mailbox_call(caller, &mut vm, call, below, memory),
            Call::MemDonate(_)
            | Call::MemLend(_)
            | Call::MemShare(_)
            | Call::MemFragTx { .. }
            | Call::MemReclaim { .. } => self.memory_call(caller, &mut vm, call, below, memory),
            Call::NotificationBind { .. }
            | Call::NotificationUnbind { .. }
            | Call::NotificationSet { .. }
            | Call::NotificationGet { .. } => notify::notification_call(caller, &vm, call, below),
            _ => Err(Status::NotSupported),
        }
    }
}

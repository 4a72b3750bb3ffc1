//! What a partition does, said by a test instead of by code in the partition.

use tantalum_ffa::{Call, DirectMessage, Status, answer};
use tantalum_hal::{
    Entry, Event, ForeignInterrupts, PhysicalMemory, Stage2Roots, Trap, TrapKind, VcpuStart,
    VirtualInterrupts,
};
use tantalum_types::{CallRegisters, CpuIndex, Ipa, VcpuId};

use crate::machine::Machine;
use crate::mmu::AccessKind;

/// Says what an execution context does when it is run: until which event. A [`TrapKind`] in its place means
/// that it was stopped by an access, so that scripts can use `?`.
pub type Script = Box<dyn FnMut(&mut Context<'_>) -> Result<Event, TrapKind> + Send>;

/// Is the world as an execution context sees it while it runs.
pub struct Context<'a> {
    /// Where it runs.
    pub cpu: CpuIndex,
    /// Which one it is.
    pub vcpu: VcpuId,
    /// How it goes on.
    pub entry: Entry,
    /// What the SPMC has decided about interrupts of the normal world.
    pub foreign: ForeignInterrupts,
    /// Which virtual interrupts are signalled to it.
    pub signals: VirtualInterrupts,
    pub(crate) roots: Stage2Roots,
    pub(crate) machine: &'a Machine,
}

impl Context<'_> {
    /// Returns how it begins, if it does.
    pub fn start(&self) -> Option<VcpuStart> {
        match self.entry {
            Entry::Start(start) => Some(start),
            Entry::Answer(_) | Entry::Resume | Entry::Register { .. } => None,
        }
    }

    /// Returns the answer to its last call, which must be what it goes on with.
    pub fn answer(&self) -> CallRegisters {
        match self.entry {
            Entry::Answer(registers) => registers,
            other => panic!("{:?} is entered by {other:?}, not by an answer", self.vcpu),
        }
    }

    /// Returns the direct request that came, if one did.
    pub fn request(&self) -> Option<DirectMessage> {
        match self.entry {
            Entry::Answer(registers) => match Call::decode(&registers) {
                Ok(Call::DirectRequest(message)) => Some(message),
                _ => None,
            },
            Entry::Start(_) | Entry::Resume | Entry::Register { .. } => None,
        }
    }

    /// Reads `N` bytes at `ipa` through stage 2.
    ///
    /// # Errors
    /// Returns the abort that stops it.
    pub fn read<const N: usize>(&self, ipa: Ipa) -> Result<[u8; N], TrapKind> {
        let pa = self.machine.translate(self.cpu, &self.roots, ipa, AccessKind::Read)?;
        Ok(self.machine.bytes(pa))
    }

    /// Writes bytes at `ipa` through stage 2.
    ///
    /// # Errors
    /// Returns the abort that stops it.
    pub fn write(&self, ipa: Ipa, bytes: &[u8]) -> Result<(), TrapKind> {
        let pa = self.machine.translate(self.cpu, &self.roots, ipa, AccessKind::Write)?;
        self.machine.write(pa, bytes).unwrap();
        Ok(())
    }

    /// Tells whether an access at `ipa` gets through stage 2, to the same address of the same space.
    pub fn reaches(&self, ipa: Ipa, kind: AccessKind) -> bool {
        match self.machine.translate(self.cpu, &self.roots, ipa, kind) {
            Ok(pa) => {
                assert_eq!((pa.space(), pa.raw()), (ipa.space(), ipa.raw()), "{ipa} is something else");
                true
            }
            Err(_) => false,
        }
    }

    /// Tells whether the memory at `ipa` is that of a device; `None` if nothing is mapped there.
    pub fn is_device(&self, ipa: Ipa) -> Option<bool> {
        self.machine.is_device(&self.roots, ipa)
    }

    /// Fetches an instruction at `ipa`.
    ///
    /// # Errors
    /// Returns the abort that stops it.
    pub fn fetch(&self, ipa: Ipa) -> Result<(), TrapKind> {
        self.machine.translate(self.cpu, &self.roots, ipa, AccessKind::Fetch).map(|_| ())
    }
}

/// Makes a call.
pub fn call(call: Call) -> Event {
    Event::PartitionCall(call.encode())
}

/// Waits for a message.
pub fn wait() -> Event {
    Event::PartitionCall(answer::msg_wait())
}

/// Stops with a trap at an arbitrary instruction.
pub fn trap(kind: TrapKind) -> Event {
    Event::PartitionTrap(Trap { kind, pc: 0xdead_0000, syndrome: 0 })
}

/// Waits, and answers every direct request with its own payload.
pub fn echo() -> Script {
    serve(|_, request| Ok(call(Call::DirectResponse(request.answer(request.payload)))))
}

/// Fails to initialise.
pub fn broken() -> Script {
    Box::new(|_| Ok(Event::PartitionCall(answer::error(Status::Aborted))))
}

/// Waits for requests, lets `serve` say what happens on each, and waits again.
pub fn serve(
    mut serve: impl FnMut(&mut Context<'_>, DirectMessage) -> Result<Event, TrapKind> + Send + 'static,
) -> Script {
    Box::new(move |context| match context.request() {
        Some(request) => serve(context, request),
        None => Ok(wait()),
    })
}

/// Does one thing after the other: when it is entered for the first time the first, and so on; then waits.
pub fn steps(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Script {
    let mut steps = steps.into_iter();
    Box::new(move |context| match steps.next() {
        Some(step) => step(context),
        None => Ok(wait()),
    })
}

/// Is one thing that a partition does.
pub type Step = Box<dyn FnOnce(&mut Context<'_>) -> Result<Event, TrapKind> + Send>;

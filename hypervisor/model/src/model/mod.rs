//! The model: what everybody has, and what comes of a step.

pub(crate) mod buffers;
pub(crate) mod chain;
pub(crate) mod memory;
pub(crate) mod notify;

use tantalum_ffa::{Call, DirectMessage, Status, Target, Version, Width, answer};
use tantalum_hal::{Entry, Event, InterruptLine, Trap, TrapKind};
use tantalum_sim::AccessKind;
use tantalum_types::{CallRegisters, EndpointId, Uuid};

use crate::config::{CPUS, NORMAL, PAGES, SPS, Traits, address, id_of};
use crate::step::{Act, Step};
use buffers::Mailbox;
use chain::{Behind, Context, Piece};
use memory::{Page, Share};
use notify::Receiver;

/// Is the paravirtual call that takes the pending interrupt.
const TAKE: CallRegisters = CallRegisters::from_first_eight([0xff04, 0, 0, 0, 0, 0, 0, 0]);
/// Is the virtual interrupt that says that notifications are pending.
const NOTIFICATION_PENDING: u32 = 5;

/// Says where in its life a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    /// It was stopped, and one of its execution contexts is still in the middle of something.
    Dying,
    Dead,
}

/// Says who has the turn, and how he goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The normal world, with an answer in x0 to x17.
    Normal(CallRegisters),
    Run(Context, Entry),
}

/// Says what must come of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Exactly this.
    Exactly(Next),
    /// The caller is told one of these.
    Refused(Vec<Status>),
    /// The caller gets a handle that nobody has had before, for the share that was added last.
    Handle,
    /// The caller is asked for the rest of the share that was added last, from an offset on, by an id.
    More { offset: u32, endpoint: EndpointId },
    /// The normal world learns who has notifications.
    List,
}

/// Is what somebody writes into his TX buffer before he calls.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub page: usize,
    pub bytes: Vec<u8>,
    /// How many of them change as soon as they have been read.
    pub tampered: usize,
}

/// Says what is done in a step and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub event: Event,
    pub written: Option<Written>,
    pub expect: Expect,
}

/// Is the model.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub traits: [Traits; SPS],
    pub life: [Life; SPS],
    /// The version that the normal world speaks, and whether it has made another call.
    pub version: Version,
    pub frozen: bool,
    pub pieces: Vec<Piece>,
    /// What a handler of an interrupt has stopped on each processing element.
    pub behind: [Option<Behind>; CPUS],
    /// Which partitions are to be run on each processing element for an interrupt.
    pub to_wake: [[bool; SPS]; CPUS],
    /// Whether the scheduler is to be told when the normal world goes on.
    pub tell_scheduler: [bool; CPUS],
    /// How often it was told in this step.
    pub told: usize,
    /// Which execution contexts have the notification pending interrupt pending.
    pub pending: [[bool; CPUS]; SPS],
    /// Which have got an interrupt in their turn.
    pub got: [[bool; CPUS]; SPS],
    pub mail: [Option<Mailbox>; SPS + 1],
    pub pages: Vec<Page>,
    pub shares: Vec<Share>,
    pub handles: Vec<u64>,
    pub partitions: [Option<Receiver>; SPS],
    pub normal: Vec<(u16, Receiver)>,
    /// x8 to x17 of the last event of the normal world on each processing element.
    pub extra: [[u64; 10]; CPUS],
    /// Whether something about memory has changed in this step.
    pub memory_changed: bool,
}

impl Model {
    /// Begins after the boot, when everybody waits.
    pub(crate) fn new(traits: [Traits; SPS]) -> Self {
        Self {
            traits,
            life: [Life::Live; SPS],
            version: Version::V1_0,
            frozen: false,
            pieces: Vec::new(),
            behind: [None; CPUS],
            to_wake: [[false; SPS]; CPUS],
            tell_scheduler: [false; CPUS],
            told: 0,
            pending: [[false; CPUS]; SPS],
            got: [[false; CPUS]; SPS],
            mail: std::array::from_fn(|_| None),
            pages: (0..PAGES).map(Page::new).collect(),
            shares: Vec::new(),
            handles: Vec::new(),
            partitions: traits.map(|traits| traits.notified.then(|| Receiver::new(traits.contexts()))),
            normal: Vec::new(),
            extra: [[0; 10]; CPUS],
            memory_changed: false,
        }
    }

    /// Returns the version that a party speaks.
    pub(crate) fn version_of(&self, party: usize) -> Version {
        if party == NORMAL { self.version } else { self.traits[party].version }
    }

    /// Returns whether a party exists and was not stopped.
    pub(crate) fn is_live(&self, sp: usize) -> bool {
        self.life[sp] == Life::Live
    }

    /// Answers the call of whoever has the turn on `cpu`.
    pub(crate) fn answer(&mut self, cpu: usize, registers: CallRegisters) -> Expect {
        Expect::Exactly(match self.runs_on(cpu) {
            None => self.give_to_normal(cpu, registers),
            Some(_) => self.run_tail(cpu, Entry::Answer(registers)),
        })
    }

    fn success(&mut self, cpu: usize) -> Expect {
        self.answer(cpu, answer::success())
    }

    /// Succeeds unless there are reasons not to.
    fn unless(&mut self, faults: Vec<Status>, cpu: usize, commit: impl FnOnce(&mut Self)) -> Expect {
        if !faults.is_empty() {
            return Expect::Refused(faults);
        }
        commit(self);
        self.success(cpu)
    }

    /// Says what is done in `step` and what must come of it, and does it to the model. `None` if nothing can be done.
    pub(crate) fn plan(&mut self, step: &Step) -> Option<Plan> {
        let cpu = usize::from(step.cpu);
        self.told = 0;
        self.memory_changed = false;
        let running = self.runs_on(cpu);
        let party = running.map_or(NORMAL, |context| context.sp);
        if running.is_some() && !self.is_live(party) {
            // Another of its execution contexts has done what it may not: whatever it does is its end.
            let expect = Expect::Exactly(self.unwind(cpu));
            self.settle();
            return Some(Plan { event: Event::PartitionCall(answer::msg_wait()), written: None, expect });
        }
        let plan = self.carry_out(cpu, party, step)?;
        if running.is_none() && !matches!(step.act, Act::Version) {
            self.frozen = true;
        }
        self.settle();
        Some(plan)
    }

    /// Is what happens when a secure interrupt is signalled to whoever has the turn on `cpu`, that calls for nothing
    /// but a look around.
    pub(crate) fn plan_look_around(&mut self, cpu: usize) -> Plan {
        self.told = 0;
        self.memory_changed = false;
        let (event, expect) = match self.runs_on(cpu) {
            None => {
                self.extra[cpu] = [0; 10];
                let call = Call::Interrupt { target: Target::NONE, intid: 0 };
                let next = self.give_to_normal(cpu, Call::NormalWorldResume.encode());
                (Event::NormalWorldCall(call.encode()), next)
            }
            Some(context) => {
                let line = Event::Interrupt(InterruptLine::Secure);
                let next = if self.is_live(context.sp) {
                    self.interrupt_or_run(cpu, Entry::Resume)
                } else {
                    self.unwind(cpu)
                };
                (line, next)
            }
        };
        self.settle();
        Plan { event, written: None, expect: Expect::Exactly(expect) }
    }

    fn carry_out(&mut self, cpu: usize, party: usize, step: &Step) -> Option<Plan> {
        let [a, b, c, d, e, _] = step.args;
        let mut written = None;
        if party == NORMAL && matches!(step.act, Act::Interrupted | Act::Trap | Act::Touch | Act::Take) {
            return None;
        }
        let (call, expect) = match step.act {
            Act::Interrupted => {
                let expect = Expect::Exactly(self.interrupted(cpu)?);
                let event = Event::Interrupt(InterruptLine::Foreign);
                return Some(Plan { event, written, expect });
            }
            Act::Trap => {
                // Rarely: it costs a partition.
                if a % 8 != 0 {
                    return None;
                }
                let trap = Trap { kind: TrapKind::Instruction, pc: 0, syndrome: 0 };
                let expect = Expect::Exactly(self.trap(cpu));
                return Some(Plan { event: Event::PartitionTrap(trap), written, expect });
            }
            Act::Touch => return self.touch(cpu, party, usize::from(a) % PAGES, b),
            Act::Take => {
                let expect = self.take(cpu);
                return Some(Plan { event: Event::PartitionCall(TAKE), written, expect });
            }
            Act::Version => return Some(self.negotiate(cpu, party, a)),
            Act::Request => self.request(cpu, party, a, b, c),
            Act::Service => self.service(cpu, party, a, b),
            Act::Respond => self.respond(cpu, party, a, b),
            Act::ServiceDone => self.service_done(cpu, party, a),
            Act::Wait => self.wait(cpu, party, a),
            Act::Yield => self.yield_time(cpu, party, a),
            Act::Run => self.run(cpu, party, a, b),
            Act::Map => self.map(cpu, party, a, b, c),
            Act::Unmap => self.unmap(cpu, party, a),
            Act::Release => self.release(cpu, party, a),
            Act::Info => self.info(cpu, party, a),
            Act::Send => {
                let (call, bytes, expect) = self.send(cpu, party, [a, b, c, d]);
                written = bytes;
                (call, expect)
            }
            Act::Create => self.create(cpu, party, a, b),
            Act::Destroy => self.destroy(cpu, party, a),
            Act::Bind => self.bind(cpu, party, a, b, c, d),
            Act::Unbind => self.unbind(cpu, party, a, b, c),
            Act::Set => self.set(cpu, party, a, b, c, d),
            Act::Get => self.get(cpu, party, a, b, c),
            Act::List => self.list(cpu, party, a),
            Act::Offer => {
                let (call, bytes, expect) = self.offer(cpu, party, step.args)?;
                written = bytes;
                (call, expect)
            }
            Act::Fragment => {
                let (call, bytes, expect) = self.fragment(cpu, party, a, b)?;
                written = bytes;
                (call, expect)
            }
            Act::Retrieve => {
                let (call, bytes, expect) = self.retrieve(cpu, party, step.args);
                written = bytes;
                (call, expect)
            }
            Act::Relinquish => {
                let (call, bytes, expect) = self.relinquish(cpu, party, a, b, c);
                written = bytes;
                (call, expect)
            }
            Act::Reclaim => self.reclaim(cpu, party, a, b),
            Act::Identify => self.identify(cpu, party, a),
            Act::Nonsense => {
                let function = [0x8400_00e8, 0x8400_00ff, 0xc400_0063, 0x8600_0001][usize::from(b) % 4];
                let registers = CallRegisters::from_first_eight([function, 1, 2, 3, 4, 5, 6, 7]);
                let refused = Expect::Refused(vec![Status::NotSupported, Status::InvalidParameters]);
                return Some(Plan { event: self.event(cpu, party, registers, e), written, expect: refused });
            }
        };
        let event = self.event(cpu, party, call.encode(), e);
        let expect = match expect {
            // The answer was made before it was known which x8 to x17 come back.
            Expect::Exactly(Next::Normal(registers)) if party == NORMAL => {
                Expect::Exactly(self.with_extra(cpu, &call, registers))
            }
            other => other,
        };
        Some(Plan { event, written, expect })
    }

    /// Returns the event that is a call of whoever has the turn. The normal world's x8 to x17 hold something, where
    /// the call leaves them to it.
    fn event(&mut self, cpu: usize, party: usize, mut registers: CallRegisters, seed: u16) -> Event {
        if party != NORMAL {
            return Event::PartitionCall(registers);
        }
        let uses = matches!(
            Call::decode(&registers),
            Ok(Call::DirectRequest2 { .. }
                | Call::DirectResponse2 { .. }
                | Call::PartitionInfoGetRegs { .. })
        );
        let run_of_1_2 =
            self.version >= Version::V1_2 && matches!(Call::decode(&registers), Ok(Call::Run { .. }));
        if !uses && !run_of_1_2 {
            for (index, register) in registers.0.iter_mut().enumerate().skip(8) {
                *register = u64::from(seed) << 32 | index as u64;
            }
        }
        self.extra[cpu].copy_from_slice(&registers.0[8..]);
        Event::NormalWorldCall(registers)
    }

    fn with_extra(&self, cpu: usize, call: &Call, mut registers: CallRegisters) -> Next {
        let whole = matches!(Call::decode(&registers), Ok(Call::DirectResponse2 { .. }))
            || matches!(call, Call::PartitionInfoGetRegs { .. });
        if !whole {
            registers.0[8..].copy_from_slice(&self.extra[cpu]);
        }
        Next::Normal(registers)
    }

    fn take(&mut self, cpu: usize) -> Expect {
        let context = self.runs_on(cpu).unwrap();
        let pending = &mut self.pending[context.sp][context.index];
        let mut registers = TAKE;
        registers.0[0] = if *pending { NOTIFICATION_PENDING.into() } else { 0xffff_ffff };
        self.got[context.sp][context.index] |= *pending;
        *pending = false;
        self.answer(cpu, registers)
    }

    fn negotiate(&mut self, cpu: usize, party: usize, which: u16) -> Plan {
        let requested =
            [0x1_0002, 0x1_0001, 0x1_0000, 0x1_0003, 0x2_0000, 0x8001_0001][usize::from(which) % 6];
        let known = requested & 0xffff_0000 == 0x1_0000;
        let agreed = Version::from_raw(requested).map(|version| version.min(Version::V1_2));
        let now = self.version_of(party);
        // Partitions have called FFA_MSG_WAIT when they were started.
        let frozen = party != NORMAL || self.frozen;
        let fits = known && (!frozen || agreed == Some(now));
        if party != NORMAL {
            let registers = answer::version(fits.then_some(Version::V1_2));
            let call = Call::Version { requested }.encode();
            let expect = self.answer(cpu, registers);
            return Plan { event: Event::PartitionCall(call), written: None, expect };
        }
        if fits {
            self.version = agreed.unwrap();
        }
        let message = |message, payload| DirectMessage {
            width: Width::Bits32,
            sender: EndpointId::new(0xffff),
            receiver: EndpointId::new(0x8000),
            framework: Some(message),
            payload: [payload, 0, 0, 0, 0],
        };
        use tantalum_ffa::FrameworkMessage as Framework;
        let request = message(Framework::VersionRequest, requested.into());
        let result = if fits { u64::from(Version::V1_2.to_raw()) } else { u64::MAX };
        let mut response = message(Framework::VersionResponse, result);
        (response.sender, response.receiver) = (response.receiver, response.sender);
        let event = self.event(cpu, party, Call::DirectRequest(request).encode(), which);
        let registers = Call::DirectResponse(response).encode();
        let next = self.with_extra(cpu, &Call::DirectRequest(request), registers);
        Plan { event, written: None, expect: Expect::Exactly(next) }
    }

    fn identify(&mut self, cpu: usize, party: usize, which: u16) -> (Call, Expect) {
        let (call, id) = match which % 2 {
            0 => (Call::IdGet, id_of(party)),
            _ => (Call::SpmIdGet, EndpointId::new(0x8000)),
        };
        let expect = self.answer(cpu, answer::success32([u32::from(id.raw()), 0, 0, 0, 0, 0]));
        (call, expect)
    }

    /// Reaches for a page. Nothing comes of it where it may, and the end of the partition where it may not.
    fn touch(&mut self, cpu: usize, sp: usize, page: usize, how: u16) -> Option<Plan> {
        let kind = [AccessKind::Read, AccessKind::Write, AccessKind::Fetch][usize::from(how) % 3];
        let may = self.pages[page].seen_by(sp).is_some_and(|seen| seen.allows(kind));
        if may {
            // The comparison of all views has shown it already.
            return None;
        }
        // Rarely: it costs a partition.
        if !how.is_multiple_of(128) {
            return None;
        }
        let address = crate::config::ipa(page);
        let kind = match kind {
            AccessKind::Fetch => TrapKind::InstructionAbort { address },
            _ => TrapKind::DataAbort { address, write: kind == AccessKind::Write },
        };
        let trap = Trap { kind, pc: address.raw(), syndrome: 0 };
        let expect = Expect::Exactly(self.trap(cpu));
        Some(Plan { event: Event::PartitionTrap(trap), written: None, expect })
    }

    /// Says all that matters to call chains.
    pub(crate) fn chain_state(&self) -> String {
        let mut pieces: Vec<String> = self.pieces.iter().map(|piece| format!("{piece:?}")).collect();
        pieces.sort();
        let interrupts = (&self.behind, &self.to_wake, &self.tell_scheduler, &self.pending, &self.got);
        format!("{pieces:?} {:?} {interrupts:?} {:?}", self.life, self.partitions)
    }

    /// Says all that matters to one transaction at a time.
    pub(crate) fn memory_state(&self) -> String {
        let share = |share: &Share| Share { handle: 0, ..share.clone() };
        let shares: Vec<Share> = self.shares.iter().map(share).collect();
        let pages: Vec<_> = self.pages.iter().map(|page| (page.owner, page.seen, page.bytes[0])).collect();
        let full: Vec<_> = self.mail.iter().map(|mail| mail.as_ref().map(|mail| mail.full)).collect();
        format!("{shares:?} {pages:?} {full:?} {:?}", self.life)
    }

    /// Takes in what the SPMC has answered where the model could not know it.
    pub(crate) fn learn_handle(&mut self, handle: u64) {
        assert_eq!(handle >> 63, 0, "the handle {handle:#x} looks like a hypervisor's");
        assert!(handle != 0 && !self.handles.contains(&handle), "the handle {handle:#x} was there before");
        self.handles.push(handle);
        self.shares.last_mut().expect("a share was added").handle = handle;
    }

    /// Lets partitions that are being stopped come to their end as soon as nothing of them runs or waits.
    fn settle(&mut self) {
        for sp in 0..SPS {
            let busy = self.pieces.iter().flat_map(|piece| &piece.links).any(|link| link.context.sp == sp);
            if self.life[sp] == Life::Dying && !busy {
                self.life[sp] = Life::Dead;
                self.stop_memory(sp);
                self.mail[sp] = None;
                if let Some(receiver) = &mut self.partitions[sp] {
                    *receiver = Receiver::new(self.traits[sp].contexts());
                }
                self.forget(sp);
            }
        }
    }
}

/// Returns the endpoint that number `which` stands for: mostly one that there is.
fn endpoint(which: u16) -> EndpointId {
    match which % 16 {
        index @ 0..9 => id_of(usize::from(index) % SPS),
        9..13 => id_of(NORMAL),
        13 => EndpointId::new(5),
        14 => EndpointId::new(0x8000 + SPS as u16 + 2),
        _ => EndpointId::new(0xffff),
    }
}

/// Returns a partition that number `which` stands for.
fn partition(which: u16) -> EndpointId {
    if which % 16 < 14 { id_of(usize::from(which) % SPS) } else { endpoint(which) }
}

/// Returns an address that is no page of anybody.
fn nowhere(which: u16) -> u64 {
    [0x0e10_0000, 0x1000, 0x5000_0800, 0xffff_ffff_f000, address(0) + 0x80_0000][usize::from(which) % 5]
}

const NIL: Uuid = Uuid::nil();

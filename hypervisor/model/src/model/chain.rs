//! Who runs, who waits for whom, and who was stopped.
//!
//! A call chain is a list of execution contexts, each of which was asked by the one before it. When its end gives the
//! processing element back before it has answered, it is cut off and kept as a piece of its own, which whoever it owes
//! the answer can let go on. So there is at most one piece on each processing element, and an execution context is in
//! one piece or waits.

use tantalum_ffa::{Call, DirectMessage, Status, Target, Version, Width, answer};
use tantalum_hal::Entry;
use tantalum_types::{CallRegisters, EndpointId};

use super::{Expect, Life, Model, NIL, NOTIFICATION_PENDING, Next, endpoint, partition};
use crate::config::{NORMAL, SPS, id_of, sp_of};

/// Is an execution context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub sp: usize,
    pub index: usize,
}

impl Context {
    pub(crate) fn target(self) -> Target {
        Target { endpoint: id_of(self.sp), vcpu: self.index as u16 }
    }
}

/// Says why an execution context runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Run,
    /// By a direct request of an endpoint, of the first or of the second form.
    Request {
        from: EndpointId,
        second: bool,
    },
    /// To handle an interrupt.
    Interrupt,
}

/// Is a place in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub context: Context,
    pub why: Why,
    /// Whether interrupts of the normal world stop it in this turn.
    pub stoppable: bool,
}

/// Says who waits for the first one of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Normal,
    /// An execution context, by a call that has ended without the answer.
    Context(Context),
    /// Nobody: it was stopped.
    Gone,
    /// What an interrupt has stopped.
    Interrupted,
}

/// Says what a piece is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    On(usize),
    Preempted,
    Yielded,
    /// A handler of an interrupt runs on this processing element, and then it goes on.
    Under(usize),
}

/// Is a piece of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub links: Vec<Link>,
    pub owner: Owner,
    pub place: Place,
}

/// Says what goes on when the handler of an interrupt waits again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behind {
    Normal(CallRegisters),
    Piece(Entry),
}

impl Model {
    /// Returns the place of the piece that runs on `cpu`.
    fn piece_on(&self, cpu: usize) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.place == Place::On(cpu))
    }

    /// Returns the chain that a piece is: whoever was asked by one that is being stopped is the head.
    fn chain(&self, piece: usize) -> &[Link] {
        let links = &self.pieces[piece].links;
        // The last one is part of it, whatever has become of him.
        let askers = &links[..links.len() - 1];
        let dying = askers.iter().rposition(|link| !self.is_live(link.context.sp));
        &links[dying.map_or(0, |dying| dying + 1)..]
    }

    /// Returns who runs on `cpu`, if that is not the normal world.
    pub(crate) fn runs_on(&self, cpu: usize) -> Option<Context> {
        Some(self.pieces[self.piece_on(cpu)?].links.last()?.context)
    }

    /// Returns whether interrupts of the normal world stop who runs on `cpu`.
    pub(crate) fn is_stoppable(&self, cpu: usize) -> bool {
        self.piece_on(cpu).is_some_and(|piece| self.pieces[piece].links.last().unwrap().stoppable)
    }

    /// Returns the execution context of a partition that serves on `cpu`.
    pub(crate) fn serves(&self, sp: usize, cpu: usize) -> Context {
        Context { sp, index: if self.traits[sp].many { cpu } else { 0 } }
    }

    /// Returns where an execution context is in a piece.
    fn find(&self, context: Context) -> Option<(usize, usize)> {
        self.pieces
            .iter()
            .enumerate()
            .find_map(|(piece, it)| Some((piece, it.links.iter().position(|link| link.context == context)?)))
    }

    /// Tells whether an execution context is in the middle of something.
    pub(crate) fn is_busy(&self, context: Context) -> bool {
        self.find(context).is_some()
    }

    /// Forgets that anybody owes an answer to a partition that is gone.
    pub(crate) fn forget(&mut self, sp: usize) {
        for piece in &mut self.pieces {
            if matches!(piece.owner, Owner::Context(context) if context.sp == sp) {
                piece.owner = Owner::Gone;
            }
        }
    }

    /// Gives the turn to the normal world, or first to whoever has an interrupt to handle here.
    pub(crate) fn give_to_normal(&mut self, cpu: usize, mut registers: CallRegisters) -> Next {
        if !matches!(Call::decode(&registers), Ok(Call::DirectResponse2 { .. })) {
            registers.0[8..].copy_from_slice(&self.extra[cpu]);
        }
        if let Some(next) = self.handle_interrupt(cpu, Behind::Normal(registers)) {
            return next;
        }
        if std::mem::take(&mut self.tell_scheduler[cpu]) {
            self.told += 1;
        }
        Next::Normal(registers)
    }

    /// Lets the next one handle its interrupt, if there is one.
    fn handle_interrupt(&mut self, cpu: usize, behind: Behind) -> Option<Next> {
        for sp in 0..SPS {
            if !std::mem::take(&mut self.to_wake[cpu][sp]) || !self.is_live(sp) {
                continue;
            }
            let context = self.serves(sp, cpu);
            if !self.pending[sp][context.index] || self.is_busy(context) {
                continue;
            }
            self.behind[cpu] = Some(behind);
            self.begin(cpu, context, Why::Interrupt, Owner::Interrupted);
            let registers = answer::interrupt(Target::NONE, NOTIFICATION_PENDING);
            return Some(Next::Run(context, Entry::Answer(registers)));
        }
        None
    }

    /// Lets what an interrupt has stopped go on.
    fn after_interrupt(&mut self, cpu: usize) -> Next {
        match self.behind[cpu].take().expect("something was stopped") {
            Behind::Normal(registers) => {
                self.extra[cpu].copy_from_slice(&registers.0[8..]);
                self.give_to_normal(cpu, registers)
            }
            Behind::Piece(entry) => {
                let piece = self.pieces.iter_mut().find(|piece| piece.place == Place::Under(cpu));
                piece.expect("a piece was stopped").place = Place::On(cpu);
                self.interrupt_or_run(cpu, entry)
            }
        }
    }

    /// Lets who runs go on, or first whoever has an interrupt to handle.
    pub(crate) fn interrupt_or_run(&mut self, cpu: usize, entry: Entry) -> Next {
        let piece = self.piece_on(cpu).expect("somebody runs");
        let gives_way = self.chain(piece).iter().all(|link| self.traits[link.context.sp].gives_way);
        if self.to_wake[cpu].contains(&true) && self.behind[cpu].is_none() && gives_way {
            self.pieces[piece].place = Place::Under(cpu);
            if let Some(next) = self.handle_interrupt(cpu, Behind::Piece(entry)) {
                return next;
            }
            self.pieces[piece].place = Place::On(cpu);
        }
        self.run_tail(cpu, entry)
    }

    /// Lets who runs go on, unless his partition is being stopped.
    pub(crate) fn run_tail(&mut self, cpu: usize, entry: Entry) -> Next {
        let context = self.runs_on(cpu).expect("somebody runs");
        if self.is_live(context.sp) { Next::Run(context, entry) } else { self.unwind(cpu) }
    }

    /// Ends who runs, and tells whoever waits for him.
    pub(crate) fn unwind(&mut self, cpu: usize) -> Next {
        let aborted = answer::error(Status::Aborted);
        let at = self.piece_on(cpu).expect("somebody runs");
        self.pieces[at].links.pop();
        while let Some(link) = self.pieces[at].links.last() {
            if self.is_live(link.context.sp) {
                return Next::Run(link.context, Entry::Answer(aborted));
            }
            self.pieces[at].links.pop();
        }
        self.end_piece(cpu, at, aborted)
    }

    /// Ends a piece without links, and answers its owner.
    fn end_piece(&mut self, cpu: usize, at: usize, registers: CallRegisters) -> Next {
        let piece = self.pieces.remove(at);
        match piece.owner {
            Owner::Normal => self.give_to_normal(cpu, registers),
            Owner::Interrupted => self.after_interrupt(cpu),
            // Who was asked by somebody who was stopped is run by the normal world.
            Owner::Gone | Owner::Context(_) => self.give_to_normal(cpu, answer::error(Status::Aborted)),
        }
    }

    /// Begins a chain on `cpu`, or a link of the one that runs.
    fn begin(&mut self, cpu: usize, context: Context, why: Why, owner: Owner) {
        self.got[context.sp][context.index] = false;
        let own = self.traits[context.sp].gives_way;
        match self.piece_on(cpu) {
            Some(at) => {
                let stoppable = self.pieces[at].links.last().unwrap().stoppable && own;
                self.pieces[at].links.push(Link { context, why, stoppable });
            }
            None => {
                let stoppable = own && why != Why::Interrupt;
                let links = vec![Link { context, why, stoppable }];
                self.pieces.push(Piece { links, owner, place: Place::On(cpu) });
            }
        }
    }

    /// Returns why `party`, on `cpu`, may not ask `to`.
    fn request_faults(&self, cpu: usize, party: usize, to: EndpointId) -> Vec<Status> {
        let mut faults = Vec::new();
        match sp_of(to) {
            Some(sp) if party != sp => {
                let chain = self.piece_on(cpu).map(|at| &self.pieces[at].links);
                let in_chain = chain.is_some_and(|links| links.iter().any(|link| link.context.sp == sp));
                if !self.is_live(sp) {
                    faults.push(Status::Aborted);
                } else if self.is_busy(self.serves(sp, cpu)) {
                    faults.push(if in_chain { Status::Denied } else { Status::Busy });
                }
            }
            _ => faults.push(Status::InvalidParameters),
        }
        faults
    }

    /// `a`: to whom, `b`: whether the sender is somebody else, `c`: the form and what it carries.
    pub(super) fn request(&mut self, cpu: usize, party: usize, a: u16, b: u16, c: u16) -> (Call, Expect) {
        let receiver = partition(a);
        let sender = match (b % 16, party) {
            (0, NORMAL) => EndpointId::new(0x8001),
            (1..6, NORMAL) => EndpointId::new(b % 16),
            (0, _) => endpoint(b / 16),
            _ => id_of(party),
        };
        let mut faults = self.request_faults(cpu, party, receiver);
        if if party == NORMAL { sender.is_secure() } else { sender != id_of(party) } {
            faults.push(Status::InvalidParameters);
        }
        let width = if c.is_multiple_of(2) { Width::Bits32 } else { Width::Bits64 };
        let payload = std::array::from_fn(|index| u64::from(c) + index as u64);
        let message = DirectMessage { width, sender, receiver, framework: None, payload };
        let call = Call::DirectRequest(message);
        (call, self.ask(cpu, receiver, sender, false, faults, call))
    }

    fn ask(
        &mut self,
        cpu: usize,
        receiver: EndpointId,
        from: EndpointId,
        second: bool,
        faults: Vec<Status>,
        call: Call,
    ) -> Expect {
        if !faults.is_empty() {
            return Expect::Refused(faults);
        }
        let callee = self.serves(sp_of(receiver).unwrap(), cpu);
        self.begin(cpu, callee, Why::Request { from, second }, Owner::Normal);
        Expect::Exactly(Next::Run(callee, Entry::Answer(call.encode())))
    }

    /// `a`: to whom, `b`: what it carries.
    pub(super) fn service(&mut self, cpu: usize, party: usize, a: u16, b: u16) -> (Call, Expect) {
        let receiver = partition(a);
        let mut faults = self.request_faults(cpu, party, receiver);
        if self.version_of(party) < Version::V1_2 {
            faults = vec![Status::NotSupported];
        } else if let Some(sp) = sp_of(receiver)
            && !self.traits[sp].services
            && self.is_live(sp)
        {
            faults.push(Status::Denied);
        }
        let sender = id_of(party);
        let payload = std::array::from_fn(|index| u64::from(b) << 8 | index as u64);
        let call = Call::DirectRequest2 { sender, receiver, uuid: NIL, payload };
        (call, self.ask(cpu, receiver, sender, true, faults, call))
    }

    /// Returns why who runs is not to answer `to` in that form.
    fn answer_faults(&self, cpu: usize, to: EndpointId, as_second: bool) -> Vec<Status> {
        let Some(at) = self.piece_on(cpu) else { return vec![Status::NotSupported] };
        match self.pieces[at].links.last().unwrap().why {
            Why::Request { from, second } if second == as_second => {
                if from == to {
                    vec![]
                } else {
                    vec![Status::InvalidParameters]
                }
            }
            _ => vec![Status::Denied],
        }
    }

    /// Returns who asked the one who runs, or somebody else if number `which` is low.
    fn asker(&self, cpu: usize, which: u16) -> EndpointId {
        let why = self.piece_on(cpu).map(|at| self.pieces[at].links.last().unwrap().why);
        match why {
            Some(Why::Request { from, .. }) if !which.is_multiple_of(16) => from,
            _ => endpoint(which / 16),
        }
    }

    /// `a`: whether it is to somebody else, `b`: what it carries.
    pub(super) fn respond(&mut self, cpu: usize, party: usize, a: u16, b: u16) -> (Call, Expect) {
        let receiver = self.asker(cpu, a);
        let sender = if b.is_multiple_of(32) { endpoint(b / 32) } else { id_of(party) };
        let mut faults = self.answer_faults(cpu, receiver, false);
        if party != NORMAL && sender != id_of(party) {
            faults.push(Status::InvalidParameters);
        }
        let payload = std::array::from_fn(|index| u64::from(b) * 3 + index as u64);
        let message = DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload };
        let call = Call::DirectResponse(message);
        (call, self.end_request(cpu, faults, call))
    }

    /// `a`: whether it is to somebody else.
    pub(super) fn service_done(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let receiver = self.asker(cpu, a);
        let payload = std::array::from_fn(|index| u64::from(a) << 16 | index as u64);
        let call = Call::DirectResponse2 { sender: id_of(party), receiver, payload };
        let faults = self.answer_faults(cpu, receiver, true);
        (call, self.end_request(cpu, faults, call))
    }

    fn end_request(&mut self, cpu: usize, faults: Vec<Status>, call: Call) -> Expect {
        if !faults.is_empty() {
            return Expect::Refused(faults);
        }
        self.about_to_wait(cpu);
        let at = self.piece_on(cpu).unwrap();
        self.pieces[at].links.pop();
        Expect::Exactly(if self.pieces[at].links.is_empty() {
            self.end_piece(cpu, at, call.encode())
        } else {
            self.interrupt_or_run(cpu, Entry::Answer(call.encode()))
        })
    }

    /// Notes that who runs and is about to wait has an interrupt left, for which it is to be run again at once. One
    /// that had its turn for it and did not take it does not want it now.
    fn about_to_wait(&mut self, cpu: usize) {
        let at = self.piece_on(cpu).unwrap();
        let Link { context, why, .. } = *self.pieces[at].links.last().unwrap();
        let Context { sp, index } = context;
        if self.pending[sp][index] && (why != Why::Interrupt || self.got[sp][index]) {
            self.to_wake[cpu][sp] = true;
        }
    }

    /// `a`: whether it keeps its RX buffer.
    pub(super) fn wait(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let retain_rx = a.is_multiple_of(8);
        let call = Call::MsgWait { retain_rx };
        let Some(at) = self.piece_on(cpu) else { return (call, Expect::Refused(vec![Status::NotSupported])) };
        let why = self.pieces[at].links.last().unwrap().why;
        let mut faults = Vec::new();
        if retain_rx && self.version_of(party) < Version::V1_2 {
            faults.push(Status::InvalidParameters);
        }
        if matches!(why, Why::Request { .. }) {
            faults.push(Status::Denied);
        }
        if !faults.is_empty() {
            return (call, Expect::Refused(faults));
        }
        self.about_to_wait(cpu);
        if !retain_rx {
            self.release_if_read(party);
        }
        self.pieces[at].links.pop();
        assert!(self.pieces[at].links.is_empty(), "only the first of a chain waits");
        (call, Expect::Exactly(self.end_piece(cpu, at, answer::msg_wait())))
    }

    /// `a`: for how long.
    pub(super) fn yield_time(&mut self, cpu: usize, _party: usize, a: u16) -> (Call, Expect) {
        let timeout = u64::from(a);
        let call = Call::Yield { target: Target::NONE, timeout };
        let Some(at) = self.piece_on(cpu) else { return (call, Expect::Refused(vec![Status::NotSupported])) };
        let Link { context, why, .. } = *self.pieces[at].links.last().unwrap();
        if why == Why::Interrupt {
            return (call, self.answer(cpu, answer::success()));
        }
        let told = Call::Yield { target: context.target(), timeout }.encode();
        if self.pieces[at].links.len() == 1 {
            self.pieces[at].place = Place::Yielded;
            return (call, Expect::Exactly(self.give_to_normal(cpu, told)));
        }
        self.cut(at, Place::Yielded);
        (call, Expect::Exactly(self.interrupt_or_run(cpu, Entry::Answer(told))))
    }

    /// Cuts the last one off a piece.
    fn cut(&mut self, at: usize, place: Place) {
        let link = self.pieces[at].links.pop().unwrap();
        let owner = Owner::Context(self.pieces[at].links.last().unwrap().context);
        self.pieces.push(Piece { links: vec![link], owner, place });
    }

    /// An interrupt of the normal world stops the whole chain, if it does.
    pub(super) fn interrupted(&mut self, cpu: usize) -> Option<Next> {
        if !self.is_stoppable(cpu) {
            return None;
        }
        let at = self.piece_on(cpu)?;
        self.pieces[at].place = Place::Preempted;
        let head = self.chain(at)[0].context;
        Some(self.give_to_normal(cpu, answer::interrupt(head.target(), 0)))
    }

    /// Who runs does what it may not: its partition is stopped.
    pub(super) fn trap(&mut self, cpu: usize) -> Next {
        let context = self.runs_on(cpu).unwrap();
        self.life[context.sp] = Life::Dying;
        self.memory_changed = true;
        self.unwind(cpu)
    }

    /// `a`: whom, `b`: which execution context of it.
    pub(super) fn run(&mut self, cpu: usize, party: usize, a: u16, b: u16) -> (Call, Expect) {
        let stopped = self.pieces.iter().filter(|piece| {
            matches!(piece.place, Place::Preempted | Place::Yielded)
                && !a.is_multiple_of(4)
                && !piece.links.is_empty()
        });
        // Mostly somebody for whom it makes sense.
        let heads: Vec<Context> = stopped.map(|piece| piece.links[0].context).collect();
        let target = if heads.is_empty() {
            let endpoint = partition(a);
            let right = sp_of(endpoint).map_or(0, |sp| self.serves(sp, cpu).index as u16);
            Target { endpoint, vcpu: if b.is_multiple_of(16) { b / 16 % 4 } else { right } }
        } else {
            heads[usize::from(b) % heads.len()].target()
        };
        let call = Call::Run { target };
        let expect = match self.run_faults(cpu, party, target) {
            Ok(expect) => expect,
            Err(faults) => Expect::Refused(faults),
        };
        (call, expect)
    }

    fn run_faults(&mut self, cpu: usize, party: usize, target: Target) -> Result<Expect, Vec<Status>> {
        if party != NORMAL && !target.endpoint.is_secure() {
            return Err(vec![Status::Denied]);
        }
        let sp = sp_of(target.endpoint).ok_or(vec![Status::InvalidParameters])?;
        let context = self.serves(sp, cpu);
        if context.index != usize::from(target.vcpu) {
            return Err(vec![Status::InvalidParameters]);
        }
        if let Some(at) = self.piece_on(cpu)
            && self.is_live(sp)
            && self.pieces[at].links.iter().any(|link| link.context.sp == sp)
        {
            return Err(vec![Status::Denied]);
        }
        let Some((at, place)) = self.find(context) else {
            return match (self.is_live(sp), party) {
                (false, _) => Err(vec![Status::Aborted]),
                (true, NORMAL) => {
                    self.begin(cpu, context, Why::Run, Owner::Normal);
                    let registers = Call::Run { target }.encode();
                    Ok(Expect::Exactly(Next::Run(context, Entry::Answer(registers))))
                }
                (true, _) => Err(vec![Status::Denied]),
            };
        };
        let piece = &self.pieces[at];
        let runs = matches!(piece.place, Place::On(_) | Place::Under(_));
        let is_tail = place + 1 == piece.links.len();
        let owner_lives = matches!(piece.owner, Owner::Context(context) if self.is_live(context.sp));
        let caller = self.runs_on(cpu);
        let may = match caller {
            None if place == 0 => !owner_lives,
            // Whoever was asked by one that is being stopped is the normal world's to run.
            None => !self.is_live(piece.links[place - 1].context.sp),
            Some(caller) => place == 0 && piece.owner == Owner::Context(caller),
        };
        if runs && is_tail {
            return Err(vec![Status::Busy]);
        }
        if !may {
            return Err(vec![Status::Denied]);
        }
        if piece.links[place..].iter().any(|link| self.serves(link.context.sp, cpu) != link.context) {
            // Part of it goes on elsewhere only; which may run there.
            return Err(if runs { vec![Status::Denied, Status::Busy] } else { vec![Status::Denied] });
        }
        if runs {
            return Err(vec![Status::Busy]);
        }
        let entry = match piece.place {
            Place::Yielded => Entry::Answer(answer::success()),
            _ => Entry::Resume,
        };
        match self.piece_on(cpu) {
            Some(own) => {
                let piece = self.pieces.remove(at);
                let own = if at < own { own - 1 } else { own };
                let above = self.pieces[own].links.last().unwrap().stoppable;
                self.pieces[own].links.extend(piece.links);
                self.pieces[own].links.last_mut().unwrap().stoppable &= above;
            }
            None => self.pieces[at].place = Place::On(cpu),
        }
        Ok(Expect::Exactly(self.run_tail(cpu, entry)))
    }
}

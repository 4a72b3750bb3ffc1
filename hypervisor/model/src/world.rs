//! The SPMC on the simulated machine, and the comparison with the model after each step.

use tantalum_ffa::notification::NotificationList;
use tantalum_ffa::{Call, answer};
use tantalum_hal::{Action, Entry, ForeignInterrupts, PhysicalMemory, VirtualInterrupts};
use tantalum_sim::script::{Script, wait};
use tantalum_sim::{AccessKind, Sim, SimBuilder};
use tantalum_types::{AddressSpace, CallRegisters, CpuIndex, Ipa, PAGE_SIZE, PartitionIndex, VcpuId};

use crate::config::{CPUS, PAGES, SPS, address, ipa, pa, traits};
use crate::model::chain::Context;
use crate::model::{Expect, Life, Model, Next, Plan};
use crate::step::{Step, Tally};

/// Says how often everything is compared, whether or not something has changed, in steps.
const FULL_COMPARISON: usize = 64;

/// Is the SPMC and the model of it.
pub(crate) struct World {
    sim: Sim,
    pub(crate) model: Model,
    steps: usize,
    pub(crate) tally: Tally,
}

impl World {
    /// Boots the machine of the run with the seed `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let traits = traits(seed);
        let mut builder = SimBuilder::new().cpus(CPUS);
        for (index, traits) in traits.iter().enumerate() {
            let waits = || -> Script { Box::new(|_| Ok(wait())) };
            let scripts: Vec<Script> = (0..traits.contexts()).map(|_| waits()).collect();
            builder = builder.partition_with(&format!("p{index}"), scripts, |manifest| traits.edit(manifest));
        }
        let sim = builder.boot();
        sim.machine().set_counter(seed >> 8);
        let model = Model::new(traits);
        for page in 0..PAGES {
            sim.machine().write(pa(page), model.pages[page].bytes.as_slice()).unwrap();
        }
        Self { sim, model, steps: 0, tally: Tally::default() }
    }

    /// Makes a step and compares. Panics, with a message, if the SPMC does something else than the model says.
    pub(crate) fn step(&mut self, step: &Step) {
        let cpu = usize::from(step.cpu);
        let index = CpuIndex::new(cpu).unwrap();
        let mut count = 0;
        while self.sim.machine().secure_interrupt(index).is_some() {
            let plan = self.model.plan_look_around(cpu);
            self.carry_out(cpu, &plan);
            count += 1;
            assert!(count < 100, "secure interrupts never end");
        }
        match self.model.plan(step) {
            Some(plan) => {
                self.carry_out(cpu, &plan);
                self.tally.count(step.act, usize::from(matches!(plan.expect, Expect::Refused(_))));
            }
            None => self.tally.count(step.act, 2),
        }
        self.steps += 1;
        if self.model.memory_changed || self.steps.is_multiple_of(FULL_COMPARISON) {
            self.compare_memory();
        }
    }

    fn carry_out(&mut self, cpu: usize, plan: &Plan) {
        let before = self.sim.machine().raised_sgi_count();
        if let Some(written) = &plan.written {
            self.sim.machine().write(pa(written.page), &written.bytes).unwrap();
            self.sim.machine().tamper(pa(written.page), written.tampered);
        }
        // Whoever is refused has the turn he had.
        let caller = self.model.runs_on(cpu);
        let action = self.sim.decide(cpu, plan.event);
        if let Some(written) = &plan.written {
            self.sim.machine().tamper(pa(written.page), 0);
            self.sim.machine().write(pa(written.page), &written.bytes).unwrap();
        }
        match (&plan.expect, self.next(cpu, &action)) {
            (Expect::Exactly(expected), actual) => {
                assert_eq!(actual, *expected, "{:x?}", plan.event);
            }
            (Expect::Refused(statuses), actual) => {
                let registers = self.of_caller(caller, &actual);
                match Call::decode(&registers) {
                    Ok(Call::Error { status, .. }) => {
                        assert!(statuses.contains(&status), "{status} is none of {statuses:?}");
                        self.check_answer(cpu, caller, &answer::error(status), &registers);
                    }
                    _ if registers == answer::unknown_function() && caller.is_some() => {}
                    other => panic!("{other:x?} is not refused by one of {statuses:?}"),
                }
            }
            (Expect::Handle, actual) => {
                let registers = self.of_caller(caller, &actual);
                let Ok(Call::Success32 { results: [low, high, ..], .. }) = Call::decode(&registers) else {
                    panic!("{registers:x?} has no handle");
                };
                self.model.learn_handle(u64::from(high) << 32 | u64::from(low));
                let exact = answer::success32([low, high, 0, 0, 0, 0]);
                self.check_answer(cpu, caller, &exact, &registers);
            }
            (Expect::More { offset, endpoint }, actual) => {
                let registers = self.of_caller(caller, &actual);
                let Ok(Call::MemFragRx { handle, .. }) = Call::decode(&registers) else {
                    panic!("{registers:x?} asks for nothing");
                };
                self.model.learn_handle(handle);
                let exact = Call::MemFragRx { handle, offset: *offset, endpoint: *endpoint }.encode();
                self.check_answer(cpu, caller, &exact, &registers);
            }
            (Expect::List, actual) => {
                let registers = self.of_caller(caller, &actual);
                self.check_list(&registers);
            }
        }
        let told = self.sim.machine().raised_sgi_count() - before;
        assert_eq!(told, self.model.told, "how often the scheduler was told, after {:x?}", plan.event);
    }

    /// Returns what an action is to the model, after checks of what goes with it.
    fn next(&self, cpu: usize, action: &Action) -> Next {
        match *action {
            Action::CallNormalWorld(registers) => Next::Normal(registers),
            Action::Halt => panic!("the SPMC has halted: {}", self.sim.machine().log_text()),
            Action::Run { vcpu, entry, foreign, signals, .. } => {
                let VcpuId { partition, index } = vcpu;
                let context = Context { sp: partition.get(), index: index.get() };
                let pending = self.model.pending[context.sp][context.index];
                let expected = VirtualInterrupts { irq: pending, fiq: false };
                assert_eq!(signals, expected, "the virtual interrupts of {context:?}");
                let stoppable = match self.model.runs_on(cpu) {
                    Some(_) if self.model.is_stoppable(cpu) => ForeignInterrupts::Taken,
                    _ => ForeignInterrupts::Masked,
                };
                assert_eq!(foreign, stoppable, "interrupts of the normal world, in {context:?}");
                Next::Run(context, entry)
            }
        }
    }

    /// Returns the answer in an action that gives the turn back to who had it.
    fn of_caller(&self, caller: Option<Context>, actual: &Next) -> CallRegisters {
        match (*actual, caller) {
            (Next::Normal(registers), None) => registers,
            (Next::Run(context, Entry::Answer(registers)), Some(caller)) if context == caller => registers,
            (other, _) => panic!("{other:x?} is no answer to {caller:?}"),
        }
    }

    /// Compares all registers of an answer of which the first were known before.
    fn check_answer(
        &self,
        cpu: usize,
        caller: Option<Context>,
        expected: &CallRegisters,
        actual: &CallRegisters,
    ) {
        let mut expected = *expected;
        if caller.is_none() {
            expected.0[8..].copy_from_slice(&self.model.extra[cpu]);
        }
        assert_eq!(*actual, expected);
    }

    /// Compares a list of those who have notifications: all are new, none is left out unless it says so.
    fn check_list(&mut self, registers: &CallRegisters) {
        let list = Call::decode(registers).ok().and_then(|call| NotificationList::decode(&call));
        let list = list.unwrap_or_else(|| panic!("{registers:x?} is no list"));
        let mut listed = Vec::new();
        for (endpoint, vcpus) in list.entries() {
            if vcpus.is_empty() {
                listed.push((endpoint.raw(), None));
            }
            listed.extend(vcpus.iter().map(|vcpu| (endpoint.raw(), Some(*vcpu))));
        }
        assert!(!listed.is_empty(), "an empty list");
        for (id, vcpu) in listed {
            self.model.note_reported(id, vcpu);
        }
        let left = self.model.unreported();
        assert_eq!(!left.is_empty(), list.has_more(), "{left:?} are left");
    }

    /// Compares every byte, and what every partition may do with every page, through every TLB.
    fn compare_memory(&self) {
        let machine = self.sim.machine();
        let mut bytes = [0; PAGE_SIZE as usize];
        for (page, expected) in self.model.pages.iter().enumerate() {
            machine.read(pa(page), &mut bytes).unwrap();
            if bytes != *expected.bytes {
                let at = (0..bytes.len()).find(|at| bytes[*at] != expected.bytes[*at]).unwrap();
                panic!(
                    "byte {at} of page {page} is {:#x}, not {:#x}: {:?}",
                    bytes[at], expected.bytes[at], self.model.shares
                );
            }
        }
        for sp in (0..SPS).filter(|sp| self.model.life[*sp] == Life::Live) {
            let Some(roots) = self.sim.roots_of(PartitionIndex::new(sp).unwrap()) else { continue };
            for (page, expected) in self.model.pages.iter().enumerate() {
                for cpu in CpuIndex::all().take(CPUS) {
                    for kind in [AccessKind::Read, AccessKind::Write, AccessKind::Fetch] {
                        let may = expected.seen_by(sp).is_some_and(|seen| seen.allows(kind));
                        let actual = machine.translate(cpu, &roots, ipa(page), kind);
                        if let Ok(reached) = actual {
                            assert_eq!(reached, pa(page), "p{sp} reaches something else")
                        }
                        assert_eq!(
                            actual.is_ok(),
                            may,
                            "{kind:?} of page {page} by p{sp} on {cpu:?}: {:?}",
                            self.model.shares
                        );
                    }
                }
                let other = match ipa(page).space() {
                    AddressSpace::Secure => Ipa::non_secure(address(page)),
                    AddressSpace::NonSecure => Ipa::secure(address(page)),
                };
                let reached = machine.translate(CpuIndex::default(), &roots, other, AccessKind::Read);
                assert!(reached.is_err(), "p{sp} reaches {other}");
            }
        }
    }
}

//! A slow and simple interrupt controller, in which everything is in one place and there are no list registers
//! (GICv3, IHI 0069, chapters 4 and 5). It shares no code with the one that it is compared with.

use std::collections::BTreeMap;
use std::vec::Vec;

/// Is one interrupt.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    pub enabled: bool,
    pub group1: bool,
    pub edge: bool,
    pub latch: bool,
    pub line: bool,
    pub active: bool,
    pub priority: u8,
    /// Where a shared one goes.
    pub route: u64,
    /// Whether the physical one that it stands for is active.
    pub linked: bool,
}

impl Interrupt {
    pub(super) fn is_pending(&self) -> bool {
        self.latch || self.line && (self.linked || !self.edge)
    }
}

/// Is what a virtual CPU has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub priority: u8,
    pub intid: u32,
    /// Whether it was acknowledged and its priority was not dropped.
    pub running: bool,
}

/// Is the CPU interface of a virtual CPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    pub mask: u8,
    pub groups: u32,
    pub separate: bool,
    /// What it has acknowledged and not deactivated, in that order.
    pub acknowledged: Vec<Acknowledged>,
    pub awake: bool,
}

impl Cpu {
    pub(super) fn running(&self) -> Option<Acknowledged> {
        self.acknowledged.iter().rev().find(|one| one.running).copied()
    }
}

/// Is the controller.
pub(super) struct Reference {
    pub groups: u32,
    /// By the virtual CPU, or none for shared ones, and the number.
    pub interrupts: BTreeMap<(Option<usize>, u32), Interrupt>,
    pub cpus: Vec<Cpu>,
}

impl Reference {
    pub(super) fn new(count: usize) -> Self {
        let mut interrupts = BTreeMap::new();
        for cpu in 0..count {
            for intid in 0..32 {
                interrupts.insert((Some(cpu), intid), Interrupt { edge: intid < 16, ..Default::default() });
            }
        }
        for intid in 32..96 {
            interrupts.insert((None, intid), Interrupt::default());
        }
        Self { groups: 0, interrupts, cpus: std::vec![Cpu::default(); count] }
    }

    pub(super) fn interrupt(&mut self, cpu: usize, intid: u32) -> &mut Interrupt {
        let key = (if intid < 32 { Some(cpu) } else { None }, intid);
        self.interrupts.get_mut(&key).expect("there is such an interrupt")
    }

    fn goes_to(&self, interrupt: &Interrupt, owner: Option<usize>, cpu: usize) -> bool {
        match owner {
            Some(owner) => owner == cpu,
            None if interrupt.route & 1 << 31 != 0 => {
                self.cpus.iter().position(|cpu| cpu.awake).unwrap_or(0) == cpu
            }
            None => interrupt.route == cpu as u64,
        }
    }

    /// Returns what `cpu` could be signalled: the priority and the numbers of those that have it.
    pub(super) fn most_urgent(&self, cpu: usize) -> Option<(u8, Vec<u32>)> {
        let groups = self.groups & self.cpus[cpu].groups;
        let mut best: Option<(u8, Vec<u32>)> = None;
        for ((owner, intid), interrupt) in &self.interrupts {
            let group = groups & if interrupt.group1 { 2 } else { 1 } != 0;
            let signalled = interrupt.is_pending() && interrupt.enabled && !interrupt.active && group;
            if !signalled || !self.goes_to(interrupt, *owner, cpu) {
                continue;
            }
            match &mut best {
                Some((priority, _)) if *priority < interrupt.priority => {}
                Some((priority, intids)) if *priority == interrupt.priority => intids.push(*intid),
                _ => best = Some((interrupt.priority, std::vec![*intid])),
            }
        }
        best
    }

    /// Returns what an acknowledgement by `cpu` may return; none of them if nothing is signalled.
    pub(super) fn signalled(&self, cpu: usize) -> Vec<u32> {
        let running = self.cpus[cpu].running().map_or(0xff, |one| one.priority);
        match self.most_urgent(cpu) {
            Some((priority, intids)) if priority < self.cpus[cpu].mask && priority < running => intids,
            _ => Vec::new(),
        }
    }

    pub(super) fn acknowledge(&mut self, cpu: usize, intid: u32) {
        let interrupt = self.interrupt(cpu, intid);
        interrupt.latch = false;
        interrupt.active = true;
        let priority = interrupt.priority;
        self.cpus[cpu].acknowledged.push(Acknowledged { priority, intid, running: true });
    }

    /// Drops the priority, and deactivates unless that is separate.
    pub(super) fn end(&mut self, cpu: usize) {
        let acknowledged = &mut self.cpus[cpu].acknowledged;
        let one = acknowledged.iter_mut().rev().find(|one| one.running).expect("something runs");
        one.running = false;
        let intid = one.intid;
        if !self.cpus[cpu].separate {
            self.deactivate(cpu, intid);
        }
    }

    pub(super) fn deactivate(&mut self, cpu: usize, intid: u32) {
        self.cpus[cpu].acknowledged.retain(|one| one.intid != intid || one.running);
        self.clear_active(cpu, intid);
    }

    /// Lets it not be active, and ends the physical one with it.
    pub(super) fn clear_active(&mut self, cpu: usize, intid: u32) {
        let interrupt = self.interrupt(cpu, intid);
        if interrupt.active && interrupt.linked {
            interrupt.linked = false;
            interrupt.line = false;
        }
        interrupt.active = false;
    }

    pub(super) fn set_line(&mut self, cpu: usize, intid: u32, up: bool) {
        let interrupt = self.interrupt(cpu, intid);
        interrupt.latch |= up && !interrupt.line && interrupt.edge;
        interrupt.line = up;
    }

    /// Says whether `cpu` has to wake from WFI, whatever it has acknowledged.
    pub(super) fn wakes(&self, cpu: usize) -> bool {
        self.most_urgent(cpu).is_some_and(|(priority, _)| priority < self.cpus[cpu].mask)
    }
}

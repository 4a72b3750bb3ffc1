//! Who has asked which execution context of a partition, so that nobody goes on with, or gets the answer to, a call of
//! another virtual machine.

use heapless::Vec;
use tantalum_ffa::{Status, Target};
use tantalum_types::{CpuIndex, EndpointId, MAX_PARTITIONS, MAX_VCPUS, VmIndex};

/// Is who an execution context works for: a virtual machine, or the hypervisor itself, which gives it time.
pub(super) type Client = Option<VmIndex>;

/// Says what an execution context is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing that the relay has asked for.
    #[default]
    Free,
    /// It runs, on the processing element that asked.
    Running(Client),
    /// It was interrupted, or has yielded, and goes on by FFA_RUN.
    Stopped(Client),
}

/// Is an execution context of a partition that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    partition: u8,
    pub vcpu: u16,
    pub endpoint: EndpointId,
}

impl Context {
    pub(super) const fn target(self) -> Target {
        Target { endpoint: self.endpoint, vcpu: self.vcpu }
    }
}

/// Is a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partition {
    pub endpoint: EndpointId,
    /// Whether it has an execution context for each processing element; else there is one, which runs anywhere.
    pub is_multi_processor: bool,
}

/// Holds what the execution contexts of all partitions are at.
#[derive(Debug)]
pub(super) struct Turns {
    partitions: Vec<Partition, MAX_PARTITIONS>,
    turns: [[Turn; MAX_VCPUS]; MAX_PARTITIONS],
    /// A bit for each execution context that is to be given time.
    waiting: [u8; MAX_PARTITIONS],
}

impl Turns {
    /// Knows of no partition.
    pub(super) const fn new() -> Self {
        Self {
            partitions: Vec::new(),
            turns: [[Turn::Free; MAX_VCPUS]; MAX_PARTITIONS],
            waiting: [0; MAX_PARTITIONS],
        }
    }

    /// Notes that a partition exists; one that is known already, once. What there is no room for is not reached.
    pub(super) fn add(&mut self, partition: Partition) {
        match self.partitions.iter_mut().find(|other| other.endpoint == partition.endpoint) {
            Some(known) => *known = partition,
            // There are no more of them than places, or the others are not reached.
            None => drop(self.partitions.push(partition)),
        }
    }

    /// Returns the execution context of the partition `endpoint` that runs on `cpu`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such partition.
    pub(super) fn context(&self, endpoint: EndpointId, cpu: CpuIndex) -> Result<Context, Status> {
        (0..)
            .zip(&self.partitions)
            .find(|(_, partition)| partition.endpoint == endpoint)
            .map(|(index, partition)| Context {
                partition: index,
                vcpu: if partition.is_multi_processor { cpu.as_u16() } else { 0 },
                endpoint,
            })
            .ok_or(Status::InvalidParameters)
    }

    /// Returns what an execution context is at.
    pub(super) fn turn(&self, context: Context) -> Turn {
        self.place(context).copied().unwrap_or_default()
    }

    /// Notes what an execution context is at. One that runs gets the time that was asked for.
    pub(super) fn set(&mut self, context: Context, turn: Turn) {
        if matches!(turn, Turn::Running(_))
            && let Some(waiting) = self.waiting.get_mut(usize::from(context.partition))
        {
            *waiting &= !1_u8.checked_shl(context.vcpu.into()).unwrap_or_default();
        }
        let turns = self.turns.get_mut(usize::from(context.partition));
        if let Some(place) = turns.and_then(|turns| turns.get_mut(usize::from(context.vcpu))) {
            *place = turn;
        }
    }

    fn place(&self, context: Context) -> Option<&Turn> {
        self.turns.get(usize::from(context.partition))?.get(usize::from(context.vcpu))
    }

    /// Notes that execution context `vcpu` of a partition is to be given time, and returns on which processing element:
    /// none if that does not matter.
    pub(super) fn wait(&mut self, endpoint: EndpointId, vcpu: u16) -> Option<CpuIndex> {
        let known = (0..).zip(&self.partitions);
        let (index, partition) = known.into_iter().find(|(_, partition)| partition.endpoint == endpoint)?;
        let waiting = self.waiting.get_mut(usize::from(u8::try_from(index).ok()?))?;
        let vcpu = if partition.is_multi_processor { vcpu } else { 0 };
        *waiting |= 1_u8.checked_shl(vcpu.into())?;
        CpuIndex::new(usize::from(vcpu)).filter(|_| partition.is_multi_processor)
    }

    /// Returns an execution context that is to be given time on `cpu`: one for which time was asked, or that has stopped
    /// while it worked for nobody.
    pub(super) fn next(&self, cpu: CpuIndex) -> Option<Context> {
        for index in 0..MAX_PARTITIONS {
            let Some(partition) = self.partitions.get(index).copied() else { continue };
            let Ok(context) = self.context(partition.endpoint, cpu) else { continue };
            let Some(bit) = 1_u8.checked_shl(context.vcpu.into()) else { continue };
            let turn = self.turn(context);
            let asked = self.waiting.get(index).is_some_and(|waiting| waiting & bit != 0);
            if turn == Turn::Stopped(None) || asked && turn == Turn::Free {
                return Some(context);
            }
        }
        None
    }

    /// Tells whether an execution context is to be given time on some processing element.
    pub(super) fn has_next(&self) -> bool {
        self.waiting != [0; MAX_PARTITIONS]
            || self.turns.iter().flatten().any(|turn| *turn == Turn::Stopped(None))
    }

    /// Lets what has stopped while it worked for `vm`, which is gone, work for nobody.
    pub(super) fn abandon(&mut self, vm: VmIndex) {
        for turn in self.turns.iter_mut().flatten() {
            if *turn == Turn::Stopped(Some(vm)) {
                *turn = Turn::Stopped(None);
            }
        }
    }
}

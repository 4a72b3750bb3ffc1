//! The SPMC on the machine, with scripts as partitions, called by the normal world.

use std::collections::HashMap;
use std::sync::Mutex;

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Target, Width};
use tantalum_hal::{
    Action, Entry, Event, ForeignInterrupts, InterruptLine, PhysicalMemory, Stage2Roots, Trap,
};
use tantalum_manifest::SpmcManifest;
use tantalum_spmc::{Cpu, Spmc};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Pa, PartitionIndex, VcpuId, VcpuIndex};

use crate::dtb::Node;
use crate::machine::Machine;
use crate::manifests;
use crate::script::{Context, Script};

/// Bounds the events of one call of the normal world: more means that it never ends.
const MAX_STEPS: usize = 10_000;

/// Changes a manifest.
type Edit = Box<dyn FnOnce(&mut Node)>;

/// Describes a partition of the test.
struct PartitionSetup {
    name: String,
    manifest: Node,
    scripts: Vec<Script>,
}

/// Builds a [`Sim`].
pub struct SimBuilder {
    cpus: usize,
    partitions: Vec<PartitionSetup>,
    spmc_edit: Option<Edit>,
    straight: bool,
}

impl Default for SimBuilder {
    fn default() -> Self {
        Self { cpus: manifests::CPUS, partitions: Vec::new(), spmc_edit: None, straight: true }
    }
}

impl SimBuilder {
    /// Begins a machine with [`manifests::CPUS`] processing elements and without partitions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the machine `cpus` processing elements.
    #[must_use]
    pub fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = cpus;
        self
    }

    /// Adds a partition with as many execution contexts as `scripts` says: 1 or one for each processing element.
    #[must_use]
    pub fn partition(self, name: &str, scripts: impl IntoIterator<Item = Script>) -> Self {
        self.partition_with(name, scripts, |_| {})
    }

    /// Adds a partition after `edit` has changed its manifest.
    #[must_use]
    pub fn partition_with(
        mut self,
        name: &str,
        scripts: impl IntoIterator<Item = Script>,
        edit: impl FnOnce(&mut Node),
    ) -> Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let mut manifest = manifests::partition(self.partitions.len(), name, scripts.len() as u32);
        edit(&mut manifest);
        self.partitions.push(PartitionSetup { name: name.into(), manifest, scripts });
        self
    }

    /// Lets `edit` change the SPMC's manifest.
    #[must_use]
    pub fn spmc_manifest(mut self, edit: impl FnOnce(&mut Node) + 'static) -> Self {
        self.spmc_edit = Some(Box::new(edit));
        self
    }

    /// Lets the SPMC handle everything the general way, also what has a straight one.
    #[must_use]
    pub fn generally(mut self) -> Self {
        self.straight = false;
        self
    }

    /// Loads the packages and lets the SPMC read its manifest and theirs; nothing has run yet.
    pub fn build(self) -> Sim {
        let machine = Machine::new();
        let entries: Vec<(&str, u32)> =
            self.partitions.iter().map(|p| (p.name.as_str(), p.scripts.len() as u32)).collect();
        let mut tree = manifests::spmc_on(self.cpus, &entries);
        if let Some(edit) = self.spmc_edit {
            edit(&mut tree);
        }
        let manifest = SpmcManifest::parse(&tree.to_blob()).unwrap_or_else(|error| panic!("{error}"));
        let mut scripts = HashMap::new();
        for (index, partition) in self.partitions.into_iter().enumerate() {
            let package = manifests::package(&partition.manifest.to_blob());
            machine.write(Pa::secure(manifests::partition_base(index)), &package).unwrap();
            for (vcpu, script) in partition.scripts.into_iter().enumerate() {
                scripts.insert(vcpu_id(index, vcpu), Mutex::new(script));
            }
        }
        let mut spmc = Spmc::new();
        spmc.configure(&manifest, &machine);
        let cpus = CpuIndex::all().take(self.cpus).map(|cpu| Mutex::new(Cpu::new(cpu))).collect();
        let straight = self.straight;
        Sim { machine, spmc, cpus, scripts, straight, roots: Mutex::default(), not_begun: Mutex::default() }
    }

    /// Builds the machine and starts every processing element.
    pub fn boot(self) -> Sim {
        let sim = self.build();
        for cpu in 0..sim.cpus.len() {
            let answer = sim.start_cpu(cpu);
            assert!(
                matches!(Call::decode(&answer), Ok(Call::MsgWait { .. })),
                "the SPMC answers the start of CPU {cpu} by {answer:x?} instead of FFA_MSG_WAIT"
            );
        }
        sim
    }
}

/// Is the SPMC on a machine. The methods act as the SPMD and the normal world above it do.
pub struct Sim {
    machine: Machine,
    spmc: Spmc,
    cpus: Vec<Mutex<Cpu>>,
    scripts: HashMap<VcpuId, Mutex<Script>>,
    straight: bool,
    roots: Mutex<HashMap<PartitionIndex, Stage2Roots>>,
    /// How those go on that were interrupted before their first instruction.
    not_begun: Mutex<HashMap<VcpuId, Entry>>,
}

impl Sim {
    /// Writes down everything that the SPMC knows.
    pub fn state_text(&self) -> String {
        format!("{:?} {:?}", self.spmc, self.cpus)
    }

    /// Returns the machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Starts processing element `cpu` and returns the SPMC's first call to the SPMD.
    pub fn start_cpu(&self, cpu: usize) -> CallRegisters {
        let index = CpuIndex::new(cpu).unwrap();
        *self.cpus[cpu].lock().unwrap() = Cpu::new(index);
        self.event(cpu, Event::Started)
    }

    /// Makes a call of the normal world on `cpu` and returns the answer.
    ///
    /// As the SPMD does, FFA_VERSION is turned into a message of the framework.
    pub fn call(&self, cpu: usize, call: Call) -> CallRegisters {
        self.raw(cpu, call.encode())
    }

    /// Makes a call of the normal world and returns the answer, decoded; panics if it is none.
    pub fn ask(&self, cpu: usize, call: Call) -> Call {
        let answer = self.call(cpu, call);
        Call::decode(&answer).unwrap_or_else(|error| panic!("the answer {answer:x?}: {error}"))
    }

    /// Lets the normal world run on `cpu` as long as secure interrupts come: the SPMD brings each to the SPMC. Returns
    /// how often.
    pub fn idle(&self, cpu: usize) -> usize {
        let index = CpuIndex::new(cpu).unwrap();
        let mut count = 0;
        while self.machine.secure_interrupt(index).is_some() {
            assert_eq!(
                self.ask(cpu, Call::Interrupt { target: Target::NONE, intid: 0 }),
                Call::NormalWorldResume
            );
            count += 1;
            assert!(count < MAX_STEPS, "secure interrupts never end");
        }
        count
    }

    /// Makes a call of the normal world that must be refused, and returns the error.
    pub fn refusal(&self, cpu: usize, call: Call) -> Status {
        match self.ask(cpu, call) {
            Call::Error { status, .. } => status,
            other => panic!("{call:?} is answered by {other:?} instead of an error"),
        }
    }

    /// Makes a call of the normal world from its registers.
    pub fn raw(&self, cpu: usize, registers: CallRegisters) -> CallRegisters {
        match Call::decode(&registers) {
            Ok(Call::Version { requested }) => self.version(cpu, requested),
            _ => self.event(cpu, Event::NormalWorldCall(registers)),
        }
    }

    /// Makes FFA_VERSION of the normal world, which the SPMD forwards as a message and answers from the reply.
    fn version(&self, cpu: usize, requested: u32) -> CallRegisters {
        let request = self.spmd_message(FrameworkMessage::VersionRequest, [u64::from(requested), 0, 0, 0, 0]);
        let answer = self.event(cpu, Event::NormalWorldCall(request.encode()));
        match Call::decode(&answer) {
            Ok(Call::DirectResponse(DirectMessage {
                framework: Some(FrameworkMessage::VersionResponse),
                payload: [result, ..],
                ..
            })) => {
                // The SPMD of TF-A passes on 32 bits.
                CallRegisters::from_first_eight([result & 0xffff_ffff, 0, 0, 0, 0, 0, 0, 0])
            }
            other => panic!("the SPMC answers the SPMD's version message by {other:x?}"),
        }
    }

    /// Builds a message of the SPMD to the SPMC.
    pub fn spmd_message(&self, message: FrameworkMessage, payload: [u64; 5]) -> Call {
        Call::DirectRequest(DirectMessage {
            width: Width::Bits32,
            sender: EndpointId::SPMD,
            receiver: EndpointId::SPMC,
            framework: Some(message),
            payload,
        })
    }

    /// Reports `event` on `cpu` and carries out what follows, until the normal world has its turn.
    pub fn event(&self, cpu: usize, event: Event) -> CallRegisters {
        let mut state = self.cpus[cpu].try_lock().expect("this processing element is at work already");
        let index = CpuIndex::new(cpu).unwrap();
        Machine::act_for(index);
        let mut event = event;
        let mut last = None;
        for _ in 0..MAX_STEPS {
            let action = if self.straight {
                self.spmc.handle(&mut state, event, &self.machine)
            } else {
                self.spmc.handle_by::<_, false>(&mut state, event, &self.machine)
            };
            match action {
                Action::CallNormalWorld(registers) => return registers,
                Action::Halt => panic!("the SPMC has halted on {event:x?}:\n{}", self.machine.log_text()),
                Action::Run { vcpu, entry, roots, foreign, signals } => {
                    self.check_roots(vcpu.partition, roots);
                    let script = self.scripts.get(&vcpu);
                    let script = script.unwrap_or_else(|| panic!("{vcpu:?} runs, which does not exist"));
                    // Held while it runs: nobody else may run the same execution context meanwhile.
                    let mut script = script.try_lock().unwrap_or_else(|_| panic!("{vcpu:?} runs twice"));
                    let machine = &self.machine;
                    // One that was interrupted before its first instruction still goes on as it was to.
                    let kept = self.not_begun.lock().unwrap().remove(&vcpu);
                    let entry = match (entry, kept) {
                        (Entry::Resume, Some(kept)) => kept,
                        // It begins anew, whatever it was at.
                        (entry @ Entry::Start(_), _) | (entry, None) => entry,
                        (entry, Some(kept)) => panic!("{vcpu:?} goes on by {entry:?} before {kept:?}"),
                    };
                    let line = if machine.secure_interrupt(index).is_some() {
                        Some(InterruptLine::Secure)
                    } else if foreign == ForeignInterrupts::Taken && machine.normal_interrupt(index).is_some()
                    {
                        Some(InterruptLine::Foreign)
                    } else {
                        None
                    };
                    if let Some(line) = line {
                        if entry != Entry::Resume {
                            self.not_begun.lock().unwrap().insert(vcpu, entry);
                        }
                        event = Event::Interrupt(line);
                        continue;
                    }
                    last = Some((vcpu, entry));
                    let mut context = Context { cpu: index, vcpu, entry, foreign, signals, roots, machine };
                    event = script(&mut context).unwrap_or_else(|kind| {
                        Event::PartitionTrap(Trap { kind, pc: 0xdead_0000, syndrome: 0 })
                    });
                }
            }
        }
        panic!("a call never ends; the last event was {event:x?}, {last:x?}");
    }

    /// Reports `event` on `cpu` and returns what shall be done there, without doing it: for a test that acts as the
    /// normal world and as every partition itself, one step at a time on any processing element. Its steps are then the
    /// only ones: scripts are not run.
    pub fn decide(&self, cpu: usize, event: Event) -> Action {
        let mut state = self.cpus[cpu].try_lock().expect("this processing element is at work already");
        Machine::act_for(CpuIndex::new(cpu).unwrap());
        let action = self.spmc.handle(&mut state, event, &self.machine);
        if let Action::Run { vcpu, roots, .. } = action {
            self.check_roots(vcpu.partition, roots);
        }
        action
    }

    /// Forgets what a processing element was at, as when it has been off: to be followed by [`Event::Started`].
    pub fn reset_cpu(&self, cpu: usize) {
        *self.cpus[cpu].lock().unwrap() = Cpu::new(CpuIndex::new(cpu).unwrap());
    }

    /// Returns the address spaces of a partition that has run.
    pub fn roots_of(&self, partition: PartitionIndex) -> Option<Stage2Roots> {
        self.roots.lock().unwrap().get(&partition).copied()
    }

    /// Checks that a partition keeps its address spaces and its VMID, and that they are its alone.
    fn check_roots(&self, partition: PartitionIndex, roots: Stage2Roots) {
        let mut known = self.roots.lock().unwrap();
        assert_ne!(roots.vmid, 0, "VMID 0 is nobody's");
        assert_ne!(roots.secure, roots.non_secure, "one table cannot serve two address spaces");
        for (other, theirs) in known.iter() {
            if *other == partition {
                assert_eq!(*theirs, roots, "{partition:?} runs in other address spaces than before");
            } else {
                assert_ne!(theirs.vmid, roots.vmid, "{partition:?} has the VMID of {other:?}");
                assert_ne!(theirs.secure, roots.secure, "{partition:?} has the memory of {other:?}");
                assert_ne!(theirs.non_secure, roots.non_secure, "{partition:?} has the memory of {other:?}");
            }
        }
        known.insert(partition, roots);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let wrong = self.machine.wrong_space_accesses();
            assert!(wrong.is_empty(), "the SPMC reached through the wrong address space: {wrong:?}");
            let mistakes = self.machine.interrupt_mistakes();
            assert!(mistakes.is_empty(), "the SPMC misused the interrupt controller: {mistakes:?}");
        }
    }
}

fn vcpu_id(partition: usize, vcpu: usize) -> VcpuId {
    VcpuId { partition: PartitionIndex::new(partition).unwrap(), index: VcpuIndex::new(vcpu).unwrap() }
}

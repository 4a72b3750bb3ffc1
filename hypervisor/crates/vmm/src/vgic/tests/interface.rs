//! A virtual CPU interface as the architecture describes it (GICv3, IHI 0069, chapters 6 and 8), with 32 priorities.

use std::cell::{Cell, RefCell};
use std::vec::Vec;

use tantalum_hal::vm::{ListRegister, ListState, VirtualInterface};

/// Is what an acknowledgement returns when nothing is signalled.
pub(super) const SPURIOUS: u32 = 1023;

/// Is the virtual CPU interface of one processing element. Beside what the hypervisor reaches it does what a virtual CPU
/// does with its own.
pub(super) struct Interface {
    registers: RefCell<Vec<ListRegister>>,
    control: Cell<u32>,
    machine_control: Cell<u32>,
    active_priorities: Cell<[[u32; 4]; 2]>,
    /// Whether EOIcount counts every end of what is in no list register, as on QEMU, and not only those that would
    /// deactivate it.
    counts_every_end: bool,
    /// The physical interrupts that were deactivated with virtual ones.
    pub(super) deactivated: RefCell<Vec<u32>>,
    /// How often the hypervisor has reached for a register.
    pub(super) reached: Cell<usize>,
}

impl Interface {
    pub(super) fn new(count: usize) -> Self {
        Self {
            registers: RefCell::new(std::vec![ListRegister::EMPTY; count]),
            control: Cell::new(0),
            machine_control: Cell::new(0),
            active_priorities: Cell::default(),
            counts_every_end: false,
            deactivated: RefCell::default(),
            reached: Cell::new(0),
        }
    }

    pub(super) fn counting_every_end(self, counts_every_end: bool) -> Self {
        Self { counts_every_end, ..self }
    }

    fn reach(&self) {
        self.reached.set(self.reached.get() + 1);
    }

    /// Returns the list register with the most urgent pending interrupt of an enabled group.
    pub(super) fn most_urgent(&self) -> Option<(usize, ListRegister)> {
        if self.control.get() & 1 == 0 {
            return None;
        }
        let groups = self.machine_control.get();
        let registers = self.registers.borrow();
        let signalled = registers.iter().copied().enumerate().filter(|(_, register)| {
            register.state == ListState::Pending && groups & if register.group1 { 2 } else { 1 } != 0
        });
        signalled.min_by_key(|(_, register)| register.priority)
    }

    fn running_priority(&self) -> u32 {
        let [group0, group1] = self.active_priorities.get();
        let lowest = (group0[0] | group1[0]).trailing_zeros();
        if lowest == 32 { 0xff } else { lowest << 3 }
    }

    /// Returns what ICC_IAR0_EL1 or ICC_IAR1_EL1 does, whichever would not return a special number.
    pub(super) fn acknowledge(&self) -> u32 {
        let Some((index, register)) = self.most_urgent() else { return SPURIOUS };
        let priority = u32::from(register.priority);
        if priority >= self.machine_control.get() >> 24 || priority >= self.running_priority() {
            return SPURIOUS;
        }
        self.registers.borrow_mut()[index].state = ListState::Active;
        let mut active = self.active_priorities.get();
        active[usize::from(register.group1)][0] |= 1 << (priority >> 3);
        self.active_priorities.set(active);
        register.intid
    }

    /// Does what a write to ICC_EOIR<n>_EL1 of the right group does.
    pub(super) fn end(&self, intid: u32) {
        let mut active = self.active_priorities.get();
        let highest = 1_u32.checked_shl((active[0][0] | active[1][0]).trailing_zeros()).expect("active");
        active[0][0] &= !highest;
        active[1][0] &= !highest;
        self.active_priorities.set(active);
        if self.machine_control.get() & 1 << 9 == 0 {
            self.deactivate(intid);
        } else if self.counts_every_end && !self.holds_active(intid) {
            self.count_end();
        }
    }

    fn holds_active(&self, intid: u32) -> bool {
        self.registers.borrow().iter().any(|register| Self::is_active(register, intid))
    }

    fn is_active(register: &ListRegister, intid: u32) -> bool {
        register.intid == intid && matches!(register.state, ListState::Active | ListState::PendingAndActive)
    }

    fn count_end(&self) {
        assert!(self.control.get() >> 27 < 31, "EOIcount overflows");
        self.control.set(self.control.get() + (1 << 27));
    }

    /// Does what a write to ICC_DIR_EL1 does, and says whether it does it: else it is trapped.
    pub(super) fn deactivate_by_number(&self, intid: u32) -> bool {
        if self.control.get() & 1 << 14 != 0 {
            return false;
        }
        self.deactivate(intid);
        true
    }

    fn deactivate(&self, intid: u32) {
        let mut registers = self.registers.borrow_mut();
        let Some(register) = registers.iter_mut().find(|register| Self::is_active(register, intid)) else {
            self.count_end();
            return;
        };
        if register.state == ListState::PendingAndActive {
            register.state = ListState::Pending;
        } else {
            register.state = ListState::Invalid;
            self.deactivated.borrow_mut().extend(register.physical);
        }
    }

    /// Tells whether the maintenance interrupt is raised (ICH_MISR_EL2 is not zero).
    pub(super) fn is_maintenance_needed(&self) -> bool {
        let control = self.control.get();
        let groups = self.machine_control.get();
        let registers = self.registers.borrow();
        let ended = |register: &ListRegister| {
            register.state == ListState::Invalid && register.maintenance_at_end && register.physical.is_none()
        };
        let none_pending = !registers.iter().any(|register| register.state == ListState::Pending);
        let valid = registers.iter().filter(|register| register.state != ListState::Invalid).count();
        let asked = |bit: u32| control & 1 << bit != 0;
        control & 1 != 0
            && (registers.iter().any(ended)
                || asked(1) && valid <= 1
                || asked(2) && control >> 27 != 0
                || asked(3) && none_pending
                || asked(4) && groups & 1 != 0
                || asked(5) && groups & 1 == 0
                || asked(6) && groups & 2 != 0
                || asked(7) && groups & 2 == 0)
    }

    /// Lets the virtual CPU set its priority mask, its groups, and how it ends interrupts.
    pub(super) fn set_up(&self, mask: u8, groups: u32, separate: bool) {
        let control = u32::from(mask) << 24 | u32::from(separate) << 9 | 1 << 3 | groups;
        self.machine_control.set(control);
    }
}

impl VirtualInterface for Interface {
    fn list_register_count(&self) -> usize {
        self.registers.borrow().len()
    }

    fn list_register(&self, index: usize) -> ListRegister {
        self.reach();
        self.registers.borrow().get(index).copied().expect("there is this list register")
    }

    fn set_list_register(&self, index: usize, value: ListRegister) {
        self.reach();
        assert_eq!(value.priority & 7, 0);
        if value.physical.is_some() {
            assert_ne!(value.state, ListState::PendingAndActive, "it would come without its physical one");
            assert!(!value.maintenance_at_end);
        }
        let mut registers = self.registers.borrow_mut();
        *registers.get_mut(index).expect("there is this list register") = value;
    }

    fn empty_list_registers(&self) -> u16 {
        self.reach();
        let empty = |register: &ListRegister| {
            register.state == ListState::Invalid
                && (register.physical.is_some() || !register.maintenance_at_end)
        };
        let registers = self.registers.borrow();
        (0..).zip(registers.iter()).fold(0, |word, (index, one)| word | u16::from(empty(one)) << index)
    }

    fn control(&self) -> u32 {
        self.reach();
        self.control.get()
    }

    fn set_control(&self, value: u32) {
        self.reach();
        self.control.set(value);
    }

    fn machine_control(&self) -> u32 {
        self.reach();
        self.machine_control.get()
    }

    fn set_machine_control(&self, value: u32) {
        self.reach();
        self.machine_control.set(value);
    }

    fn active_priorities(&self) -> [[u32; 4]; 2] {
        self.reach();
        self.active_priorities.get()
    }

    fn set_active_priorities(&self, value: &[[u32; 4]; 2]) {
        self.reach();
        self.active_priorities.set(*value);
    }
}

impl Interface {
    /// Asserts what has to hold whenever a virtual CPU runs: no number is in two list registers.
    pub(super) fn check(&self) {
        let registers = self.registers.borrow();
        let valid = registers.iter().filter(|register| register.state != ListState::Invalid);
        let mut intids: Vec<u32> = valid.map(|register| register.intid).collect();
        let all = intids.len();
        intids.sort_unstable();
        intids.dedup();
        assert_eq!(all, intids.len(), "a number is in two list registers");
    }
}

//! The interrupt controller of a virtual machine: a GICv3 with affinity routing and one Security state
//! (GICv3, Arm IHI 0069; GICD_CTLR.ARE and .DS read as one), without LPIs.
//!
//! | module | what lives there |
//! |---|---|
//! | `distributor`, `redistributor` | the registers of the two frames, and who gets what |
//! | `registers`, `bank` | what they have in common: the states of up to 64 interrupts, a word for each state |
//! | `schedule` | what is in the list registers of the virtual CPU interface, and why |
//! | `sgi` | software-generated interrupts |
//! | `bits` | words of bits, sets of virtual CPUs |
//!
//! # Who knows what
//!
//! While a virtual CPU runs, its list registers alone know whether an interrupt in them was acknowledged or ended. They
//! are left there: nothing is read back when it comes out, and nothing is written when it goes in again, unless its mark
//! `attention` is set. Who changes anything that a virtual CPU has to hear of sets the mark, and returns that virtual
//! CPU in a [`VcpuSet`]: if it runs on another processing element, that one has to be kicked; if it waits, it has to be
//! woken. [`Vgic::enter`] then takes back what is in the list registers, and fills them anew with the most urgent ones.
//! So a virtual CPU for which nothing has come costs one load.
//!
//! A read of GICD_ISPENDR or GICD_ISACTIVER about an interrupt in a list register of another virtual CPU says what was
//! so when it was put there, and lets that virtual CPU come out: who reads again in a while learns what is so.
//!
//! # Locks
//!
//! Each virtual CPU has a lock for what is private to it, and the distributor has one. Who holds that of a virtual CPU
//! may take the distributor's, and no other order or pair occurs. The holding times are bounded by the number of
//! interrupts. A processing element says that a virtual CPU runs there before it calls [`Vgic::enter`], and both
//! that and the look at it behind a returned [`VcpuSet`] are sequentially consistent: so either `enter` sees the mark, or
//! who has set it sees that there is somebody to kick.

mod bank;
mod bits;
mod distributor;
mod redistributor;
mod registers;
mod schedule;
mod sgi;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::Mutex;
use tantalum_hal::vm::VirtualInterface;
use tantalum_types::{MAX_VCPUS, VcpuIndex};

use bits::bit;
use distributor::Distributor;
use redistributor::{PRIVATE, Redistributor, SLEEP, Saved};
use registers::Field;

pub use bits::VcpuSet;
pub use distributor::MAX_SPIS;
pub use schedule::Entered;
pub use sgi::SgiRegister;

/// Counts the bytes of the distributor's frame.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;

/// Counts the bytes of the frames of one virtual CPU's redistributor.
pub const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;

/// Names a part of the controller that has addresses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The distributor, [`DISTRIBUTOR_SIZE`].
    Distributor,
    /// The redistributor of a virtual CPU, [`REDISTRIBUTOR_SIZE`]: RD_base, and SGI_base behind it.
    Redistributor(VcpuIndex),
}

/// Is the interrupt controller of one virtual machine.
#[derive(Debug)]
pub struct Vgic {
    /// How many virtual CPUs there are.
    count: usize,
    /// The groups that the distributor forwards: GICD_CTLR, bits 0 and 1.
    groups: AtomicU32,
    distributor: Mutex<Distributor>,
    vcpus: [Vcpu; MAX_VCPUS],
}

/// Is the part of one virtual CPU.
#[derive(Debug)]
struct Vcpu {
    /// Whether the list registers are to be filled anew.
    attention: AtomicBool,
    /// Whether its redistributor has been told that it takes part (GICR_WAKER.ProcessorSleep is zero).
    awake: AtomicBool,
    private: Mutex<Redistributor>,
}

impl Vcpu {
    const fn new() -> Self {
        Self {
            attention: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            private: Mutex::new(Redistributor::new()),
        }
    }
}

impl Vgic {
    /// Builds the controller of a virtual machine with `count` virtual CPUs, at most [`MAX_VCPUS`], in its state after
    /// reset.
    pub const fn new(count: usize) -> Self {
        Self {
            count,
            groups: AtomicU32::new(0),
            distributor: Mutex::new(Distributor::new()),
            vcpus: [const { Vcpu::new() }; MAX_VCPUS],
        }
    }

    /// Resets everything. No virtual CPU is loaded anywhere.
    pub fn reset(&self) {
        self.groups.store(0, Ordering::Relaxed);
        *self.distributor.lock() = Distributor::new();
        for vcpu in VcpuIndex::all() {
            self.reset_vcpu(vcpu);
        }
    }

    /// Resets the CPU interface of `vcpu`, which is loaded nowhere, as when it is turned on. Its redistributor is not
    /// turned off with it: what is pending stays so, and wakes it.
    pub fn reset_interface(&self, vcpu: VcpuIndex) {
        if let Some(vcpu) = self.vcpu(vcpu) {
            vcpu.private.lock().saved = Saved::RESET;
            vcpu.attention.store(true, Ordering::SeqCst);
        }
    }

    /// Resets what is private to `vcpu`, which is loaded nowhere.
    pub fn reset_vcpu(&self, vcpu: VcpuIndex) {
        if let Some(vcpu) = self.vcpu(vcpu) {
            *vcpu.private.lock() = Redistributor::new();
            vcpu.awake.store(false, Ordering::Relaxed);
            vcpu.attention.store(true, Ordering::SeqCst);
        }
    }

    /// Reads `size` bytes, 1, 2, 4 or 8, at `offset` of a frame, for `vcpu`, of which this processing element holds the
    /// virtual CPU interface, and returns whom that concerns. What cannot be read so reads as zero.
    #[must_use = "who is concerned has to be kicked"]
    pub fn read(
        &self,
        vcpu: VcpuIndex,
        interface: &impl VirtualInterface,
        frame: Frame,
        offset: u32,
        size: u8,
    ) -> (u64, VcpuSet) {
        self.look_back(vcpu, interface, offset, size);
        let groups = self.groups.load(Ordering::SeqCst);
        let (value, concerned) = match frame {
            Frame::Distributor => {
                let distributor = self.distributor.lock();
                (distributor.read(offset, size, groups), distributor.holders(offset, size))
            }
            Frame::Redistributor(owner) => {
                let last = owner.get().checked_add(1) == Some(self.count);
                let Some(part) = self.vcpu(owner) else { return (0, VcpuSet::EMPTY) };
                let asleep = !part.awake.load(Ordering::Relaxed);
                let private = part.private.lock();
                let held = private.is_held(offset, size);
                let concerned = if held { VcpuSet::one(owner) } else { VcpuSet::EMPTY };
                (private.read(offset, size, owner, last, asleep), concerned)
            }
        };
        (value, self.notify(concerned))
    }

    /// Writes `size` bytes, 1, 2, 4 or 8, at `offset` of a frame, for `vcpu`, of which this processing element holds
    /// the virtual CPU interface, and returns whom that concerns. What cannot be written so is left as it is.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn write(
        &self,
        vcpu: VcpuIndex,
        interface: &impl VirtualInterface,
        frame: Frame,
        offset: u32,
        size: u8,
        value: u64,
    ) -> VcpuSet {
        self.look_back(vcpu, interface, offset, size);
        let concerned = match (frame, offset, size) {
            (Frame::Distributor, 0, 4) => {
                let groups = u32::try_from(value & u64::from(distributor::GROUPS)).unwrap_or_default();
                let before = self.groups.swap(groups, Ordering::SeqCst);
                if before == groups { VcpuSet::EMPTY } else { self.everybody() }
            }
            (Frame::Distributor, ..) => {
                let groups = self.groups.load(Ordering::Relaxed);
                self.distributor.lock().write(offset, size, value, groups, self.awake())
            }
            // GICR_WAKER.
            (Frame::Redistributor(owner), 0x0014, 4) => {
                let awake = value & u64::from(SLEEP) == 0;
                let before = self.vcpu(owner).is_some_and(|vcpu| vcpu.awake.swap(awake, Ordering::SeqCst));
                if before == awake { VcpuSet::EMPTY } else { self.share_out() }
            }
            (Frame::Redistributor(owner), ..) => self.write_private(owner, offset, size, value),
        };
        self.notify(concerned)
    }

    /// Lets the line of a shared interrupt, `intid`, be up or down, and returns whom that concerns. Does nothing if there
    /// is no such interrupt.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn set_line(&self, intid: u32, up: bool) -> VcpuSet {
        let Some(one) = Distributor::index(intid).map(bit) else { return VcpuSet::EMPTY };
        let groups = self.groups.load(Ordering::SeqCst);
        let mut distributor = self.distributor.lock();
        let changed = distributor.bank.set_line(one, up);
        let concerned = distributor.concerned(changed, groups);
        let waits = distributor.bank.edge & one == 0 && distributor.bank.held & one != 0;
        drop(distributor);
        let concerned = self.notify(concerned);
        // An interrupt of a level that is in a list register is looked at when it is ended, or when its virtual CPU
        // comes out next for another reason.
        if waits { VcpuSet::EMPTY } else { concerned }
    }

    /// Makes a shared interrupt pending, as an edge of its line does, and returns whom that concerns.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn pulse(&self, intid: u32) -> VcpuSet {
        let Some(one) = Distributor::index(intid).map(bit) else { return VcpuSet::EMPTY };
        let groups = self.groups.load(Ordering::SeqCst);
        let mut distributor = self.distributor.lock();
        distributor.bank.latch |= one;
        let concerned = distributor.concerned(one, groups);
        drop(distributor);
        self.notify(concerned)
    }

    /// Lets the line of an interrupt that is private to `vcpu`, 16 to 31, be up or down, and returns whether that
    /// concerns it.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn set_private_line(&self, vcpu: VcpuIndex, intid: u32, up: bool) -> VcpuSet {
        if !(16..PRIVATE).contains(&intid) {
            return VcpuSet::EMPTY;
        }
        self.change_private(vcpu, |private| private.bank.set_line(bit(intid), up))
    }

    /// Makes an interrupt that is private to `vcpu`, 0 to 31, pending, as an edge of its line does, and returns whether
    /// that concerns it.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn pulse_private(&self, vcpu: VcpuIndex, intid: u32) -> VcpuSet {
        if intid >= PRIVATE {
            return VcpuSet::EMPTY;
        }
        self.change_private(vcpu, |private| {
            private.bank.latch |= bit(intid);
            bit(intid)
        })
    }

    /// Sends the software-generated interrupts for which `vcpu` has written `value` to `register`, and returns whom that
    /// concerns.
    #[must_use = "who is concerned has to be kicked or woken"]
    pub fn send(&self, vcpu: VcpuIndex, register: SgiRegister, value: u64) -> VcpuSet {
        let request = sgi::Request::decode(value, vcpu, self.count);
        let one = bit(request.intid);
        let send_to = |set: VcpuSet, receiver| {
            set.union(self.change_private(receiver, |private| {
                let reached = (private.bank.group1 & one != 0) == register.is_group1();
                private.bank.latch |= if reached { one } else { 0 };
                if reached { one } else { 0 }
            }))
        };
        request.receivers.iter().fold(VcpuSet::EMPTY, send_to)
    }

    fn write_private(&self, owner: VcpuIndex, offset: u32, size: u8, value: u64) -> VcpuSet {
        let Some(vcpu) = self.vcpu(owner) else { return VcpuSet::EMPTY };
        let groups = self.groups.load(Ordering::SeqCst);
        let mut private = vcpu.private.lock();
        let changed = private.write(offset, size, value);
        let concerned = private.concerned(changed, groups);
        if concerned { VcpuSet::one(owner) } else { VcpuSet::EMPTY }
    }

    /// Changes what is private to a virtual CPU by a function that returns the interrupts that it was about.
    fn change_private(&self, vcpu: VcpuIndex, change: impl FnOnce(&mut Redistributor) -> u64) -> VcpuSet {
        let Some(part) = self.vcpu(vcpu) else { return VcpuSet::EMPTY };
        let groups = self.groups.load(Ordering::SeqCst);
        let mut private = part.private.lock();
        let changed = change(&mut private);
        let concerned = private.concerned(changed, groups);
        drop(private);
        self.notify(if concerned { VcpuSet::one(vcpu) } else { VcpuSet::EMPTY })
    }

    /// Takes back what is in the list registers of this processing element before a register about it is reached.
    fn look_back(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface, offset: u32, size: u8) {
        // The second page of a redistributor has the registers of the distributor.
        let is_state = Field::at(offset & 0xffff, size).is_some_and(|(field, _)| field.is_state());
        if is_state {
            self.take_back(vcpu, interface);
        }
    }

    /// Chooses anew who gets what goes to any one.
    fn share_out(&self) -> VcpuSet {
        let groups = self.groups.load(Ordering::SeqCst);
        let mut distributor = self.distributor.lock();
        // The lock orders this look behind everybody who has changed what it sees.
        let awake = self.awake();
        distributor.share_out(groups, awake)
    }

    fn everybody(&self) -> VcpuSet {
        VcpuIndex::all().take(self.count).fold(VcpuSet::EMPTY, |set, vcpu| set.union(VcpuSet::one(vcpu)))
    }

    fn awake(&self) -> VcpuSet {
        let is_awake =
            |vcpu: &VcpuIndex| self.vcpu(*vcpu).is_some_and(|vcpu| vcpu.awake.load(Ordering::SeqCst));
        self.everybody()
            .iter()
            .filter(is_awake)
            .fold(VcpuSet::EMPTY, |set, vcpu| set.union(VcpuSet::one(vcpu)))
    }

    /// Marks those who are concerned, and returns those that there are.
    fn notify(&self, concerned: VcpuSet) -> VcpuSet {
        let mut marked = VcpuSet::EMPTY;
        for vcpu in concerned.iter() {
            if let Some(part) = self.vcpu(vcpu) {
                part.attention.store(true, Ordering::SeqCst);
                marked = marked.union(VcpuSet::one(vcpu));
            }
        }
        marked
    }

    fn vcpu(&self, vcpu: VcpuIndex) -> Option<&Vcpu> {
        self.vcpus.get(..self.count)?.get(vcpu.get())
    }
}

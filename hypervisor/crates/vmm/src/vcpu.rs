//! A virtual CPU: where in its life it is, and how it goes on.

use core::sync::atomic::{AtomicU8, Ordering};

use spin::Mutex;
use tantalum_hal::vm::{Entry, Start};
use tantalum_types::CpuIndex;

/// Says where in its life a virtual CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It was turned off, or never on.
    Off,
    /// It was turned on and has not run since.
    Starting,
    /// It could run, and its CPU does something else.
    Ready,
    /// Its CPU runs it.
    Running,
    /// It waits for an interrupt.
    Waiting,
    /// Its virtual machine is being turned off or reset, and it has learned that.
    Stopped,
}

impl State {
    const fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::Off,
            1 => Self::Starting,
            2 => Self::Ready,
            3 => Self::Running,
            4 => Self::Waiting,
            _ => Self::Stopped,
        }
    }

    /// Tells whether its CPU could run it.
    pub const fn is_runnable(self) -> bool {
        matches!(self, Self::Starting | Self::Ready)
    }
}

/// Says why a virtual CPU cannot be turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOnError {
    /// It is on.
    On,
    /// It was turned on and has not run since.
    Pending,
    /// Its virtual machine is being turned off or reset.
    Stopped,
}

/// Is a virtual CPU.
///
/// Its state is changed by its own CPU, but for two changes that others make: from [`State::Off`] to
/// [`State::Starting`] and from [`State::Waiting`] to [`State::Ready`].
#[derive(Debug)]
pub struct Vcpu {
    state: AtomicU8,
    home: CpuIndex,
    /// How it goes on when it is run next. Of its own CPU, but while it is off.
    next: Mutex<Entry>,
}

impl Vcpu {
    /// Builds one that is off and is run by the CPU `home`.
    pub const fn new(home: CpuIndex) -> Self {
        Self { state: AtomicU8::new(State::Off as u8), home, next: Mutex::new(Entry::Resume) }
    }

    /// Returns the CPU that runs it.
    pub const fn home(&self) -> CpuIndex {
        self.home
    }

    /// Returns where in its life it is.
    pub fn state(&self) -> State {
        State::from_raw(self.state.load(Ordering::SeqCst))
    }

    fn change(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Turns it on.
    ///
    /// # Errors
    /// Says why not.
    pub fn turn_on(&self, start: Start) -> Result<(), TurnOnError> {
        let mut next = self.next.lock();
        match self.state() {
            State::Off => {
                *next = Entry::Start(start);
                if self.change(State::Off, State::Starting) { Ok(()) } else { Err(TurnOnError::Stopped) }
            }
            State::Starting => Err(TurnOnError::Pending),
            State::Stopped => Err(TurnOnError::Stopped),
            State::Ready | State::Running | State::Waiting => Err(TurnOnError::On),
        }
    }

    /// Lets it run, on its own CPU, and returns how it goes on; `None` if it cannot run now.
    pub fn run(&self) -> Option<Entry> {
        if self.change(State::Ready, State::Running) || self.change(State::Starting, State::Running) {
            Some(core::mem::replace(&mut *self.next.lock(), Entry::Resume))
        } else {
            None
        }
    }

    /// Lets it run again later as it was, on its own CPU, which runs it.
    pub fn preempt(&self) {
        self.change(State::Running, State::Ready);
    }

    /// Says how it goes on when it is run next, on its own CPU, which runs it.
    pub fn go_on_by(&self, next: Entry) {
        *self.next.lock() = next;
    }

    /// Lets it wait until [`Self::wake`], on its own CPU, which runs it. Then it goes on by `next`.
    pub fn wait(&self, next: Entry) {
        *self.next.lock() = next;
        self.change(State::Running, State::Waiting);
    }

    /// Ends its waiting, and says whether it waited.
    pub fn wake(&self) -> bool {
        self.change(State::Waiting, State::Ready)
    }

    /// Turns it off, on its own CPU, which runs it.
    pub fn turn_off(&self) {
        self.change(State::Running, State::Off);
    }

    /// Lets it do nothing until [`Self::reset`], on its own CPU, and says whether it was not so before.
    pub fn stop(&self) -> bool {
        self.state.swap(State::Stopped as u8, Ordering::SeqCst) != State::Stopped as u8
    }

    /// Turns it off, by whoever has seen that all of its virtual machine are stopped.
    pub fn reset(&self) {
        self.change(State::Stopped, State::Off);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { entry_point: 0x4020_0000, x0: 7, mpidr: 1, counter_offset: 0 };

    fn vcpu() -> Vcpu {
        Vcpu::new(CpuIndex::new(0).unwrap())
    }

    #[test]
    fn one_that_is_turned_on_starts() {
        let vcpu = vcpu();
        assert_eq!((vcpu.state(), vcpu.run()), (State::Off, None));
        assert_eq!(vcpu.turn_on(START), Ok(()));
        assert_eq!(vcpu.turn_on(START), Err(TurnOnError::Pending));
        assert_eq!(vcpu.run(), Some(Entry::Start(START)));
        assert_eq!((vcpu.state(), vcpu.run()), (State::Running, None));
        assert_eq!(vcpu.turn_on(START), Err(TurnOnError::On));
        vcpu.preempt();
        assert_eq!(vcpu.run(), Some(Entry::Resume));
        vcpu.turn_off();
        assert_eq!(vcpu.turn_on(START), Ok(()));
    }

    #[test]
    fn one_that_waits_goes_on_as_it_said() {
        let vcpu = vcpu();
        vcpu.turn_on(START).unwrap();
        assert!(!vcpu.wake(), "it does not wait");
        vcpu.run().unwrap();
        vcpu.wait(Entry::Register { to: 0, value: 5 });
        assert_eq!((vcpu.state(), vcpu.run()), (State::Waiting, None));
        assert!(vcpu.wake() && !vcpu.wake());
        assert_eq!(vcpu.run(), Some(Entry::Register { to: 0, value: 5 }));
    }

    #[test]
    fn one_that_is_stopped_stays_so_until_it_is_reset() {
        let vcpu = vcpu();
        vcpu.turn_on(START).unwrap();
        vcpu.run().unwrap();
        assert!(vcpu.stop() && !vcpu.stop());
        vcpu.preempt();
        vcpu.turn_off();
        assert_eq!((vcpu.state(), vcpu.wake(), vcpu.run()), (State::Stopped, false, None));
        assert_eq!(vcpu.turn_on(START), Err(TurnOnError::Stopped));
        vcpu.reset();
        assert_eq!(vcpu.turn_on(START), Ok(()));
    }
}

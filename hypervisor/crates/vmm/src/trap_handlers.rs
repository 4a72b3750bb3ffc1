//! What becomes of a virtual CPU's calls, of its accesses to devices, and of those to system registers.

use tantalum_ffa::function;
use tantalum_hal::vm::{Access, Action, Direction, Entry, Exception, Host, RegisterTrap, Start};
use tantalum_types::{CallRegisters, VmVcpuId};

use crate::cpu::Cpu;
use crate::layout::{CLOCK_INTID, UART_INTID};
use crate::mmio::{self, Device};
use crate::psci::{self, Request};
use crate::traps::{self, Emulated};
use crate::vcpu::{State, TurnOnError, Vcpu};
use crate::vm::{Power, Vm};
use crate::vmm::Vmm;

/// Is the virtual CPU that did something.
type Running<'a> = (&'a Vm, &'a Vcpu, VmVcpuId);

/// Puts `value` into x0.
const fn answer(value: i64) -> Entry {
    Entry::Register { to: 0, value: value.cast_unsigned() }
}

impl Vmm {
    /// Serves a call.
    #[inline]
    pub(crate) fn call<H: Host>(
        &self,
        cpu: &mut Cpu,
        running: Running<'_>,
        immediate: u16,
        registers: &CallRegisters,
        host: &H,
    ) -> Action {
        if immediate != 0 {
            return self.go_on(cpu, running, Entry::Exception(Exception::Undefined), host);
        }
        let [x0, x1, x2, x3, ..] = registers.0;
        if function::is_ffa(low(x0)) {
            let entry = self.ffa_call(cpu, running, registers, host);
            return self.go_on(cpu, running, entry, host);
        }
        match Request::decode([x0, x1, x2, x3]) {
            Request::Constant(value) => self.go_on(cpu, running, answer(value), host),
            request => self.power_call(cpu, running, request, host),
        }
    }

    fn power_call<H: Host>(&self, cpu: &mut Cpu, running: Running<'_>, request: Request, host: &H) -> Action {
        let (vm, vcpu, id) = running;
        match request {
            Request::Constant(value) => self.go_on(cpu, running, answer(value), host),
            Request::TurnOn { target, entry_point, context } => {
                let value = self.turn_on(cpu, vm, target, entry_point, context, host);
                self.go_on(cpu, running, answer(value), host)
            }
            Request::AffinityInfo { target } => {
                let value = match vm.vcpu_at(target).map(|(_, vcpu)| vcpu.state()) {
                    Some(State::Off | State::Stopped) => 1,
                    Some(State::Starting) => 2,
                    Some(State::Ready | State::Running | State::Waiting) => 0,
                    None => psci::INVALID_PARAMETERS,
                };
                self.go_on(cpu, running, answer(value), host)
            }
            Request::Standby => self.wait(cpu, running, answer(0), host),
            Request::PowerDown { entry_point, context } => match vm.start(id.index, entry_point, context) {
                Some(start) => self.wait(cpu, running, Entry::Start(start), host),
                None => self.go_on(cpu, running, answer(psci::INVALID_ADDRESS), host),
            },
            Request::TurnOff => {
                self.unload(cpu, host);
                vcpu.turn_off();
                // Nobody is left who could turn another one on.
                if vm.vcpus.iter().all(|vcpu| vcpu.state() == State::Off) {
                    self.begin_to_stop(cpu, vm, Power::TurningOff, host);
                }
                self.schedule(cpu, host)
            }
            Request::SystemOff => {
                self.begin_to_stop(cpu, vm, Power::TurningOff, host);
                self.schedule(cpu, host)
            }
            Request::SystemReset => {
                self.begin_to_stop(cpu, vm, Power::Resetting, host);
                self.schedule(cpu, host)
            }
        }
    }

    fn turn_on<H: Host>(
        &self,
        cpu: &mut Cpu,
        vm: &Vm,
        target: u64,
        entry_point: u64,
        context: u64,
        host: &H,
    ) -> i64 {
        let Some((index, vcpu)) = vm.vcpu_at(target) else { return psci::INVALID_PARAMETERS };
        let start = vm.start(index, entry_point, context);
        let Some(start) = start else { return psci::INVALID_ADDRESS };
        match vcpu.turn_on(start) {
            Ok(()) => {
                if vcpu.home() == cpu.index {
                    cpu.woken = true;
                } else {
                    host.kick(vcpu.home());
                }
                0
            }
            Err(TurnOnError::On) => psci::ALREADY_ON,
            Err(TurnOnError::Pending) => psci::ON_PENDING,
            Err(TurnOnError::Stopped) => psci::INTERNAL_FAILURE,
        }
    }

    /// Serves a load or store that no memory is behind.
    #[inline]
    pub(crate) fn access<H: Host>(
        &self,
        cpu: &mut Cpu,
        running: Running<'_>,
        access: &Access,
        host: &H,
    ) -> Action {
        let (vm, _, id) = running;
        let size = access.size;
        let found = mmio::find(access.address.raw(), size, vm.vcpus.len(), vm.manifest.devices.len());
        if matches!(found, Some((Device::Gic(_), _))) && !Self::is_timer_up(host) {
            // The virtual CPU may have moved the deadline since the interrupt was passed on, and looks whether it is
            // pending. It moves it untrapped, so that nothing says so earlier.
            vm.vgic.retract_linked(id.index, host, H::VIRTUAL_TIMER);
        }
        let entry = match (found, access.direction) {
            (Some((Device::Gic(frame), offset)), Direction::Read { to }) => {
                let (value, concerned) = vm.vgic.read(id.index, host, frame, offset, size);
                self.concern(cpu, vm, concerned, host);
                Entry::Register { to, value: mmio::extend(access, value) }
            }
            (Some((Device::Gic(frame), offset)), Direction::Write { value }) => {
                let concerned = vm.vgic.write(id.index, host, frame, offset, size, value);
                self.concern(cpu, vm, concerned, host);
                Entry::Resume
            }
            (Some((Device::Uart, offset)), Direction::Read { to }) => {
                let value = self.read_uart(cpu, vm, offset, size, host);
                Entry::Register { to, value: mmio::extend(access, value.into()) }
            }
            (Some((Device::Uart, offset)), Direction::Write { value }) => {
                self.write_uart(cpu, vm, offset, size, value, host);
                Entry::Resume
            }
            (Some((Device::Clock, offset)), Direction::Read { to }) => {
                let value = self.read_clock(cpu, vm, offset, size, host);
                Entry::Register { to, value: mmio::extend(access, value.into()) }
            }
            (Some((Device::Clock, offset)), Direction::Write { value }) => {
                self.write_clock(cpu, vm, offset, size, value, host);
                Entry::Resume
            }
            (Some((Device::Virtio(index), offset)), Direction::Read { to }) => {
                let value = self.read_virtio(vm, index, offset, size);
                Entry::Register { to, value: mmio::extend(access, value) }
            }
            (Some((Device::Virtio(index), offset)), Direction::Write { value }) => {
                self.write_virtio(cpu, vm, index, (offset, size, value), host);
                Entry::Resume
            }
            (None, _) => self.access_memory(running, access, host),
        };
        self.go_on(cpu, running, entry, host)
    }

    /// Tells whether the virtual timer of the virtual CPU whose registers are here raises its interrupt.
    fn is_timer_up<H: Host>(host: &H) -> bool {
        host.virtual_timer().is_some_and(|deadline| deadline <= host.now())
    }

    /// Serves an access to memory that stage 2 maps by now: another virtual CPU changed that. Answers any other by an
    /// exception.
    fn access_memory<H: Host>(&self, (vm, _, id): Running<'_>, access: &Access, host: &H) -> Entry {
        let write = matches!(access.direction, Direction::Write { .. });
        let size = usize::from(access.size);
        let at = access.address.raw();
        if vm.may_access(access.address, write, host) {
            let mut bytes = [0; 8];
            let done = match access.direction {
                Direction::Read { to } => {
                    let read =
                        bytes.get_mut(..size).is_some_and(|bytes| vm.memory.read(at, bytes, host).is_ok());
                    let value = mmio::extend(access, u64::from_le_bytes(bytes));
                    read.then_some(Entry::Register { to, value })
                }
                Direction::Write { value } => {
                    bytes = value.to_le_bytes();
                    let written =
                        bytes.get(..size).is_some_and(|bytes| vm.memory.write(at, bytes, host).is_ok());
                    written.then_some(Entry::Resume)
                }
            };
            if let Some(entry) = done {
                return entry;
            }
        }
        if vm.may_complain() {
            log::info!("vm {}: vCPU {}: nothing lies at {}", vm.name(), id.index.get(), access.address);
        }
        Entry::Exception(Exception::DataAbort { virtual_address: access.virtual_address, write })
    }

    fn read_uart<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, offset: u32, size: u8, host: &H) -> u32 {
        let mut uart = vm.uart.lock();
        let answer = uart.device.read(offset, size);
        let mut up = answer.interrupt;
        if self.console.is_waiting() && self.console.terminal() == Some(vm.index()) {
            let typed = self.console.take(uart.device.room());
            up = uart.device.receive(&typed).1;
        }
        let concerned = uart.set_line(&vm.vgic, UART_INTID, up);
        drop(uart);
        self.concern(cpu, vm, concerned, host);
        answer.value
    }

    fn write_uart<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, offset: u32, size: u8, value: u64, host: &H) {
        let mut show = |text: &[u8]| self.console.show(vm.index(), vm.name(), text, host);
        let mut uart = vm.uart.lock();
        let up = uart.device.write(offset, size, low(value), &mut show);
        if self.console.terminal() == Some(vm.index()) {
            uart.device.flush(&mut show);
        }
        let concerned = uart.set_line(&vm.vgic, UART_INTID, up);
        drop(uart);
        self.concern(cpu, vm, concerned, host);
    }

    fn read_clock<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, offset: u32, size: u8, host: &H) -> u32 {
        let now = self.nanoseconds(host);
        let mut clock = vm.clock.lock();
        let answer = clock.device.read(offset, size, now);
        let concerned = clock.set_line(&vm.vgic, CLOCK_INTID, answer.interrupt);
        drop(clock);
        self.concern(cpu, vm, concerned, host);
        answer.value
    }

    fn write_clock<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, offset: u32, size: u8, value: u64, host: &H) {
        let now = self.nanoseconds(host);
        let mut clock = vm.clock.lock();
        let up = clock.device.write(offset, size, low(value), now);
        let concerned = clock.set_line(&vm.vgic, CLOCK_INTID, up);
        self.note_alarm(vm, clock.device.alarm(), host);
        drop(clock);
        self.concern(cpu, vm, concerned, host);
        // The processing element of the first virtual CPU keeps the time.
        match vm.vcpus.first().map(Vcpu::home) {
            Some(home) if home == cpu.index => {
                let now = host.now();
                self.expire(cpu, now, host);
                self.arm(cpu, now, host);
            }
            Some(home) => host.kick(home),
            None => {}
        }
    }

    /// Takes what has been typed, and gives it to who has the terminal.
    pub(crate) fn console_input<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        if self.console.read(host) {
            self.pass_terminal_on();
        }
        let Some(vm) = self.console.terminal().and_then(|vm| self.vm(vm)) else { return };
        let mut uart = vm.uart.lock();
        let typed = self.console.take(uart.device.room());
        let (_, up) = uart.device.receive(&typed);
        let concerned = uart.set_line(&vm.vgic, UART_INTID, up);
        drop(uart);
        self.concern(cpu, vm, concerned, host);
    }

    /// Gives the terminal to the next virtual machine that is not off.
    fn pass_terminal_on(&self) {
        let last = self.console.terminal();
        let on = || self.vms().filter(|vm| vm.power() != Power::Off);
        let next = on().find(|vm| last.is_none_or(|last| vm.index() > last)).or_else(|| on().next());
        if let Some(next) = next {
            self.console.give(next.index());
            log::info!("the terminal is vm {}'s", next.name());
        }
    }

    /// Serves an access to a system register.
    #[inline]
    pub(crate) fn register<H: Host>(
        &self,
        cpu: &mut Cpu,
        running: Running<'_>,
        trap: &RegisterTrap,
        host: &H,
    ) -> Action {
        let (vm, _, id) = running;
        let entry = match (traps::find(trap.register), trap.direction) {
            (Some(Emulated::Sgi(register)), Direction::Write { value }) => {
                let concerned = vm.vgic.send(id.index, register, value);
                self.concern(cpu, vm, concerned, host);
                Entry::Resume
            }
            (Some(Emulated::Deactivate), Direction::Write { value }) => {
                vm.vgic.deactivate(id.index, host, low(value) & 0xff_ffff);
                Entry::Resume
            }
            (Some(Emulated::Timer(register)), direction) => {
                let now = host.now();
                let Some(timer) = cpu.current_timer() else { return Action::Halt };
                match direction {
                    Direction::Read { to } => Entry::Register { to, value: timer.read(register, now) },
                    Direction::Write { value } => {
                        timer.write(register, value, now);
                        self.expire(cpu, now, host);
                        self.arm(cpu, now, host);
                        Entry::Resume
                    }
                }
            }
            (Some(Emulated::Count), Direction::Read { to }) => Entry::Register { to, value: host.now() },
            (Some(Emulated::Zero), Direction::Read { to }) => Entry::Register { to, value: 0 },
            (Some(Emulated::Zero), Direction::Write { .. }) => Entry::Resume,
            _ => {
                if vm.may_complain() {
                    log::info!("vm {}: vCPU {}: there is no {:?}", vm.name(), id.index.get(), trap.register);
                }
                Entry::Exception(Exception::Undefined)
            }
        };
        self.go_on(cpu, running, entry, host)
    }
}

impl Vm {
    /// Says how virtual CPU `index` begins at `entry_point`; `None` if that is not in its memory.
    fn start(&self, index: tantalum_types::VcpuIndex, entry_point: u64, context: u64) -> Option<Start> {
        self.memory.locate(entry_point, 4)?;
        if entry_point & 3 != 0 {
            return None;
        }
        Some(Start {
            entry_point,
            x0: context,
            mpidr: index.as_u16().into(),
            counter_offset: self.counter_offset(),
        })
    }
}

/// Returns the lower half.
const fn low(value: u64) -> u32 {
    // Masked to what the type holds.
    #[allow(clippy::cast_possible_truncation)]
    let low = (value & 0xffff_ffff) as u32;
    low
}

//! How many instructions of the whole machine something takes that a virtual machine does often.
//!
//! The figures are true where the machine's clock counts instructions (`--accel icount` of the runner). The first time can
//! cost more than the next ones, so both are printed. Without a hypervisor they are what the guest's own instructions, and
//! those of the suite, take.

#![forbid(unsafe_code)]

use tantalum_payload::call::Conduit;
use tantalum_payload::console::line;
use tantalum_payload::counter::{self, Pace};
use tantalum_payload::cpu::wait_until;
use tantalum_types::CallRegisters;

use crate::machine::timer::VIRTUAL;
use crate::machine::{cpus, gic, interrupts, mmio, psci, timer};
use crate::test::{Case, Test, cases};
use crate::virtio::block::{Disk, OK, request};

pub(crate) const CASES: &[Case] = cases![
    bench: hvc_unknown, hvc_psci_version, smc_unknown, mmio_read_uart, mmio_read_distributor, send_to_self,
    interrupt_of_another, timer_to_handler, block_read_4k, block_write_4k,
];

/// Counts the times after the first one.
const REPEATS: u64 = 64;

/// Measures what `once` does, by the ticks that it returns.
fn measure(t: &Test, once: impl Fn() -> u64) {
    let pace = Pace::measure();
    let first = pace.instructions(once());
    let steady = pace.instructions((0..REPEATS).map(|_| once()).sum::<u64>()) / REPEATS;
    line(format_args!("# {}: first {first}, steady {steady} instructions", t.name()));
    t.check(steady < 1_000_000, format_args!("{steady} instructions are no figure"));
}

/// Returns how many ticks go by while `work` is done.
fn timed(work: impl FnOnce()) -> u64 {
    let begin = VIRTUAL.now();
    work();
    VIRTUAL.now() - begin
}

fn call(t: &Test, conduit: Conduit, function: u64) {
    let registers = CallRegisters::from_first_eight([function, 0, 0, 0, 0, 0, 0, 0]);
    measure(t, || counter::timed_call(conduit, &registers).1);
}

fn hvc_unknown(t: &Test) {
    call(t, Conduit::Hvc, 0x8400_00ff);
}

fn hvc_psci_version(t: &Test) {
    call(t, Conduit::Hvc, psci::function::VERSION);
}

fn smc_unknown(t: &Test) {
    if crate::cases::offers(Conduit::Smc) {
        call(t, Conduit::Smc, 0x8400_00ff);
    } else {
        t.skip("the machine does not take this conduit");
    }
}

fn mmio_read_uart(t: &Test) {
    measure(t, || mmio::timed_read32(0x0900_0fe0));
}

fn mmio_read_distributor(t: &Test) {
    measure(t, || mmio::timed_read32(gic::DISTRIBUTOR + gic::register::TYPER));
}

const SGI: usize = 1;

fn send_to_self(t: &Test) {
    let cpu = cpus::current();
    gic::private(cpu, SGI).prepare(0xa0);
    measure(t, || {
        let before = interrupts::count(cpu, SGI);
        timed(|| {
            gic::send(gic::sgi(SGI, 1 << cpu));
            wait_until(|| interrupts::count(cpu, SGI) != before);
        })
    });
    gic::private(cpu, SGI).retire();
}

fn interrupt_of_another(t: &Test) {
    // To a CPU that sleeps, until its handler has counted it.
    let target = cpus::count() - 1;
    gic::private(target, SGI).prepare(0xa0);
    measure(t, || {
        let before = interrupts::count(target, SGI);
        timed(|| {
            gic::send(gic::sgi(SGI, 1 << target));
            wait_until(|| interrupts::count(target, SGI) != before);
        })
    });
    gic::private(target, SGI).retire();
}

fn timer_to_handler(t: &Test) {
    // From the deadline until the handler has counted it, on a CPU that sleeps.
    VIRTUAL.prepare();
    measure(t, || {
        let before = VIRTUAL.count();
        let at = VIRTUAL.now() + timer::micros(50);
        VIRTUAL.fire_at(at);
        interrupts::sleep_until(|| VIRTUAL.count() != before);
        VIRTUAL.now() - at
    });
    VIRTUAL.retire();
}

fn block(t: &Test, kind: u32) {
    let Some(device) = Disk::find(false) else { return t.skip("there is no disk that may be written") };
    let disk = Disk::begin(device);
    disk.fill(8, 1);
    measure(t, || {
        let mut answer = OK;
        let ticks = timed(|| answer = disk.request(kind, 64, 8));
        t.equal("answer", answer.into(), OK.into());
        ticks
    });
    disk.end();
}

fn block_read_4k(t: &Test) {
    block(t, request::READ);
}

fn block_write_4k(t: &Test) {
    block(t, request::WRITE);
}

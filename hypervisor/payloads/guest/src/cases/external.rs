//! Addresses at which there is nothing: an external abort, which harms nobody else.

use crate::machine::exceptions::{self as provoke, Caught, catch, class, status};
use crate::machine::{cpus, psci, tree};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] =
    cases![external: load, store, pair, fetch, beyond_ram, hole_between_devices, on_each_cpu, afterwards];

/// Is between devices: QEMU's platform bus, where nothing is plugged in, and behind the redistributors of 123 CPUs.
const NOTHING: u64 = 0x0d00_0000;

#[track_caller]
fn aborted(t: &Test, what: &str, caught: Option<Caught>, write: bool, address: u64) {
    let Some(caught) = t.raises(what, caught, class::DATA_ABORT) else { return };
    t.equal("status", caught.status(), status::EXTERNAL);
    t.equal("WnR", caught.syndrome >> 6 & 1, write.into());
    t.equal("FAR_EL1", caught.address, address);
}

fn load(t: &Test) {
    aborted(t, "a load", catch(|| _ = provoke::load(NOTHING)), false, NOTHING);
}

fn store(t: &Test) {
    aborted(t, "a store", catch(|| provoke::store(NOTHING + 8, 1)), true, NOTHING + 8);
}

fn pair(t: &Test) {
    // Of which no emulator is told the registers.
    aborted(t, "a pair", catch(|| _ = provoke::load_pair(NOTHING)), false, NOTHING);
}

fn fetch(t: &Test) {
    // Devices are not executed: our own tables say so, before anybody below is asked.
    let caught = catch(|| provoke::execute(NOTHING));
    if let Some(caught) = t.raises("a call", caught, class::INSTRUCTION_ABORT) {
        t.check(
            caught.status() & 0x3c == 0x0c,
            format_args!("status {:#x} is no permission fault", caught.status()),
        );
    }
}

fn beyond_ram(t: &Test) {
    let (ram, size) = tree::ram();
    for behind in [0, 0x1000, 0x10_0000] {
        let address = ram + size + behind;
        aborted(t, "behind RAM", catch(|| _ = provoke::load(address)), false, address);
    }
}

fn hole_between_devices(t: &Test) {
    // Between the last transport of virtio and QEMU's platform bus; behind the real-time clock's page there are other
    // devices on the board, but not here.
    for address in [0x0a10_0000, 0x0bff_f000] {
        aborted(t, "a hole", catch(|| _ = provoke::load(address)), false, address);
    }
}

fn on_each_cpu(t: &Test) {
    cpus::on_all(|cpu| {
        let address = NOTHING + 0x1000 * cpu as u64;
        for _ in 0..20 {
            aborted(t, "a load", catch(|| _ = provoke::load(address)), false, address);
        }
    });
}

fn afterwards(t: &Test) {
    cpus::on_all(|_| {
        t.check(psci::call(psci::function::VERSION, [0; 3]) > 0, format_args!("PSCI is gone"));
    });
}

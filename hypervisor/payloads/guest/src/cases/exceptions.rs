//! Exceptions that a kernel handles itself arrive where and as they should.

use crate::machine::exceptions::{self as provoke, catch, class, status};
use crate::machine::memory::Pages;
use crate::machine::window::{self, Kind};
use crate::machine::{cpus, psci};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    exceptions:
    undefined, unknown_register, register_of_el2, supervisor_call, breakpoint, translation, permission, no_execute,
    alignment, on_each_cpu, many, state_is_kept,
];

fn undefined(t: &Test) {
    if let Some(caught) = t.raises("UDF", catch(provoke::udf), class::UNKNOWN) {
        t.equal("IL: an instruction of 32 bits", caught.syndrome >> 25 & 1, 1);
        t.equal("ISS", caught.specifics(), 0);
    }
}

fn unknown_register(t: &Test) {
    t.raises("a register that there is not", catch(provoke::read_nonsense_register), class::UNKNOWN);
}

fn register_of_el2(t: &Test) {
    t.raises("HCR_EL2", catch(provoke::read_hypervisor_register), class::UNKNOWN);
}

fn supervisor_call(t: &Test) {
    if let Some(caught) = t.raises("SVC", catch(provoke::svc), class::SVC) {
        t.equal("immediate", caught.specifics(), 0x1234);
    }
}

fn breakpoint(t: &Test) {
    if let Some(caught) = t.raises("BRK", catch(provoke::brk), class::BREAKPOINT) {
        t.equal("comment", caught.specifics(), 0x5678);
    }
}

fn translation(t: &Test) {
    let address = window::address(3);
    window::unmap(3);
    for write in [false, true] {
        let caught =
            catch(
                || if write { provoke::store(address + 0x10, 1) } else { _ = provoke::load(address + 0x10) },
            );
        let Some(caught) = t.raises("nothing is mapped", caught, class::DATA_ABORT) else { continue };
        t.equal("status", caught.status(), status::TRANSLATION | 3);
        t.equal("WnR", caught.syndrome >> 6 & 1, write.into());
        t.equal("FAR_EL1", caught.address, address + 0x10);
    }
    // Above all that the tables can map.
    let caught = catch(|| _ = provoke::load(1 << 45));
    if let Some(caught) = t.raises("beyond the tables", caught, class::DATA_ABORT) {
        t.equal("status", caught.status(), status::TRANSLATION);
    }
}

fn permission(t: &Test) {
    let page = Pages::at(0, 1);
    page.write64(0, 77);
    let address = window::map(4, page.address(), Kind::ReadOnly);
    t.equal("what is there", window::read(address), 77);
    if let Some(caught) = t.raises("a write", catch(|| provoke::store(address, 1)), class::DATA_ABORT) {
        t.equal("status", caught.status(), status::PERMISSION_3);
        t.equal("WnR", caught.syndrome >> 6 & 1, 1);
    }
    t.equal("what is there", page.read64(0), 77);
    window::unmap(4);
}

fn no_execute(t: &Test) {
    let page = Pages::at(0, 1);
    // RET
    page.write32(0, 0xd65f_03c0);
    let address = window::map(5, page.address(), Kind::NoExecute);
    if let Some(caught) = t.raises("a call", catch(|| provoke::execute(address)), class::INSTRUCTION_ABORT) {
        t.equal("status", caught.status(), status::PERMISSION_3);
        t.equal("FAR_EL1", caught.address, address);
    }
    window::unmap(5);
    if let Some(caught) = t.raises("a call", catch(|| provoke::execute(address)), class::INSTRUCTION_ABORT) {
        t.equal("status", caught.status(), status::TRANSLATION | 3);
    }
}

fn alignment(t: &Test) {
    let page = Pages::at(0, 1);
    let caught = catch(|| provoke::load_exclusive(page.address() + 9));
    if let Some(caught) = t.raises("an odd address", caught, class::DATA_ABORT) {
        t.equal("status", caught.status(), status::ALIGNMENT);
        t.equal("FAR_EL1", caught.address, page.address() + 9);
    }
}

fn on_each_cpu(t: &Test) {
    cpus::on_all(|cpu| {
        let address = window::address(16 + cpu);
        let caught = catch(|| _ = provoke::load(address));
        if let Some(caught) = t.raises("nothing is mapped", caught, class::DATA_ABORT) {
            t.equal("FAR_EL1", caught.address, address);
        }
    });
}

fn many(t: &Test) {
    for _ in 0..100 {
        t.raises("UDF", catch(provoke::udf), class::UNKNOWN);
        t.raises("SVC", catch(provoke::svc), class::SVC);
    }
}

fn state_is_kept(t: &Test) {
    // Between two calls of the hypervisor an exception of our own is nobody else's.
    for _ in 0..10 {
        let (_, before) = psci::call_by(psci::conduit(), psci::function::VERSION, [0; 3]);
        t.raises("BRK", catch(provoke::brk), class::BREAKPOINT);
        let (_, after) = psci::call_by(psci::conduit(), psci::function::VERSION, [0; 3]);
        t.check(before.is_none() && after.is_none(), format_args!("{before:x?} {after:x?}"));
    }
}

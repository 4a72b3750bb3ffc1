//! Transcripts of several VMs on one console.

use super::*;

/// A good run of two.
pub const VMS: &str = include_str!("../../../tests/data/vms.txt");

#[test]
fn each_vm_has_its_own_plan_numbers_and_time() {
    let record = exited(VMS);
    assert!(record.breaches.is_empty(), "{:?}", record.breaches);
    assert!(record.faults.is_empty(), "{:?}", record.faults);
    assert_eq!(record.plan, Some(4));
    assert!(record.done());
    let names: Vec<_> = record.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["one.boot", "two.boot", "one.transfer", "two.transfer"]);
    let boot = &record.scenarios[1];
    // A line of its second console that looks like a result is none.
    assert_eq!((boot.status, boot.assertions), (Some(Status::Passed), Some(7)));
    let took = boot.ended.unwrap().since(&boot.began.unwrap(), Clock::Virtual);
    assert_eq!(took, Some(Duration::from_millis(5)));
    assert_eq!(record.scenarios[3].diagnostics, ["4194304 bytes sent and received"]);
}

#[test]
fn milestones_are_of_a_vm() {
    let record = exited(VMS);
    let labels = |stage| -> Vec<_> {
        record.milestones.iter().filter(|m| m.stage == stage).map(|m| m.label.as_str()).collect()
    };
    assert_eq!(labels(Stage::Vmm), ["hypervisor starts (0.1.0)"]);
    assert_eq!(labels(Stage::Vm), ["VM one starts", "VM two starts"]);
    assert_eq!(labels(Stage::Smp), ["one: 2 CPUs up", "two: 2 CPUs up"]);
    assert_eq!(labels(Stage::Off), ["machine is off"]);
}

#[test]
fn a_fault_of_a_vm_is_its_own_scenarios() {
    let cut = VMS.split("n [vm two] [    0.395400]").next().unwrap();
    let oops = "n [vm one] [    0.300000] Internal error: Oops: 0000000096000004 [#1] SMP\n";
    let record = exited(&format!("{cut}{oops}"));
    let fault = record.worst_fault().unwrap();
    assert_eq!((fault.level, fault.scenario.as_deref()), (Level::Linux, Some("one.transfer")));
    assert!(fault.text.starts_with("one: Internal error"), "{}", fault.text);
}

#[test]
fn a_vm_does_not_speak_for_the_hypervisor() {
    let record =
        exited(&format!("n [vm one] [vmm] PANIC: x\nn [vm one] ERROR:   x\nn [vm one] PANIC in EL3\n{VMS}"));
    assert!(record.faults.is_empty(), "{:?}", record.faults);
    let record = exited(&format!("{VMS}n [vmm] PANIC: src/a.rs:1: x\n"));
    assert_eq!(record.worst_fault().map(|fault| fault.level), Some(Level::Vmm));
}

#[test]
fn all_vms_must_be_done() {
    let record = exited(&VMS.replace("n [vm two] [    0.395500] # tantalum: done\n", ""));
    assert!(!record.done());
    let twice = exited(&VMS.replace("n [vm two] [    0.190100] 1..2", "n [vm one] [    0.210150] 1..2"));
    assert!(twice.breaches[0].contains("announced twice"), "{:?}", twice.breaches);
}

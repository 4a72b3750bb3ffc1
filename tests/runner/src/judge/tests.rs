//! Verdicts on transcripts: what goes wrong, at each level, and what is said about it.

use super::*;
use crate::junit::Totals;
use crate::qmp::CpuState;
use crate::session::tests::vms::VMS;
use crate::session::tests::{SUCCESS, exited, feed};
use crate::session::{Console, Exit, Stop};
use std::time::Duration;

const LIST: &str = "\
1 version_negotiation 0.1 x
2 ids 0.1 x
12 chain_cycle_refused planned x
";

fn judged(record: &Record) -> Suite {
    let list = ScenarioList::parse(LIST).unwrap();
    let expect =
        Expectations { list: Some(&list), cpus: 4, normal_world: NormalWorld::Pkvm, clock: Clock::Virtual };
    judge("e2e", record, &expect)
}

fn verdict(record: &Record) -> String {
    let suite = judged(record);
    let verdict = suite.verdict.clone().unwrap();
    assert_eq!(suite.passed, verdict.starts_with("passed: "), "{verdict}");
    assert_eq!(suite.passed, Totals::of(&suite.cases).good(), "{verdict}");
    verdict
}

fn replaced(from: &str, to: &str) -> Record {
    let transcript = SUCCESS.replace(from, to);
    assert_ne!(transcript, SUCCESS, "nothing was replaced");
    exited(&transcript)
}

/// The transcript up to a line that contains the mark, without it.
fn until(mark: &str) -> String {
    let lines: Vec<&str> = SUCCESS.lines().take_while(|line| !line.contains(mark)).collect();
    assert_ne!(lines.len(), SUCCESS.lines().count(), "no line has {mark}");
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn stopped(transcript: &str, stop: Stop, cpus: Vec<CpuState>) -> Record {
    let (session, now) = feed(transcript);
    session.stopped(now, stop, cpus)
}

const SILENT: Stop = Stop::Silent(Duration::from_mins(1));

fn message(suite: &Suite, name: &str) -> String {
    let case = suite.cases.iter().find(|case| case.name == name).unwrap();
    case.outcome.message().unwrap_or_default().to_owned()
}

#[test]
fn a_good_run_passes() {
    let suite = judged(&exited(SUCCESS));
    assert_eq!(suite.verdict.as_deref(), Some("passed: 2 scenarios, 13 assertions, 4 CPUs through pKVM"));
    let names: Vec<_> = suite.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["boot", "version_negotiation", "ids", "plan", "power_off"]);
    assert_eq!(suite.cases[0].time, Some(Duration::from_micros(702_050)));
    assert_eq!(suite.cases[2].number, Some(2));
}

#[test]
fn a_failed_assertion_is_the_verdict() {
    let record = replaced(
        "n [    0.709100] ok 2 - ids",
        "n [    0.709000] # ids: took a while\nn [    0.709050] # ids: discovery.c:31: own id: expected 0x0, got 0x1\nn [    0.709100] not ok 2 - ids",
    );
    assert_eq!(verdict(&record), "FAILED: scenario 2 ids: discovery.c:31: own id: expected 0x0, got 0x1");
    assert_eq!(judged(&record).cases[2].details.len(), 2);
}

#[test]
fn panics_name_their_level_and_place() {
    for (mark, panic, expected) in [
        (
            "BL2: v2",
            "n PANIC at PC : 0x0000000000001234",
            "FAILED: panic in TF-A BL1 (EL3) during boot: PANIC at PC : 0x0000000000001234",
        ),
        (
            "BL1: Booting BL31",
            "n PANIC at PC : 0x000000000e02",
            "FAILED: panic in TF-A BL2 (S-EL1) during boot: PANIC at PC : 0x000000000e02",
        ),
        (
            "[spmc] INFO: Tantalum",
            "n Unhandled Exception in EL3.",
            "FAILED: panic in TF-A BL31 (EL3) during boot: Unhandled Exception in EL3.",
        ),
        (
            "boot complete",
            "s [spmc] PANIC: src/boot.rs:7: no memory",
            "FAILED: panic in the SPMC (S-EL2) during boot: [spmc] PANIC: src/boot.rs:7: no memory",
        ),
        (
            "ok 2 - ids",
            "s [spmc] PANIC: src/a.rs:7: x",
            "FAILED: panic in the SPMC (S-EL2) in scenario 2 ids: [spmc] PANIC: src/a.rs:7: x",
        ),
        (
            "Protected hVHE",
            "n [    0.43] nothing\nn [    0.430000] Kernel panic - not syncing: HYP panic:",
            "FAILED: panic in pKVM (NS-EL2) during boot: Kernel panic - not syncing: HYP panic:",
        ),
        (
            "ok 1 - version",
            "n [    0.704000] Kernel panic - not syncing: x",
            "FAILED: panic in Linux (NS-EL1) in scenario 1 version_negotiation: Kernel panic - not syncing: x",
        ),
        (
            "ok 1 - version",
            "n PANIC in EL3.",
            "FAILED: panic in TF-A BL31 (EL3) in scenario 1 version_negotiation: PANIC in EL3.",
        ),
    ] {
        let record = stopped(&format!("{}{panic}\n", until(mark)), Stop::Fault, Vec::new());
        assert_eq!(verdict(&record), expected);
    }
}

#[test]
fn the_cause_is_named_not_its_consequence() {
    let transcript = format!(
        "{}n [    0.704000] Kernel panic - not syncing: x\ns [spmc] PANIC: a.rs:1: first\nn PANIC in EL3.\n",
        until("ok 2 - ids")
    );
    let record = exited(&transcript);
    assert_eq!(
        verdict(&record),
        "FAILED: panic in the SPMC (S-EL2) in scenario 2 ids: [spmc] PANIC: a.rs:1: first"
    );
}

#[test]
fn scenarios_that_never_ran_are_failures() {
    let record =
        stopped(&format!("{}s [spmc] PANIC: a.rs:1: x\n", until("ok 1 - version")), Stop::Fault, Vec::new());
    let suite = judged(&record);
    assert_eq!(message(&suite, "version_negotiation"), "panic in the SPMC (S-EL2): [spmc] PANIC: a.rs:1: x");
    let why = "not run: panic in the SPMC (S-EL2) in scenario 1 version_negotiation";
    assert_eq!(message(&suite, "ids"), why);
    assert_eq!(message(&suite, "power_off"), why);
    assert_eq!(Totals::of(&suite.cases).to_string(), "1 passed, 4 failed");
}

#[test]
fn an_oops_that_is_survived_still_fails_the_run() {
    let record = replaced(
        "n [    0.704500]",
        "n [    0.704400] Unable to handle kernel NULL pointer dereference at 0\nn [    0.704500]",
    );
    assert_eq!(
        verdict(&record),
        "FAILED: error in Linux (NS-EL1) in scenario 1 version_negotiation: Unable to handle kernel NULL pointer dereference at 0"
    );
    let record =
        replaced("n [    0.720000]", "n [    0.719000] tantalum-init: ERROR: module x: no\nn [    0.720000]");
    assert_eq!(
        verdict(&record),
        "FAILED: error in init (NS-EL0) outside the scenarios: tantalum-init: ERROR: module x: no"
    );
    let record = replaced("n [    0.702000]", "s [spmc] ERROR: partition irq: x\nn [    0.702000]");
    assert_eq!(
        verdict(&record),
        "FAILED: error in the SPMC (S-EL2) during boot: [spmc] ERROR: partition irq: x"
    );
}

#[test]
fn a_hang_names_scenario_milestone_and_cpu() {
    let cpus = vec![
        CpuState { cpu: 0, pc: 0x0e10_1234, el: 2, secure: true },
        CpuState { cpu: 1, pc: 0xffff_8000_0000_1234, el: 1, secure: false },
    ];
    let record = stopped(&until("ok 2 - ids"), SILENT, cpus.clone());
    assert_eq!(
        verdict(&record),
        "FAILED: hang: no output for 60 s in scenario 2 ids; last milestone: first scenario begins; CPU 0 in the SPMC (S-EL2) at pc 0xe101234"
    );
    let record = stopped(&until("ok 2 - ids"), SILENT, cpus[1..].to_vec());
    assert!(verdict(&record).ends_with("; every CPU waits in Linux (NS-EL1)"));
    let record = stopped(&until("ok 2 - ids"), SILENT, Vec::new());
    assert!(verdict(&record).ends_with("; the hanging level is unknown, QEMU did not answer"));
}

#[test]
fn a_hang_in_boot_names_what_came_last() {
    for (mark, expected) in [
        ("NOTICE:  Booting", "last milestone: none; TF-A BL1 (EL3) never spoke"),
        ("BL31: v2", "last milestone: BL2 starts (2.12.1); probably in TF-A BL2 (S-EL1)"),
        ("[sp 8003", "last milestone: partition irq (8002) speaks; probably in the SPMC (S-EL2)"),
        ("userspace is up", "last milestone: pKVM initialised (hVHE); probably in Linux (NS-EL1)"),
    ] {
        let record = stopped(&until(mark), SILENT, Vec::new());
        assert_eq!(verdict(&record), format!("FAILED: hang: no output for 60 s during boot; {expected}"));
    }
    let record = stopped(&until("ERROR:   QEMU System"), SILENT, Vec::new());
    assert!(
        verdict(&record)
            .starts_with("FAILED: hang: no output for 60 s at power-off; last milestone: init powers off")
    );
}

#[test]
fn qemu_going_early_is_a_failure() {
    let (mut session, now) = feed(&until("ok 1 - version"));
    session.line(now, Console::Qemu, "qemu: fatal: lockup");
    let exit = Exit { how: "signal 6".into(), clean: false, reason: None };
    assert_eq!(
        verdict(&session.exited(now, exit)),
        "FAILED: QEMU ended with signal 6 in scenario 1 version_negotiation; last milestone: first scenario begins: qemu: fatal: lockup"
    );
    let record = exited(&until("ok 1 - version"));
    assert!(verdict(&record).starts_with("FAILED: the machine went off (guest-shutdown) in scenario 1 version_negotiation without init's power-off"));
    let record = exited("");
    assert!(verdict(&record).contains("during boot"));
}

#[test]
fn the_plan_must_be_there_and_be_kept() {
    let record = replaced("1..2", "1..3");
    assert_eq!(verdict(&record), "FAILED: plan: the plan says 3 scenarios, 2 gave a result");
    let record = replaced("n [    0.702050] 1..2\n", "");
    assert_eq!(verdict(&record), "FAILED: boot: the test plan was never seen");
    let ok = "n [    0.709100] ok 2 - ids # assertions=5\n";
    let record = replaced(ok, &ok.repeat(2));
    assert_eq!(verdict(&record), "FAILED: plan: ids has result number 2 where 3 was due");
    let record = replaced("# tantalum: done", "");
    assert_eq!(verdict(&record), "FAILED: power_off: the test module never said that it was done");
}

#[test]
fn the_list_must_be_kept() {
    let transcript = SUCCESS.replace("begin ids", "begin other").replace("- ids", "- other");
    let suite = judged(&exited(&transcript));
    assert_eq!(
        suite.verdict.as_deref(),
        Some("FAILED: scenario 2 ids: not run: the test module does not have it")
    );
    assert_eq!(message(&suite, "plan"), "other is not in the scenario list");
    let record = replaced("ok 2 - ids # assertions=5", "ok 2 - ids # SKIP no time");
    assert_eq!(verdict(&record), "FAILED: scenario 2 ids: skipped, but it must pass: no time");
}

#[test]
fn a_pass_without_assertions_is_none() {
    for directive in ["", " # assertions=0"] {
        let record = replaced(" # assertions=5", directive);
        assert!(verdict(&record).starts_with("FAILED: scenario 2 ids: passed without"));
    }
}

#[test]
fn the_machine_must_be_the_right_one() {
    let record = replaced("1 node, 4 CPUs", "1 node, 3 CPUs");
    assert_eq!(verdict(&record), "FAILED: boot: 3 CPUs up instead of 4");
    let record = replaced("Protected hVHE mode", "VHE mode");
    assert_eq!(verdict(&record), "FAILED: boot: pKVM in protected mode was never seen");
}

#[test]
fn an_interrupted_run_says_so() {
    let record = stopped(&until("ok 2 - ids"), Stop::Interrupted, Vec::new());
    assert_eq!(verdict(&record), "FAILED: interrupted in scenario 2 ids");
}

#[test]
fn planned_scenarios_may_run_and_count_when_they_fail() {
    let extra = "n [    0.709200] # begin chain_cycle_refused\nn [    0.709300] not ok 3 - chain_cycle_refused # assertions=1\n";
    let done = "n [    0.710000] # tantalum";
    let record = exited(&SUCCESS.replace("1..2", "1..3").replace(done, &format!("{extra}{done}")));
    assert_eq!(verdict(&record), "FAILED: scenario 12 chain_cycle_refused: failed without saying why");
}

/// A good run of the bare-metal suite.
const BARE_METAL: &str = "\
n NOTICE:  BL1: v2.12.1(release):2.12.1
n NOTICE:  BL2: v2.12.1(release):2.12.1
n NOTICE:  BL31: v2.12.1(release):2.12.1
s [spmc] INFO: Tantalum SPMC 0.1.0 at S-EL2
s [spmc] INFO: boot complete: 3 partitions
n [    0.010000] bl33: starts at NS-EL2, FF-A 1.2
n [    0.020000] bl33: 8 CPUs up
n [    0.020001] KTAP version 1
n [    0.020002] 1..2
n [    0.020003] # begin version_negotiation
n [    0.020004] ok 1 - version_negotiation # assertions=8
n [    0.020005] # begin ids
n [    0.020006] ok 2 - ids # assertions=5
n [    0.020007] # tantalum: done
n [    0.020008] bl33: power off
n PANIC in EL3.
";

fn bare_metal(record: &Record) -> String {
    let list = ScenarioList::parse(LIST).unwrap();
    let normal_world = NormalWorld::BareMetal;
    let expect = Expectations { list: Some(&list), cpus: 8, normal_world, clock: Clock::Virtual };
    judge("bl33", record, &expect).verdict.unwrap()
}

#[test]
fn the_bare_metal_suite_needs_no_linux() {
    assert_eq!(bare_metal(&exited(BARE_METAL)), "passed: 2 scenarios, 13 assertions, 8 CPUs from NS-EL2");
    assert_eq!(bare_metal(&exited(SUCCESS)), "FAILED: boot: the bare-metal suite was never seen");
    assert_eq!(verdict(&exited(BARE_METAL)), "FAILED: boot: Linux was never seen");
}

#[test]
fn the_bare_metal_suite_panics_and_ends_early() {
    let panic = BARE_METAL.replace("ok 2 - ids # assertions=5", "bl33: PANIC: exception 4 at 0x60000000");
    let verdict = bare_metal(&exited(&panic));
    assert!(verdict.starts_with("FAILED: panic in the bare-metal suite in scenario 2 ids"), "{verdict}");
    let early = BARE_METAL.replace("n [    0.020008] bl33: power off\n", "").replace("n PANIC in EL3.\n", "");
    let verdict = bare_metal(&exited(&early));
    assert!(verdict.contains("without the suite's power-off"), "{verdict}");
}

fn judged_vms(record: &Record) -> Suite {
    let list = "1 one.boot 0.4 x\n2 one.transfer 0.4 x\n3 two.boot 0.4 x\n4 two.transfer 0.4 x\n";
    let list = ScenarioList::parse(list).unwrap();
    let expect =
        Expectations { list: Some(&list), cpus: 4, normal_world: NormalWorld::Vmm, clock: Clock::Virtual };
    judge("vms", record, &expect)
}

#[test]
fn vms_are_judged_together() {
    let suite = judged_vms(&exited(VMS));
    let expected = "passed: 4 scenarios, 27 assertions, 4 CPUs under the hypervisor";
    assert_eq!(suite.verdict.as_deref(), Some(expected));
    assert!(suite.passed);
}

#[test]
fn a_vm_that_is_missing_fails_the_run() {
    let only_one: String =
        VMS.lines().filter(|line| !line.contains("[vm two]")).flat_map(|l| [l, "\n"]).collect();
    let suite = judged_vms(&exited(&only_one));
    assert!(!suite.passed);
    assert_eq!(message(&suite, "two.boot"), "not run: the test module does not have it");
    let unfinished = VMS.replace("n [vm two] [    0.395500] # tantalum: done\n", "");
    let suite = judged_vms(&exited(&unfinished));
    assert_eq!(message(&suite, "power_off"), "the test module never said that it was done");
}

#[test]
fn a_hypervisor_that_hangs_is_named() {
    let cut = VMS.split("n [vm two] [    0.395400]").next().unwrap();
    let cpu = CpuState { cpu: 2, pc: 0x6000_1234, el: 2, secure: false };
    let suite = judged_vms(&stopped(cut, SILENT, vec![cpu]));
    let verdict = suite.verdict.unwrap();
    assert!(verdict.ends_with("CPU 2 in the hypervisor (NS-EL2) at pc 0x60001234"), "{verdict}");
}

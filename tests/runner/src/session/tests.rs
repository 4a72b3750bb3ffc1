//! The state machine against transcripts.

pub mod vms;

use super::*;
use crate::faults::Severity;
use crate::milestones::Level;

/// The recorded good run.
pub const SUCCESS: &str = include_str!("../../tests/data/success.txt");

const LIMITS: Limits = Limits { quiet: Duration::from_mins(1), total: Duration::from_mins(15) };

/// Feeds a transcript, a line each 10 ms: `n TEXT` for the normal console, `s TEXT` for the
/// secure one.
///
/// # Panics
///
/// On a line of neither.
pub fn feed(transcript: &str) -> (Session, Duration) {
    let mut session = Session::new(LIMITS);
    let mut now = Duration::ZERO;
    for line in transcript.lines() {
        now += Duration::from_millis(10);
        let (console, text) = match line.split_at(2) {
            ("n ", text) => (Console::Normal, text),
            ("s ", text) => (Console::Secure, text),
            _ => panic!("a transcript's lines begin with n or s: {line}"),
        };
        session.line(now, console, text);
    }
    (session, now)
}

/// A record that ends with QEMU's own exit.
pub fn exited(transcript: &str) -> Record {
    let (session, now) = feed(transcript);
    let reason = Some("guest-shutdown".to_owned());
    session.exited(now, Exit { how: "status 0".into(), clean: true, reason })
}

#[test]
fn a_good_run_is_recorded_whole() {
    let record = exited(SUCCESS);
    assert_eq!(record.plan, Some(2));
    assert!(record.faults.is_empty(), "{:?}", record.faults);
    assert!(record.breaches.is_empty(), "{:?}", record.breaches);
    let names: Vec<_> = record.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["version_negotiation", "ids"]);
    assert_eq!(record.scenarios[0].diagnostics, ["agreed on 1.1"]);
    let took = record.scenarios[1].ended.unwrap().since(&record.scenarios[1].began.unwrap(), Clock::Virtual);
    assert_eq!(took, Some(Duration::from_millis(4)));
    assert_eq!(record.milestones.iter().filter(|m| m.stage == Stage::Partition).count(), 3);
    for stage in
        [Stage::Bl1, Stage::SpmcReady, Stage::Smp, Stage::Pkvm, Stage::FfaDriver, Stage::Done, Stage::Off]
    {
        assert!(record.milestone(stage).is_some(), "{stage:?}");
    }
}

#[test]
fn secure_lines_never_get_a_guest_time() {
    let record = exited(SUCCESS);
    assert!(record.log.iter().filter(|l| l.console == Console::Secure).all(|l| l.stamp.guest.is_none()));
    // Lines without a stamp after the kernel's have the last time that was printed.
    assert_eq!(record.log.last().and_then(|l| l.stamp.guest), Some(Duration::from_millis(721)));
}

#[test]
fn silence_is_a_hang_only_after_the_limit() {
    let (session, now) = feed(SUCCESS);
    assert_eq!(session.overdue(now + Duration::from_secs(59)), None);
    assert_eq!(session.overdue(now + Duration::from_mins(1)), Some(Stop::Silent(LIMITS.quiet)));
}

#[test]
fn bytes_without_a_newline_are_a_sign_of_life() {
    let (mut session, now) = feed(SUCCESS);
    session.heard(now + Duration::from_secs(50));
    assert_eq!(session.overdue(now + Duration::from_secs(100)), None);
}

#[test]
fn endless_output_ends_at_the_total_limit() {
    let mut session = Session::new(LIMITS);
    session.line(LIMITS.total, Console::Normal, "again");
    assert_eq!(session.overdue(LIMITS.total), Some(Stop::TooLong(LIMITS.total)));
}

#[test]
fn a_panic_ends_the_run_once_it_has_spoken() {
    let mut session = Session::new(LIMITS);
    let at = Duration::from_secs(1);
    session.line(at, Console::Secure, "[spmc] PANIC: src/a.rs:1: x");
    assert_eq!(session.overdue(at), None);
    assert_eq!(session.overdue(at + Duration::from_secs(1)), Some(Stop::Fault));
    // Also when it never stops talking.
    session.line(at + Duration::from_secs(10), Console::Secure, "more");
    assert_eq!(session.overdue(at + Duration::from_secs(10)), Some(Stop::Fault));
}

#[test]
fn an_error_may_be_survived() {
    let mut session = Session::new(LIMITS);
    session.line(Duration::from_secs(1), Console::Normal, "[    0.1] x");
    session.line(Duration::from_secs(1), Console::Normal, "[    0.100000] BUG: sleeping function");
    assert_eq!(session.overdue(Duration::from_secs(15)), None);
    assert_eq!(session.overdue(Duration::from_secs(16)), Some(Stop::Fault));
}

#[test]
fn faults_know_the_scenario() {
    let cut = SUCCESS.split("n [    0.709100]").next().unwrap();
    let record = exited(&format!("{cut}s [spmc] PANIC: src/a.rs:1: x\n"));
    let fault = record.worst_fault().unwrap();
    assert_eq!((fault.level, fault.severity), (Level::Spmc, Severity::Panic));
    assert_eq!(fault.scenario.as_deref(), Some("ids"));
}

#[test]
fn protocol_breaches_are_noted() {
    let breach = |from: &str, to: &str| {
        let transcript = SUCCESS.replace(from, to);
        assert_ne!(transcript, SUCCESS, "nothing was replaced");
        exited(&transcript).breaches
    };
    let ok = "n [    0.709100] ok 2 - ids # assertions=5\n";
    assert_eq!(
        breach(ok, &ok.repeat(2)),
        ["ids has result number 2 where 3 was due", "ids gave two results"]
    );
    assert_eq!(breach("ok 2 - ids", "ok 3 - ids"), ["ids has result number 3 where 2 was due"]);
    assert_eq!(breach("n [    0.705100] # begin ids\n", ""), ["ids gave a result without having begun"]);
    let plan = "n [    0.702050] 1..2\n";
    assert!(breach(plan, &plan.repeat(2))[0].contains("announced twice"));
    let first = "n [    0.705000] ok 1 - version_negotiation # assertions=8\n";
    assert!(breach(first, "")[0].contains("ids began before version_negotiation gave its result"));
}

#[test]
fn the_worse_of_two_results_stands() {
    let ok = "n [    0.709100] ok 2 - ids # assertions=5\n";
    let not_ok = "n [    0.709200] not ok 2 - ids # assertions=5\n";
    for both in [format!("{ok}{not_ok}"), format!("{not_ok}{ok}")] {
        let record = exited(&SUCCESS.replace(ok, &both));
        assert_eq!(record.scenarios[1].status, Some(Status::Failed));
    }
}

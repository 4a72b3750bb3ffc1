//! The trace on its way from the machine's memory into the reports.

use crate::support::{Bench, ran, runner, success};
use std::path::Path;
use std::process::Command;

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn record() -> String {
    format!("record '{}'", data("trace.bin"))
}

#[test]
fn a_traced_run_leaves_its_trace_and_a_chart_of_it() {
    let bench = Bench::new();
    bench.qemu(&format!("{}\n{}", record(), bench.transcript(&success())));
    let ran = bench.run(&["--trace"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(bench.report("trace.txt"), std::fs::read_to_string(data("trace.txt")).unwrap());
    let page = bench.report("report.html");
    assert!(page.contains("by its own record: 38 records of 1 CPU."), "{page}");
    assert!(page.contains("<b>normal</b><b>SPMC</b><b>echo</b><b>relay</b>"));
    assert_eq!(page.matches("<li class=\"cpu0 ").count(), 38);
    // Linux is told to keep off the rings.
    assert!(page.contains(" mem=2040M"));

    // From the report alone, as a program of its own.
    let mut command = runner();
    let again = crate::support::ran(&command.arg("trace").arg(bench.path("out")).output().unwrap());
    assert_eq!(again.stdout, bench.report("trace.txt"), "{}", again.stderr);
}

#[test]
fn a_run_without_the_option_is_as_it_was() {
    let bench = Bench::new();
    bench.qemu(&format!("test -z \"$memory\" || exit 3\n{}", bench.transcript(&success())));
    let ran = bench.run(&[]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    let page = bench.report("report.html");
    assert!(!page.contains("id=\"trace\"") && !page.contains("mem="));
    assert!(!bench.path("out/trace.bin").exists());
}

#[test]
fn a_machine_that_hangs_leaves_its_trace() {
    let bench = Bench::new();
    bench.qemu(&format!("{}; exec sleep 600", record()));
    let ran = bench.run(&["--trace", "--quiet-limit", "1"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.verdict().starts_with("FAILED: hang"), "{}", ran.verdict());
    assert!(bench.report("trace.txt").ends_with("CPU halts\n"));
}

#[test]
fn a_qemu_that_crashes_leaves_its_trace() {
    let bench = Bench::new();
    bench.qemu(&format!("{}; kill -9 $$", record()));
    let ran = bench.run(&["--trace"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.verdict().contains("signal 9"), "{}", ran.verdict());
    assert!(bench.report("trace.txt").ends_with("CPU halts\n"));
}

#[test]
fn an_image_that_does_not_record_is_said_not_to() {
    let bench = Bench::new();
    bench.qemu(&bench.transcript(&success()));
    let ran = bench.run(&["--trace"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("no trace: there is no trace in it"), "{}", ran.stdout);
    assert!(!bench.path("out/trace.txt").exists());
}

#[test]
fn a_run_can_be_made_for_its_trace() {
    let bench = Bench::new();
    bench.qemu(&format!("{}\n{}", record(), bench.transcript(&success())));
    let mut command: Command = bench.command(&["trace", "run"]);
    let ran = ran(&command.args(["--last", "1"]).output().unwrap());
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    let text = std::fs::read_to_string(data("trace.txt")).unwrap();
    assert_eq!(ran.stdout.lines().last(), text.lines().last());
    assert!(ran.stdout.contains("\n# 37 of these are not shown\n"), "{}", ran.stdout);
    assert!(Path::new(&bench.path("out/junit.xml")).exists());
}

#[test]
fn a_run_without_a_trace_is_not_what_was_asked_for() {
    let bench = Bench::new();
    bench.qemu(&bench.transcript(&success()));
    assert_eq!(ran(&bench.command(&["trace", "run"]).output().unwrap()).status, Some(1));
}

//! How the runner deals with QEMU as a process, with a shell script in QEMU's place.

use crate::support::{Bench, ran, success};
use std::time::{Duration, Instant};

#[test]
fn a_good_run_ends_well_and_leaves_its_reports() {
    let bench = Bench::new();
    bench.qemu(&bench.transcript(&success()));
    let ran = bench.run(&[]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.verdict(), "passed: 2 scenarios, 13 assertions, 4 CPUs through pKVM");
    assert_eq!(ran.totals(), "5 passed, 0 failed");
    assert!(!ran.stdout.contains('\u{1b}'), "colour without a terminal");
    assert!(
        bench
            .report("junit.xml")
            .contains("<testcase classname=\"e2e\" name=\"ids\" assertions=\"5\" time=\"0.004000\">")
    );
    assert!(bench.report("report.html").contains("QEMU 10.0.2"));
    let log = bench.report("console.log");
    assert!(log.contains("normal | NOTICE:  BL2: v2.12.1(release):2.12.1\n"));
    assert!(log.contains("secure | [sp 8003 relay] ready\n"));
}

#[test]
fn virtual_times_make_reports_repeat() {
    let reports = || {
        let bench = Bench::new();
        bench.qemu(&bench.transcript(&success()));
        assert_eq!(bench.run(&["--accel", "icount", "--name", "again"]).status, Some(0));
        // The folder of the image is the one thing that differs between these two benches.
        let dir = bench.dir.display().to_string();
        ["junit.xml", "report.html", "console.log"].map(|name| bench.report(name).replace(&dir, "DIR"))
    };
    assert_eq!(reports(), reports());
}

#[test]
fn runs_repeat_until_one_fails() {
    let bench = Bench::new();
    let play = bench.transcript(&success());
    let counts = bench.path("counts");
    let runs = || std::fs::read_to_string(&counts).unwrap().lines().count();
    let count = format!("echo >> '{}'", counts.display());
    bench.qemu(&format!("{count}; {play}"));
    let good = bench.run(&["--repeat", "3"]);
    assert_eq!((good.status, runs()), (Some(0), 3), "{}{}", good.stdout, good.stderr);
    assert!(good.stdout.contains("run 3 of 3\n"));

    std::fs::remove_file(&counts).unwrap();
    bench.qemu(&format!("{count}; if [ $(wc -l < '{}') = 2 ]; then exit 3; fi; {play}", counts.display()));
    let bad = bench.run(&["--repeat", "4"]);
    assert_eq!((bad.status, runs()), (Some(1), 2), "{}{}", bad.stdout, bad.stderr);
    assert_eq!(bad.totals(), "0 passed, 5 failed");
    assert!(bench.report("junit.xml").contains("QEMU ended with status 3"));
}

#[test]
fn qemu_that_exits_early_is_a_failure() {
    let bench = Bench::new();
    bench.qemu("echo 'qemu: could not load flash' >&2; exit 3");
    let ran = bench.run(&[]);
    assert_eq!(ran.status, Some(1));
    assert_eq!(
        ran.verdict(),
        "FAILED: QEMU ended with status 3 during boot; last milestone: none: qemu: could not load flash"
    );
    assert_eq!(ran.totals(), "0 passed, 5 failed");
}

#[test]
fn a_hanging_qemu_is_killed() {
    let bench = Bench::new();
    let cut = success().split("n [    0.709100]").next().unwrap().to_owned();
    bench.qemu(&format!("{}; exec sleep 600", bench.transcript(&cut)));
    let began = Instant::now();
    let ran = bench.run(&["--quiet-limit", "1"]);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.verdict().starts_with("FAILED: hang: no output for 1 s in scenario 2 ids; last milestone: "),
        "{}",
        ran.verdict()
    );
    assert!(ran.stdout.contains("last lines of the secure console:\n"));
    assert!(began.elapsed() < Duration::from_mins(1));
}

#[test]
fn the_hanging_cpu_is_named() {
    let bench = Bench::new();
    let answer = r#"{"return": "\r\nCPU#0\r\n PC=000000000e101234 X00=0\r\nPSTATE=600003c9 -ZC- S EL2h\r\nFILL", "id": "registers"}"#;
    // Real answers are longer than any console line may be.
    let answer = answer.replace("FILL", &"V00=0000000000000000:0000000000000000 ".repeat(500));
    bench.qemu(&format!(
        "while read -r command; do case $command in *registers*) printf '%s\\n' '{answer}' ;; esac; done"
    ));
    let ran = bench.run(&["--quiet-limit", "1"]);
    assert!(ran.verdict().ends_with("; CPU 0 in the SPMC (S-EL2) at pc 0xe101234"), "{}", ran.verdict());
}

#[test]
fn endless_output_is_ended() {
    let bench = Bench::new();
    bench.qemu("while :; do echo again >&3; sleep 0.1; done");
    let ran = bench.run(&["--limit", "2"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.verdict().starts_with("FAILED: hang: not done after 2 s during boot"), "{}", ran.verdict());
}

#[test]
fn odd_bytes_and_a_missing_newline_do_no_harm() {
    let bench = Bench::new();
    let script = format!(
        "printf 'noise \\377\\376\\000\\033[2J here\\n' >&3; {}; sleep 0.3; printf '[spmc] PANIC: a.rs:1: last words' >&4",
        bench.transcript(&success())
    );
    bench.qemu(&script);
    let ran = bench.run(&[]);
    assert_eq!(
        ran.verdict(),
        "FAILED: panic in the SPMC (S-EL2) outside the scenarios: [spmc] PANIC: a.rs:1: last words"
    );
    let log = bench.report("console.log");
    assert!(log.contains("normal | noise \u{fffd}\u{fffd} here\n"), "{log}");
    runner::junit::read(&bench.report("junit.xml")).unwrap();
}

#[test]
fn an_interrupt_ends_qemu_and_still_reports() {
    let bench = Bench::new();
    bench.qemu("echo NOTICE: >&3; exec sleep 600");
    let child = bench.command(&["run"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    // The shell's own kill: not every machine has it as a program.
    let kill = format!("kill -TERM {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let ran = ran(&child.wait_with_output().unwrap());
    assert_eq!(ran.verdict(), "FAILED: interrupted during boot");
    assert!(bench.report("junit.xml").contains("interrupted during boot"));
}

#[test]
fn expected_failures_pass_only_when_they_are_the_expected_ones() {
    let bench = Bench::new();
    let bad = success().replace("ok 2 - ids", "not ok 2 - ids");
    bench.qemu(&bench.transcript(&bad));
    let check = |pattern: &str| {
        let words = ["expect-failure", "--verdict", pattern, "run"];
        ran(&bench.command(&words).output().unwrap())
    };
    let caught = check("FAILED: scenario 2 ids: *");
    assert_eq!(caught.status, Some(0), "{}", caught.stdout);
    assert_eq!(caught.totals(), "1 passed, 0 failed");
    assert!(bench.path("out/run/report.html").exists());
    let other = check("FAILED: panic in *");
    assert_eq!(other.status, Some(1));
    assert_eq!(other.totals(), "0 passed, 1 failed");
    bench.qemu(&bench.transcript(&success()));
    assert_eq!(check("*").status, Some(1));
}

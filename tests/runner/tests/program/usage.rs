//! Bad input gets one clear message and status 2; the small commands do what they say.

use crate::support::{Bench, Ran, ran, runner, success};
use std::fs;

fn refused(ran: &Ran, message: &str) {
    assert_eq!(ran.status, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn bad_images_are_refused() {
    let bench = Bench::new();
    bench.qemu("");
    fs::write(bench.path("image/Image"), "changed").unwrap();
    refused(&bench.run(&[]), "/Image is not the file that manifest.json names");
    fs::remove_file(bench.path("image/Image")).unwrap();
    refused(&bench.run(&[]), "/Image: No such file or directory (os error 2); the image is incomplete");
    fs::write(bench.path("image/manifest.json"), "{}").unwrap();
    refused(&bench.run(&[]), "manifest.json does not name flash.bin");
    fs::write(bench.path("image/manifest.json"), "oh").unwrap();
    refused(&bench.run(&[]), "is not a manifest");
    refused(&bench.run(&["--image", "/nowhere"]), "/nowhere is not a folder");
}

#[test]
fn an_image_is_of_one_kind() {
    let bench = Bench::new();
    bench.qemu("");
    refused(&bench.run(&["--bare-metal"]), "manifest.json does not name bl33.bin");
    refused(&bench.run(&["--vmm"]), "manifest.json does not name manifest.dtb");
    refused(&bench.run(&["--fullstack"]), "manifest.json does not name manifest.dtb");
}

#[test]
fn a_missing_qemu_is_said() {
    let bench = Bench::new();
    refused(&bench.run(&["--qemu", "/nowhere/qemu"]), "give --qemu the path of qemu-system-aarch64");
}

#[test]
fn an_output_that_cannot_be_written_is_said_before_the_run() {
    let bench = Bench::new();
    bench.qemu("");
    refused(&bench.run(&["--out", "/proc/nowhere"]), "cannot write to /proc/nowhere");
}

#[test]
fn bad_options_are_said() {
    let bench = Bench::new();
    for (options, message) in [
        (&["--accel", "kvm"][..], "it is single, multi or icount"),
        (&["--times", "mine"], "it is host or virtual"),
        (&["--cpus", "0"], "it is a number from 1 to 512"),
        (&["--repeat", "0"], "it is a number from 1 to 1000000"),
        (&["--nonsense"], "--nonsense"),
        (&["--vmm", "--only", "ids"], "--only: a VM runs the jobs that its command line names"),
        (&["--expect", "/nowhere"], "cannot read the scenario list /nowhere"),
    ] {
        refused(&bench.run(options), message);
    }
    refused(&ran(&runner().output().unwrap()), "which command?");
    refused(&ran(&runner().arg("jump").output().unwrap()), "there is no command jump");
    let twice = ["expect-failure", "--verdict", "x", "run", "--repeat", "2"];
    refused(&ran(&runner().args(twice).output().unwrap()), "--repeat");
    refused(&ran(&runner().args(["expect-failure", "run"]).output().unwrap()), "unexpected argument \"run\"");
}

#[test]
fn help_is_given_anywhere() {
    for words in [&["--help"][..], &["help"], &["run", "--image", "x", "-h"]] {
        let help = ran(&runner().args(words).output().unwrap());
        assert_eq!(help.status, Some(0));
        assert!(help.stdout.contains("runner run --image DIR"));
    }
}

#[test]
fn sum_counts_what_is_missing_as_failed() {
    let bench = Bench::new();
    bench.qemu(&bench.transcript(&success()));
    assert_eq!(bench.run(&[]).status, Some(0));
    let junit = bench.path("out/junit.xml");
    let good = ran(&runner().arg("sum").arg(&junit).arg(&junit).output().unwrap());
    assert_eq!((good.status, good.totals()), (Some(0), "10 passed, 0 failed"));
    fs::write(bench.path("empty.xml"), "<testsuite name=\"x\"></testsuite>").unwrap();
    for bad in ["empty.xml", "missing.xml"] {
        let sum = ran(&runner().arg("sum").arg(&junit).arg(bench.path(bad)).output().unwrap());
        assert_eq!((sum.status, sum.totals()), (Some(1), "5 passed, 1 failed"));
        assert!(sum.stderr.contains(bad));
    }
}

#[test]
fn show_prints_the_table_of_a_report() {
    let bench = Bench::new();
    bench.qemu(&bench.transcript(&success()));
    let run = bench.run(&[]);
    let shown = ran(&runner().arg("show").arg(bench.path("out")).output().unwrap());
    assert_eq!(shown.status, Some(0));
    assert!(run.stdout.ends_with(&shown.stdout), "{}\n{}", run.stdout, shown.stdout);
}

#[test]
fn libtest_output_becomes_a_file() {
    let bench = Bench::new();
    let convert = |text: &str| {
        fs::write(bench.path("output.txt"), text).unwrap();
        let input = fs::File::open(bench.path("output.txt")).unwrap();
        let out = bench.path("unit.xml");
        ran(&runner().args(["libtest", "--name", "unit", "--out"]).arg(out).stdin(input).output().unwrap())
    };
    let good = convert(
        "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n",
    );
    assert_eq!((good.status, good.totals()), (Some(0), "unit: 1 passed, 0 failed"));
    assert_eq!(convert("").status, Some(1));
    let sum = ran(&runner().arg("sum").arg(bench.path("unit.xml")).output().unwrap());
    assert_eq!((sum.status, sum.totals()), (Some(1), "0 passed, 1 failed"));
}

#[test]
fn options_of_the_trace_are_checked() {
    let bench = Bench::new();
    bench.qemu("");
    refused(&bench.run(&["--trace", "--memory", "1G"]), "--memory must be that");
    refused(&bench.run(&["--last", "5"]), "--last");
    refused(&bench.run(&["--only", "nothing"]), "--only nothing: the scenario list does not have it");
    refused(&bench.run(&["--only", "ids", "--bare-metal"]), "the bare-metal suite runs all its cases");
    let trace = |words: &[&str]| ran(&runner().arg("trace").args(words).output().unwrap());
    refused(&trace(&[]), "trace needs a report");
    refused(&trace(&["/nowhere"]), "cannot read the trace /nowhere");
    refused(&trace(&["/nowhere", "--last", "0"]), "--last 0: it is a number from 1");
}

#[test]
fn the_named_scenarios_alone_are_expected() {
    let bench = Bench::new();
    let one: Vec<_> =
        success().lines().filter(|line| !line.contains("version_neg")).map(str::to_owned).collect();
    let one = one.join("\n").replace("1..2", "1..1").replace("ok 2 - ids", "ok 1 - ids");
    bench.qemu(&bench.transcript(&format!("{one}\n")));
    let ran = bench.run(&["--only", "ids"]);
    assert_eq!(ran.verdict(), "passed: 1 scenarios, 5 assertions, 4 CPUs through pKVM", "{}", ran.stderr);
    assert!(bench.report("report.html").contains("tantalum.scenarios=ids"));
}

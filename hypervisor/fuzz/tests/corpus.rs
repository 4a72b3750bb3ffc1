//! Every input that was kept, and as many changes of them as a fixed seed makes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use tantalum_fuzz::{Fuzzer, TARGETS, Target, corpus_of};

/// Counts the changed inputs for a target that is a function, and for one that is a run of the SPMC.
const CHEAP: usize = 20_000;
const DEAR: usize = 150;
/// The same for one that is a driver.
const DRIVER: usize = 2000;

fn run(name: &str, count: usize) {
    let target: &'static Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut paths: Vec<_> =
        std::fs::read_dir(corpus_of(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no corpus");
    let inputs = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut fuzzer = Fuzzer::new(target, inputs, 1);
    for _ in 0..count {
        fuzzer.step();
    }
}

macro_rules! corpora {
    ($($test:ident $name:literal $count:expr;)*) => {
        $(
            #[test]
            fn $test() {
                run($name, $count);
            }
        )*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), [$($name),*]);
        }
    };
}

corpora! {
    registers "registers" CHEAP;
    descriptors "descriptors" CHEAP;
    messages "messages" CHEAP;
    package "package" CHEAP;
    boot_info "boot-info" CHEAP;
    spmc_manifest "spmc-manifest" CHEAP;
    partition_manifest "partition-manifest" CHEAP;
    calls "calls" DEAR;
    interrupts "interrupts" DEAR;
    virtio_blk "virtio-blk" DRIVER;
    virtio_net "virtio-net" DRIVER;
    virtio_console "virtio-console" DRIVER;
    virtio_rng "virtio-rng" DRIVER;
}

#[test]
fn a_target_fails_where_a_property_does_not_hold() {
    static WRONG: Target = Target {
        name: "wrong",
        about: "fails when it is given a byte",
        limit: 4,
        run: |bytes| assert!(bytes.is_empty(), "it was given a byte"),
        seeds: || vec![vec![]],
    };
    let found = std::panic::catch_unwind(|| {
        let mut fuzzer = Fuzzer::new(&WRONG, Vec::new(), 1);
        for _ in 0..100 {
            fuzzer.step();
        }
    });
    assert!(found.is_err());
}

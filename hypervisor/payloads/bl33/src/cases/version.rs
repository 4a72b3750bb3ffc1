//! FFA_VERSION. Up to `version_is_frozen`, these make no other call.

use tantalum_ffa::{Call, Version};

use crate::machine::cpus;
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    version_reserved_bit,
    version_other_major,
    version_newer_minor,
    version_older_minors,
    version_settles,
    version_is_frozen,
    version_is_frozen_everywhere,
];

const NEWEST: Version = Version::V1_2;

/// Asks for a version and returns x0.
#[track_caller]
fn ask(t: &Test, requested: u32) -> u64 {
    let answer = t.call(&Call::Version { requested });
    t.nothing_behind(&answer, 4);
    answer.0[0]
}

/// Asserts that a version is refused, in all 64 bits or in the 32 that the call has.
#[track_caller]
fn refused(t: &Test, requested: u32) {
    let answer = ask(t, requested);
    t.check(
        answer == u64::MAX || answer == 0xffff_ffff,
        format_args!("version {requested:#x}: expected NOT_SUPPORTED, got {answer:#x}"),
    );
}

fn version_reserved_bit(t: &Test) {
    for requested in [0x8000_0000, 0x8001_0000, 0x8001_0001, 0x8001_0002, 0xffff_ffff] {
        refused(t, requested);
    }
}

fn version_other_major(t: &Test) {
    for requested in [0, 0x0000_0001, 0x0000_ffff, 0x0002_0000, 0x0002_0001, 0x7fff_0000, 0x7fff_ffff] {
        refused(t, requested);
    }
}

/// Who asks for more than there is learns what there is.
fn version_newer_minor(t: &Test) {
    for minor in [3, 4, 0x7fff, 0xffff] {
        t.equal("version", ask(t, Version { major: 1, minor }.to_raw()), NEWEST.to_raw().into());
    }
}

/// Who asks for less learns what there is, and is served as what it asked for.
fn version_older_minors(t: &Test) {
    for version in [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_0] {
        t.equal("version", ask(t, version.to_raw()), NEWEST.to_raw().into());
    }
}

/// The last version that was asked for counts: what other cases see of it shows that.
fn version_settles(t: &Test) {
    t.equal("version", ask(t, t.version().to_raw()), NEWEST.to_raw().into());
    refused(t, 0x0002_0000);
    t.all_is_well();
}

/// After the first other call, no other version is taken.
fn version_is_frozen(t: &Test) {
    t.all_is_well();
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        if version == t.version() {
            t.equal("version", ask(t, version.to_raw()), NEWEST.to_raw().into());
        } else {
            refused(t, version.to_raw());
        }
    }
    t.all_is_well();
}

/// The version is the endpoint's, not the CPU's.
fn version_is_frozen_everywhere(t: &Test) {
    cpus::on_all(|_| {
        let other = if t.version() == Version::V1_0 { Version::V1_1 } else { Version::V1_0 };
        refused(t, other.to_raw());
        t.all_is_well();
    });
}

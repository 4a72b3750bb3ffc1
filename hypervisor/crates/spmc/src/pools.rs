//! How large the pools of the SPMC are, which are all that it will ever have: nothing is allocated.
//!
//! `pools.txt` beside `src` says, for numbers of partitions, the bytes of each pool, for whoever looks at the image:
//! a field is no symbol of an ELF. The check `lint` prints it and holds the whole against the symbol. For another number
//! `TANTALUM_PARTITIONS=N cargo test -p tantalum-spmc --lib pools` says what has to be added.

extern crate std;

use std::fmt::Write;
use std::string::String;
use std::vec::Vec;

use tantalum_types::MAX_PARTITIONS;

use crate::partition;
use crate::spmc::Spmc;

/// Adds up pools of which there is one in each partition.
fn each(bytes: usize) -> usize {
    bytes * MAX_PARTITIONS
}

#[test]
fn pools_are_as_large_as_is_written_down() {
    let mut pools = Vec::new();
    let parts = partition::sizes();
    pools.extend(parts.iter().map(|(name, bytes)| (*name, each(*bytes))));
    let named = parts.iter().map(|(_, bytes)| bytes).sum::<usize>();
    pools.push(("manifests, packages and lives of partitions", each(partition::SIZE - named)));
    let own = crate::spmc::sizes();
    pools.extend(own);
    let whole = size_of::<Spmc>();
    let rest = whole - pools.iter().map(|(_, bytes)| bytes).sum::<usize>();
    pools.push(("rest", rest));
    pools.push(("whole", whole));
    let mut text = String::new();
    for (name, bytes) in pools {
        writeln!(text, "{MAX_PARTITIONS} {bytes:6} {name}").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pools.txt");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written.contains(&text), "{path} has to have:\n{text}");
}

//! The memory that the machine's own device tree tells of.

// What goes wrong in a helper has to stop the test there.
#![allow(clippy::unwrap_used)]

use tantalum_manifest::{ManifestError, machine_memory};
use tantalum_sim::dtb::Node;
use tantalum_types::{Pa, PageRange};

const FIRST: Pa = Pa::non_secure(0x4000_0000);

/// Builds the tree of a board with memory at each of these addresses, of these sizes in MiB.
fn board(memories: &[(u32, u32)]) -> Node {
    let mut root = Node::new("").with("compatible", "linux,dummy-virt");
    root.add(Node::new("chosen").with("bootargs", "quiet"));
    for (address, size) in memories {
        let name = format!("memory@{address:x}");
        root.add(Node::new(&name).with("device_type", "memory").with("reg", [0, *address, 0, size << 20]));
    }
    root
}

fn memory(tree: &Node) -> Result<PageRange<Pa>, ManifestError> {
    machine_memory(&tree.to_blob(), FIRST)
}

#[test]
fn finds_the_memory_that_holds_an_address() {
    let expected = PageRange::from_size(FIRST, 0x4000_0000).unwrap();
    assert_eq!(memory(&board(&[(0x4000_0000, 0x400)])).unwrap(), expected);
    assert_eq!(memory(&board(&[(0x1000_0000, 0x10), (0x4000_0000, 0x400)])).unwrap(), expected);
}

#[test]
fn says_that_there_is_no_such_memory() {
    for tree in [board(&[]), board(&[(0x8000_0000, 0x400)]), board(&[(0x3ff0_0000, 0x1)])] {
        assert!(matches!(memory(&tree), Err(ManifestError::MissingNode(_))));
    }
}

#[test]
fn says_what_is_wrong_with_it() {
    let mut tree = board(&[(0x4000_0000, 0x400)]);
    tree.at("memory@40000000").set("reg", [0x4000_0000_u32, 0x4000_0000]);
    assert!(matches!(memory(&tree), Err(ManifestError::BadValue { field: "reg", .. })));
    tree.at("memory@40000000").set("reg", [0, 0x4000_0000_u32, 0, 0x123]);
    assert!(matches!(memory(&tree), Err(ManifestError::BadRange { field: "reg", .. })));
    assert!(matches!(machine_memory(&[0; 64], FIRST), Err(ManifestError::NotADeviceTree(_))));
}

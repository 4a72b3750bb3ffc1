//! Manifests of virtual machines that are right, and one test for each way in which they can be wrong.

// What goes wrong in a helper has to stop the test there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use proptest::prelude::*;
use tantalum_manifest::{BlockBackend, FileRange, PortLimit, VirtioDevice, VmsManifest};
use tantalum_sim::dtb::{Flag, Node};
use tantalum_types::{Address, Pa};

const POOL: u64 = 0x8000_0000;
const MIB: u64 = 0x10_0000;

fn vm(name: &str) -> Node {
    Node::new(name)
        .with("compatible", "tantalum,vm")
        .with("cpus", [0_u32, 1])
        .with("memory-size", 128 * MIB)
        .with("kernel", [0x6200_0000_u64, 0x65_4321])
}

fn network(port: u32, last: u8) -> Node {
    Node::new("net")
        .with("compatible", "tantalum,net")
        .with("port", port)
        .with("mac", vec![2, 0, 0, 0, 0, last])
}

fn block(ram: [u64; 2]) -> Node {
    Node::new("blk").with("compatible", "tantalum,blk").with("ram", ram)
}

fn root(vms: impl IntoIterator<Item = Node>) -> Node {
    let mut root = Node::new("");
    root.set("compatible", "tantalum,vms");
    root.set("memory-pool", [POOL, 1024 * MIB]);
    vms.into_iter().for_each(|vm| root.add(vm));
    root
}

fn good(root: &Node) -> VmsManifest {
    VmsManifest::parse(&root.to_blob()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(root: &Node, parts: &[&str]) {
    match VmsManifest::parse(&root.to_blob()) {
        Ok(manifest) => panic!("accepted: {manifest:?}"),
        Err(error) => {
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "\"{message}\" does not say \"{part}\"");
            }
        }
    }
}

/// Checks what is said about a virtual machine after `edit`.
#[track_caller]
fn bad(edit: impl FnOnce(&mut Node), parts: &[&str]) {
    let mut node = vm("one");
    edit(&mut node);
    refused(&root([node]), parts);
}

#[test]
fn reads_everything_there_is() {
    let mut one = vm("one")
        .with("initramfs", [0x6400_0000_u64, 77])
        .with("bootargs", "console=ttyAMA0")
        .with("terminal", Flag)
        .with_node(block([0x6600_0000, 0x4000]).with("read-only", Flag))
        .with_node(network(3, 1).with("limit", [1_u32, 1518]));
    one.add(Node::new("hvc").with("compatible", "tantalum,console"));
    one.add(Node::new("rng").with("compatible", "tantalum,rng"));
    let disk = Node::new("disk").with("compatible", "tantalum,blk").with("disk", 2_u32);
    let two = vm("two").with("memory-size", 2 * MIB).with("cpus", 7_u32).with_node(disk);
    let manifest = good(&root([one, two]));
    let [one, two] = manifest.vms.as_slice() else { panic!("{manifest:?}") };
    assert_eq!((one.name.as_str(), one.terminal, two.terminal), ("one", true, false));
    assert_eq!(one.kernel, FileRange { start: Pa::non_secure(0x6200_0000), size: 0x65_4321 });
    assert_eq!(one.initramfs.unwrap().end(), 0x6400_0000 + 77);
    assert_eq!(one.bootargs, "console=ttyAMA0");
    assert_eq!(one.cpus.iter().map(|cpu| cpu.get()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((one.memory.start().raw(), one.memory.size()), (POOL, 128 * MIB));
    assert_eq!((two.memory.start().raw(), two.memory.end()), (POOL + 128 * MIB, POOL + 130 * MIB));
    let ram = FileRange { start: Pa::non_secure(0x6600_0000), size: 0x4000 };
    assert_eq!(
        one.devices.as_slice(),
        [
            VirtioDevice::Block { backend: BlockBackend::Ram(ram), read_only: true },
            VirtioDevice::Network {
                port: 3,
                mac: [2, 0, 0, 0, 0, 1],
                limit: Some(PortLimit { frames: 1, bytes: 1518 })
            },
            VirtioDevice::Console,
            VirtioDevice::Entropy,
        ]
    );
    let disk = VirtioDevice::Block { backend: BlockBackend::Disk(2), read_only: false };
    assert_eq!(two.devices.as_slice(), [disk]);
}

#[test]
fn refuses_a_root_that_is_not_as_it_should_be() {
    let with = |edit: fn(&mut Node)| {
        let mut root = root([vm("one")]);
        edit(&mut root);
        root
    };
    refused(&with(|root| root.set("compatible", "tantalum,vm")), &["compatible", "tantalum,vms"]);
    refused(&with(|root| root.remove("memory-pool")), &["memory-pool", "missing"]);
    refused(&with(|root| root.set("memory-pool", [POOL + 0x1000, MIB])), &["memory-pool", "2 MiB"]);
    refused(&with(|root| root.set("memory-pool", [POOL, 0x1001])), &["memory-pool", "4 KiB"]);
    refused(&with(|root| root.set("memory-pool", [u64::MAX, MIB])), &["memory-pool", "2^48"]);
    refused(&with(|root| root.set("memory-pool", POOL)), &["memory-pool", "two cells"]);
    refused(&with(|root| root.set("model", "x")), &["model"]);
    refused(&with(|root| root.remove("one")), &["virtual machine", "missing"]);
    refused(&with(|root| root.add(vm("one"))), &["one", "twice"]);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let many = names.map(|name| vm(name).with("memory-size", 2 * MIB));
    refused(&root(many), &["at most 8"]);
}

#[test]
fn refuses_a_virtual_machine_that_is_not_as_it_should_be() {
    bad(|vm| vm.set("compatible", "tantalum,vms"), &["one", "compatible", "tantalum,vm"]);
    bad(|vm| vm.set("vcpus", 4_u32), &["vcpus", "one"]);
    bad(|vm| vm.remove("cpus"), &["cpus", "one"]);
    bad(|vm| vm.set("cpus", [0_u32, 8]), &["cpus", "0 to 7"]);
    bad(|vm| vm.set("cpus", [0_u32; 9]), &["cpus", "eight"]);
    bad(|vm| vm.remove("memory-size"), &["memory-size", "one"]);
    for size in [0, MIB, 3 * MIB, u64::MAX, 1 << 39] {
        bad(|vm| vm.set("memory-size", size), &["memory-size", "one", "2 MiB"]);
    }
    bad(|vm| vm.set("memory-size", 1026 * MIB), &["memory-size", "memory-pool"]);
    bad(|vm| vm.set("terminal", 1_u32), &["terminal", "one"]);
    bad(|vm| vm.remove("kernel"), &["kernel", "one"]);
    bad(|vm| vm.set("kernel", [0x6200_0000_u64, 0]), &["kernel", "at least one byte"]);
    bad(|vm| vm.set("kernel", [1_u64 << 48, 1]), &["kernel", "2^48"]);
    bad(|vm| vm.set("kernel", [u64::MAX, 2]), &["kernel", "2^48"]);
    bad(|vm| vm.set("kernel", [POOL + 1, 2]), &["kernel", "memory-pool"]);
    bad(|vm| vm.set("initramfs", [POOL - 1, 2]), &["initramfs", "memory-pool"]);
    bad(|vm| vm.set("bootargs", "x".repeat(513).as_str()), &["bootargs", "512"]);
    bad(|vm| vm.set("bootargs", "a\nb"), &["bootargs", "printable"]);
    refused(&root([vm("abcdefghijklmnop")]), &["abcdefghijklmnop", "15 characters"]);
    let pair = [vm("one").with("terminal", Flag), vm("two").with("terminal", Flag)];
    refused(&root(pair), &["terminal", "two"]);
}

#[test]
fn refuses_a_device_that_is_not_as_it_should_be() {
    let device = |name: &str| Node::new(name).with("compatible", "tantalum,rng");
    bad(|vm| vm.add(Node::new("x")), &["one/x", "compatible"]);
    bad(|vm| vm.add(Node::new("x").with("compatible", "virtio,mmio")), &["one/x", "tantalum,rng"]);
    bad(|vm| vm.add(device("x").with("port", 1_u32)), &["one/x", "port"]);
    bad(|vm| vm.add(block([0x6600_0000, 0x1200])), &["one/blk", "ram", "4 KiB"]);
    bad(|vm| vm.add(block([0x6600_0200, 0x1000])), &["one/blk", "ram", "4 KiB"]);
    bad(|vm| vm.add(block([0x6600_0000, 0x1000]).with("disk", 0_u32)), &["one/blk", "disk"]);
    bad(|vm| vm.add(block([POOL, 0x1000])), &["one", "ram", "memory-pool"]);
    bad(|vm| vm.add(block([0x6200_0000, 0x1000])), &["one", "ram", "kernel"]);
    bad(|vm| vm.add(network(8, 1)), &["one/net", "port", "0 to 7"]);
    bad(|vm| vm.add(network(0, 1).with("mac", vec![3, 0, 0, 0, 0, 1])), &["one/net", "mac", "even"]);
    bad(|vm| vm.add(network(0, 1).with("mac", vec![0; 6])), &["one/net", "mac"]);
    bad(|vm| vm.add(network(0, 1).with("mac", vec![2; 5])), &["one/net", "mac", "six"]);
    for limit in [&[][..], &[100], &[0, 9000], &[1, 1517], &[1, 9000, 1], &[1, 9000, 1, 9000]] {
        let limit: Vec<u8> = limit.iter().flat_map(|cell: &u32| cell.to_be_bytes()).collect();
        bad(
            |vm| vm.add(network(0, 1).with("limit", limit)),
            &["one/net", "limit", "frames and bytes", "1518"],
        );
    }
    bad(
        |vm| ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(device).into_iter().for_each(|d| vm.add(d)),
        &["at most 8"],
    );
    bad(|vm| [device("x"), device("x")].into_iter().for_each(|d| vm.add(d)), &["x", "one", "twice"]);
}

#[test]
fn refuses_what_two_would_have() {
    let both = |one: Node, two: Node| root([vm("one").with_node(one), vm("two").with_node(two)]);
    refused(&both(network(1, 1), network(1, 2)), &["two", "port"]);
    refused(&both(network(1, 1), network(2, 1)), &["two", "mac"]);
    let disk = || Node::new("blk").with("compatible", "tantalum,blk").with("disk", 0_u32);
    refused(&both(disk(), disk()), &["two", "disk"]);
    let (here, there) = ([0x6600_0000, 0x2000], [0x6600_1000, 0x2000]);
    refused(&both(block(here), block(there)), &["two", "ram", "read-only"]);
    refused(&both(block(here).with("read-only", Flag), block(there)), &["two", "ram", "read-only"]);
    good(&both(block(here).with("read-only", Flag), block(here).with("read-only", Flag)));
    good(&both(block(here), block([0x6600_2000, 0x1000])));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_on_damaged_manifests(
        damage in proptest::collection::vec((0..2000_usize, any::<u8>()), 1..20),
    ) {
        let node = vm("one").with_node(network(0, 1)).with_node(block([0x6600_0000, 0x1000]));
        let mut blob = root([node, vm("two")]).to_blob();
        for (at, byte) in damage {
            let at = at % blob.len();
            blob[at] = byte;
        }
        if let Ok(manifest) = VmsManifest::parse(&blob) {
            for vm in &manifest.vms {
                prop_assert!(manifest.memory_pool.contains_range(&vm.memory));
                prop_assert!(vm.memory.start().is_page_aligned() && !vm.cpus.is_empty());
            }
        }
    }
}

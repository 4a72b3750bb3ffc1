//! Manifests that are right, and one test for each way in which they can be wrong.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use proptest::prelude::*;
use tantalum_manifest::{
    AbortAction, ManagedExitLine, ManifestError, NsInterruptsAction, OtherSecureInterruptsAction,
    PartitionManifest, SpmcManifest, SriPolicy, check_partition,
};
use tantalum_sim::dtb::{Flag, Node};
use tantalum_sim::manifests::{
    DEVICE_BASE, NON_SECURE_BASE, PARTITION_SIZE, SPMC_BASE, device_regions, memory_regions, partition,
    partition_base, partition_uuid, region, rx_tx, spmc, uart, uuid_cells,
};
use tantalum_types::{Address, AddressSpace, EndpointId, Pa, PageRange, PartitionIndex, Uuid};

fn parse(tree: &Node) -> Result<PartitionManifest, ManifestError> {
    PartitionManifest::parse(&tree.to_blob())
}

/// Returns the manifest of partition 1 after `edit`, which must be right.
fn good(edit: impl FnOnce(&mut Node)) -> PartitionManifest {
    let mut tree = partition(1, "second", 1);
    edit(&mut tree);
    parse(&tree).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns what is said about the manifest of partition 1 after `edit`, which must be wrong.
fn bad(edit: impl FnOnce(&mut Node)) -> String {
    let mut tree = partition(1, "second", 1);
    edit(&mut tree);
    match parse(&tree) {
        Ok(manifest) => panic!("accepted: {manifest:?}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "\"{message}\" does not say \"{part}\"");
    }
}

fn entries() -> Node {
    spmc(&[("first", 4), ("second", 1), ("third", 1)])
}

fn good_spmc() -> SpmcManifest {
    SpmcManifest::parse(&entries().to_blob()).unwrap()
}

fn bad_spmc(edit: impl FnOnce(&mut Node)) -> String {
    let mut tree = entries();
    edit(&mut tree);
    match SpmcManifest::parse(&tree.to_blob()) {
        Ok(manifest) => panic!("accepted: {manifest:?}"),
        Err(error) => error.to_string(),
    }
}

// --- The SPMC's manifest

#[test]
fn reads_the_spmc_manifest() {
    let manifest = good_spmc();
    assert_eq!(manifest.id.raw(), 0x8000);
    assert_eq!(manifest.ffa_version, 0x1_0002);
    assert_eq!(manifest.image, PageRange::from_size(Pa::secure(SPMC_BASE), 0x10_0000).unwrap());
    assert_eq!(manifest.entry_point, Pa::secure(SPMC_BASE));
    assert_eq!(manifest.cpus.as_slice(), [0, 1, 2, 3]);
    let names: Vec<_> = manifest.partitions.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(manifest.partitions[0].context_count, 4);
    assert_eq!(manifest.partitions[1].load_address, partition_base(1));
    assert_eq!(manifest.partitions[1].memory().unwrap().size(), PARTITION_SIZE);
    assert_eq!(manifest.secure_memory.len(), 1);
    assert_eq!(manifest.non_secure_memory[0].start(), Pa::non_secure(NON_SECURE_BASE));
    assert_eq!(manifest.device_memory[0].start(), Pa::secure(DEVICE_BASE));
}

#[test]
fn refuses_an_spmc_manifest_with_a_wrong_attribute() {
    let set = |field: &'static str, value: u32| {
        bad_spmc(move |tree| {
            tree.at("attribute").set(field, value);
        })
    };
    says(&set("spmc_id", 0x8001), &["spmc_id", "0x8000"]);
    says(&set("maj_ver", 2), &["maj_ver", "1"]);
    says(&set("min_ver", 0x1_0000), &["min_ver"]);
    says(&set("exec_state", 1), &["exec_state", "AArch64"]);
    says(&set("load_address", 0x0e10_0800), &["load_address", "4 KiB"]);
    let elsewhere = bad_spmc(|tree| {
        tree.at("attribute").set("load_address", NON_SECURE_BASE);
        tree.at("attribute").set("entrypoint", NON_SECURE_BASE);
    });
    says(&elsewhere, &["load_address", "\"memory\""]);
    says(&set("binary_size", 0), &["load_address", "no pages"]);
    says(&set("entrypoint", 0x0e20_0000), &["entrypoint"]);
    says(&set("entry_point", 0), &["\"entry_point\"", "attribute", "not a field"]);
    for field in ["spmc_id", "maj_ver", "min_ver", "exec_state", "load_address", "entrypoint", "binary_size"]
    {
        let missing = bad_spmc(|tree| {
            tree.at("attribute").remove(field);
        });
        says(&missing, &[field, "missing"]);
    }
}

#[test]
fn refuses_an_spmc_manifest_that_lacks_a_part() {
    says(&bad_spmc(|tree| tree.set("compatible", "arm,other")), &["arm,ffa-core-manifest-1.0"]);
    for node in ["attribute", "hypervisor", "cpus"] {
        says(&bad_spmc(|tree| tree.remove(node)), &[node, "missing"]);
        says(&bad_spmc(|tree| tree.add(Node::new(node))), &[node, "twice"]);
    }
    says(&bad_spmc(|tree| tree.add(Node::new("chosen"))), &["chosen", "not a field"]);
    says(&bad_spmc(|tree| tree.set("#size-cells", 1_u32)), &["#size-cells", "2"]);
}

#[test]
fn refuses_partitions_that_are_not_in_order() {
    says(&bad_spmc(|tree| tree.at("hypervisor").remove("vm1")), &["vm1", "missing"]);
    says(&bad_spmc(|tree| tree.at("hypervisor").add(Node::new("vm9"))), &["vm9"]);
    says(&bad_spmc(|tree| tree.at("hypervisor").add(Node::new("vm2"))), &["vm2", "twice"]);
    let vm = |edit: fn(&mut Node)| bad_spmc(move |tree| edit(tree.at("hypervisor/vm2")));
    says(&vm(|vm| vm.remove("is_ffa_partition")), &["is_ffa_partition", "vm2", "missing"]);
    says(&vm(|vm| vm.remove("debug_name")), &["debug_name", "missing"]);
    says(&vm(|vm| vm.set("debug_name", vec![b'a', 7, 0])), &["debug_name", "text"]);
    says(&vm(|vm| vm.set("smc_whitelist", [1_u32])), &["smc_whitelist", "not served"]);
    says(&vm(|vm| vm.set("memsize", 1_u32)), &["memsize", "not a field"]);
    says(&vm(|vm| vm.set("mem_size", vec![1, 2])), &["mem_size", "32 or 64 bits"]);
}

#[test]
fn refuses_wrong_cpus() {
    let cpu = |edit: fn(&mut Node)| bad_spmc(move |tree| edit(tree.at("cpus")));
    says(&cpu(|cpus| cpus.at("cpu@2").set("reg", 1_u64)), &["reg", "cpu@2", "another affinity"]);
    says(&cpu(|cpus| cpus.at("cpu@2").set("reg", 1_u64 << 31)), &["reg", "affinity"]);
    says(&cpu(|cpus| cpus.at("cpu@2").set("reg", [1_u64, 2])), &["reg", "one MPIDR"]);
    says(&cpu(|cpus| cpus.at("cpu@2").remove("reg")), &["reg", "missing"]);
    says(&cpu(|cpus| cpus.at("cpu@2").set("device_type", "memory")), &["device_type", "cpu"]);
    says(&cpu(|cpus| cpus.set("#size-cells", 1_u32)), &["#size-cells", "0"]);
    says(&cpu(|cpus| cpus.add(Node::new("cluster"))), &["cluster"]);
    let none = |cpus: &mut Node| {
        (0..4).for_each(|cpu| cpus.remove(&format!("cpu@{cpu}")));
    };
    says(&bad_spmc(|tree| none(tree.at("cpus"))), &["cpu@0", "missing"]);
    let many = |cpus: &mut Node| {
        for cpu in 4..9_u64 {
            cpus.add(Node::new(&format!("cpu@{cpu}")).with("device_type", "cpu").with("reg", cpu));
        }
    };
    says(&bad_spmc(|tree| many(tree.at("cpus"))), &["at most 8", "cpu"]);
}

#[test]
fn refuses_wrong_memory() {
    let add = |kind: &'static str, reg: Vec<u8>| {
        bad_spmc(move |tree| {
            tree.add(Node::new("memory@1").with("device_type", kind).with("reg", reg));
        })
    };
    let reg = |base: u64, size: u64| [base.to_be_bytes(), size.to_be_bytes()].concat();
    says(&add("memory", reg(0x0e20_0000, 0x1000)), &["memory", "overlaps"]);
    // One world's RAM by the other's number is the same RAM on many machines.
    says(&add("ns-memory", reg(0x0eff_f000, 0x1000)), &["ns-memory", "overlaps"]);
    says(&add("device-memory", reg(0x0eff_f000, 0x1000)), &["device-memory", "overlaps"]);
    says(&add("ns-device-memory", reg(0, 0x1000)), &["ns-device-memory", "Secure devices", "remove"]);
    says(&add("ram", reg(0, 0x1000)), &["device_type"]);
    says(&add("memory", reg(0x0100_0000, 0x800)), &["reg", "4 KiB"]);
    says(&add("memory", reg(0x0100_0000, 0)), &["reg"]);
    says(&add("memory", reg(0, 0x1000)[..12].into()), &["reg", "pairs"]);
    says(&add("memory", Vec::new()), &["reg", "pairs"]);
    let nine: Vec<u8> = (0..9).flat_map(|page| reg(0x1000 * page, 0x1000)).collect();
    says(&add("device-memory", nine), &["at most 8"]);
}

// --- A partition's manifest

#[test]
fn reads_a_partition_manifest() {
    let manifest = good(|_| {});
    assert_eq!(manifest.name, "second");
    assert_eq!(manifest.ffa_version, 0x1_0001);
    assert_eq!(manifest.uuids.as_slice(), [partition_uuid(1)]);
    assert_eq!(manifest.context_count, 1);
    assert_eq!(manifest.memory.start(), Pa::secure(partition_base(1)));
    assert_eq!((manifest.memory.size(), manifest.entry_point_offset), (PARTITION_SIZE, 0x4000));
    assert_eq!(manifest.boot_order, Some(1));
    assert!(manifest.messaging.receives_direct && manifest.messaging.sends_direct);
    assert!(!manifest.messaging.indirect && !manifest.messaging.receives_direct2);
    assert_eq!(manifest.ns_interrupts_action, NsInterruptsAction::Signaled);
    assert_eq!(manifest.other_secure_interrupts_action, OtherSecureInterruptsAction::Signaled);
    assert_eq!((manifest.managed_exit, manifest.boot_info_register), (None, Some(0)));
    assert!(!manifest.notification_support && !manifest.cpu_off_message);
    assert_eq!((manifest.id, manifest.sri_policy), (None, SriPolicy::default()));
    assert_eq!((manifest.abort_action, manifest.lifecycle_support), (AbortAction::Stop, false));
    assert!(manifest.rx_tx.is_none() && manifest.memory_regions.is_empty());
    assert!(manifest.device_regions.is_empty());
}

#[test]
fn a_uuid_reads_as_it_is_written() {
    // From the SMC Calling Convention: the first byte is the lowest of the first register.
    let manifest = good(|tree| {
        tree.set("uuid", [0xd1ff_f7fe_u32, 0x2846_15e4, 0x49bd_4ea0, 0x8e1a_da74]);
    });
    assert_eq!(manifest.uuids[0].to_string(), "fef7ffd1-e415-4628-a04e-bd4974da1a8e");
}

#[test]
fn reads_every_choice() {
    let manifest = good(|tree| {
        let [a, b, c, d] = uuid_cells(partition_uuid(7));
        let [e, f, g, h] = uuid_cells(partition_uuid(8));
        tree.set("compatible", "arm,ffa-manifest-1.1");
        tree.set("uuid", [a, b, c, d, e, f, g, h]);
        tree.set("load-address", partition_base(1));
        tree.set("ffa-version", 0x1_0002_u32);
        tree.set("messaging-method", 0x607_u32);
        tree.set("id", 0x8002_u32);
        tree.set("sri-interrupts-policy", 3_u32);
        tree.set("abort-action", 2_u32);
        tree.set("lifecycle-support", Flag);
        tree.set("time-slice-mem", Flag);
        tree.set("ns-interrupts-action", 1_u32);
        tree.set("managed-exit", Flag);
        tree.set("managed-exit-virq", Flag);
        tree.set("notification-support", Flag);
        tree.set("power-management-messages", 1_u32);
        tree.set("vm-availability-messages", 3_u32);
        tree.set("gp-register-num", 3_u32);
        tree.remove("boot-order");
        tree.remove("entrypoint-offset");
        tree.remove("xlat-granule");
        tree.remove("description");
    });
    assert_eq!(manifest.uuids.as_slice(), [partition_uuid(7), partition_uuid(8)]);
    assert!(manifest.messaging.indirect && manifest.messaging.receives_direct2);
    assert!(manifest.messaging.sends_direct2);
    assert_eq!(manifest.managed_exit, Some(ManagedExitLine::Irq));
    assert!(manifest.notification_support && manifest.cpu_off_message);
    assert!(manifest.vm_availability.created && manifest.vm_availability.destroyed);
    assert_eq!(manifest.id, Some(EndpointId::new(0x8002)));
    assert_eq!(manifest.sri_policy, SriPolicy { while_waiting: true, entering_waiting: true });
    assert_eq!((manifest.abort_action, manifest.lifecycle_support), (AbortAction::Restart, true));
    assert_eq!((manifest.boot_info_register, manifest.boot_order), (Some(3), None));
    assert_eq!((manifest.name.as_str(), manifest.entry_point_offset), ("", 0));

    // What FF-A 1.0 says managed exit with.
    let manifest = good(|tree| {
        tree.remove("ns-interrupts-action");
        tree.set("managed-exit", Flag);
        tree.remove("gp-register-num");
        tree.remove("boot-info");
    });
    assert_eq!(manifest.ns_interrupts_action, NsInterruptsAction::ManagedExit);
    assert_eq!(manifest.managed_exit, Some(ManagedExitLine::Fiq));
    assert_eq!(manifest.boot_info_register, None);

    let manifest = good(|tree| {
        tree.set("ns-interrupts-action", 0_u32);
        tree.set("other-s-interrupts-action", 0_u32);
    });
    assert_eq!(manifest.ns_interrupts_action, NsInterruptsAction::Queued);
    assert_eq!(manifest.other_secure_interrupts_action, OtherSecureInterruptsAction::Queued);
}

#[test]
fn names_the_field_that_is_missing() {
    says(&bad(|tree| tree.remove("compatible")), &["compatible", "arm,ffa-manifest-1.0"]);
    for field in [
        "ffa-version",
        "uuid",
        "execution-ctx-count",
        "exception-level",
        "execution-state",
        "load-address",
        "mem-size",
        "messaging-method",
        "ns-interrupts-action",
        "gp-register-num",
    ] {
        says(&bad(|tree| tree.remove(field)), &[field, "missing"]);
    }
    says(&bad(|tree| tree.remove("boot-info")), &["boot-info", "missing"]);
}

#[test]
fn names_the_field_that_does_not_exist() {
    says(&bad(|tree| tree.set("boot-oder", 1_u32)), &["\"boot-oder\"", "not a field"]);
    says(&bad(|tree| tree.add(Node::new("memory-region"))), &["\"memory-region\"", "not a field"]);
    says(&bad(|tree| tree.at("boot-info").set("hob", Flag)), &["\"hob\"", "boot-info"]);
    says(&bad(|tree| tree.at("boot-info").add(Node::new("x"))), &["\"x\"", "boot-info"]);
    let long = "a-name-that-is-much-longer-than-what-an-error-can-hold";
    says(&bad(|tree| tree.set(long, 1_u32)), &["a-name-that-is-much-longer-than-", "not a field"]);
    for (regions, parts) in [
        (memory_regions([region("a", 0, 1, 3).with("reg", 1_u64)]), ["\"reg\"", "\"a\""]),
        (device_regions([uart().with("interupts", 1_u64)]), ["\"interupts\"", "\"uart\""]),
        (memory_regions([]).with("x", Flag), ["\"x\"", "memory-regions"]),
    ] {
        says(&bad(|tree| tree.add(regions)), &parts);
    }
}

#[test]
fn names_the_field_that_is_not_served() {
    for (field, advice) in [
        ("auxiliary-id", "one id"),
        ("image-uuid", "FF-A 1.3"),
        ("rx-tx-buffer", "rx_tx-info"),
        ("run-time-model", "ns-interrupts-action"),
        ("has-primary-scheduler", "normal world"),
        ("stream-endpoint-ids", "SMMU"),
        ("live-activation-support", "FF-A 1.3"),
        ("live-activation-register", "FF-A 1.3"),
    ] {
        says(&bad(|tree| tree.set(field, 1_u32)), &[field, "not served", advice]);
    }
    says(&bad(|tree| tree.add(Node::new("live-state-buffer-info"))), &["live-state-buffer-info", "FF-A 1.3"]);
    says(&bad(|tree| tree.at("boot-info").set("hob_list", Flag)), &["hob_list", "not served", "remove"]);
    for field in ["smmu-id", "stream-ids"] {
        let device = uart().with(field, 0_u32);
        says(&bad(|tree| tree.add(device_regions([device]))), &[field, "\"uart\"", "SMMU", "remove"]);
    }
    for field in ["smmu-id", "stream-ids", "stream-ids-access-permissions"] {
        let memory = region("a", partition_base(1), 1, 3).with(field, 0_u32);
        says(&bad(|tree| tree.add(memory_regions([memory]))), &[field, "\"a\"", "SMMU", "remove"]);
    }
}

#[test]
fn names_the_field_of_the_spmc_manifest_that_is_not_served() {
    for field in ["smc_whitelist", "smc_whitelist_permissive"] {
        let message = bad_spmc(|tree| tree.at("hypervisor/vm1").set(field, 1_u32));
        says(&message, &[field, "\"vm1\"", "not served", "EL3", "remove"]);
    }
    says(
        &bad_spmc(|tree| tree.add(Node::new("interrupt-controller@8000000"))),
        &["interrupt-controller", "not served", "remove"],
    );
    says(
        &bad_spmc(|tree| tree.at("hypervisor").set("ffa_tee_enabled", Flag)),
        &["ffa_tee_enabled", "remove"],
    );
}

#[test]
fn services_have_their_own_messages() {
    let [a, b, c, d] = uuid_cells(partition_uuid(7));
    let [e, f, g, h] = uuid_cells(partition_uuid(8));
    let both = [a, b, c, d, e, f, g, h];
    let manifest = good(|tree| {
        tree.set("uuid", both);
        tree.set("messaging-method", [1_u32, 6]);
    });
    let methods: Vec<_> = manifest.services().map(|(uuid, messaging)| (*uuid, messaging.indirect)).collect();
    assert_eq!(methods, [(partition_uuid(7), false), (partition_uuid(8), true)]);
    assert!(manifest.messaging.receives_direct && manifest.messaging.indirect);
    let of = |index| manifest.messaging_of(&partition_uuid(index));
    assert!(!of(7).unwrap().sends_direct && of(8).unwrap().sends_direct);
    assert_eq!(of(9), None);
    assert_eq!(manifest.messaging_of(&Uuid::nil()), Some(manifest.messaging));

    // One method counts for all; otherwise there is one for each.
    let manifest = good(|tree| tree.set("uuid", both));
    assert!(manifest.services().all(|(_, messaging)| messaging.receives_direct && messaging.sends_direct));
    let uneven = |uuids: Vec<u32>, methods: Vec<u32>| {
        let bytes = |cells: Vec<u32>| cells.into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
        bad(|tree| {
            tree.set("uuid", bytes(uuids));
            tree.set("messaging-method", bytes(methods));
        })
    };
    let third = uuid_cells(partition_uuid(9));
    says(&uneven([&both[..], &third].concat(), vec![3, 3]), &["messaging-method", "cell for each"]);
    says(&uneven(both.into(), vec![3, 3, 3]), &["messaging-method", "cell for each"]);
    says(&uneven(both.into(), vec![3, 8]), &["messaging-method", "bits"]);
    says(&uneven(both.into(), vec![]), &["messaging-method", "one cell for all"]);
}

/// Returns a manifest that has its services as nodes.
fn with_services(services: impl IntoIterator<Item = Node>) -> Node {
    let mut tree = partition(1, "second", 1);
    tree.set("compatible", "arm,ffa-manifest-1.1");
    tree.remove("uuid");
    tree.remove("messaging-method");
    let node = Node::new("services").with("compatible", "arm,ffa-manifest-services");
    tree.add(services.into_iter().fold(node, Node::with_node));
    tree
}

fn service(name: &str, uuid: &str, method: u32) -> Node {
    Node::new(name).with("uuid", uuid).with("messaging-method", method)
}

#[test]
fn reads_services_as_nodes() {
    const FIRST: &str = "fef7ffd1-e415-4628-a04e-bd4974da1a8e";
    const SECOND: &str = "B4B5671E-4A90-4FE1-B81F-FB13DAE1DACB";
    let tree = with_services([
        service("log", FIRST, 1).with("description", "what it does"),
        service("keys", SECOND, 6),
    ]);
    let manifest = parse(&tree).unwrap();
    let uuids: Vec<_> = manifest.uuids.iter().map(ToString::to_string).collect();
    assert_eq!(uuids, [FIRST, &SECOND.to_lowercase()]);
    assert!(manifest.methods[0].receives_direct && !manifest.methods[0].indirect);
    assert!(manifest.methods[1].indirect && manifest.messaging.receives_direct);

    let wrong = |services: Vec<Node>| parse(&with_services(services)).unwrap_err().to_string();
    says(&wrong(vec![]), &["services", "missing"]);
    says(&wrong(vec![service("log", "fef7ffd1", 1)]), &["uuid", "\"log\"", "text like"]);
    let braces = format!("{{{FIRST}}}");
    says(&wrong(vec![service("log", &braces, 1)]), &["uuid", "\"log\"", "text like"]);
    says(&wrong(vec![service("log", &FIRST.replace('f', "g"), 1)]), &["uuid", "text like"]);
    says(&wrong(vec![service("log", &Uuid::nil().to_string(), 1)]), &["uuid", "not nil"]);
    says(&wrong(vec![service("a", FIRST, 1), service("b", FIRST, 1)]), &["uuid", "\"b\"", "different"]);
    says(&wrong(vec![service("log", FIRST, 8)]), &["messaging-method", "\"log\"", "bits"]);
    says(&wrong(vec![Node::new("log").with("uuid", FIRST)]), &["messaging-method", "\"log\"", "missing"]);
    says(&wrong(vec![Node::new("log").with("messaging-method", 1_u32)]), &["uuid", "\"log\"", "missing"]);
    says(&wrong(vec![service("log", FIRST, 1).with("uid", 1_u32)]), &["\"uid\"", "\"log\""]);
    let five = (0..5).map(|index| service(&format!("s{index}"), &partition_uuid(index).to_string(), 1));
    says(&wrong(five.collect()), &["uuid", "at most 4"]);
    let mut both = tree.clone();
    both.set("messaging-method", 1_u32);
    says(&parse(&both).unwrap_err().to_string(), &["messaging-method", "left out", "services"]);
    let mut other = tree.clone();
    other.at("services").remove("compatible");
    says(&parse(&other).unwrap_err().to_string(), &["compatible", "services"]);
}

#[test]
fn a_partition_has_what_its_version_has() {
    let versioned = |version: u32, edit: fn(&mut Node)| {
        let mut tree = partition(1, "second", 1);
        tree.set("ffa-version", version);
        edit(&mut tree);
        parse(&tree).map(|_| ()).map_err(|error| error.to_string())
    };
    let direct2 = |tree: &mut Node| tree.set("messaging-method", 0x200_u32);
    let indirect = |tree: &mut Node| tree.set("messaging-method", 4_u32);
    let notifications = |tree: &mut Node| tree.set("notification-support", Flag);
    says(&versioned(0x1_0001, direct2).unwrap_err(), &["ffa-version", "0x00010002", "messaging-method"]);
    says(&versioned(0x1_0000, indirect).unwrap_err(), &["ffa-version", "0x00010001", "messaging-method"]);
    says(&versioned(0x1_0000, notifications).unwrap_err(), &["ffa-version", "notification-support"]);
    assert_eq!(versioned(0x1_0002, direct2), Ok(()));
    assert_eq!(versioned(0x1_0001, indirect), Ok(()));
    assert_eq!(versioned(0x1_0001, notifications), Ok(()));
    // It is answered with what the SPMC speaks.
    assert_eq!(versioned(0x1_0003, direct2), Ok(()));
}

#[test]
fn where_it_was_loaded_stands_in_for_its_address() {
    let loaded = PageRange::from_size(Pa::secure(partition_base(1)), PARTITION_SIZE).unwrap();
    let mut tree = partition(1, "second", 1);
    tree.remove("load-address");
    tree.remove("mem-size");
    tree.add(memory_regions([Node::new("a")
        .with("load-address-relative-offset", 0x5000_u32)
        .with("pages-count", 1_u32)
        .with("attributes", 3_u32)]));
    let manifest = PartitionManifest::parse_loaded(&tree.to_blob(), &loaded).unwrap();
    assert_eq!(manifest.memory, loaded);
    assert_eq!(manifest.memory_regions[0].range.start(), Pa::secure(partition_base(1) + 0x5000));
    assert_eq!(check_partition(&good_spmc(), index(1), [], &manifest), Ok(()));
    // What it says itself counts, so that a contradiction is found.
    tree.set("mem-size", 0x8_0000_u32);
    let manifest = PartitionManifest::parse_loaded(&tree.to_blob(), &loaded).unwrap();
    let error = check_partition(&good_spmc(), index(1), [], &manifest).unwrap_err().to_string();
    says(&error, &["mem-size", "mem_size"]);
}

#[test]
fn refuses_a_field_that_is_there_twice() {
    says(&bad(|tree| tree.set_again("boot-order", 2_u32)), &["boot-order", "twice"]);
    says(&bad(|tree| tree.add(Node::new("boot-info"))), &["boot-info", "twice"]);
}

#[test]
fn names_the_value_that_is_wrong() {
    let set = |field: &'static str, value: u32| bad(move |tree| tree.set(field, value));
    says(&set("ffa-version", 0x2_0000), &["ffa-version", "0x0001"]);
    says(&set("ffa-version", 0x8001_0001), &["ffa-version"]);
    says(&set("execution-ctx-count", 0), &["execution-ctx-count", "1 to 8"]);
    says(&set("execution-ctx-count", 9), &["execution-ctx-count", "1 to 8"]);
    says(&set("exception-level", 0), &["exception-level", "S-EL1"]);
    says(&set("exception-level", 1), &["exception-level", "S-EL1"]);
    says(&set("execution-state", 1), &["execution-state", "AArch64"]);
    says(&set("xlat-granule", 2), &["xlat-granule", "4 KiB"]);
    says(&set("load-address", 0x0e40_0800), &["load-address", "4 KiB"]);
    says(&set("mem-size", 0), &["load-address", "size"]);
    says(&set("entrypoint-offset", 0x10_0000), &["entrypoint-offset", "mem-size"]);
    says(&set("entrypoint-offset", 0x4002), &["entrypoint-offset", "multiple of 4"]);
    says(&set("boot-order", 0x1_0000), &["boot-order", "0xffff"]);
    says(&set("messaging-method", 8), &["messaging-method", "bits"]);
    says(&set("ns-interrupts-action", 3), &["ns-interrupts-action", "queued"]);
    says(&set("other-s-interrupts-action", 2), &["other-s-interrupts-action", "signaled"]);
    says(&set("other-s-interrupts-action", 0), &["other-s-interrupts-action", "ns-interrupts-action"]);
    says(&set("managed-exit", 1), &["managed-exit", "without a value"]);
    says(&set("notification-support", 1), &["notification-support", "without a value"]);
    says(&set("gp-register-num", 4), &["gp-register-num", "0 to 3"]);
    says(&set("power-management-messages", 2), &["power-management-messages", "CPU_OFF"]);
    says(&set("vm-availability-messages", 4), &["vm-availability-messages"]);
    says(&set("id", 0x1_8002), &["id", "0x8001"]);
    says(&set("id", 1), &["id", "Secure"]);
    says(&set("sri-interrupts-policy", 4), &["sri-interrupts-policy", "bits 0 and 1"]);
    says(&set("abort-action", 4), &["abort-action", "restart"]);
    says(&set("lifecycle-support", 1), &["lifecycle-support", "without a value"]);
    says(&set("time-slice-mem", 1), &["time-slice-mem", "without a value"]);
    says(&set("uuid", 1), &["uuid", "four cells"]);
    says(&bad(|tree| tree.set("managed-exit", Flag)), &["ns-interrupts-action", "managed exit"]);
    says(&bad(|tree| tree.set("managed-exit-virq", Flag)), &["ns-interrupts-action", "managed exit"]);
    says(&bad(|tree| tree.set("uuid", [0_u32; 4])), &["uuid", "nil"]);
    says(&bad(|tree| tree.set("uuid", [1_u32; 8])), &["uuid", "different"]);
    let five: [u32; 20] = core::array::from_fn(|cell| cell as u32);
    says(&bad(|tree| tree.set("uuid", five)), &["uuid", "at most 4"]);
    says(&bad(|tree| tree.set("description", vec![b'x'])), &["description", "text"]);
    says(&bad(|tree| tree.set("compatible", "arm,ffa-manifest-2.0")), &["arm,ffa-manifest-1.0"]);
    says(&bad(|tree| tree.set("ffa-version", [1_u32, 1])), &["ffa-version", "one 32-bit"]);
    says(&bad(|tree| tree.set("load-address", [1_u32, 1, 1])), &["load-address", "32 or 64"]);
    says(&bad(|tree| tree.at("boot-info").set("compatible", "x")), &["compatible", "boot-info"]);
    says(&bad(|tree| tree.at("boot-info").remove("ffa_manifest")), &["ffa_manifest", "missing"]);
}

#[test]
fn reads_regions() {
    let base = partition_base(1);
    let relative = Node::new("tx")
        .with("load-address-relative-offset", 0x5000_u32)
        .with("pages-count", 1_u32)
        .with("attributes", 3_u32)
        .with("phandle", 2_u32);
    let manifest = good(|tree| {
        tree.add(memory_regions([
            region("rx", base + 0x4000, 1, 1).with("phandle", 1_u32).with("description", "what comes"),
            relative,
            region("code", base + 0x8000, 2, 5),
            region("shared", NON_SECURE_BASE, 16, 11),
        ]));
        tree.add(rx_tx(1, 2));
        let uart = uart().with("exclusive-access", Flag).with("interrupts-target", [40_u32, 0, 3]);
        tree.add(device_regions([uart]));
    });
    let [rx, tx, code, shared] = manifest.memory_regions.as_slice() else { panic!("{manifest:?}") };
    assert_eq!((rx.name.as_str(), rx.range.start()), ("rx", Pa::secure(base + 0x4000)));
    assert!(!rx.attributes.write && !rx.attributes.execute);
    assert_eq!(tx.range.start(), Pa::secure(base + 0x5000));
    assert!(tx.attributes.write && code.attributes.execute);
    assert_eq!((shared.range.start().space(), shared.range.page_count()), (AddressSpace::NonSecure, 16));
    let buffers = manifest.rx_tx.unwrap();
    assert_eq!((buffers.rx, buffers.tx), (rx.range, tx.range));
    let [uart] = manifest.device_regions.as_slice() else { panic!("{manifest:?}") };
    assert!(uart.exclusive && uart.attributes.write);
    let [interrupt] = uart.interrupts.as_slice() else { panic!("{uart:?}") };
    assert_eq!((interrupt.intid, interrupt.priority, interrupt.level), (40, 0, false));
    assert_eq!(interrupt.target, Some(3));
    assert_eq!(check_partition(&good_spmc(), index(1), [], &manifest), Ok(()));
}

#[test]
fn names_the_region_that_is_wrong() {
    let base = partition_base(1);
    let memory = |node: Node| bad(|tree| tree.add(memory_regions([node])));
    let both = region("a", base, 1, 3).with("load-address-relative-offset", 0_u32);
    says(&memory(both), &["base-address", "\"a\"", "load-address-relative-offset"]);
    says(&memory(region("a", base, 1, 7)), &["attributes", "\"a\"", "not writable"]);
    says(&memory(region("a", NON_SECURE_BASE, 1, 13)), &["attributes", "executable"]);
    says(&memory(region("a", base, 1, 2)), &["attributes", "read"]);
    says(&memory(region("a", base, 1, 17)), &["attributes"]);
    says(&memory(region("a", base, 0, 3)), &["base-address", "no pages"]);
    says(&memory(region("a", base + 1, 1, 3)), &["base-address", "4 KiB"]);
    says(&memory(region("a", !0xfff, 1, 3)), &["base-address", "48-bit"]);
    let mut node = region("a", base, 1, 3);
    node.remove("base-address");
    says(&memory(node.clone()), &["base-address", "missing", "\"a\""]);
    node.set("load-address-relative-offset", u64::MAX);
    says(&memory(node), &["load-address-relative-offset", "48-bit"]);
    let nine = (0..9).map(|page| region(&format!("r{page}"), base + page * 0x1000, 1, 3));
    says(&bad(|tree| tree.add(memory_regions(nine))), &["memory-regions", "at most 8"]);
    says(&bad(|tree| tree.add(memory_regions([]))), &["memory-regions", "left out"]);
    says(&bad(|tree| tree.add(Node::new("memory-regions"))), &["compatible", "memory-regions"]);

    let device = |node: Node| bad(|tree| tree.add(device_regions([node])));
    says(&device(region("uart", DEVICE_BASE, 1, 5)), &["attributes", "device"]);
    says(&device(region("uart", DEVICE_BASE, 1, 11)), &["attributes", "device"]);
    says(&device(uart().with("interrupts", [40_u32])), &["interrupts", "pairs"]);
    says(&device(uart().with("interrupts", [15_u32, 0x500])), &["interrupts", "16 to 1019"]);
    says(&device(uart().with("interrupts", [1020_u32, 0x900])), &["interrupts", "16 to 1019"]);
    says(&device(uart().with("interrupts", [40_u32, 0x500])), &["interrupts", "type"]);
    says(&device(uart().with("interrupts", [40_u32, 0x1900])), &["interrupts", "type"]);
    says(&device(uart().with("interrupts", [40_u32, 0x800])), &["interrupts", "secure"]);
    says(&device(uart().with("interrupts", [40_u32, 0x900, 40, 0x900])), &["interrupts", "once"]);
    let target = |cells: [u32; 3]| uart().with("interrupts-target", cells);
    says(&device(target([41, 0, 1])), &["interrupts-target", "\"uart\"", "ids that \"interrupts\" has"]);
    says(&device(uart().with("interrupts-target", [40_u32, 0])), &["interrupts-target", "triples"]);
    let twice = uart().with("interrupts-target", [40_u32, 0, 1, 40, 0, 2]);
    says(&device(twice), &["interrupts-target", "once"]);
    let private = target([20, 0, 1]).with("interrupts", [20_u32, 0x500]);
    says(&device(private), &["interrupts-target", "private"]);
    let five: [u32; 10] = core::array::from_fn(|i| if i % 2 == 0 { 40 + i as u32 } else { 0x900 });
    says(&device(uart().with("interrupts", five)), &["interrupts", "at most 4"]);
    says(&bad(|tree| tree.add(device_regions([]))), &["device-regions", "left out"]);
}

#[test]
fn names_the_message_buffer_that_is_wrong() {
    let base = partition_base(1);
    let with = |rx: Node, tx: Node, handles: [u32; 2]| {
        bad(|tree| {
            tree.add(memory_regions([rx.with("phandle", 1_u32), tx.with("phandle", 2_u32)]));
            tree.add(rx_tx(handles[0], handles[1]));
        })
    };
    let rx = || region("rx", base, 1, 1);
    let tx = || region("tx", base + 0x1000, 1, 3);
    says(&with(rx(), tx(), [3, 2]), &["rx-buffer", "memory-regions"]);
    says(&with(rx(), tx(), [1, 3]), &["tx-buffer", "memory-regions"]);
    says(&with(rx(), tx(), [2, 2]), &["tx-buffer", "another region"]);
    says(&with(rx(), region("tx", base + 0x1000, 2, 3), [1, 2]), &["tx-buffer", "as many pages"]);
    says(&with(rx(), region("tx", base + 0x1000, 1, 1), [1, 2]), &["tx-buffer", "write"]);
    says(&with(rx(), region("tx", NON_SECURE_BASE, 1, 11), [1, 2]), &["tx-buffer", "Secure"]);
}

// --- Partitions together

fn index(index: usize) -> PartitionIndex {
    PartitionIndex::new(index).unwrap()
}

/// Returns what is said about partition 1 after `edit`, beside partition 0 after `edit_other`.
fn clash(edit_other: impl FnOnce(&mut Node), edit: impl FnOnce(&mut Node)) -> String {
    let mut other = partition(0, "first", 4);
    edit_other(&mut other);
    let other = parse(&other).unwrap();
    let spmc = good_spmc();
    check_partition(&spmc, index(0), [], &other).unwrap();
    match check_partition(&spmc, index(1), [&other], &good(edit)) {
        Ok(()) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn accepts_partitions_that_fit_together() {
    let spmc = good_spmc();
    let mut accepted = Vec::new();
    for (at, name) in ["first", "second", "third"].into_iter().enumerate() {
        let manifest = parse(&partition(at, name, if at == 0 { 4 } else { 1 })).unwrap();
        assert_eq!(check_partition(&spmc, index(at), &accepted, &manifest), Ok(()));
        accepted.push(manifest);
    }
}

#[test]
fn both_manifests_say_the_same() {
    let alone = |edit: fn(&mut Node)| clash(|_| {}, edit);
    says(&alone(|tree| tree.set("load-address", 0x0e50_0000_u32)), &["load-address", "load_address"]);
    says(&alone(|tree| tree.set("mem-size", 0x8_0000_u32)), &["mem-size", "mem_size"]);
    says(&alone(|tree| tree.set("execution-ctx-count", 4_u32)), &["execution-ctx-count", "vcpu_count"]);
    let mut tree = entries();
    tree.at("hypervisor/vm2").set("vcpu_count", 2_u32);
    let spmc = SpmcManifest::parse(&tree.to_blob()).unwrap();
    let manifest = good(|tree| tree.set("execution-ctx-count", 2_u32));
    let error = check_partition(&spmc, index(1), [], &manifest).unwrap_err().to_string();
    says(&error, &["execution-ctx-count", "number of CPUs"]);
    let error = check_partition(&spmc, index(3), [], &manifest).unwrap_err().to_string();
    says(&error, &["missing"]);
}

#[test]
fn memory_of_a_partition_is_its_own() {
    for (base, parts) in [
        (SPMC_BASE + 0x8_0000, ["load-address", "the SPMC"]),
        (partition_base(0) + 0x8_0000, ["load-address", "first"]),
        (0x0f00_0000, ["load-address", "memory"]),
        (NON_SECURE_BASE, ["load-address", "memory"]),
    ] {
        let mut tree = entries();
        tree.at("hypervisor/vm2").set("load_address", base);
        let spmc = SpmcManifest::parse(&tree.to_blob()).unwrap();
        let manifest = good(|tree| tree.set("load-address", base));
        says(&check_partition(&spmc, index(1), [], &manifest).unwrap_err().to_string(), &parts);
    }
    let mut tree = entries();
    tree.at("hypervisor/vm2").set("mem_size", 0x800_u32);
    let spmc = SpmcManifest::parse(&tree.to_blob()).unwrap();
    let error = spmc.partitions[1].memory().unwrap_err().to_string();
    says(&error, &["load_address", "second", "4 KiB"]);
}

#[test]
fn regions_are_nobody_elses() {
    let base = partition_base(1);
    let memory = |regions: Vec<Node>| clash(|_| {}, |tree| tree.add(memory_regions(regions)));
    says(&memory(vec![region("a", SPMC_BASE, 1, 3)]), &["\"a\"", "the SPMC"]);
    says(&memory(vec![region("a", partition_base(0), 1, 3)]), &["\"a\"", "first"]);
    // The one that reaches for a later partition's memory is at fault, not the later one.
    says(&memory(vec![region("a", partition_base(2), 1, 3)]), &["\"a\"", "third"]);
    says(&memory(vec![region("a", 0x0f00_0000, 1, 3)]), &["\"a\"", "has to lie in"]);
    says(&memory(vec![region("a", NON_SECURE_BASE, 1, 3)]), &["\"a\"", "\"memory\""]);
    says(&memory(vec![region("a", 0x0e60_0000, 1, 11)]), &["\"a\"", "\"ns-memory\""]);
    says(&memory(vec![region("a", base, 2, 3), region("b", base + 0x1000, 1, 3)]), &["\"a\"", "overlaps b"]);
    says(&memory(vec![region("a", base + 0xf_f000, 2, 3)]), &["\"a\"", "overlaps"]);

    let shared = || memory_regions([region("a", NON_SECURE_BASE, 2, 11)]);
    says(&clash(|other| other.add(shared()), |tree| tree.add(shared())), &["\"a\"", "first"]);

    let device = |regions: Vec<Node>| clash(|_| {}, |tree| tree.add(device_regions(regions)));
    says(&device(vec![region("rtc", DEVICE_BASE + 0x1000, 1, 3)]), &["\"rtc\"", "device-memory"]);
    let nowhere = uart().with("interrupts-target", [40_u32, 0, 4]);
    says(&device(vec![nowhere]), &["interrupts-target", "\"uart\"", "CPU"]);
    says(&device(vec![uart(), region("again", DEVICE_BASE, 1, 3)]), &["\"uart\"", "again"]);
    let exclusive = || device_regions([region("uart", DEVICE_BASE, 1, 3).with("exclusive-access", Flag)]);
    let open = || device_regions([region("uart", DEVICE_BASE, 1, 3)]);
    says(&clash(|other| other.add(exclusive()), |tree| tree.add(open())), &["\"uart\"", "first"]);
    says(&clash(|other| other.add(open()), |tree| tree.add(exclusive())), &["\"uart\"", "first"]);
    let both = || device_regions([uart()]);
    says(&clash(|other| other.add(both()), |tree| tree.add(both())), &["interrupts", "first"]);
}

#[test]
fn what_names_a_partition_is_unique() {
    says(&clash(|_| {}, |tree| tree.set("id", 0x8001_u32)), &["id", "0x8002", "left out"]);
    let mine = good(|tree| tree.set("id", 0x8002_u32));
    assert_eq!(check_partition(&good_spmc(), index(1), [], &mine), Ok(()));
    let uuid = uuid_cells(partition_uuid(0));
    says(&clash(|_| {}, |tree| tree.set("uuid", uuid)), &["uuid", "first", "unique"]);
    says(&clash(|_| {}, |tree| tree.set("boot-order", 0_u32)), &["boot-order", "first", "unique"]);
}

// --- Bytes that are no manifest

fn both(blob: &[u8]) -> (Option<String>, Option<String>) {
    let spmc = SpmcManifest::parse(blob).err().map(|error| error.to_string());
    let partition = PartitionManifest::parse(blob).err().map(|error| error.to_string());
    (spmc, partition)
}

#[track_caller]
fn not_a_tree(blob: &[u8], why: &str) {
    let (spmc, partition) = both(blob);
    says(&spmc.unwrap(), &["not a device tree", why]);
    says(&partition.unwrap(), &["not a device tree", why]);
}

#[test]
fn says_why_bytes_are_no_device_tree() {
    let blob = partition(0, "first", 1).to_blob();
    let patched = |offset: usize, value: u32| {
        let mut blob = blob.clone();
        blob[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        blob
    };
    let length = blob.len() as u32;
    let structure = u32::from_be_bytes(blob[8..12].try_into().unwrap());
    not_a_tree(&[], "header");
    not_a_tree(&blob[..39], "header");
    not_a_tree(&patched(0, 0), "magic");
    not_a_tree(&patched(4, length + 1), "more bytes");
    not_a_tree(&patched(4, 39), "ends within the header");
    not_a_tree(&patched(8, structure + 2), "multiple of four");
    not_a_tree(&patched(8, !3), "structure block ends behind");
    not_a_tree(&patched(12, length), "strings block ends behind");
    not_a_tree(&patched(16, length), "reservations");
    not_a_tree(&patched(20, 16), "version 17");
    not_a_tree(&patched(24, 18), "version 17");
    not_a_tree(&patched(32, 1), "strings block");
    not_a_tree(&patched(36, 8), "within a node");
    // What follows the tree is not looked at.
    let mut longer = blob.clone();
    longer.extend([0xff; 64]);
    assert!(PartitionManifest::parse(&longer).is_ok());
}

#[test]
fn says_which_token_is_wrong() {
    // A header and strings around a structure block.
    let tree = |tokens: &[u32]| {
        let mut blob = Node::new("").to_blob();
        blob.truncate(56);
        let size = tokens.len() as u32 * 4;
        blob.extend(tokens.iter().flat_map(|token| token.to_be_bytes()));
        blob.extend(b"ok\0\xff\0");
        let total = blob.len() as u32;
        for (offset, value) in [(4, total), (12, 56 + size), (32, 5), (36, size)] {
            blob[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        }
        blob
    };
    const X: u32 = 0x7800_0000;
    assert!(!both(&tree(&[1, 0, 2, 9])).1.unwrap().contains("device tree"));
    not_a_tree(&tree(&[9]), "ends within a node");
    not_a_tree(&tree(&[2, 9]), "has not begun");
    not_a_tree(&tree(&[1, 0, 2, 1, 0, 2, 9]), "two root nodes");
    not_a_tree(&tree(&[1, X, 2, 9]), "cannot have");
    not_a_tree(&tree(&[1, 0, 1, 0, 2, 2, 9]), "cannot have");
    not_a_tree(&tree(&[1, 0, 1, 0x782f_7800, 2, 2, 9]), "cannot have");
    not_a_tree(&tree(&[1, 0, 1, 0x0700_0000, 2, 2, 9]), "printable");
    not_a_tree(&tree(&[1, 0x7878_7878]), "printable");
    not_a_tree(&tree(&[1, 0, 4, 2, 9]), "compile it anew");
    not_a_tree(&tree(&[1, 0, 5, 2, 9]), "does not exist");
    not_a_tree(&tree(&[1, 0, 3, 0, 0, 2]), "within a node");
    not_a_tree(&tree(&[1, 0, 3, 0]), "within a property");
    not_a_tree(&tree(&[1, 0, 3, 9, 0, 2, 9]), "longer than");
    not_a_tree(&tree(&[1, 0, 3, u32::MAX, 0, 2, 9]), "longer than");
    not_a_tree(&tree(&[1, 0, 3, 0, 3, 2, 9]), "name of a property");
    not_a_tree(&tree(&[1, 0, 3, 0, 5, 2, 9]), "name of a property");
    not_a_tree(&tree(&[1, 0, 3, 0, 2, 2, 9]), "no name");
    not_a_tree(&tree(&[1, 0, 1, X, 2, 3, 0, 0, 2, 9]), "behind a node");
    let deep: Vec<u32> = [1, 0].into_iter().chain([1, X].repeat(8)).chain([2; 9]).chain([9]).collect();
    not_a_tree(&tree(&deep), "8 levels");
    let allowed: Vec<u32> = [1, 0].into_iter().chain([1, X].repeat(7)).chain([2; 8]).chain([9]).collect();
    assert!(!both(&tree(&allowed)).1.unwrap().contains("device tree"));
}

/// Returns a large tree of everything that a manifest can hold.
fn rich() -> Vec<u8> {
    let base = partition_base(1);
    let mut tree = partition(1, "second", 1);
    tree.add(memory_regions([
        region("rx", base, 1, 1).with("phandle", 1_u32),
        region("tx", base + 0x1000, 1, 3).with("phandle", 2_u32),
    ]));
    tree.add(rx_tx(1, 2));
    tree.add(device_regions([uart().with("interrupts-target", [40_u32, 0, 1])]));
    tree.set("sri-interrupts-policy", 1_u32);
    tree.set("abort-action", 1_u32);
    tree.set("id", 0x8002_u32);
    tree.to_blob()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused(blob in proptest::collection::vec(any::<u8>(), 0..512)) {
        let (spmc, partition) = both(&blob);
        prop_assert!(spmc.is_some() && partition.is_some());
    }

    #[test]
    fn arbitrary_tokens_do_not_panic(
        tokens in proptest::collection::vec(prop_oneof![0_u32..10, any::<u32>()], 0..128),
    ) {
        let mut blob = Node::new("").with("ok", Flag).to_blob();
        let strings = blob.len() - 3;
        let names = blob.split_off(strings);
        blob.truncate(56);
        let size = tokens.len() as u32 * 4;
        blob.extend(tokens.iter().flat_map(|token| token.to_be_bytes()));
        blob.extend(names);
        let total = blob.len() as u32;
        for (offset, value) in [(4, total), (12, 56 + size), (32, 3), (36, size)] {
            blob[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        }
        let _ = both(&blob);
    }

    #[test]
    fn changed_manifests_do_not_panic(
        which in 0..2,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        words in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u32..10), 0..3),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut blob = if which == 0 { entries().to_blob() } else { rich() };
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        for (at, word) in words {
            let at = at.index(blob.len() / 4) * 4;
            blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        if let Some(cut) = cut {
            blob.truncate(cut.index(blob.len()));
        }
        if let Ok(manifest) = PartitionManifest::parse(&blob) {
            prop_assert!(manifest.memory.start().is_page_aligned());
            prop_assert!(manifest.entry_point_offset < manifest.memory.size());
        }
        let _ = SpmcManifest::parse(&blob);
    }
}

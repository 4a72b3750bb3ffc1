//! What a manifest gives to a partition: memory and device regions, message buffers, boot information, execution
//! contexts. And what becomes of the others when it asks for what it cannot have.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once};

use tantalum_ffa::{Call, DirectMessage, PartitionInfo, Status, Uuid, Width};
use tantalum_hal::{TrapKind, VcpuStart};
use tantalum_sim::dtb::{Flag, Node};
use tantalum_sim::manifests::{
    CPUS, DEVICE_BASE, NON_SECURE_BASE, PARTITION_SIZE, SPARE_BASE, SPMC_BASE, device_regions,
    memory_regions, partition_base, partition_uuid, region, rx_tx, uart, uuid_cells,
};
use tantalum_sim::script::{Script, call, echo, serve, wait};
use tantalum_sim::{AccessKind, Sim, SimBuilder};
use tantalum_types::{CallRegisters, EndpointId, Ipa, MAX_CPUS, MAX_PARTITIONS, Pa};

/// Is where the tests have memory of the normal world.
const SHARED: u64 = NON_SECURE_BASE + 0x10_0000;

fn id(index: usize) -> EndpointId {
    EndpointId::new(0x8001 + index as u16)
}

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    let sender = EndpointId::HYPERVISOR;
    Call::DirectRequest(DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload })
}

/// Returns the payload of the answer of partition `index` to `payload`.
fn ask(sim: &Sim, cpu: usize, index: usize, payload: [u64; 5]) -> [u64; 5] {
    match sim.ask(cpu, request(id(index), payload)) {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

/// Tries the address in the first word, which is Non-secure if the second one is 1, and says whether it can read,
/// write, execute it, and whether it is a device's.
fn explorer() -> Script {
    serve(|context, request| {
        let [address, non_secure, ..] = request.payload;
        let ipa = if non_secure == 1 { Ipa::non_secure(address) } else { Ipa::secure(address) };
        let can = |kind| u64::from(context.reaches(ipa, kind));
        let found = [
            can(AccessKind::Read),
            can(AccessKind::Write),
            can(AccessKind::Fetch),
            u64::from(context.is_device(ipa) == Some(true)),
            0,
        ];
        Ok(call(Call::DirectResponse(request.answer(found))))
    })
}

/// Returns what partition `index` may do at an address of Secure memory: some of "rwx", and "d" for a device.
fn secure(sim: &Sim, cpu: usize, index: usize, address: u64) -> String {
    letters(ask(sim, cpu, index, [address, 0, 0, 0, 0]))
}

/// Returns what partition `index` may do at an address of Non-secure memory.
fn non_secure(sim: &Sim, cpu: usize, index: usize, address: u64) -> String {
    letters(ask(sim, cpu, index, [address, 1, 0, 0, 0]))
}

fn letters(found: [u64; 5]) -> String {
    "rwxd".chars().zip(found).filter(|(_, found)| *found == 1).map(|(letter, _)| letter).collect()
}

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Collector;

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|lines| lines.push(format!("{}: {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

/// Boots and returns the lines of the log that are errors as well.
fn boot(builder: SimBuilder) -> (Sim, Vec<String>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    LOGGED.take();
    let sim = builder.boot();
    (sim, LOGGED.take().into_iter().filter(|line| line.starts_with("ERROR")).collect())
}

#[track_caller]
fn says(lines: &[String], parts: &[&str]) {
    let [line] = lines else { panic!("not one line: {lines:?}") };
    for part in parts {
        assert!(line.contains(part), "\"{line}\" does not say \"{part}\"");
    }
}

/// Boots partition 0 with `edit` between two others, which must be as ever; it must have been left out, with a line
/// in the log that has `parts`.
#[track_caller]
fn left_out(edit: impl FnOnce(&mut Node), parts: &[&str]) {
    let builder = SimBuilder::new().partition("before", [echo()]).partition_with("wrong", [echo()], edit);
    let (sim, errors) = boot(builder.partition("after", [explorer()]));
    says(&errors, &[&["0x8002 wrong is left out"], parts].concat());
    assert_eq!(sim.refusal(0, request(id(1), [0; 5])), Status::InvalidParameters);
    assert_eq!(ask(&sim, 0, 0, [1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
    assert_eq!(secure(&sim, 0, 2, partition_base(2)), "rwx");
    assert_eq!(secure(&sim, 0, 2, partition_base(1)), "");
}

// --- Regions

#[test]
fn a_partition_reaches_its_regions_and_nothing_else() {
    let regions = |tree: &mut Node| {
        tree.add(memory_regions([
            region("data", SPARE_BASE, 2, 3),
            region("code", SPARE_BASE + 0x2000, 1, 5),
            region("constants", SPARE_BASE + 0x20_0000, 1, 1),
            region("shared", SHARED, 3, 11),
            region("told", SHARED + 0x3000, 1, 9),
        ]));
        tree.add(device_regions([uart()]));
    };
    let builder = SimBuilder::new()
        .partition_with("rich", (0..CPUS).map(|_| explorer()), regions)
        .partition("poor", [explorer()]);
    let (sim, errors) = boot(builder);
    assert_eq!(errors, [""; 0]);
    for cpu in 0..CPUS {
        for (address, expected) in [
            (SPARE_BASE - 1, ""),
            (SPARE_BASE, "rw"),
            (SPARE_BASE + 0x1fff, "rw"),
            (SPARE_BASE + 0x2000, "rx"),
            (SPARE_BASE + 0x3000, ""),
            (SPARE_BASE + 0x20_0000, "r"),
            (SPARE_BASE + 0x20_1000, ""),
            (DEVICE_BASE - 1, ""),
            (DEVICE_BASE, "rwd"),
            (DEVICE_BASE + 0x1000, ""),
            // The same number in the other space is other memory.
            (SHARED, ""),
            (partition_base(0), "rwx"),
            (partition_base(1), ""),
            (SPMC_BASE, ""),
        ] {
            assert_eq!(secure(&sim, cpu, 0, address), expected, "{address:#x}");
        }
        for (address, expected) in [
            (SHARED - 1, ""),
            (SHARED, "rw"),
            (SHARED + 0x2fff, "rw"),
            (SHARED + 0x3000, "r"),
            (SHARED + 0x4000, ""),
            (SPARE_BASE, ""),
            (DEVICE_BASE, ""),
            (partition_base(0), ""),
        ] {
            assert_eq!(non_secure(&sim, cpu, 0, address), expected, "{address:#x}");
        }
        for address in [SPARE_BASE, SPARE_BASE + 0x2000, DEVICE_BASE, partition_base(0)] {
            assert_eq!(secure(&sim, cpu, 1, address), "", "{address:#x}");
        }
        assert_eq!(non_secure(&sim, cpu, 1, SHARED), "");
    }
}

#[test]
fn what_is_written_to_a_region_lies_at_its_address() {
    let script = serve(|context, request| {
        context.write(Ipa::secure(SPARE_BASE + 8), b"secure")?;
        context.write(Ipa::non_secure(SHARED + 8), b"shared")?;
        Ok(call(Call::DirectResponse(request.answer(request.payload))))
    });
    let (sim, _) = boot(SimBuilder::new().partition_with("one", [script], |tree| {
        tree.add(memory_regions([region("a", SPARE_BASE, 1, 3), region("b", SHARED, 1, 11)]));
    }));
    ask(&sim, 0, 0, [0; 5]);
    assert_eq!(&sim.machine().bytes(Pa::secure(SPARE_BASE + 8)), b"secure");
    assert_eq!(&sim.machine().bytes(Pa::non_secure(SHARED + 8)), b"shared");
}

#[test]
fn a_region_outside_its_own_memory_outlives_a_partition_that_begins_anew_and_stays_its_own() {
    let own = partition_base(0) + 0x2_0000;
    let writer = || {
        serve(move |context, request| {
            if request.payload[0] == 1 {
                for address in [SPARE_BASE, own] {
                    context.write(Ipa::secure(address), b"secret")?;
                }
                return Err(TrapKind::Instruction);
            }
            let can = |kind| u64::from(context.reaches(Ipa::secure(SPARE_BASE), kind));
            let found = [can(AccessKind::Read), can(AccessKind::Write), 0, 0, 0];
            Ok(call(Call::DirectResponse(request.answer(found))))
        })
    };
    for action in [0_u32, 1, 2] {
        let (sim, errors) = boot(
            SimBuilder::new()
                .partition_with("one", [writer()], |tree| {
                    tree.set("abort-action", action);
                    tree.add(memory_regions([region("a", SPARE_BASE, 1, 3)]));
                })
                .partition("other", [explorer()]),
        );
        assert_eq!(errors, [""; 0]);
        assert_eq!(sim.refusal(0, request(id(0), [1, 0, 0, 0, 0])), Status::Aborted);
        assert_eq!(&sim.machine().bytes(Pa::secure(SPARE_BASE)), b"secret");
        if action == 2 {
            assert_eq!(ask(&sim, 0, 0, [0; 5]), [1, 1, 0, 0, 0]);
            assert_eq!(sim.machine().bytes(Pa::secure(own)), [0; 6], "its own memory is as it was loaded");
        } else {
            assert_eq!(sim.refusal(0, request(id(0), [0; 5])), Status::Aborted);
        }
        // In no life of its owner is it anybody else's.
        for address in [SPARE_BASE, own] {
            assert_eq!(secure(&sim, 0, 1, address), "");
            assert_eq!(non_secure(&sim, 0, 1, address), "");
        }
    }
}

#[test]
fn a_region_in_its_own_memory_narrows_it() {
    let relative = |name: &str, offset: u32, attributes: u32| {
        Node::new(name)
            .with("load-address-relative-offset", offset)
            .with("pages-count", 1_u32)
            .with("attributes", attributes)
    };
    let (sim, errors) = boot(SimBuilder::new().partition_with("one", [explorer()], |tree| {
        tree.add(memory_regions([
            relative("constants", 0x8000, 1),
            relative("code", 0x9000, 5),
            relative("data", 0xa000, 3),
        ]));
    }));
    assert_eq!(errors, [""; 0]);
    for (offset, expected) in
        [(0x7000, "rwx"), (0x8000, "r"), (0x9000, "rx"), (0xa000, "rw"), (0xb000, "rwx"), (0xf_f000, "rwx")]
    {
        assert_eq!(secure(&sim, 0, 0, partition_base(0) + offset), expected, "{offset:#x}");
    }
}

#[test]
fn a_device_is_shared_unless_somebody_wants_it_alone() {
    type Edit = fn(&mut Node);
    let open: Edit = |tree| tree.add(device_regions([region("open", DEVICE_BASE, 1, 3)]));
    let read_only: Edit = |tree| tree.add(device_regions([region("status", DEVICE_BASE, 1, 1)]));
    let exclusive: Edit =
        |tree| tree.add(device_regions([region("mine", DEVICE_BASE, 1, 3).with("exclusive-access", Flag)]));
    let (sim, errors) = boot(SimBuilder::new().partition_with("first", [explorer()], open).partition_with(
        "second",
        [explorer()],
        read_only,
    ));
    assert_eq!(errors, [""; 0]);
    assert_eq!((&*secure(&sim, 0, 0, DEVICE_BASE), &*secure(&sim, 0, 1, DEVICE_BASE)), ("rwd", "rd"));

    for (one, other) in [(open, exclusive), (exclusive, open)] {
        let builder = SimBuilder::new().partition_with("first", [explorer()], one).partition_with(
            "second",
            [echo()],
            other,
        );
        let (sim, errors) = boot(builder.partition("third", [explorer()]));
        says(&errors, &["0x8002 second is left out", "overlaps first", "0x9040000"]);
        assert_eq!(secure(&sim, 0, 0, DEVICE_BASE), "rwd");
        assert_eq!(secure(&sim, 0, 2, DEVICE_BASE), "");
    }
}

#[test]
fn memory_and_interrupts_have_one_owner() {
    type Edit = fn(&mut Node);
    let memory: Edit = |tree| tree.add(memory_regions([region("buffer", SPARE_BASE, 4, 3)]));
    let overlap: Edit = |tree| tree.add(memory_regions([region("part", SPARE_BASE + 0x3000, 1, 1)]));
    let wired: Edit = |tree| tree.add(device_regions([uart()]));
    for (edit, other, parts) in [
        (memory, overlap, ["\"part\"", "overlaps first"]),
        (wired, wired, ["\"interrupts\"", "partition \"first\""]),
    ] {
        let builder = SimBuilder::new().partition_with("first", [explorer()], edit).partition_with(
            "second",
            [echo()],
            other,
        );
        let (sim, errors) = boot(builder.partition("third", [echo()]));
        says(&errors, &[&["0x8002 second is left out"], &parts[..]].concat());
        assert_eq!(secure(&sim, 0, 0, partition_base(0)), "rwx");
        assert_eq!(ask(&sim, 0, 2, [5, 4, 3, 2, 1]), [5, 4, 3, 2, 1]);
    }
}

#[test]
fn goes_on_without_a_partition_that_asks_for_what_is_not_its_own() {
    let memory = |base: u64, pages: u32, attributes: u32| {
        move |tree: &mut Node| tree.add(memory_regions([region("a", base, pages, attributes)]))
    };
    left_out(memory(SPARE_BASE, 1, 7), &["\"attributes\"", "\"a\"", "not writable"]);
    left_out(memory(SHARED, 1, 13), &["\"attributes\"", "executable", "Secure"]);
    left_out(memory(SPMC_BASE, 1, 3), &["\"a\"", "the SPMC"]);
    left_out(memory(partition_base(0), 1, 3), &["\"a\"", "before"]);
    left_out(memory(partition_base(2), 1, 3), &["\"a\"", "after"]);
    left_out(memory(partition_base(1) + PARTITION_SIZE - 0x1000, 2, 3), &["\"a\"", "overlaps"]);
    left_out(memory(SHARED, 1, 3), &["\"a\"", "device_type \"memory\""]);
    left_out(memory(SPARE_BASE, 1, 11), &["\"a\"", "device_type \"ns-memory\""]);
    let device = |region: Node| move |tree: &mut Node| tree.add(device_regions([region]));
    left_out(device(region("rtc", 0x0901_0000, 1, 3)), &["\"rtc\"", "device-memory"]);
    left_out(device(region("uart", DEVICE_BASE, 1, 7)), &["\"attributes\"", "\"uart\"", "device"]);
    left_out(device(region("uart", DEVICE_BASE, 1, 11)), &["\"attributes\"", "\"uart\"", "device"]);
    left_out(device(uart().with("smmu-id", 0_u32)), &["\"smmu-id\"", "\"uart\"", "SMMU"]);
    let own_timer = uart().with("interrupts", [20_u32, 0x500]);
    left_out(device(own_timer), &["the interrupt 20", "\"interrupts\""]);
    left_out(|tree| tree.set("id", 0x8001_u32), &["\"id\"", "0x8002"]);
}

#[test]
fn regions_beyond_the_quota_of_tables_are_refused_by_name() {
    // As many partitions as there can be, so that each has the smallest share.
    let boot_with = |edit: &dyn Fn(&mut Node)| {
        let builder = SimBuilder::new().partition_with("first", [explorer()], edit);
        boot((1..MAX_PARTITIONS).fold(builder, |builder, i| builder.partition(&format!("p{i}"), [echo()])))
    };
    // Each in another 2 MiB, so that each needs a table; then as many of them as there can be.
    let (sim, errors) = boot_with(&|tree| {
        tree.add(memory_regions((0..8).map(|i| region(&format!("r{i}"), SHARED + (i << 21), 1, 11))));
        tree.add(device_regions([uart()]));
    });
    assert_eq!(errors, [""; 0]);
    assert_eq!(non_secure(&sim, 0, 0, SHARED + (7 << 21)), "rw");
    assert_eq!(secure(&sim, 0, 0, DEVICE_BASE), "rwd");

    // A page on each side of each border takes two.
    let border = |i: u64| SHARED + ((2 * i + 1) << 21) - SHARED % (1 << 21) - 0x1000;
    let (sim, errors) = boot_with(&|tree| {
        tree.add(memory_regions((0..8).map(|i| region(&format!("r{i}"), border(i), 2, 11))));
    });
    says(&errors, &["0x8001 first is left out", "its region \"r", "quota of translation tables"]);
    for index in 1..MAX_PARTITIONS {
        assert_eq!(ask(&sim, 0, index, [1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
    }
}

// --- Message buffers

fn first_words(answer: &CallRegisters) -> [u64; 5] {
    let [x0, x1, x2, x3, ..] = answer.0;
    [x0, x1, x2, x3, 0]
}

/// Makes `calls` one after the other when a request comes, and remembers the answers.
fn caller(calls: Vec<Call>, answers: Arc<Mutex<Vec<Call>>>) -> Script {
    let mut left = calls.into_iter();
    let mut open: Option<DirectMessage> = None;
    Box::new(move |context| {
        match open {
            Some(_) => answers.lock().unwrap().push(Call::decode(&context.answer()).unwrap()),
            None => open = context.request(),
        }
        let Some(request) = open else { return Ok(wait()) };
        match left.next() {
            Some(next) => Ok(call(next)),
            None => Ok(call(Call::DirectResponse(request.answer(first_words(&context.answer()))))),
        }
    })
}

fn buffers_at(rx: u64, tx: u64, pages: u32) -> impl FnOnce(&mut Node) {
    move |tree: &mut Node| {
        tree.add(memory_regions([
            region("rx", rx, pages, 1).with("phandle", 1_u32),
            region("tx", tx, pages, 3).with("phandle", 2_u32),
        ]));
        tree.add(rx_tx(1, 2));
    }
}

#[test]
fn buffers_of_the_manifest_are_there_from_the_beginning() {
    for (rx, tx) in
        [(partition_base(0) + 0x8000, partition_base(0) + 0x9000), (SPARE_BASE, SPARE_BASE + 0x1000)]
    {
        let answers = Arc::default();
        let zero = EndpointId::new(0);
        let map = |tx, rx| Call::RxtxMap { width: Width::Bits64, tx, rx, page_count: 1 };
        let calls = vec![
            Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false },
            Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false },
            Call::RxRelease { endpoint: zero },
            map(tx, rx),
            Call::RxtxUnmap { endpoint: zero },
            map(tx, rx),
        ];
        let builder = SimBuilder::new().partition_with(
            "one",
            [caller(calls, Arc::clone(&answers))],
            buffers_at(rx, tx, 1),
        );
        let (sim, errors) = boot(builder.partition("two", [echo()]));
        assert_eq!(errors, [""; 0]);
        ask(&sim, 0, 0, [0; 5]);
        let answers = answers.lock().unwrap();
        let [info, again, release, map, unmap, remap] = answers.as_slice() else { panic!("{answers:?}") };
        let Call::Success32 { results: [count, size, ..], .. } = info else { panic!("{info:?}") };
        assert_eq!((*count, *size), (2, 24));
        let status = |call: &Call| match call {
            Call::Error { status, .. } => *status,
            other => panic!("{other:?}"),
        };
        let done = |call: &Call| assert!(matches!(call, Call::Success32 { .. }), "{call:?}");
        assert_eq!(status(again), Status::Busy);
        done(release);
        assert_eq!(status(map), Status::Denied);
        done(unmap);
        done(remap);
        // The description of the first partition lies in the RX buffer.
        let record: [u8; PartitionInfo::SIZE] = sim.machine().bytes(Pa::secure(rx));
        assert_eq!(record[..4], [0x01, 0x80, 1, 0]);
    }
}

#[test]
fn buffers_have_to_fit() {
    let base = partition_base(1);
    left_out(buffers_at(base + 0x2_0000, base + 0x4_0000, 17), &["rx_tx-info", "at most 16 pages"]);
    let read_only = |tree: &mut Node| {
        buffers_at(base + 0x8000, base + 0x9000, 1)(tree);
        tree.at("memory-regions/tx").set("attributes", 1_u32);
    };
    left_out(read_only, &["\"tx-buffer\"", "write"]);
    left_out(buffers_at(partition_base(0), base, 1), &["\"rx\"", "before"]);
}

#[test]
fn memory_of_a_region_can_become_buffers() {
    let map = |tx, rx| Call::RxtxMap { width: Width::Bits64, tx, rx, page_count: 1 };
    let answers = Arc::default();
    let calls = vec![
        // Beyond the region, of the normal world, of the device.
        map(SPARE_BASE, SPARE_BASE + 0x2000),
        map(SHARED, SPARE_BASE),
        map(DEVICE_BASE, SPARE_BASE),
        map(SPARE_BASE, SPARE_BASE + 0x1000),
    ];
    let script = caller(calls, Arc::clone(&answers));
    let (sim, _) = boot(SimBuilder::new().partition_with("one", [script], |tree| {
        tree.add(memory_regions([region("a", SPARE_BASE, 2, 3), region("b", SHARED, 1, 11)]));
        tree.add(device_regions([uart()]));
    }));
    ask(&sim, 0, 0, [0; 5]);
    let answers = answers.lock().unwrap();
    let [beyond, normal, device, good] = answers.as_slice() else { panic!("{answers:?}") };
    for refused in [beyond, normal, device] {
        assert!(matches!(refused, Call::Error { status: Status::InvalidParameters, .. }), "{refused:?}");
    }
    assert!(matches!(good, Call::Success32 { .. }), "{good:?}");
}

// --- Execution contexts and boot

/// Holds how execution contexts began: the index of the partition, the processing element, and the rest.
type Starts = Arc<Mutex<Vec<(usize, usize, VcpuStart)>>>;

/// Remembers how each execution context begins, and echoes.
fn recorder(starts: &Starts) -> Script {
    let starts = Arc::clone(starts);
    let mut echo = echo();
    Box::new(move |context| {
        if let Some(start) = context.start() {
            starts.lock().unwrap().push((context.vcpu.partition.get(), context.cpu.get(), start));
        }
        echo(context)
    })
}

#[test]
fn eight_partitions_of_eight_execution_contexts_run_on_eight_processing_elements() {
    let starts = Starts::default();
    let mut builder = SimBuilder::new().cpus(MAX_CPUS);
    for index in 0..MAX_PARTITIONS {
        let count = if index % 3 == 2 { 1 } else { MAX_CPUS };
        builder =
            builder.partition_with(&format!("p{index}"), (0..count).map(|_| recorder(&starts)), |tree| {
                tree.set("id", u32::from(id(index).raw()));
            });
    }
    let (sim, errors) = boot(builder);
    assert_eq!(errors, [""; 0]);
    // Two of eight are uniprocessor partitions.
    assert_eq!(starts.lock().unwrap().len(), 6 * MAX_CPUS + 2);
    for cpu in 0..MAX_CPUS {
        for index in 0..MAX_PARTITIONS {
            let payload = [cpu as u64, index as u64, 3, 4, 5];
            assert_eq!(ask(&sim, cpu, index, payload), payload);
        }
    }
}

#[test]
fn a_count_between_one_and_all_is_refused() {
    for count in [2, 3] {
        let (sim, errors) = boot(
            SimBuilder::new()
                .partition("odd", (0..count).map(|_| echo()))
                .partition("good", (0..CPUS).map(|_| echo())),
        );
        says(&errors, &["0x8001 odd is left out", "\"execution-ctx-count\"", "the number of CPUs"]);
        assert_eq!(ask(&sim, 3, 1, [1; 5]), [1; 5]);
    }
}

#[test]
fn begins_where_and_with_the_register_that_the_manifest_says() {
    for register in 0..4_u32 {
        let starts = Starts::default();
        let builder = SimBuilder::new().partition_with("one", [recorder(&starts)], |tree| {
            tree.set("gp-register-num", register);
            tree.set("entrypoint-offset", 0x4_2000_u32);
        });
        let (_, errors) = boot(builder);
        assert_eq!(errors, [""; 0]);
        let starts = starts.lock().unwrap();
        let [(0, 0, start)] = starts.as_slice() else { panic!("{starts:?}") };
        assert_eq!(start.boot_info_register, register as usize);
        assert_eq!(start.boot_info, partition_base(0));
        assert_eq!(start.entry_point, Ipa::secure(partition_base(0) + 0x4_2000));
    }
    let starts = Starts::default();
    let builder = SimBuilder::new().partition_with("one", [recorder(&starts)], |tree| {
        tree.remove("gp-register-num");
        tree.remove("boot-info");
        tree.remove("load-address");
        tree.remove("mem-size");
        tree.remove("entrypoint-offset");
    });
    let (_, errors) = boot(builder);
    assert_eq!(errors, [""; 0]);
    let starts = starts.lock().unwrap();
    let [(0, 0, start)] = starts.as_slice() else { panic!("{starts:?}") };
    assert_eq!((start.boot_info, start.entry_point), (0, Ipa::secure(partition_base(0))));
}

// --- Services

#[test]
fn a_partition_of_several_services_is_described_by_each() {
    const TX: u64 = NON_SECURE_BASE;
    const RX: u64 = NON_SECURE_BASE + 0x1000;
    let services = |tree: &mut Node| {
        let [a, b, c, d] = uuid_cells(partition_uuid(7));
        let [e, f, g, h] = uuid_cells(partition_uuid(8));
        tree.set("uuid", [a, b, c, d, e, f, g, h]);
        tree.set("messaging-method", [1_u32, 2]);
    };
    for (version, per_partition) in [(0x1_0001, 1), (0x1_0002, 2)] {
        let builder = SimBuilder::new().partition("one", [echo()]).partition_with("two", [echo()], services);
        let (sim, errors) = boot(builder);
        assert_eq!(errors, [""; 0]);
        sim.call(0, Call::Version { requested: version });
        sim.ask(0, Call::RxtxMap { width: Width::Bits64, tx: TX, rx: RX, page_count: 1 });
        let ask = |uuid: Uuid| match sim.ask(0, Call::PartitionInfoGet { uuid, count_only: false }) {
            Call::Success32 { results: [count, ..], .. } => {
                sim.ask(0, Call::RxRelease { endpoint: EndpointId::new(0) });
                let bytes: [u8; 96] = sim.machine().bytes(Pa::non_secure(RX));
                let records = bytes.chunks(24).take(count as usize);
                let found = records.map(|record| {
                    let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
                    (word(0) & 0xffff, word(4) & 3, Uuid::from_bytes(record[8..].try_into().unwrap()))
                });
                found.collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let first = (0x8001, 1, partition_uuid(0));
        let all = match per_partition {
            1 => vec![first, (0x8002, 1, partition_uuid(7))],
            // The normal world is not told who may send.
            _ => vec![first, (0x8002, 1, partition_uuid(7)), (0x8002, 0, partition_uuid(8))],
        };
        assert_eq!(ask(Uuid::nil()), all);
        assert_eq!(ask(partition_uuid(7)), [(0x8002, 1, Uuid::nil())]);
        assert_eq!(ask(partition_uuid(8)), [(0x8002, 0, Uuid::nil())]);
        let nobody = Call::PartitionInfoGet { uuid: partition_uuid(3), count_only: false };
        assert_eq!(sim.refusal(0, nobody), Status::InvalidParameters);
    }
}

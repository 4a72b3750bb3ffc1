//! Virtual machines from their beginning to their end, on a machine on the host.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod machine;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use machine::{
    Bench, CONSOLE, FREQUENCY, Guest, INITRAMFS, INITRAMFS_SIZE, KERNEL_SIZE, POOL, Script, VM_SIZE, hvc, id,
    kernel, list, msr, now, read, value, vm, write,
};
use proptest::prelude::*;
use tantalum_hal::PhysicalMemory;
use tantalum_hal::vm::{
    Access, Action, Conduit, Direction, Entry, Event, Exception, Fault, RegisterTrap, Start, SystemRegister,
};
use tantalum_types::{CallRegisters, Ipa, Pa};
use tantalum_vmm::vcpu::State;

const SYSTEM_OFF: [u64; 4] = [0x8400_0008, 0, 0, 0];
const SYSTEM_RESET: [u64; 4] = [0x8400_0009, 0, 0, 0];
const CPU_OFF: [u64; 4] = [0x8400_0002, 0, 0, 0];
const ENTRY: u64 = 0x4020_0000;
const SGI1R: [u8; 5] = [3, 0, 12, 11, 5];

fn cpu_on(target: u64, entry: u64, context: u64) -> Event {
    hvc([0xc400_0003, target, entry, context])
}

fn affinity_info(target: u64) -> Event {
    hvc([0xc400_0004, target, 0, 0])
}

/// Takes the interrupt controller into use for virtual CPU `vcpu`, as software does.
fn set_up_interrupts(vcpu: u64) -> Vec<Event> {
    let redistributor = 0x080a_0000 + vcpu * 0x2_0000;
    vec![
        write(0x0800_0000, 4, 2),
        write(redistributor + 0x14, 4, 0),
        write(redistributor + 0x1_0080, 4, 0xffff_ffff),
        write(redistributor + 0x1_0100, 4, 0xffff_ffff),
    ]
}

/// Does these things in turn, and then what `then` says.
fn first(
    events: Vec<Event>,
    mut then: impl FnMut(&mut Guest<'_>, Entry) -> Event + Send + 'static,
) -> Script {
    let mut events = events.into_iter();
    Box::new(move |guest, entry| {
        guest.machine.open_interface();
        events.next().unwrap_or_else(|| then(guest, entry))
    })
}

fn guest_memory(bench: &Bench, at: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bench.machine.read(Pa::non_secure(POOL + at - 0x4000_0000), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_kernel_finds_itself_its_file_system_and_its_device_tree() {
    let (script, entries) = list(vec![]);
    let node =
        vm("one", [0, 1, 2]).with("initramfs", [INITRAMFS, INITRAMFS_SIZE]).with_node(machine_rng("rng"));
    let bench = Bench::new([node], [(id(0, 0), script)]);
    assert_eq!(bench.boot(), Action::Idle);
    let Entry::Start(Start { entry_point, x0, mpidr, .. }) = entries.lock().unwrap()[0] else { panic!() };
    assert_eq!((entry_point, x0, mpidr), (ENTRY, 0x4000_0000, 0));
    assert_eq!(guest_memory(&bench, ENTRY, KERNEL_SIZE as usize), kernel());
    let initramfs = ENTRY + 0x2_0000;
    assert_eq!(guest_memory(&bench, initramfs, INITRAMFS_SIZE as usize), [0x77; INITRAMFS_SIZE as usize]);

    // Another reader of device trees than the writer's has to understand it.
    let blob = guest_memory(&bench, x0, 0x2000);
    let tree = fdt::Fdt::new(&blob).unwrap();
    assert_eq!(tree.cpus().map(|cpu| cpu.ids().first()).collect::<Vec<_>>(), [0, 1, 2]);
    let memory = tree.memory();
    let region = memory.regions().next().unwrap();
    assert_eq!((region.starting_address as u64, region.size), (0x4000_0000, Some(VM_SIZE as usize)));
    let chosen = tree.find_node("/chosen").unwrap();
    let number =
        |name| chosen.property(name).unwrap().value.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    assert_eq!(tree.chosen().bootargs(), Some("console=ttyAMA0"));
    assert_eq!(number("linux,initrd-start"), initramfs);
    assert_eq!(number("linux,initrd-end"), initramfs + INITRAMFS_SIZE);
    assert_eq!(chosen.property("rng-seed").unwrap().value.len(), 32);
    assert_eq!(chosen.property("stdout-path").unwrap().as_str(), Some("/pl011@9000000"));
    for (path, compatible) in [
        ("/intc@8000000", "arm,gic-v3"),
        ("/pl011@9000000", "arm,pl011"),
        ("/pl031@9010000", "arm,pl031"),
        ("/virtio_mmio@a000000", "virtio,mmio"),
        ("/psci", "arm,psci-1.0"),
        ("/timer", "arm,armv8-timer"),
    ] {
        let node = tree.find_node(path).unwrap_or_else(|| panic!("there is no {path}"));
        assert_eq!(node.compatible().unwrap().first(), compatible);
    }
    assert!(tree.find_node("/virtio_mmio@a000200").is_none());
}

fn machine_rng(name: &str) -> tantalum_sim::dtb::Node {
    tantalum_sim::dtb::Node::new(name).with("compatible", "tantalum,rng")
}

#[test]
fn virtual_cpus_are_turned_on_and_off() {
    let (first, entries) = list(vec![
        cpu_on(2, ENTRY, 0),
        cpu_on(1, 0x3fff_fffc, 0),
        cpu_on(1, 0x4000_0000 + VM_SIZE, 0),
        cpu_on(0, ENTRY, 0),
        affinity_info(1),
        affinity_info(9),
        cpu_on(1, ENTRY + 8, 77),
        cpu_on(1, ENTRY, 0),
        affinity_info(1),
    ]);
    let (second, seconds) = list(vec![hvc(CPU_OFF), hvc(CPU_OFF)]);
    let bench = Bench::new([vm("one", [0, 1])], [(id(0, 0), first), (id(0, 1), second)]);
    // The second one has not been run yet when the first one asks about it.
    let answers: Vec<i64> = {
        assert_eq!(bench.boot(), Action::Idle);
        entries.lock().unwrap()[1..].iter().map(value).collect()
    };
    assert_eq!(answers, [-2, -9, -9, -4, 1, -2, 0, -5, 2]);
    let Entry::Start(start) = seconds.lock().unwrap()[0] else { panic!() };
    assert_eq!((start.entry_point, start.x0, start.mpidr), (ENTRY + 8, 77, 1));
}

#[test]
fn one_that_was_turned_off_begins_anew() {
    const ROUNDS: u64 = 50;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let mut round = 0;
    let first: Script = Box::new(move |_, entry| match entry {
        Entry::Register { value: 1, .. } | Entry::Start(_) if round == ROUNDS => hvc(SYSTEM_OFF),
        // It is off.
        Entry::Register { value: 1, .. } | Entry::Start(_) => {
            round += 1;
            cpu_on(1, ENTRY, round)
        }
        _ => affinity_info(1),
    });
    let second: Script = Box::new(move |_, entry| {
        let Entry::Start(start) = entry else { panic!("{entry:?}") };
        kept.lock().unwrap().push(start.x0);
        hvc(CPU_OFF)
    });
    let bench = Bench::new([vm("one", [0, 1])], [(id(0, 0), first), (id(0, 1), second)]);
    bench.run_in_threads(2);
    assert_eq!(*seen.lock().unwrap(), (1..=ROUNDS).collect::<Vec<_>>());
    assert!(bench.vmm.vm(id(0, 0).vm).is_some());
}

#[test]
fn what_wakes_one_from_a_power_state_is_there_when_it_begins() {
    const POWER_DOWN: u64 = 1 << 16;
    // The timer's registers are lost then, so another one's interrupt has to come.
    let mut events = set_up_interrupts(0);
    events.extend([cpu_on(1, ENTRY, 0), hvc([0xc400_0001, POWER_DOWN, ENTRY + 4, 99])]);
    let mut began = 0;
    let sleeper = first(events, move |guest, entry| {
        if let Entry::Start(start) = entry {
            assert_eq!((start.entry_point, start.x0, start.mpidr), (ENTRY + 4, 99, 0));
            began += 1;
        }
        match guest.machine.acknowledge() {
            Some(intid) => {
                assert_eq!((intid, began), (5, 1));
                hvc(SYSTEM_OFF)
            }
            // It takes interrupts once its CPU interface is set up anew.
            None => Event::Interrupt,
        }
    });
    let (waker, _) = list([set_up_interrupts(1), vec![msr(SGI1R, 5 << 24 | 1)]].concat());
    let bench = Bench::new([vm("one", [0, 1])], [(id(0, 0), sleeper), (id(0, 1), waker)]);
    assert_eq!(bench.boot(), Action::PowerOff);
}

#[test]
fn the_machine_goes_off_with_the_last_virtual_machine() {
    let starts = Arc::new(AtomicUsize::new(0));
    let count = starts.clone();
    let mut life = 0;
    // It is reset twice, and then turns itself off.
    let one: Script = Box::new(move |_, entry| {
        assert!(matches!(entry, Entry::Start(_)), "{entry:?}");
        count.fetch_add(1, Ordering::SeqCst);
        life += 1;
        hvc(if life < 3 { SYSTEM_RESET } else { SYSTEM_OFF })
    });
    let (two, entries) = list(vec![]);
    let bench = Bench::new([vm("one", [0]), vm("two", [1])], [(id(0, 0), one), (id(1, 0), two)]);
    assert_eq!(bench.boot(), Action::Idle);
    assert_eq!(starts.load(Ordering::SeqCst), 3);
    assert_eq!(entries.lock().unwrap().len(), 1, "the other one goes on waiting");

    let (one, _) = list(vec![hvc(SYSTEM_OFF)]);
    let (two, _) = list(vec![hvc(SYSTEM_OFF)]);
    let bench = Bench::new([vm("one", [0]), vm("two", [1])], [(id(0, 0), one), (id(1, 0), two)]);
    assert_eq!(bench.boot(), Action::PowerOff);
}

#[test]
fn a_reset_stops_virtual_cpus_wherever_they_are() {
    let lives = Arc::new(AtomicUsize::new(0));
    let life = lives.clone();
    // The others run, wait, and are off, on other processing elements and on the same one.
    let mut step = 0;
    let boss: Script = Box::new(move |_, entry| {
        if matches!(entry, Entry::Start(_)) {
            life.fetch_add(1, Ordering::SeqCst);
            step = 0;
        }
        step += 1;
        match step {
            1..=3 => cpu_on(step, ENTRY, step),
            4..=40 => Event::Interrupt,
            _ if life.load(Ordering::SeqCst) == 4 => hvc(SYSTEM_OFF),
            _ => hvc(SYSTEM_RESET),
        }
    });
    let spins = || -> Script { Box::new(|_, _| Event::Interrupt) };
    let waits = || -> Script { Box::new(|_, _| Event::Wait) };
    let bench = Bench::new(
        [vm("one", [0, 1, 2, 0])],
        [(id(0, 0), boss), (id(0, 1), spins()), (id(0, 2), waits()), (id(0, 3), waits())],
    );
    bench.run_in_threads(3);
    assert_eq!(lives.load(Ordering::SeqCst), 4);
}

#[test]
fn virtual_machines_without_their_cpus_or_kernels_are_left_out() {
    let (two, entries) = list(vec![hvc(SYSTEM_OFF)]);
    let broken = vm("broken", [0]).with("kernel", [INITRAMFS, INITRAMFS_SIZE]);
    let bench = Bench::new([vm("one", [0, 5]), vm("two", [0]), broken], [(id(1, 0), two)]);
    bench.machine.missing.lock().unwrap().insert(5);
    assert_eq!(bench.boot(), Action::PowerOff);
    assert_eq!(entries.lock().unwrap().len(), 1);
}

#[test]
fn devices_are_where_qemu_has_them_and_nothing_else_is() {
    let (script, entries) = list(vec![
        read(0x0900_0fe0, 4),
        read(0x0901_0fe0, 4),
        read(0x0800_ffe8, 4),
        read(0x0a00_0000, 4),
        read(0x0a00_0008, 4),
        read(0x0a00_0200, 4),
        write(0x0900_1000, 4, 1),
        Event::Fault(Fault::DataAbort { address: Ipa::non_secure(0x100), virtual_address: 5, write: true }),
        Event::Fault(Fault::InstructionAbort { address: Ipa::non_secure(0x100), virtual_address: 6 }),
        Event::Fault(Fault::Instruction { syndrome: 7 }),
        msr([3, 0, 11, 0, 0], 1),
        msr([2, 0, 1, 0, 4], 1),
        Event::Call { conduit: Conduit::Smc, immediate: 1, registers: CallRegisters::ZERO },
        hvc([0x8400_0000, 0, 0, 0]),
    ]);
    let bench = Bench::new([vm("one", [0]).with_node(machine_rng("rng"))], [(id(0, 0), script)]);
    bench.boot();
    let entries = entries.lock().unwrap();
    let values: Vec<i64> = [1, 2, 4, 5].map(|at: usize| value(&entries[at])).into();
    assert_eq!(values, [0x11, 0x31, 0x7472_6976, 4]);
    assert_eq!(value(&entries[3]) & 0xf0, 0x30, "GICv3");
    let abort = |virtual_address, write| Entry::Exception(Exception::DataAbort { virtual_address, write });
    assert_eq!(entries[6], abort(0xffff_0000_0a00_0200, false));
    assert_eq!(entries[7], abort(0xffff_0000_0900_1000, true));
    assert_eq!(entries[8], abort(5, true));
    assert_eq!(entries[9], Entry::Exception(Exception::InstructionAbort { virtual_address: 6 }));
    assert_eq!(entries[10], Entry::Exception(Exception::Undefined));
    assert_eq!(entries[11], Entry::Exception(Exception::Undefined));
    assert_eq!(entries[12], Entry::Resume);
    assert_eq!(entries[13], Entry::Exception(Exception::Undefined));
    assert_eq!(value(&entries[14]), 0x1_0001);
}

#[test]
fn those_who_always_run_have_equal_shares() {
    let shares = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let hog = |share: &Arc<AtomicU64>| -> Script {
        let share = share.clone();
        Box::new(move |guest, _| {
            share.fetch_add(100, Ordering::SeqCst);
            guest.machine.advance(100);
            if now(guest) > 4 * FREQUENCY { hvc(SYSTEM_OFF) } else { Event::Interrupt }
        })
    };
    let scripts = [0, 1, 2].map(|index| (id(index, 0), hog(&shares[index])));
    let bench = Bench::new([vm("a", [0]), vm("b", [0]), vm("c", [0])], scripts);
    assert_eq!(bench.boot(), Action::PowerOff);
    let shares = shares.map(|share| share.load(Ordering::SeqCst));
    let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
    assert!(most - least <= 2 * FREQUENCY / 250, "{shares:?}");
}

#[test]
fn one_that_is_woken_by_its_timer_does_not_wait_for_a_hog() {
    const PERIOD: u64 = 20_030;
    let worst = Arc::new(AtomicU64::new(0));
    let late = worst.clone();
    let mut round = 0;
    let sleeper = first(set_up_interrupts(0), move |guest, _| {
        if let Some(intid) = guest.machine.acknowledge() {
            assert_eq!(intid, 27);
            let timer = guest.machine.elements[guest.cpu].lock().unwrap().virtual_timer.take();
            late.fetch_max(now(guest) - timer.unwrap(), Ordering::SeqCst);
            guest.machine.end(27);
            round += 1;
        }
        if round == 20 {
            return hvc(SYSTEM_OFF);
        }
        let element = &mut guest.machine.elements[guest.cpu].lock().unwrap();
        let next = guest.machine.now.load(Ordering::SeqCst) + PERIOD;
        element.virtual_timer.get_or_insert(next);
        Event::Wait
    });
    let hog: Script = Box::new(|guest, _| {
        guest.machine.advance(100);
        if now(guest) > 2 * FREQUENCY { hvc(SYSTEM_OFF) } else { Event::Interrupt }
    });
    let bench = Bench::new([vm("a", [0]), vm("b", [0])], [(id(0, 0), sleeper), (id(1, 0), hog)]);
    assert_eq!(bench.boot(), Action::PowerOff);
    let worst = worst.load(Ordering::SeqCst);
    assert!(worst > 0 && worst <= 200, "it waits {worst} counts");
}

#[test]
fn the_virtual_timer_is_not_pending_once_its_deadline_has_moved() {
    const PENDING: u64 = 0x080a_0000 + 0x1_0200;
    let mut step = 0;
    let script = first(set_up_interrupts(0), move |guest, entry| {
        let is_active = || guest.machine.elements[guest.cpu].lock().unwrap().active.contains(&27);
        let set_timer = |deadline| {
            guest.machine.elements[guest.cpu].lock().unwrap().virtual_timer = Some(deadline);
        };
        step += 1;
        match step {
            1 => {
                set_timer(now(guest));
                Event::Interrupt
            }
            2 => {
                assert!(is_active(), "it stands for the physical one");
                read(PENDING, 4)
            }
            3 => {
                assert_eq!(value(&entry), 1 << 27);
                set_timer(now(guest) + 1000);
                read(PENDING, 4)
            }
            4 => {
                assert_eq!(value(&entry), 0);
                assert!(!is_active(), "the physical one can come again");
                assert_eq!(guest.machine.acknowledge(), None);
                guest.machine.advance(1000);
                Event::Interrupt
            }
            _ => {
                assert_eq!(guest.machine.acknowledge(), Some(27), "when it is due it comes");
                hvc(SYSTEM_OFF)
            }
        }
    });
    let bench = Bench::new([vm("one", [0])], [(id(0, 0), script)]);
    assert_eq!(bench.boot(), Action::PowerOff);
}

#[test]
fn the_physical_timer_is_emulated() {
    let control = [3, 3, 14, 2, 1];
    let mut events = set_up_interrupts(0);
    events.extend([msr([3, 3, 14, 2, 2], 50_000), msr(control, 1)]);
    let script = first(events, |guest, _| match guest.machine.acknowledge() {
        Some(intid) => {
            assert_eq!((intid, now(guest)), (30, 50_000));
            hvc(SYSTEM_OFF)
        }
        None => Event::Wait,
    });
    let bench = Bench::new([vm("one", [0])], [(id(0, 0), script)]);
    assert_eq!(bench.boot(), Action::Idle);
    assert_eq!(bench.tick(), Some(Action::PowerOff));
}

/// Each of two virtual CPUs waits for the other one's interrupt and answers it, in threads of their own: an interrupt that
/// comes while its receiver goes to sleep must not be lost.
#[test]
fn no_interrupt_is_lost_while_its_receiver_goes_to_sleep() {
    const ROUNDS: u64 = 2000;
    for homes in [[0, 1], [0, 0]] {
        let player = |own: u64, last: u64| {
            let mut rounds = 0;
            move |guest: &mut Guest<'_>, _: Entry| match guest.machine.acknowledge() {
                Some(intid) => {
                    assert_eq!(intid, 3);
                    guest.machine.end(intid);
                    rounds += 1;
                    if rounds == last { hvc(SYSTEM_OFF) } else { msr(SGI1R, 3 << 24 | 1 << (1 - own)) }
                }
                None => Event::Wait,
            }
        };
        let mut events = set_up_interrupts(0);
        events.push(cpu_on(1, ENTRY, 0));
        let one = first(events, player(0, ROUNDS));
        let mut events = set_up_interrupts(1);
        events.push(msr(SGI1R, 3 << 24 | 1));
        let two = first(events, player(1, u64::MAX));
        let bench = Bench::new([vm("one", homes)], [(id(0, 0), one), (id(0, 1), two)]);
        bench.run_in_threads(2);
    }
}

/// One that waits says so before it looks whether there is an interrupt to go on for. Between a look and a word that
/// comes after it an interrupt would be made pending for somebody who seems to run, and would wake nobody.
#[test]
fn one_that_waits_says_so_before_it_looks_for_interrupts() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = seen.clone();
    let mut events = set_up_interrupts(0);
    events.push(Event::Wait);
    let one = first(events, |_, _| hvc(SYSTEM_OFF));
    let bench = Bench::new([vm("one", [0])], [(id(0, 0), one)]);
    let vmm = bench.vmm.clone();
    let look = move || {
        let vm = vmm.vm(id(0, 0).vm).unwrap();
        looks.lock().unwrap().push(vm.vcpu(id(0, 0).index).unwrap().state());
    };
    assert!(bench.machine.when_looked_at.set(Box::new(look)).is_ok());
    assert_eq!(bench.boot(), Action::Idle);
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|state| *state == State::Waiting), "{seen:?}");
}

fn says(text: &str) -> Vec<Event> {
    text.bytes().map(|byte| write(0x0900_0000, 1, byte.into())).collect()
}

#[test]
fn who_has_the_terminal_is_shown_as_it_is() {
    let (one, _) = list(says("login: "));
    let (two, _) = list(says("hello\r\nwor"));
    let nodes = [vm("one", [0]).with("terminal", tantalum_sim::dtb::Flag), vm("two", [1])];
    let bench = Bench::new(nodes, [(id(0, 0), one), (id(1, 0), two)]);
    bench.boot();
    assert_eq!(bench.machine.shown(), "login: \r\n[vm two] hello\r\n");
}

#[test]
fn what_is_typed_goes_to_who_has_the_terminal() {
    let heard = [(); 2].map(|()| Arc::new(Mutex::new(String::new())));
    let listener = |heard: &Arc<Mutex<String>>| {
        let heard = heard.clone();
        let mut asked = false;
        let mut events = set_up_interrupts(0);
        // FIFOs, the receive timeout's interrupt, and that it is of Group 1 and enabled.
        events.extend([
            write(0x0900_002c, 4, 0x70),
            write(0x0900_0038, 4, 0x40),
            write(0x0800_0084, 4, 0xffff_ffff),
            write(0x0800_0104, 4, 2),
        ]);
        first(events, move |guest: &mut Guest<'_>, entry| {
            if asked && let Entry::Register { value, .. } = entry {
                heard.lock().unwrap().push(char::from(value as u8));
            }
            asked = false;
            match guest.machine.acknowledge() {
                Some(33) => {
                    guest.machine.end(33);
                    asked = true;
                    read(0x0900_0000, 4)
                }
                Some(other) => panic!("{other} comes"),
                None => Event::Wait,
            }
        })
    };
    let nodes = [vm("one", [0]).with("terminal", tantalum_sim::dtb::Flag), vm("two", [1])];
    let scripts = [0, 1].map(|index| (id(index, 0), listener(&heard[index])));
    let bench = Bench::new(nodes, scripts);
    bench.boot();
    for text in ["more than the sixteen bytes of a FIFO\r", "\x14to two", "\x14to one"] {
        bench.machine.typed.lock().unwrap().extend(text.bytes());
        bench.machine.raise(0, CONSOLE);
        bench.settle();
    }
    assert_eq!(*heard[0].lock().unwrap(), "more than the sixteen bytes of a FIFO\rto one");
    assert_eq!(*heard[1].lock().unwrap(), "to two");
}

fn any_event() -> impl Strategy<Value = Event> {
    let address = prop_oneof![
        0x0800_0000..0x0801_0000_u64,
        0x080a_0000..0x080e_0000_u64,
        0x0900_0000..0x0900_1000_u64,
        0x0901_0000..0x0901_1000_u64,
        0x0a00_0000..0x0a00_0600_u64,
        0x4000_0000..0x4040_0010_u64,
        any::<u64>(),
    ];
    let size = prop_oneof![Just(1_u8), Just(2), Just(4), Just(8)];
    let direction = prop_oneof![
        (0..32_u8).prop_map(|to| Direction::Read { to }),
        prop_oneof![0..8_u64, any::<u64>()].prop_map(|value| Direction::Write { value }),
    ];
    let function = prop_oneof![
        0x8400_0000..0x8400_0008_u64,
        0xc400_0000..0xc400_0008_u64,
        0x8400_000a..0x8400_0012_u64,
        0x8400_0060..0x8400_00f0_u64,
        0x8000_0000..0x8000_0002_u64,
        any::<u64>(),
    ]
    // These end the virtual machine, which is tested elsewhere.
    .prop_filter("the end", |x0| {
        !matches!(x0 & 0xbfff_ffff, 0x8400_0008 | 0x8400_0009 | 0x8400_0012 | 0x8400_0002)
    });
    let argument = prop_oneof![0..3_u64, 0x4000_0000..0x4040_0000_u64, any::<u64>()];
    let register = (2..4_u8, 0..8_u8, 9..15_u8, 0..16_u8, 0..8_u8)
        .prop_map(|(op0, op1, crn, crm, op2)| SystemRegister::new(op0, op1, crn, crm, op2));
    prop_oneof![
        4 => (address, size, direction.clone(), any::<[bool; 2]>()).prop_map(|(address, size, direction, [sign_extend, wide])| {
            Event::Access(Access {
                address: Ipa::non_secure(address), virtual_address: address, size, direction, sign_extend, wide,
            })
        }),
        2 => (function, argument.clone(), argument.clone(), argument, any::<u16>()).prop_map(
            |(x0, x1, x2, x3, immediate)| Event::Call {
                conduit: Conduit::Hvc,
                immediate: if immediate < 0xf000 { 0 } else { immediate },
                registers: CallRegisters::from_first_eight([x0, x1, x2, x3, 0, 0, 0, 0]),
            }
        ),
        2 => (register, direction).prop_map(|(register, direction)| {
            Event::Register(RegisterTrap { register, direction })
        }),
        1 => Just(Event::Interrupt),
        1 => Just(Event::Fault(Fault::Instruction { syndrome: 0 })),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(address, write)| Event::Fault(Fault::DataAbort {
            address: Ipa::non_secure(address & !0xfff), virtual_address: address, write,
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever one virtual machine does, it goes on, and another one does not notice.
    #[test]
    fn a_hostile_virtual_machine_harms_nobody(
        events in proptest::collection::vec(any_event(), 1..300),
        others in proptest::collection::vec(any_event(), 1..100),
    ) {
        let (hostile, entries) = list(events.clone());
        let (second, _) = list(others);
        let mut work = set_up_interrupts(0);
        work.extend((0..50).map(|_| Event::Interrupt));
        work.push(hvc([0x8400_0000, 0, 0, 0]));
        let (good, results) = list(work);
        let node = vm("bad", [0, 0]).with_node(machine_rng("rng"));
        let bench = Bench::new([node, vm("good", [0])], [(id(0, 0), hostile), (id(0, 1), second), (id(1, 0), good)]);
        prop_assert_eq!(bench.boot(), Action::Idle);
        let results = results.lock().unwrap();
        prop_assert_eq!(value(results.last().unwrap()), 0x1_0001);
        prop_assert!(!entries.lock().unwrap().is_empty());
        // The memory of the other one is as it was loaded.
        let mut kernel = vec![0; KERNEL_SIZE as usize];
        bench.machine.read(Pa::non_secure(POOL + VM_SIZE + 0x20_0000), &mut kernel).unwrap();
        prop_assert!(kernel == self::kernel());
    }
}

//! The resident partition, the code of its image, on the SPMC.
//!
//! A partition's code makes a call and goes on when the answer is there; a script returns a call and is entered again.
//! So the code runs in a thread of its own, which waits while the script does not.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::ptr::with_exposed_provenance;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tantalum_ffa::{Call, DirectMessage, MemoryTransaction, Status, Target, Width, function};
use tantalum_hal::{Entry, Event, PhysicalMemory};
use tantalum_protocol::resident::{Resident, UART_INTERRUPT, Uart, command};
use tantalum_sdk::{
    BUFFER_SIZE, Boot, Buffers, CallError, Conduit, Memory, PageWords, Partition, Spmc, WORDS_PER_PAGE, serve,
};
use tantalum_sim::manifests::{CPUS, NON_SECURE_BASE, device_regions, partition_base, uart};
use tantalum_sim::script::{Script, echo};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{AddressSpace, CallRegisters, CpuIndex, EndpointId, Ipa, MAX_CPUS, Pa};

/// Is where the partition's buffers are on the simulated machine.
const TX: u64 = 0x2_0000;
const RX: u64 = 0x2_1000;

/// Is what the thread asks of the script.
enum Ask {
    /// To make a call and bring back the answer.
    Call(CallRegisters),
    /// To bring a page as the partition sees it.
    Read(Ipa),
    /// To write it.
    Write(Ipa, Box<[u8; BUFFER_SIZE]>),
}

/// Is what the script brings.
enum Bring {
    Answer(CallRegisters),
    Page(Box<[u8; BUFFER_SIZE]>),
}

/// Is what all execution contexts have together.
#[derive(Default)]
struct Image {
    buffers: Buffers,
    /// Where the buffers are on the host, once the SPMC knows them: TX and RX.
    host: Mutex<Option<[u64; 2]>>,
}

/// Is the way from the thread of an execution context to the script, and so to the SPMC.
struct Way {
    ask: Sender<Ask>,
    bring: Mutex<Receiver<Bring>>,
    image: Arc<Image>,
    base: u64,
}

impl Way {
    fn ask(&self, ask: Ask) -> Bring {
        // Either end goes when the test ends, and then so does the thread.
        let end = || std::panic::resume_unwind(Box::new(()));
        if self.ask.send(ask).is_err() {
            end();
        }
        self.bring.lock().unwrap().recv().unwrap_or_else(|_| end())
    }

    fn read(&self, ipa: Ipa) -> Box<[u8; BUFFER_SIZE]> {
        match self.ask(Ask::Read(ipa)) {
            Bring::Page(page) => page,
            Bring::Answer(answer) => panic!("{answer:x?} in place of a page"),
        }
    }

    fn write(&self, ipa: Ipa, page: Box<[u8; BUFFER_SIZE]>) {
        self.ask(Ask::Write(ipa, page));
    }
}

/// Returns the bytes of a buffer of the SDK.
fn bytes_at(address: u64) -> &'static [AtomicU8; BUFFER_SIZE] {
    // SAFETY: the address is that of a `Buffer`, which is this array, in an `Image` that lives until the last thread of
    // the partition ends; only those come here.
    unsafe { &*with_exposed_provenance(address as usize) }
}

impl Conduit for Way {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        let mut registers = *registers;
        if registers.0[0] == u64::from(function::RXTX_MAP_64) {
            *self.image.host.lock().unwrap() = Some([registers.0[1], registers.0[2]]);
            registers.0[1] = self.base + TX;
            registers.0[2] = self.base + RX;
        }
        // Not held over the call: it may last as long as this execution context waits.
        let host = *self.image.host.lock().unwrap();
        if let Some([tx, _]) = host {
            let page = Box::new(std::array::from_fn(|at| bytes_at(tx)[at].load(Ordering::Relaxed)));
            self.write(Ipa::secure(self.base + TX), page);
        }
        let Bring::Answer(answer) = self.ask(Ask::Call(registers)) else {
            panic!("a page in place of an answer")
        };
        if let Some([_, rx]) = host {
            for (to, from) in bytes_at(rx).iter().zip(*self.read(Ipa::secure(self.base + RX))) {
                to.store(from, Ordering::Relaxed);
            }
        }
        answer
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }
}

impl Memory for Way {
    fn buffers(&self) -> &Buffers {
        &self.image.buffers
    }

    fn spare_page(&self, _: usize) -> Option<u64> {
        None
    }

    fn with_page(&self, address: u64, space: AddressSpace, work: &mut dyn FnMut(&PageWords)) -> bool {
        let ipa = Ipa::new(space, address);
        let page = self.read(ipa);
        let words: PageWords = std::array::from_fn(|word| {
            AtomicU64::new(u64::from_le_bytes(page[8 * word..8 * word + 8].try_into().unwrap()))
        });
        work(&words);
        let mut page = page;
        for (to, from) in page.chunks_exact_mut(8).zip(&words) {
            to.copy_from_slice(&from.load(Ordering::Relaxed).to_le_bytes());
        }
        assert_eq!(words.len(), WORDS_PER_PAGE);
        self.write(ipa, page);
        true
    }
}

/// Is a UART that counts.
#[derive(Default)]
struct FakeUart {
    raised: AtomicU32,
    quieted: AtomicU32,
}

impl Uart for FakeUart {
    fn raise(&self) {
        self.raised.fetch_add(1, Ordering::Relaxed);
    }

    fn quiet(&self) {
        self.quieted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Is the partition of the image, with another UART.
#[derive(Default)]
struct Field {
    resident: Resident,
    uart: FakeUart,
}

impl Partition for Field {
    fn start(&self, spmc: &Spmc<'_>, _: &Boot<'_>) -> Result<(), CallError> {
        self.resident.boot(spmc)
    }

    fn secondary(&self, _: &Spmc<'_>) {
        self.resident.secondary();
    }

    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        self.resident.answer(spmc, &self.uart, request)
    }

    fn interrupted(&self, spmc: &Spmc<'_>) -> bool {
        self.resident.interrupted(spmc, &self.uart);
        true
    }
}

/// Runs an execution context: the first makes the calls of the boot and registers the others, as the SDK does.
fn run(field: &Field, way: &Way, first: bool) {
    let spmc = Spmc::new(way);
    if first {
        field.start(&spmc, &Boot { manifest: &[] }).unwrap();
        spmc.register_secondary_entry(way.base + 0x4000).unwrap();
    } else {
        field.secondary(&spmc);
    }
    let Err(error) = serve(field, &spmc);
    panic!("{error}");
}

/// Returns an execution context of the partition at `base`.
fn context(field: &Arc<Field>, image: &Arc<Image>, base: u64, first: bool) -> Script {
    let mut thread: Option<(Receiver<Ask>, Sender<Bring>)> = None;
    let (field, image) = (Arc::clone(field), Arc::clone(image));
    Box::new(move |context| {
        let (asked, bring) = match context.entry {
            Entry::Start(_) => {
                let (ask, asked) = channel();
                let (bring, brought) = channel();
                let (field, image) = (Arc::clone(&field), Arc::clone(&image));
                std::thread::spawn(move || {
                    run(&field, &Way { ask, bring: Mutex::new(brought), image, base }, first);
                });
                thread.insert((asked, bring))
            }
            Entry::Answer(answer) => {
                let known = thread.as_mut().unwrap();
                known.1.send(Bring::Answer(answer)).unwrap();
                known
            }
            other => panic!("entered by {other:?}"),
        };
        loop {
            match asked.recv() {
                Ok(Ask::Call(registers)) => return Ok(Event::PartitionCall(registers)),
                Ok(Ask::Read(ipa)) => bring.send(Bring::Page(Box::new(context.read(ipa)?))).unwrap(),
                Ok(Ask::Write(ipa, page)) => {
                    context.write(ipa, &page[..])?;
                    bring.send(Bring::Page(page)).unwrap();
                }
                Err(_) => panic!("the partition has ended"),
            }
        }
    })
}

/// Boots the partition, with an execution context for each of `cpus`, and an echo.
fn boot(cpus: usize) -> (Sim, Arc<Field>) {
    let (field, image) = (Arc::<Field>::default(), Arc::<Image>::default());
    let begin = |cpu: usize| context(&field, &image, partition_base(0), cpu == 0);
    let contexts: Vec<Script> = (0..cpus).map(begin).collect();
    let sim = SimBuilder::new()
        .cpus(cpus)
        .partition_with("resident", contexts, |tree| {
            tree.set("id", 0x8001_u32);
            tree.add(device_regions([uart()]));
        })
        .partition("echo", [echo()])
        .boot();
    (sim, field)
}

/// Asks the partition by a direct request of the 32-bit form, as its driver does, and returns w3 to w7.
fn ask(sim: &Sim, cpu: usize, payload: [u64; 5]) -> [u64; 5] {
    let (sender, receiver) = (EndpointId::HYPERVISOR, EndpointId::new(0x8001));
    let request = DirectMessage { width: Width::Bits32, sender, receiver, framework: None, payload };
    match sim.ask(cpu, Call::DirectRequest(request)) {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

#[test]
fn boots_on_every_processing_element() {
    for cpus in [CPUS, MAX_CPUS] {
        let (sim, _) = boot(cpus);
        assert!(
            sim.machine().log_text().contains("0x8001 booted, refused 0x0"),
            "{}",
            sim.machine().log_text()
        );
        for cpu in 0..cpus {
            assert_eq!(ask(&sim, cpu, [1, 2, 3, 4, cpu as u64]), [1, 2, 3, 4, cpu as u64]);
            assert_eq!(ask(&sim, cpu, [command::STATE, 0, 0, 0, 0]), [0, 0x8000_8001, 0x1_0002, 0, 0]);
        }
        assert_eq!(ask(&sim, 0, [command::STARTS, 0, 0, 0, 0]), [0, cpus as u64 - 1, 0, 0, 0]);
    }
}

#[test]
fn logs_from_every_execution_context() {
    let (sim, _) = boot(CPUS);
    for cpu in 0..CPUS {
        assert_eq!(ask(&sim, cpu, [command::LOG, 0, 0, 0, 0]), [0; 5]);
    }
    let text = sim.machine().log_text();
    assert_eq!(text.matches("the resident partition was asked to log a line").count(), CPUS, "{text}");
}

#[test]
fn the_buffers_are_the_partitions() {
    let (sim, _) = boot(CPUS);
    // A handle that nobody has: the request is read from the TX buffer, and refused.
    let [done, code, ..] = ask(&sim, 0, [command::RETRIEVE, 0x1234, 0, 0, 0]);
    assert_eq!(done, 0);
    assert_ne!(code, 0);
    let mut request = [0; 64];
    sim.machine().read(Pa::secure(partition_base(0) + TX), &mut request).unwrap();
    assert_eq!(
        (request[2], request[4], request[8..10].to_vec(), request[48]),
        (0x2f, 8, vec![0x34, 0x12], 1)
    );
}

fn done(answer: &Call) {
    assert!(matches!(answer, Call::Success32 { .. } | Call::Success64 { .. }), "{answer:?}");
}

/// Returns the notifications from partitions that are pending for the normal world.
fn pending(sim: &Sim) -> u64 {
    let get = Call::NotificationGet { receiver: EndpointId::HYPERVISOR, vcpu: 0, flags: 1 };
    match sim.ask(0, get) {
        Call::Success32 { results: [low, high, ..], .. } => u64::from(high) << 32 | u64::from(low),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_interrupt_of_its_device_becomes_a_notification() {
    let (sim, field) = boot(CPUS);
    let (normal, resident) = (EndpointId::HYPERVISOR, EndpointId::new(0x8001));
    let cpu0 = CpuIndex::new(0).unwrap();
    // The interrupt is Secure, enabled, and goes where the partition has an execution context.
    let settings = sim.machine().interrupt_settings();
    let (_, _, setting) = settings.iter().rfind(|(_, intid, _)| *intid == UART_INTERRUPT).unwrap();
    assert!(setting.enabled && setting.secure, "{setting:?}");

    sim.call(0, Call::Version { requested: 0x1_0001 });
    done(&sim.ask(0, Call::NotificationBitmapCreate { endpoint: normal, vcpu_count: CPUS as u32 }));
    let bitmap = 1 << 35;
    done(&sim.ask(0, Call::NotificationBind { sender: resident, receiver: normal, flags: 0, bitmap }));
    assert_eq!(ask(&sim, 0, [command::RAISE, 35, 0, 0, 0]), [0; 5]);
    assert_eq!((field.uart.raised.load(Ordering::Relaxed), pending(&sim)), (1, 0));

    // It comes while the normal world runs, so the SPMD brings it.
    for turn in 1..=3 {
        sim.machine().raise(cpu0, UART_INTERRUPT);
        let sgis = sim.machine().raised_sgis().len();
        let answer = sim.ask(0, Call::Interrupt { target: Target::NONE, intid: 0 });
        assert!(matches!(answer, Call::NormalWorldResume), "{answer:?}");
        assert_eq!(field.uart.quieted.load(Ordering::Relaxed), turn);
        let ended = sim.machine().ended_interrupts();
        assert_eq!(ended.iter().filter(|(_, intid)| *intid == UART_INTERRUPT).count(), turn as usize);
        assert_eq!(sim.machine().raised_sgis().len(), sgis + 1, "the schedule receiver interrupt");
        let info = sim.ask(0, Call::NotificationInfoGet { width: Width::Bits64 });
        done(&info);
        assert_eq!((pending(&sim), pending(&sim)), (bitmap, 0));
        let last = ask(&sim, 0, [command::LAST_INTERRUPT, 0, 0, 0, 0]);
        assert_eq!(last, [0, UART_INTERRUPT.into(), 0, 0, 0]);
        assert_eq!(ask(&sim, 0, [command::STATE, 0, 0, 0, 0])[4], turn.into());
    }
}

#[test]
fn a_notification_that_nobody_bound_is_refused() {
    let (sim, _) = boot(CPUS);
    assert_eq!(ask(&sim, 0, [command::RAISE, 35, 0, 0, 0]), [0; 5]);
    sim.machine().raise(CpuIndex::new(0).unwrap(), UART_INTERRUPT);
    sim.ask(0, Call::Interrupt { target: Target::NONE, intid: 0 });
    let [_, intid, code, deactivated, _] = ask(&sim, 0, [command::LAST_INTERRUPT, 0, 0, 0, 0]);
    assert_eq!((intid, deactivated), (UART_INTERRUPT.into(), 0));
    assert_ne!(code, 0);
    assert!(sim.machine().raised_sgis().is_empty());
}

/// Is where the normal world has its buffers, and behind them the memory that it shares.
const NORMAL_TX: u64 = NON_SECURE_BASE;
const NORMAL_RX: u64 = NON_SECURE_BASE + 0x1000;
const SHARED: u64 = NON_SECURE_BASE + 0x10_0000;

/// Shares `pages` pages at [`SHARED`] with the partition, as its driver does, and returns the handle.
fn share(sim: &Sim, pages: u32) -> [u32; 2] {
    let mut descriptor = [0_u8; 96];
    let mut put = |at: usize, field: &[u8]| descriptor[at..at + field.len()].copy_from_slice(field);
    // Normal, write-back, inner shareable; one record of 16 bytes at 48: read and write; the composite at 64.
    put(2, &0x2f_u16.to_le_bytes());
    put(24, &16_u32.to_le_bytes());
    put(28, &1_u32.to_le_bytes());
    put(32, &48_u32.to_le_bytes());
    put(48, &0x8001_u16.to_le_bytes());
    put(50, &[2]);
    put(52, &64_u32.to_le_bytes());
    put(64, &pages.to_le_bytes());
    put(68, &1_u32.to_le_bytes());
    put(80, &SHARED.to_le_bytes());
    put(88, &pages.to_le_bytes());
    sim.machine().write(Pa::non_secure(NORMAL_TX), &descriptor).unwrap();
    let (total_length, fragment_length) = (96, 96);
    let transaction =
        MemoryTransaction { width: Width::Bits64, total_length, fragment_length, address: 0, page_count: 0 };
    match sim.ask(0, Call::MemShare(transaction)) {
        Call::Success32 { results: [low, high, ..], .. } => [low, high],
        other => panic!("{other:?}"),
    }
}

#[test]
fn retrieves_memory_of_the_normal_world_and_gives_it_back() {
    let (sim, _) = boot(CPUS);
    sim.call(0, Call::Version { requested: 0x1_0001 });
    done(&sim.ask(0, Call::RxtxMap { width: Width::Bits64, tx: NORMAL_TX, rx: NORMAL_RX, page_count: 1 }));
    let reclaim = |[low, high]: [u32; 2]| {
        let handle = u64::from(high) << 32 | u64::from(low);
        sim.ask(0, Call::MemReclaim { handle, flags: 0 })
    };
    for round in 1..=3_u64 {
        let handle = share(&sim, 2);
        let words = handle.map(u64::from);
        sim.machine().write(Pa::non_secure(SHARED + 0x1008), &(round * 0x11).to_le_bytes()).unwrap();
        let retrieved = ask(&sim, 1, [command::RETRIEVE, words[0], words[1], 0, 0]);
        assert_eq!(retrieved, [0, 0, SHARED, 0, 2]);
        // Words of the second page, through the Non-secure address space.
        assert_eq!(ask(&sim, 2, [command::EXCHANGE, 513, round, 0, 0]), [0, 0, round * 0x11, 0, 0]);
        assert_eq!(sim.machine().bytes(Pa::non_secure(SHARED + 0x1008)), round.to_le_bytes());
        assert!(
            matches!(reclaim(handle), Call::Error { status: Status::Denied, .. }),
            "it is still borrowed"
        );
        assert_eq!(ask(&sim, 1, [command::RELINQUISH, 0, 0, 0, 0]), [0; 5]);
        done(&reclaim(handle));
        // The handle is gone, and with it the memory.
        let [_, code, ..] = ask(&sim, 1, [command::RETRIEVE, words[0], words[1], 0, 0]);
        assert_eq!(code, Status::InvalidParameters.to_raw().into());
    }
}

//! The SPMC as TF-A's BL32 on QEMU virt.
//!
//! This links the logic to the machine and nothing else: TF-A enters here, and from then on every processing
//! element lets the SPMC decide what to do and does it.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use log::LevelFilter;
use spin::RwLock;
use tantalum_aarch64::pe::ProcessingElement;
use tantalum_aarch64::{boot, halt, stage1};
use tantalum_ffa::function;
use tantalum_hal::{Arrival, Platform as _};
use tantalum_manifest::SpmcManifest;
use tantalum_qemu_virt::{QemuVirt, console};
use tantalum_spmc::{Cpu, Spmc, Step, TABLE_PAGES};
use tantalum_types::CallRegisters;

#[cfg(feature = "trace")]
mod trace;

static PLATFORM: QemuVirt<TABLE_PAGES> = QemuVirt::new();

/// Is written by the first processing element before any other runs, and only read from then on.
static SPMC: RwLock<Spmc> = RwLock::new(Spmc::new());

/// Maps what the SPMC uses, before the MMU is on. Says whether that went well.
#[unsafe(no_mangle)]
extern "C" fn tantalum_early_map() -> bool {
    // SAFETY: only the first processing element runs, and the board knows what lies where.
    unsafe { stage1::build(&tantalum_qemu_virt::secure_regions()) }.is_ok()
}

/// Boots the SPMC on the first processing element.
#[unsafe(no_mangle)]
extern "C" fn tantalum_cold_main(manifest: u64, cpu: usize) -> ! {
    // SAFETY: the devices are mapped, and this runs once.
    unsafe {
        console::start(LevelFilter::Info);
        PLATFORM.start();
    }
    log::info!("Tantalum SPMC {} at S-EL2", env!("CARGO_PKG_VERSION"));
    configure(manifest);
    register_warm_entry();
    run(cpu)
}

/// Boots the SPMC on a processing element that was turned on.
#[unsafe(no_mangle)]
extern "C" fn tantalum_warm_main(cpu: usize) -> ! {
    run(cpu)
}

/// Takes in the SPMC's manifest. Without one the SPMC still answers, but has no partitions.
fn configure(address: u64) {
    let Some(blob) = tantalum_qemu_virt::spmc_manifest(address) else {
        log::error!("TF-A passes no SPMC manifest: {address:#x} is not where it loads TOS_FW_CONFIG");
        return;
    };
    let manifest = match SpmcManifest::parse(blob) {
        Ok(manifest) => manifest,
        Err(error) => {
            log::error!("SPMC manifest: {error}");
            return;
        }
    };
    for range in &manifest.non_secure_memory {
        // SAFETY: the manifest, which TF-A has authenticated, says that RAM of the normal world lies there, and no
        // other processing element has been turned on yet.
        if let Err(error) = unsafe { PLATFORM.add_normal_world_memory(*range) } {
            log::error!("SPMC manifest: ns-memory: {error}");
        }
    }
    SPMC.write().configure(&manifest, &PLATFORM);
}

/// Tells the SPMD where processing elements that are turned on enter the SPMC.
fn register_warm_entry() {
    let call = CallRegisters::from_first_eight([
        u64::from(function::SECONDARY_EP_REGISTER_64),
        boot::warm_entry(),
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    let [function, _, status, ..] = PLATFORM.call_spmd(&call).first_eight();
    if function == u64::from(function::ERROR) {
        // The SPMD then uses the first entry, which tells the two apart.
        log::warn!("the SPMD does not take an entry for further processing elements: {status:#x}");
    }
}

/// Does on a processing element what the SPMC decides, for ever.
fn run(number: usize) -> ! {
    let Some(index) = tantalum_qemu_virt::cpu_index(number) else { halt() };
    // SAFETY: the number is this processing element's, and what an earlier life of it had is gone.
    #[cfg_attr(feature = "trace", expect(unused_mut, reason = "moved into what traces it"))]
    let mut element = match unsafe { ProcessingElement::new(index) } {
        Ok(element) => element,
        Err(error) => stop(error),
    };
    PLATFORM.start_cpu(index);
    let spmc = SPMC.read();
    let mut cpu = Cpu::new(index);
    #[cfg(feature = "trace")]
    let mut element = trace::Traced::start(element, index);
    let mut step = spmc.step::<_, true>(&mut cpu, &Arrival::Started, &PLATFORM);
    loop {
        // Calls, which are nearly all, are handled where they arrive, so that nothing is told from anything else twice.
        step = match step {
            Step::CallNormalWorld => {
                element.call_normal_world(&mut cpu.normal_world);
                spmc.step::<_, true>(&mut cpu, &Arrival::NormalWorldCall, &PLATFORM)
            }
            Step::Run => match element.run(&cpu.turn, &mut cpu.partition) {
                Arrival::PartitionCall => spmc.step::<_, true>(&mut cpu, &Arrival::PartitionCall, &PLATFORM),
                other => spmc.step_aside(&mut cpu, &other, &PLATFORM),
            },
        };
    }
}

/// Stops because the machine cannot run the SPMC.
#[expect(clippy::panic, reason = "nothing can be done: the panic handler reports it and stops")]
fn stop(error: impl core::fmt::Display) -> ! {
    panic!("this machine cannot run the SPMC: {error}")
}

/// Says what went wrong and stops this processing element. The SPMC has no way to turn the machine off.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(location) => console::write_panic(format_args!(
            "[spmc] PANIC: {}:{}: {}",
            location.file(),
            location.line(),
            info.message()
        )),
        None => console::write_panic(format_args!("[spmc] PANIC: ?:0: {}", info.message())),
    }
    halt()
}

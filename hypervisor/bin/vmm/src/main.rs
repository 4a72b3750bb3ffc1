//! The hypervisor of virtual machines at NS-EL2 of QEMU virt.
//!
//! This links the logic to the machine and nothing else: QEMU or TF-A enters here, and from then on every processing
//! element lets the hypervisor decide what to do and does it. [README.md](../README.md) says how to start it.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use log::LevelFilter;
use spin::RwLock;
use tantalum_aarch64::stage1;
use tantalum_aarch64::vm::{VmElement, firmware};
use tantalum_hal::vm::Event;
use tantalum_manifest::{VmsManifest, machine_memory};
use tantalum_qemu_virt::vm::{self as board, VmHost};
use tantalum_vmm::{Cpu, TABLE_PAGES, Vmm};

static HOST: VmHost<TABLE_PAGES> = VmHost::new();

/// Is written by the first processing element before any other runs, and only read from then on.
static VMM: RwLock<Vmm> = RwLock::new(Vmm::new());

/// Maps what the hypervisor uses, before the MMU is on. Says whether that went well.
#[unsafe(no_mangle)]
extern "C" fn tantalum_early_map() -> bool {
    // SAFETY: only the first processing element runs, and the board knows what lies where.
    unsafe { stage1::build(&board::regions()) }.is_ok()
}

/// Boots the hypervisor on the first processing element.
#[unsafe(no_mangle)]
extern "C" fn tantalum_cold_main(tree: u64, cpu: usize) -> ! {
    // SAFETY: the devices are mapped, and this runs once.
    unsafe {
        board::start_console(LevelFilter::Info);
        HOST.start();
    }
    log::info!("Tantalum VMM {} at NS-EL2", env!("CARGO_PKG_VERSION"));
    find_memory(tree);
    match VmsManifest::parse(board::vm_manifest()) {
        Ok(manifest) => VMM.write().configure(&manifest, &HOST),
        Err(error) => stop(format_args!("the manifest of the virtual machines: {error}")),
    }
    run(cpu)
}

/// Boots the hypervisor on a processing element that was turned on.
#[unsafe(no_mangle)]
extern "C" fn tantalum_warm_main(cpu: usize) -> ! {
    run(cpu)
}

/// Takes all of the machine's memory into use, as far as the device tree at `tree` tells of it.
fn find_memory(tree: u64) {
    let Some(blob) = board::machine_tree(tree) else {
        log::warn!("no device tree of the machine can lie at {tree:#x}: its memory is not known");
        return;
    };
    match machine_memory(blob, board::MEMORY) {
        // SAFETY: the firmware says that there is RAM, and no other processing element has been turned on yet.
        Ok(range) => match unsafe { HOST.extend_memory(range.end()) } {
            Ok(()) => {}
            Err(error) => log::warn!("memory of the machine: it {error}"),
        },
        Err(error) => log::warn!("device tree of the machine: {error}"),
    }
}

/// Does on a processing element what the hypervisor decides, for ever.
fn run(number: usize) -> ! {
    let Some(index) = tantalum_qemu_virt::cpu_index(number) else { firmware::system_off() };
    // SAFETY: the number is this processing element's, and what an earlier life of it had is gone.
    let mut element = match unsafe { VmElement::new(index) } {
        Ok(element) => element,
        Err(error) => stop(error),
    };
    HOST.start_cpu_interrupts(index);
    let vmm = VMM.read();
    let mut cpu = Cpu::new(index);
    let mut event = Event::Started;
    loop {
        let action = vmm.handle(&mut cpu, event, &HOST);
        event = element.perform(&action);
    }
}

/// Stops because the machine cannot run the hypervisor, or has nothing for it to run.
#[expect(
    clippy::panic,
    reason = "nothing can be done: the panic handler reports it and turns the machine off"
)]
fn stop(error: impl core::fmt::Display) -> ! {
    panic!("{error}")
}

/// Says what went wrong and turns the machine off.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(location) => board::write_panic(format_args!(
            "[vmm] PANIC: {}:{}: {}",
            location.file(),
            location.line(),
            info.message()
        )),
        None => board::write_panic(format_args!("[vmm] PANIC: ?:0: {}", info.message())),
    }
    firmware::system_off()
}

//! FFA_RXTX_MAP, FFA_RXTX_UNMAP, FFA_RX_RELEASE.

use tantalum_ffa::{Call, Status, Uuid, Width, function as f};

use crate::endpoint::{ECHO, NOBODY};
use crate::machine::cpus;
use crate::machine::memory::{PAGE, Pages};
use crate::mailbox::{Mailbox, RELEASE, UNMAP, map};
use crate::test::{Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    rxtx_map_and_unmap,
    rxtx_map_32,
    rxtx_map_twice,
    rxtx_map_page_counts,
    rxtx_map_reserved_bits,
    rxtx_map_alignment,
    rxtx_map_overlap,
    rxtx_map_secure_memory,
    rxtx_map_devices,
    rxtx_map_beyond_memory,
    rxtx_unmap_nothing,
    rxtx_unmap_reserved_bits,
    rxtx_unmap_others,
    rx_release_empty,
    rx_release_without_buffer,
    rx_release_others,
    rx_release_reserved_bits,
    rxtx_unmap_while_full,
    rxtx_from_all_cpus,
];

fn buffers() -> (u64, u64) {
    (Pages::at(0, 1).address(), Pages::at(64, 1).address())
}

fn rxtx_map_and_unmap(t: &Test) {
    for _ in 0..3 {
        drop(Mailbox::new(t));
    }
    drop(Mailbox::of_size(t, 2));
}

fn rxtx_map_32(t: &Test) {
    let (tx, rx) = buffers();
    let call = Call::RxtxMap { width: Width::Bits32, tx, rx, page_count: 1 };
    // High halves are not the call's.
    let mut registers = call.encode();
    registers.0[1] |= 0xdead << 32;
    let answer = t.raw(&registers);
    t.is_success(&answer);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    t.succeeds(&RELEASE);
    t.succeeds(&UNMAP);
}

fn rxtx_map_twice(t: &Test) {
    let (tx, rx) = buffers();
    let _mailbox = Mailbox::new(t);
    t.refused(&map(tx, rx, 1), Status::Denied);
    t.refused(&map(Pages::at(128, 1).address(), Pages::at(192, 1).address(), 1), Status::Denied);
}

fn rxtx_map_page_counts(t: &Test) {
    let (tx, rx) = buffers();
    t.refused(&map(tx, rx, 0), Status::InvalidParameters);
    t.refused(&map(tx, rx, 63), Status::InvalidParameters);
    t.refused(&UNMAP, Status::InvalidParameters);
}

/// Bits 31:6 of w3.
fn rxtx_map_reserved_bits(t: &Test) {
    let (tx, rx) = buffers();
    for bit in 6..32 {
        t.refused_raw(&registers(f::RXTX_MAP_64, [tx, rx, 1 | 1 << bit]), Status::InvalidParameters);
    }
    t.refused(&UNMAP, Status::InvalidParameters);
}

fn rxtx_map_alignment(t: &Test) {
    let (tx, rx) = buffers();
    for offset in [1, 8, 0x800, 0xfff] {
        t.refused(&map(tx + offset, rx, 1), Status::InvalidParameters);
        t.refused(&map(tx, rx + offset, 1), Status::InvalidParameters);
    }
    t.refused(&UNMAP, Status::InvalidParameters);
}

fn rxtx_map_overlap(t: &Test) {
    let (tx, _) = buffers();
    let page = PAGE as u64;
    t.refused(&map(tx, tx, 1), Status::InvalidParameters);
    t.refused(&map(tx, tx + page, 2), Status::InvalidParameters);
    t.refused(&map(tx + page, tx, 2), Status::InvalidParameters);
    t.refused(&UNMAP, Status::InvalidParameters);
    // Side by side is no overlap.
    t.succeeds(&map(tx, tx + page, 1));
    t.succeeds(&UNMAP);
}

/// The SPMC must not be made to read or write its own memory, a partition's or EL3's.
fn rxtx_map_secure_memory(t: &Test) {
    let (tx, rx) = buffers();
    for secure in [0x0e00_0000, 0x0e10_0000, 0x0e30_0000, 0x0e40_0000, 0x0eff_f000] {
        t.refused(&map(secure, rx, 1), Status::InvalidParameters);
        t.refused(&map(tx, secure, 1), Status::InvalidParameters);
    }
    t.refused(&UNMAP, Status::InvalidParameters);
}

fn rxtx_map_devices(t: &Test) {
    let (tx, rx) = buffers();
    // The GIC, both serial ports, flash, the PCI windows.
    for device in [0x0800_0000, 0x080a_0000, 0x0900_0000, 0x0904_0000, 0, 0x1000_0000, 0x3eff_0000] {
        t.refused(&map(device, rx, 1), Status::InvalidParameters);
        t.refused(&map(tx, device, 1), Status::InvalidParameters);
    }
    t.refused(&UNMAP, Status::InvalidParameters);
}

fn rxtx_map_beyond_memory(t: &Test) {
    let (tx, rx) = buffers();
    for beyond in [0x3fff_f000, 0xc000_0000, 1 << 40, 1 << 48, 1 << 63, u64::MAX - 0xfff] {
        t.refused(&map(beyond, rx, 1), Status::InvalidParameters);
        t.refused(&map(tx, beyond, 1), Status::InvalidParameters);
    }
    // The second page is no memory.
    t.refused(&map(0xbfff_f000, rx, 2), Status::InvalidParameters);
    t.refused(&map(tx, 0xbfff_f000, 2), Status::InvalidParameters);
    t.refused(&UNMAP, Status::InvalidParameters);
}

fn rxtx_unmap_nothing(t: &Test) {
    t.refused(&UNMAP, Status::InvalidParameters);
    drop(Mailbox::new(t));
    t.refused(&UNMAP, Status::InvalidParameters);
}

/// Bits 15:0 of w1.
fn rxtx_unmap_reserved_bits(t: &Test) {
    let mailbox = Mailbox::new(t);
    for bit in 0..16 {
        t.refused_raw(&registers(f::RXTX_UNMAP, [1 << bit]), Status::InvalidParameters);
    }
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    mailbox.release();
}

/// The buffers of a partition are not the normal world's to take.
fn rxtx_unmap_others(t: &Test) {
    let _mailbox = Mailbox::new(t);
    for endpoint in [ECHO, NOBODY, tantalum_types::EndpointId::SPMC, tantalum_types::EndpointId::SPMD] {
        t.refused(&Call::RxtxUnmap { endpoint }, Status::InvalidParameters);
    }
    t.echoes(ECHO);
}

fn rx_release_empty(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.refused(&RELEASE, Status::Denied);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    mailbox.release();
    t.refused(&RELEASE, Status::Denied);
}

fn rx_release_without_buffer(t: &Test) {
    t.refused(&RELEASE, Status::Denied);
}

fn rx_release_others(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    for endpoint in [ECHO, NOBODY, tantalum_types::EndpointId::SPMC, tantalum_types::EndpointId::SPMD] {
        t.refused(&Call::RxRelease { endpoint }, Status::InvalidParameters);
    }
    mailbox.release();
}

/// Bits 31:16 of w1.
fn rx_release_reserved_bits(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    for bit in 16..32 {
        t.refused_raw(&registers(f::RX_RELEASE, [1 << bit]), Status::InvalidParameters);
    }
    mailbox.release();
}

/// New buffers are empty, whatever the old ones held.
fn rxtx_unmap_while_full(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    drop(mailbox);
    let mailbox = Mailbox::new(t);
    t.refused(&RELEASE, Status::Denied);
    t.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
    mailbox.release();
}

/// Of eight that map at once, one gets its way.
fn rxtx_from_all_cpus(t: &Test) {
    use core::sync::atomic::{AtomicU32, Ordering};
    let (tx, rx) = buffers();
    for _ in 0..8 {
        let mapped = AtomicU32::new(0);
        cpus::on_all(|_| {
            let answer = t.call(&map(tx, rx, 1));
            match Call::decode(&answer) {
                Ok(Call::Success32 { .. }) => _ = mapped.fetch_add(1, Ordering::AcqRel),
                _ => t.is_error(&answer, Status::Denied),
            }
        });
        t.equal("number of CPUs that mapped", mapped.into_inner().into(), 1);
        t.succeeds(&UNMAP);
    }
}

//! Builds the manifests and packages of a small machine: sensible ones, for tests to change.

use tantalum_types::Uuid;

use crate::dtb::{Flag, Node};

/// Counts the processing elements of the machine, unless a test says otherwise.
pub const CPUS: usize = 4;
/// Is where the SPMC lies, 1 MiB.
pub const SPMC_BASE: u64 = 0x0e10_0000;
/// Is where the machine's 15 MiB of Secure RAM begin.
pub const SECURE_BASE: u64 = 0x0e10_0000;
/// Is how many bytes of Secure RAM there are.
pub const SECURE_SIZE: u64 = 0x00f0_0000;
/// Is where the normal world's 2 GiB of RAM begin.
pub const NON_SECURE_BASE: u64 = 0x4000_0000;
/// Is how many bytes of RAM the normal world has.
pub const NON_SECURE_SIZE: u64 = 0x8000_0000;
/// Is where a device lies that partitions may claim, one page.
pub const DEVICE_BASE: u64 = 0x0904_0000;
/// Is where Secure RAM begins that no partition is loaded to.
pub const SPARE_BASE: u64 = 0x0ec0_0000;
/// Is where a package has its manifest.
pub const MANIFEST_OFFSET: u64 = 0x1000;
/// Is where a package has its image, and where the partition is entered.
pub const IMAGE_OFFSET: u64 = 0x4000;
/// Is how much memory each partition has, in bytes.
pub const PARTITION_SIZE: u64 = 0x10_0000;

/// Returns where partition `index` lies, counting from 0.
pub fn partition_base(index: usize) -> u64 {
    0x0e30_0000 + index as u64 * PARTITION_SIZE
}

/// Returns the UUID of partition `index`, counting from 0.
pub fn partition_uuid(index: usize) -> Uuid {
    Uuid::from_u128(0xfef7_ffd1_e415_4628_a04e_49bd_74da_1a00 + index as u128)
}

/// Returns the four cells that stand for `uuid` in a manifest.
pub fn uuid_cells(uuid: Uuid) -> [u32; 4] {
    let bytes = uuid.into_bytes();
    core::array::from_fn(|word| u32::from_le_bytes(bytes[word * 4..][..4].try_into().unwrap()))
}

/// Builds the SPMC's manifest for partitions with these names and numbers of execution contexts.
pub fn spmc(partitions: &[(&str, u32)]) -> Node {
    spmc_on(CPUS, partitions)
}

/// Builds the SPMC's manifest for a machine with `cpus` processing elements.
pub fn spmc_on(cpus: usize, partitions: &[(&str, u32)]) -> Node {
    let mut hypervisor = Node::new("hypervisor").with("compatible", "hafnium,hafnium");
    for (index, (name, contexts)) in partitions.iter().enumerate() {
        hypervisor.add(
            Node::new(&format!("vm{}", index + 1))
                .with("is_ffa_partition", Flag)
                .with("debug_name", *name)
                .with("load_address", partition_base(index) as u32)
                .with("vcpu_count", *contexts)
                .with("mem_size", PARTITION_SIZE as u32),
        );
    }
    let mut nodes = Node::new("cpus").with("#address-cells", 2_u32).with("#size-cells", 0_u32);
    for cpu in 0..cpus {
        nodes.add(
            Node::new(&format!("cpu@{cpu}"))
                .with("device_type", "cpu")
                .with("reg", cpu as u64)
                .with("enable-method", "psci"),
        );
    }
    Node::new("")
        .with("compatible", "arm,ffa-core-manifest-1.0")
        .with("#address-cells", 2_u32)
        .with("#size-cells", 2_u32)
        .with_node(
            Node::new("attribute")
                .with("spmc_id", 0x8000_u32)
                .with("maj_ver", 1_u32)
                .with("min_ver", 2_u32)
                .with("exec_state", 0_u32)
                .with("load_address", SPMC_BASE)
                .with("entrypoint", SPMC_BASE)
                .with("binary_size", 0x10_0000_u32),
        )
        .with_node(hypervisor)
        .with_node(nodes)
        .with_node(memory("memory", SECURE_BASE, SECURE_SIZE))
        .with_node(memory("ns-memory", NON_SECURE_BASE, NON_SECURE_SIZE))
        .with_node(memory("device-memory", DEVICE_BASE, 0x1000))
}

fn memory(kind: &str, base: u64, size: u64) -> Node {
    Node::new(&format!("memory@{base:x}")).with("device_type", kind).with("reg", [base, size])
}

/// Builds the manifest of partition `index`.
pub fn partition(index: usize, name: &str, contexts: u32) -> Node {
    Node::new("")
        .with("compatible", "arm,ffa-manifest-1.0")
        .with("description", name)
        .with("ffa-version", 0x0001_0001_u32)
        .with("uuid", uuid_cells(partition_uuid(index)))
        .with("execution-ctx-count", contexts)
        .with("exception-level", 2_u32)
        .with("execution-state", 0_u32)
        .with("load-address", partition_base(index) as u32)
        .with("mem-size", PARTITION_SIZE as u32)
        .with("entrypoint-offset", IMAGE_OFFSET as u32)
        .with("xlat-granule", 0_u32)
        .with("boot-order", index as u32)
        .with("messaging-method", 3_u32)
        .with("ns-interrupts-action", 2_u32)
        .with("gp-register-num", 0_u32)
        .with_node(
            Node::new("boot-info")
                .with("compatible", "arm,ffa-manifest-boot-info")
                .with("ffa_manifest", Flag),
        )
}

/// Builds the node of memory regions.
pub fn memory_regions(regions: impl IntoIterator<Item = Node>) -> Node {
    let node = Node::new("memory-regions").with("compatible", "arm,ffa-manifest-memory-regions");
    regions.into_iter().fold(node, Node::with_node)
}

/// Builds the node of device regions.
pub fn device_regions(regions: impl IntoIterator<Item = Node>) -> Node {
    let node = Node::new("device-regions").with("compatible", "arm,ffa-manifest-device-regions");
    regions.into_iter().fold(node, Node::with_node)
}

/// Builds a region of memory or of a device. `attributes` is a sum of 1 (read), 2 (write), 4 (execute) and 8
/// (Non-secure).
pub fn region(name: &str, base: u64, pages: u32, attributes: u32) -> Node {
    Node::new(name).with("base-address", base).with("pages-count", pages).with("attributes", attributes)
}

/// Builds the region of the device at [`DEVICE_BASE`], as partitions ask for the secure UART.
pub fn uart() -> Node {
    region("uart", DEVICE_BASE, 1, 3).with("interrupts", [40_u32, 0x900])
}

/// Builds the node that names the message buffers by the `phandle` of their regions.
pub fn rx_tx(rx: u32, tx: u32) -> Node {
    Node::new("rx_tx-info")
        .with("compatible", "arm,ffa-manifest-rx_tx-buffer")
        .with("rx-buffer", rx)
        .with("tx-buffer", tx)
}

/// Builds a package as TF-A's `sptool` does, around a manifest and a small image.
pub fn package(manifest: &[u8]) -> Vec<u8> {
    let image = [0x14_u8, 0, 0, 0];
    assert!(MANIFEST_OFFSET as usize + manifest.len() <= IMAGE_OFFSET as usize, "the manifest is too long");
    let mut package: Vec<u8> = b"SPKG".to_vec();
    let header = [2, MANIFEST_OFFSET as u32, manifest.len() as u32, IMAGE_OFFSET as u32, image.len() as u32];
    package.extend(header.into_iter().flat_map(u32::to_le_bytes));
    package.resize(MANIFEST_OFFSET as usize, 0);
    package.extend(manifest);
    package.resize(IMAGE_OFFSET as usize, 0);
    package.extend(image);
    package
}

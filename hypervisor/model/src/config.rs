//! The machine of the runs: which partitions there are, and which pages they have.

use tantalum_ffa::Version;
use tantalum_sim::dtb::{Flag, Node};
use tantalum_sim::manifests::partition_base;
use tantalum_types::{EndpointId, Ipa, PAGE_SIZE, Pa};

/// Counts the processing elements.
pub(crate) const CPUS: usize = 2;
/// Counts the partitions.
pub(crate) const SPS: usize = 3;
/// Stands for the normal world where partitions are counted from 0.
pub(crate) const NORMAL: usize = SPS;
/// Counts the pages that each partition and the normal world have for the runs. The last two are their buffers, if
/// nothing else is said.
pub(crate) const PAGES_EACH: usize = 6;
/// Counts all pages.
pub(crate) const PAGES: usize = (SPS + 1) * PAGES_EACH;

/// Is where the pages of the normal world lie.
const NORMAL_BASE: u64 = 0x5000_0000;

/// Says how a partition is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub version: Version,
    /// Whether it has an execution context for each processing element.
    pub many: bool,
    pub notified: bool,
    pub indirect: bool,
    /// Whether it takes and sends requests of the second form.
    pub services: bool,
    /// Whether interrupts of the normal world, and those of other partitions, stop it.
    pub gives_way: bool,
}

/// Returns how the partitions of a run are that has the seed `seed`.
pub(crate) fn traits(seed: u64) -> [Traits; SPS] {
    let v1_1_or_2 = |bit: u32| if seed >> bit & 1 == 0 { Version::V1_2 } else { Version::V1_1 };
    let one = |version: Version| Traits {
        version,
        many: false,
        notified: true,
        indirect: true,
        services: version == Version::V1_2,
        gives_way: true,
    };
    let (first, second) = (v1_1_or_2(0), v1_1_or_2(1));
    let third = match seed >> 2 & 3 {
        0 => one(Version::V1_2),
        1 => Traits { gives_way: false, ..one(Version::V1_1) },
        _ => Traits { notified: false, indirect: false, gives_way: seed >> 4 & 1 == 0, ..one(Version::V1_0) },
    };
    [Traits { many: true, ..one(first) }, one(second), Traits { many: seed >> 5 & 3 == 0, ..third }]
}

impl Traits {
    /// Counts the execution contexts.
    pub(crate) fn contexts(&self) -> usize {
        if self.many { CPUS } else { 1 }
    }

    /// Puts all of it into a manifest.
    pub(crate) fn edit(&self, manifest: &mut Node) {
        manifest.set("ffa-version", self.version.to_raw());
        let bits = 0b11 | u32::from(self.indirect) << 2 | if self.services { 0b110_0000_0000 } else { 0 };
        manifest.set("messaging-method", bits);
        if self.notified {
            manifest.set("notification-support", Flag);
        }
        if !self.gives_way {
            manifest.set("ns-interrupts-action", 0_u32);
            manifest.set("other-s-interrupts-action", 0_u32);
        }
    }
}

/// Returns the id of partition `sp`, or of the normal world.
pub(crate) fn id_of(party: usize) -> EndpointId {
    if party == NORMAL { EndpointId::HYPERVISOR } else { EndpointId::new(0x8001 + party as u16) }
}

/// Returns the partition with the id `id`.
pub(crate) fn sp_of(id: EndpointId) -> Option<usize> {
    (0..SPS).find(|sp| id_of(*sp) == id)
}

/// Returns who has page `page` at first.
pub(crate) fn first_owner(page: usize) -> usize {
    page / PAGES_EACH
}

/// Returns the address of page `page`.
pub(crate) fn address(page: usize) -> u64 {
    let (owner, index) = (first_owner(page), (page % PAGES_EACH) as u64);
    let base = if owner == NORMAL { NORMAL_BASE } else { partition_base(owner) + 0x2_0000 };
    base + index * PAGE_SIZE
}

/// Returns where page `page` is to a partition that has it.
pub(crate) fn ipa(page: usize) -> Ipa {
    if first_owner(page) == NORMAL { Ipa::non_secure(address(page)) } else { Ipa::secure(address(page)) }
}

/// Returns where page `page` is.
pub(crate) fn pa(page: usize) -> Pa {
    Pa::new(ipa(page).space(), address(page))
}

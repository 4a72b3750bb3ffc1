//! The copy of a partition's package that a restart begins from.
//!
//! A partition changes its image by running: its data, its relocated addresses. One whose manifest asks for a
//! restart has a copy of its package made before it runs for the first time, in Secure memory that the SPMC's
//! manifest gives to partitions and that none of them has. Nobody but the SPMC reaches the copy, and it only
//! reads it.

use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_manifest::{Package, PartitionManifest, SpmcManifest};
use tantalum_types::{Address, PAGE_SIZE, Pa, PageRange};

/// Counts the bytes that are copied at a time, through the stack.
const CHUNK: usize = 512;

/// Is the copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pristine {
    /// Where in the partition's memory the copied bytes belong.
    home: Pa,
    /// Where the copy is.
    copy: PageRange<Pa>,
}

impl Pristine {
    /// Returns the pages of the partition's memory that hold what its package consists of besides the header:
    /// the manifest and the image. The header is written over by the boot information.
    fn content(package: &Package, memory: &PageRange<Pa>) -> Option<PageRange<Pa>> {
        let begin = package.manifest_offset.min(package.image_offset) & !(PAGE_SIZE - 1);
        let manifest_end = package.manifest_offset.checked_add(package.manifest_size)?;
        let end = package.image_offset.checked_add(package.image_size)?.max(manifest_end);
        let size = end.checked_next_multiple_of(PAGE_SIZE)?.checked_sub(begin)?;
        let content = PageRange::from_size(memory.start().checked_add(begin)?, size).ok()?;
        memory.contains_range(&content).then_some(content)
    }

    /// Makes the copy for a partition with `memory`, as high in Secure memory as there is room beside the SPMC,
    /// what `spmc` and `manifests` give to partitions, and the copies in `others`.
    ///
    /// Returns `None` if there is no room.
    ///
    /// # Errors
    /// Says so if memory that the SPMC's manifest names is none.
    pub(crate) fn keep<'a>(
        package: &Package,
        memory: &PageRange<Pa>,
        spmc: &SpmcManifest,
        manifests: impl Iterator<Item = &'a PartitionManifest> + Clone,
        others: impl Iterator<Item = &'a Pristine> + Clone,
        platform: &impl PhysicalMemory,
    ) -> Result<Option<Self>, AccessError> {
        let Some(content) = Self::content(package, memory) else { return Ok(None) };
        let given = spmc.partitions.iter().filter_map(|entry| entry.memory().ok());
        let regions =
            manifests.flat_map(|manifest| manifest.memory_regions.iter().map(|region| region.range));
        let taken =
            core::iter::once(spmc.image).chain(given).chain(regions).chain(others.map(|other| other.copy));
        let Some(copy) = place(content.page_count(), &spmc.secure_memory, taken) else { return Ok(None) };
        copy_pages(&content, &copy, platform)?;
        Ok(Some(Self { home: content.start(), copy }))
    }

    /// Returns where the copy is.
    pub(crate) fn range(&self) -> PageRange<Pa> {
        self.copy
    }

    /// Makes `memory`, the partition's, as it was when its package had been loaded, but for the package's header:
    /// what the copy does not have is zero. Takes time in proportion to the memory.
    ///
    /// # Errors
    /// Says so if the memory is none, which it was at boot.
    pub(crate) fn restore(
        &self,
        memory: &PageRange<Pa>,
        platform: &impl PhysicalMemory,
    ) -> Result<(), AccessError> {
        platform.zero(memory)?;
        let home = PageRange::new(self.home, self.copy.page_count());
        copy_pages(&self.copy, &home.map_err(|_| AccessError { address: self.home })?, platform)
    }
}

/// Returns the highest `page_count` pages of `memory` that none of `taken` has.
fn place(
    page_count: u64,
    memory: &[PageRange<Pa>],
    taken: impl Iterator<Item = PageRange<Pa>> + Clone,
) -> Option<PageRange<Pa>> {
    let size = page_count.checked_mul(PAGE_SIZE)?;
    let mut best: Option<PageRange<Pa>> = None;
    for range in memory {
        // The highest free place ends where the memory does, or where something taken begins.
        let ends = core::iter::once(range.end()).chain(taken.clone().map(|taken| taken.start().raw()));
        for end in ends.filter(|end| *end <= range.end()) {
            let Some(start) = end.checked_sub(size) else { continue };
            let Ok(candidate) = PageRange::new(Pa::secure(start), page_count) else { continue };
            let free =
                range.contains_range(&candidate) && !taken.clone().any(|taken| taken.overlaps(&candidate));
            if free && best.is_none_or(|best| candidate.start() > best.start()) {
                best = Some(candidate);
            }
        }
    }
    best
}

/// Copies pages that lie apart from each other, as many as `from` has.
fn copy_pages(
    from: &PageRange<Pa>,
    to: &PageRange<Pa>,
    platform: &impl PhysicalMemory,
) -> Result<(), AccessError> {
    let mut bytes = [0; CHUNK];
    let mut at = 0;
    while at < from.size() {
        let missing = |range: &PageRange<Pa>| AccessError { address: range.start() };
        platform.read(from.start().checked_add(at).ok_or(missing(from))?, &mut bytes)?;
        platform.write(to.start().checked_add(at).ok_or(missing(to))?, &bytes)?;
        at = at.saturating_add(CHUNK as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(page: u64, count: u64) -> PageRange<Pa> {
        PageRange::new(Pa::secure(page * PAGE_SIZE), count).unwrap()
    }

    fn placed(count: u64, memory: &[PageRange<Pa>], taken: &[PageRange<Pa>]) -> Option<(u64, u64)> {
        place(count, memory, taken.iter().copied())
            .map(|found| (found.start().raw() / PAGE_SIZE, found.page_count()))
    }

    #[test]
    fn the_highest_free_place_is_taken() {
        let memory = [range(10, 10), range(40, 4)];
        assert_eq!(placed(3, &memory, &[]), Some((41, 3)));
        assert_eq!(placed(5, &memory, &[]), Some((15, 5)));
        assert_eq!(placed(4, &memory, &[range(43, 1)]), Some((16, 4)));
        assert_eq!(placed(3, &memory, &[range(43, 1)]), Some((40, 3)));
        assert_eq!(placed(4, &memory, &[range(42, 1), range(16, 10)]), Some((12, 4)));
        // In the middle of two, not a page too few.
        let ends = [range(10, 2), range(16, 4), range(40, 4)];
        assert_eq!(placed(4, &memory, &ends), Some((12, 4)));
        assert_eq!(placed(5, &memory, &ends), None);
    }

    #[test]
    fn where_nothing_is_free_there_is_no_place() {
        assert_eq!(placed(1, &[], &[]), None);
        assert_eq!(placed(11, &[range(10, 10)], &[]), None);
        assert_eq!(placed(1, &[range(10, 10)], &[range(0, 100)]), None);
        assert_eq!(placed(u64::MAX / PAGE_SIZE, &[range(10, 10)], &[]), None);
    }

    #[test]
    fn the_header_is_no_content() {
        let memory = range(100, 64);
        let package = |manifest_offset, manifest_size, image_offset, image_size| Package {
            manifest_offset,
            manifest_size,
            image_offset,
            image_size,
        };
        let content = |package| {
            Pristine::content(&package, &memory)
                .map(|found| (found.start().raw() / PAGE_SIZE - 100, found.page_count()))
        };
        assert_eq!(content(package(0x1000, 0x900, 0x4000, 0x1001)), Some((1, 5)));
        assert_eq!(content(package(0x6001, 0xfff, 0x2000, 0x1000)), Some((2, 5)));
        assert_eq!(content(package(0x1000, 1, 0x4000, 0x4_0000)), None);
        assert_eq!(content(package(u64::MAX, 1, 0x4000, 1)), None);
    }
}

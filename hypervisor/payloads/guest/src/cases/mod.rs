//! The suites, in the order in which they run.

#![forbid(unsafe_code)]

mod boot;

use crate::test::Case;

/// Lists all suites.
pub(crate) const ALL: &[&[Case]] = &[boot::CASES];

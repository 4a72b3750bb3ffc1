//! A list with a bound.

use core::fmt;
use core::ops::Deref;

use tantalum_types::EndpointId;

use super::{MAX_RECEIVERS, Permissions, Receiver};

/// Has a value that fills the places of a list that are not in use.
pub trait Filler: Copy {
    /// Fills unused places; nobody sees it.
    const FILLER: Self;
}

impl Filler for EndpointId {
    const FILLER: Self = Self::HYPERVISOR;
}

impl Filler for Receiver {
    const FILLER: Self = Self::new(EndpointId::HYPERVISOR, Permissions::NOT_SPECIFIED);
}

/// Lists at most [`MAX_RECEIVERS`] values in order.
#[derive(Clone, Copy)]
pub struct List<T> {
    values: [T; MAX_RECEIVERS],
    count: usize,
}

impl<T: Filler> List<T> {
    /// Is the empty list.
    pub const EMPTY: Self = Self { values: [T::FILLER; MAX_RECEIVERS], count: 0 };

    /// Lists one value.
    pub fn of_one(value: T) -> Self {
        Self { values: [value; MAX_RECEIVERS], count: 1 }
    }

    /// Lists the values of `slice`, or returns `None` if they are too many.
    pub fn from_slice(slice: &[T]) -> Option<Self> {
        let mut list = Self::EMPTY;
        list.values.get_mut(..slice.len())?.copy_from_slice(slice);
        list.count = slice.len();
        Some(list)
    }

    /// Appends a value, or returns `None` if the list is full.
    #[must_use]
    pub fn push(&mut self, value: T) -> Option<()> {
        *self.values.get_mut(self.count)? = value;
        self.count = self.count.checked_add(1)?;
        Some(())
    }
}

impl<T> List<T> {
    /// Returns the values.
    pub fn as_slice(&self) -> &[T] {
        self.values.get(..self.count).unwrap_or(&self.values)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

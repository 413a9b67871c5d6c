//! Which container has which user and group ids of the host: none has another's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{CONTAINERS, FIRST_HOST_ID, IDS_PER_CONTAINER};

/// All ranges of ids. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    slots: BTreeSet<u32>,
    /// Where the next search begins: a range rests as long as others are free.
    next: u32,
}

/// A range that one container has. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u32,
    of: Slots,
}

impl Slots {
    /// A free range; `None` if there are as many containers as there may be.
    pub(crate) fn take(&self) -> Option<Slot> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = taken.next;
        let number = (next..CONTAINERS).chain(0..next).find(|number| !taken.slots.contains(number))?;
        taken.slots.insert(number);
        taken.next = (number + 1) % CONTAINERS;
        Some(Slot { number, of: self.clone() })
    }
}

impl Slot {
    /// The first of its ids on the host.
    pub(crate) const fn first_id(&self) -> u32 {
        FIRST_HOST_ID + self.number * IDS_PER_CONTAINER
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_have_an_id_in_common_and_a_range_rests_before_it_is_taken_again() {
        let slots = Slots::default();
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert_eq!(second.first_id() - first.first_id(), IDS_PER_CONTAINER);
        drop(first);
        assert_eq!(slots.take().unwrap().number, 2);
        let all: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(all.len() + 1, CONTAINERS as usize);
        drop(second);
        assert_eq!(slots.take().unwrap().number, 1);
    }
}

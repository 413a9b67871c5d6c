//! Resources of one kind, and what they were before the change that is under way.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::{FullName, Name};

/// When a resource last changed: revisions of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// In any way.
    pub changed: u64,
    /// In what was asked for: what is kept, and what an ETag tells.
    pub asked: u64,
}

/// A resource and when it changed.
#[derive(Debug)]
pub(super) struct Kept<T> {
    value: Arc<T>,
    stamp: Stamp,
}

impl<T> Kept<T> {
    pub(super) fn value(&self) -> &T {
        &self.value
    }
}

/// What was there before; `None` if there was nothing.
type Before<T> = Option<Kept<T>>;

/// What a change has touched, to take it back.
pub(super) type Undo<T> = BTreeMap<FullName, Before<T>>;

/// Resources of one kind, by tenant and name. A change notes what each was before, so that it can be taken back.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    items: BTreeMap<FullName, Kept<T>>,
    before: Undo<T>,
}

impl<T: Clone + PartialEq> Shelf<T> {
    pub(super) fn find(&self, name: &FullName) -> Option<&T> {
        self.items.get(name).map(|kept| &*kept.value)
    }

    pub(super) fn stamp(&self, name: &FullName) -> Stamp {
        self.items.get(name).map(|kept| kept.stamp).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(|kept| &*kept.value)
    }

    /// Those of a tenant, by name, after a name if one is given.
    pub(super) fn of_tenant<'a>(
        &'a self,
        tenant: &'a Name,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let first =
            FullName { tenant: tenant.clone(), name: after.cloned().unwrap_or_else(Name::before_all) };
        let after = self.items.range((Bound::Excluded(first), Bound::Unbounded));
        after.take_while(move |(name, _)| name.tenant == *tenant).map(|(_, kept)| &*kept.value)
    }

    /// Names of all of a tenant.
    pub(super) fn names_of<'a>(&'a self, tenant: &Name) -> impl Iterator<Item = FullName> + use<'a, T> {
        let (tenant, first) = (tenant.clone(), FullName { tenant: tenant.clone(), name: Name::before_all() });
        let after = self.items.range(first..).map(|(name, _)| name);
        after.take_while(move |name| name.tenant == tenant).cloned()
    }

    /// To be changed.
    pub(super) fn edit(&mut self, name: &FullName) -> Option<&mut T> {
        let kept = self.items.get_mut(name)?;
        let before = || Some(Kept { value: Arc::clone(&kept.value), stamp: kept.stamp });
        self.before.entry(name.clone()).or_insert_with(before);
        Some(Arc::make_mut(&mut kept.value))
    }

    pub(super) fn insert(&mut self, name: FullName, value: T) {
        let kept = Kept { value: Arc::new(value), stamp: Stamp::default() };
        let before = self.items.insert(name.clone(), kept);
        self.before.entry(name).or_insert(before);
    }

    pub(super) fn remove(&mut self, name: &FullName) {
        let Some(kept) = self.items.remove(name) else { return };
        self.before.entry(name.clone()).or_insert(Some(kept));
    }

    /// What the change under way has touched, with what that was and is.
    pub(super) fn touched(&self) -> impl Iterator<Item = (&FullName, Option<&T>, Option<&T>)> {
        self.before
            .iter()
            .map(|(name, before)| (name, before.as_ref().map(|kept| &*kept.value), self.find(name)))
    }

    /// The change under way is over: what it has touched is of this revision. Gives what takes it back.
    pub(super) fn settle(&mut self, revision: u64, same_intent: impl Fn(&T, &T) -> bool) -> Undo<T> {
        let undo = std::mem::take(&mut self.before);
        for (name, before) in &undo {
            let Some(kept) = self.items.get_mut(name) else { continue };
            kept.stamp = match before {
                Some(before) if before.value == kept.value => before.stamp,
                Some(before) if same_intent(&before.value, &kept.value) => {
                    Stamp { changed: revision, asked: before.stamp.asked }
                }
                _ => Stamp { changed: revision, asked: revision },
            };
        }
        undo
    }

    /// What takes the change back that is under way.
    pub(super) fn abandon(&mut self) -> Undo<T> {
        std::mem::take(&mut self.before)
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, undo: Undo<T>) {
        for (name, before) in undo {
            match before {
                Some(kept) => drop(self.items.insert(name, kept)),
                None => drop(self.items.remove(&name)),
            }
        }
    }

    /// Puts a resource there as it was kept: no change.
    pub(super) fn restore(&mut self, name: FullName, value: T, asked: u64) {
        let stamp = Stamp { changed: asked, asked };
        self.items.insert(name, Kept { value: Arc::new(value), stamp });
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), before: BTreeMap::new() }
    }
}

//! Links by id, for those who name them, and by place, for sessions.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Index;

/// Links of one kind. A place is used again once its link is gone, and no session is left of it.
pub(super) struct Places<I, T> {
    // Boxed, so that growth moves pointers only.
    links: Vec<Option<Box<T>>>,
    by_id: HashMap<I, usize, ahash::RandomState>,
    /// The link that was asked for last: the next packet is of the same one, mostly.
    last: Cell<Option<(I, usize)>>,
}

const THERE: &str = "a place is named while its link is there";

impl<I: Copy + Eq + Hash, T> Places<I, T> {
    pub(super) fn new(hasher: &ahash::RandomState) -> Self {
        Self { links: Vec::new(), by_id: HashMap::with_hasher(hasher.clone()), last: Cell::new(None) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Where the link is.
    #[inline(always)]
    pub(super) fn place(&self, id: I) -> Option<usize> {
        match self.last.get() {
            Some((last, place)) if last == id => Some(place),
            _ => self.look_up(id),
        }
    }

    fn look_up(&self, id: I) -> Option<usize> {
        let place = *self.by_id.get(&id)?;
        self.last.set(Some((id, place)));
        Some(place)
    }

    /// The link at a place that a session, or [`Self::place`], names.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> &T {
        self.links[place].as_ref().expect(THERE)
    }

    /// Where the link is, and the link.
    #[inline(always)]
    pub(super) fn placed(&self, id: I) -> Option<(usize, &T)> {
        self.place(id).map(|place| (place, self.at(place)))
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, place: usize) -> &mut T {
        self.links[place].as_mut().expect(THERE)
    }

    #[inline(always)]
    pub(super) fn get(&self, id: &I) -> Option<&T> {
        self.place(*id).map(|place| self.at(place))
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, id: &I) -> Option<&mut T> {
        self.place(*id).map(|place| self.at_mut(place))
    }

    /// # Panics
    /// If there is a link with this id.
    pub(super) fn insert(&mut self, id: I, link: T) {
        // Links come and go rarely.
        let vacant = self.links.iter().position(Option::is_none);
        let place = vacant.unwrap_or_else(|| {
            self.links.push(None);
            self.links.len() - 1
        });
        self.links[place] = Some(Box::new(link));
        let replaced = self.by_id.insert(id, place);
        assert!(replaced.is_none(), "ids of links are not reused");
    }

    pub(super) fn remove(&mut self, id: &I) -> Option<T> {
        self.last.set(None);
        let place = self.by_id.remove(id)?;
        self.links[place].take().map(|link| *link)
    }

    pub(super) fn contains_key(&self, id: &I) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.by_id.iter().map(|(&id, &place)| (id, self.at(place)))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.links.iter().flatten().map(|link| &**link)
    }
}

impl<I: Copy + Eq + Hash, T> Index<&I> for Places<I, T> {
    type Output = T;

    fn index(&self, id: &I) -> &T {
        self.get(id).expect("the link is there")
    }
}

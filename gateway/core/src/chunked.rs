//! Growing storage that never moves: neither growth nor a shrinking list copies what is there, so no single step is long.

use std::ops::{Index, IndexMut};

/// Elements of one chunk, which is made at once, unless they are large: 32 KiB of sessions.
const CHUNK: usize = 512;

/// No element.
pub(crate) const NIL: u32 = u32::MAX;

/// A list that grows at its end.
pub(crate) struct Chunked<T, const N: usize = CHUNK> {
    /// Each of `N` elements, of which the last ones can be blank.
    chunks: Vec<Box<[T; N]>>,
    len: usize,
}

/// What a chunk is filled with before its elements come.
pub(crate) trait Blank {
    const BLANK: Self;
}

/// A list whose places are used again, the one freed last first. Keys stay good for as long as their element is there.
pub(crate) struct Arena<T, const N: usize = CHUNK> {
    places: Chunked<Place<T>, N>,
    /// The place freed last, or [`NIL`].
    vacant: u32,
    occupied: usize,
}

enum Place<T> {
    /// With the place freed before, or [`NIL`].
    Vacant(u32),
    Occupied(T),
}

impl<T: Blank, const N: usize> Chunked<T, N> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        if self.len.is_multiple_of(N) {
            let chunk: Box<[T]> = std::iter::repeat_with(|| T::BLANK).take(N).collect();
            self.chunks.push(chunk.try_into().unwrap_or_else(|_| unreachable!("a chunk has its length")));
        }
        self.chunks[self.len / N][self.len % N] = value;
        self.len += 1;
    }

    /// The element; blank, or `None`, if the list is not that long.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        Some(&self.chunks.get(index / N)?[index % N])
    }

    #[inline(always)]
    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Some(&mut self.chunks.get_mut(index / N)?[index % N])
    }
}

impl<T> Blank for Place<T> {
    const BLANK: Self = Self::Vacant(NIL);
}

impl<T, const N: usize> Index<usize> for Chunked<T, N> {
    type Output = T;

    #[inline(always)]
    fn index(&self, index: usize) -> &T {
        &self.chunks[index / N][index % N]
    }
}

impl<T, const N: usize> IndexMut<usize> for Chunked<T, N> {
    #[inline(always)]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / N][index % N]
    }
}

impl<T, const N: usize> Arena<T, N> {
    /// Bytes of one place.
    pub(crate) const PLACE: usize = size_of::<Place<T>>();

    pub(crate) const fn new() -> Self {
        Self { places: Chunked::new(), vacant: NIL, occupied: 0 }
    }

    /// Elements that are there.
    pub(crate) const fn len(&self) -> usize {
        self.occupied
    }

    /// Places, vacant ones included: every key is below.
    pub(crate) const fn places(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.occupied += 1;
        if self.vacant == NIL {
            let key = u32::try_from(self.places.len()).ok().filter(|&key| key != NIL);
            self.places.push(Place::Occupied(value));
            return key.expect("bounds keep tables far below 2^32 elements");
        }
        let key = self.vacant;
        let place = std::mem::replace(&mut self.places[key as usize], Place::Occupied(value));
        let Place::Vacant(next) = place else { unreachable!("the list of vacant places has vacant places") };
        self.vacant = next;
        key
    }

    /// # Panics
    /// If there is no such element.
    pub(crate) fn remove(&mut self, key: u32) -> T {
        let place = std::mem::replace(&mut self.places[key as usize], Place::Vacant(self.vacant));
        let Place::Occupied(value) = place else { panic!("nothing is removed twice") };
        self.vacant = key;
        self.occupied -= 1;
        value
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        match self.places.get(key as usize) {
            Some(Place::Occupied(value)) => Some(value),
            _ => None,
        }
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.places.get_mut(key as usize) {
            Some(Place::Occupied(value)) => Some(value),
            _ => None,
        }
    }
}

impl<T, const N: usize> Index<u32> for Arena<T, N> {
    type Output = T;

    #[inline(always)]
    fn index(&self, key: u32) -> &T {
        self.get(key).expect("a key is used while its element is there")
    }
}

impl<T, const N: usize> IndexMut<u32> for Arena<T, N> {
    #[inline(always)]
    fn index_mut(&mut self, key: u32) -> &mut T {
        self.get_mut(key).expect("a key is used while its element is there")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Blank for usize {
        const BLANK: Self = Self::MAX;
    }

    proptest! {
        #[test]
        fn an_arena_is_a_map_with_keys_of_its_own(steps in prop::collection::vec(any::<(bool, u16)>(), 1..400)) {
            let (mut arena, mut model) = (Arena::<_>::new(), BTreeMap::new());
            for (insert, value) in steps {
                if insert || model.is_empty() {
                    let key = arena.insert(value);
                    prop_assert_eq!(model.insert(key, value), None);
                } else {
                    let key = *model.keys().nth(usize::from(value) % model.len()).unwrap();
                    prop_assert_eq!(Some(arena.remove(key)), model.remove(&key));
                }
                prop_assert_eq!(arena.len(), model.len());
                prop_assert!((0..arena.places() as u32).all(|key| arena.get(key) == model.get(&key)));
            }
        }
    }

    #[test]
    fn growth_moves_nothing() {
        let mut list = Chunked::<_>::new();
        list.push(0);
        let first = std::ptr::from_ref(&list[0]);
        (1..3 * CHUNK).for_each(|value| list.push(value));
        assert_eq!(std::ptr::from_ref(&list[0]), first);
        assert!((0..3 * CHUNK).all(|index| list.get(index) == Some(&index)));
        assert_eq!((list.len(), list.get(3 * CHUNK)), (3 * CHUNK, None));
        list.push(7);
        assert_eq!((list.get(3 * CHUNK), list.get(3 * CHUNK + 1)), (Some(&7), Some(&usize::BLANK)));
    }
}

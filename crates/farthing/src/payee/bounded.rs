//! A map of bounded size: what it holds was put in lately or asked for since.
//!
//! Entries live in sets of a few. A full set lets go of the first entry, going round, that was not asked for since the
//! last round. Which set a key belongs to is drawn at random when the map is made, so nobody can aim at another's.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many entries a set holds.
const SET: usize = 8;

/// A map that forgets.
pub(crate) struct Bounded<K, V> {
    sets: Box<[Mutex<Set<K, V>>]>,
    hasher: RandomState,
}

struct Set<K, V> {
    places: Vec<Place<K, V>>,
    /// Where the next round goes on.
    hand: usize,
}

struct Place<K, V> {
    key: K,
    value: V,
    /// Whether it was asked for since the hand passed.
    wanted: bool,
}

impl<K: Hash + Eq, V: Clone> Bounded<K, V> {
    /// A map of at most so many entries, rounded up to whole sets.
    pub(crate) fn new(most: usize) -> Self {
        let sets = (0..most.div_ceil(SET).max(1)).map(|_| Mutex::new(Set { places: Vec::new(), hand: 0 })).collect();
        Self { sets, hasher: RandomState::new() }
    }

    fn set<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Set<K, V>> {
        // A remainder fits whatever the length does.
        let index = usize::try_from(self.hasher.hash_one(key) % self.sets.len() as u64).unwrap_or_default();
        self.sets[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was put in under a key, if it is still there.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut set = self.set(key);
        let place = set.places.iter_mut().find(|place| place.key.borrow() == key)?;
        place.wanted = true;
        Some(place.value.clone())
    }

    /// Makes another of an entry, if it is there, or lets go of it.
    pub(crate) fn change<Q: Hash + Eq + ?Sized>(&self, key: &Q, make: impl FnOnce(V) -> Option<V>)
    where
        K: Borrow<Q>,
    {
        let mut set = self.set(key);
        let Some(at) = set.places.iter().position(|place| place.key.borrow() == key) else { return };
        let place = set.places.swap_remove(at);
        set.places.extend(make(place.value).map(|value| Place { value, ..place }));
    }

    /// Puts an entry in; where its set is full, in another's place.
    pub(crate) fn insert(&self, key: K, value: V) {
        let mut set = self.set(&key);
        let place = Place { key, value, wanted: false };
        if let Some(same) = set.places.iter_mut().find(|other| other.key == place.key) {
            *same = place;
        } else if set.places.len() < SET {
            set.places.push(place);
        } else {
            let at = set.let_go();
            set.places[at] = place;
        }
    }
}

impl<K, V> Set<K, V> {
    /// The place of the first entry from the hand on that nobody wanted lately: in the second round there is one.
    fn let_go(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (at + 1) % self.places.len();
            if !std::mem::take(&mut self.places[at].wanted) {
                return at;
            }
        }
    }
}

impl<K, V> fmt::Debug for Bounded<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bounded").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(map: &Bounded<u32, u32>) -> usize {
        map.sets.iter().map(|set| set.lock().expect("no panic").places.len()).sum()
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let map = Bounded::new(1_000);
        for key in 0..20_000 {
            map.insert(key, key);
            assert_eq!(map.get(&key), Some(key));
        }
        assert!((900..=1_000).contains(&held(&map)), "{}", held(&map));
    }

    #[test]
    fn what_is_asked_for_stays_while_others_come_once() {
        let map = Bounded::new(SET);
        map.insert(0, 0);
        for key in 1..1_000 {
            map.insert(key, key);
            assert_eq!(map.get(&0), Some(0), "after {key} others");
        }
        // The control: what nobody asks for is gone.
        assert_eq!(map.get(&500), None);
    }

    #[test]
    fn what_is_changed_to_nothing_is_gone_and_its_place_is_free() {
        let map = Bounded::new(SET);
        let most = u32::try_from(SET).expect("few");
        (0..most).for_each(|key| map.insert(key, key + 1));
        (0..most).for_each(|key| map.change(&key, |value| Some(value - 1)));
        map.change(&(most - 1), |_| None);
        map.change(&most, |_| panic!("it is not there"));
        assert_eq!((map.get(&(most - 1)), held(&map)), (None, SET - 1));
        map.insert(most, most);
        assert!((0..most - 1).chain([most]).all(|key| map.get(&key) == Some(key)), "nobody else had to go");
    }

    #[test]
    fn the_last_entry_under_a_key_counts() {
        let map = Bounded::new(1);
        map.insert(7, 1);
        map.insert(7, 2);
        assert_eq!((map.get(&7), held(&map)), (Some(2), 1));
    }
}

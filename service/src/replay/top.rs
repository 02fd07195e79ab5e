//! The most frequent of many keys in bounded memory: "space-saving" of Metwally, Agrawal and El
//! Abbadi (2005). A key that finds no room takes the place of the rarest one and its count.

use std::collections::HashMap;
use std::hash::Hash;

/// Counts keys, at most as many as it has room for.
pub(super) struct Top<K> {
    room: usize,
    places: HashMap<K, usize>,
    counts: Vec<u64>,
    /// Of each place: the key, and how much of its count may belong to others.
    keys: Vec<(K, u64)>,
}

/// A key that came often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted<K> {
    pub(super) key: K,
    /// How often it came, or more.
    pub(super) count: u64,
    /// By how much the count may be too high; 0 while there was room for every key.
    pub(super) excess: u64,
}

impl<K: Clone + Eq + Hash> Top<K> {
    pub(super) fn new(room: usize) -> Self {
        Self { room: room.max(1), places: HashMap::new(), counts: Vec::new(), keys: Vec::new() }
    }

    /// Counts a key once.
    pub(super) fn add(&mut self, key: K) {
        if let Some(count) = self.places.get(&key).and_then(|place| self.counts.get_mut(*place)) {
            *count += 1;
            return;
        }
        if self.counts.len() < self.room {
            self.places.insert(key.clone(), self.counts.len());
            self.counts.push(1);
            self.keys.push((key, 0));
            return;
        }
        let rarest = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
        let Some((place, rarest)) = rarest.map(|(place, count)| (place, *count)) else { return };
        if let (Some(count), Some(old)) = (self.counts.get_mut(place), self.keys.get_mut(place)) {
            self.places.remove(&old.0);
            self.places.insert(key.clone(), place);
            *count = rarest + 1;
            *old = (key, rarest);
        }
    }

    /// The most frequent keys, the most frequent first; equals in the order in which they came.
    pub(super) fn most(&self, how_many: usize) -> Vec<Counted<K>> {
        let all = self.keys.iter().zip(&self.counts);
        let mut all: Vec<_> = all
            .map(|((key, excess), count)| Counted {
                key: key.clone(),
                count: *count,
                excess: *excess,
            })
            .collect();
        all.sort_by_key(|counted| std::cmp::Reverse(counted.count));
        all.truncate(how_many);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_while_there_is_room() {
        let mut top = Top::new(3);
        for key in ["a", "b", "a", "c", "a", "b"] {
            top.add(key);
        }
        let counted = |key, count| Counted { key, count, excess: 0 };
        assert_eq!(top.most(2), [counted("a", 3), counted("b", 2)]);
    }

    #[test]
    fn heavy_keys_survive_a_flood_of_rare_ones_and_the_error_is_bounded() {
        let mut top = Top::new(64);
        let mut random = fastrand::Rng::with_seed(7);
        let mut real = HashMap::new();
        for n in 0..200_000_u64 {
            let key = if n % 4 == 0 { n % 5 } else { random.u64(1_000..1_000_000) };
            *real.entry(key).or_insert(0) += 1;
            top.add(key);
        }
        let most = top.most(5);
        let mut keys: Vec<_> = most.iter().map(|counted| counted.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 2, 3, 4]);
        for counted in most {
            let real = real[&counted.key];
            assert!(counted.count >= real && counted.count - counted.excess <= real);
        }
        assert_eq!(top.counts.len(), 64);
        assert_eq!(top.places.len(), 64);
    }
}

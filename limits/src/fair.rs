//! Places that many share, so that nobody keeps the others out.
//!
//! Half of them are kept for whoever has few, fewer than a 1,024th of all; of the other half nobody
//! gets more than are left of it. So:
//!
//! - Whoever has few gets another one, unless 512 others have as many: those that have more take
//!   none while half are taken, and 511 others with few do not fill the other half.
//! - One alone, however greedy, gets a quarter, and the next an eighth.
//!
//! Nobody needs to know who will come.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Whoever has fewer than this part of all places has few.
const FEW: usize = 1_024;

/// Places, and who has how many of them.
#[derive(Clone, Debug)]
pub struct Fair<K> {
    places: usize,
    taken: usize,
    of: HashMap<K, usize>,
}

impl<K: Eq + Hash> Fair<K> {
    /// So many places, all of them free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places, taken: 0, of: HashMap::new() }
    }

    /// Takes a place for somebody, where there is one for them.
    pub fn take<Q>(&mut self, who: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let free = self.places.saturating_sub(self.taken);
        let has = self.of.get_mut(who);
        let count = has.as_deref().copied().unwrap_or(0);
        let has_few = count < (self.places / FEW).max(1);
        let room = if has_few { free > 0 } else { count < free.saturating_sub(self.places / 2) };
        if !room {
            return false;
        }
        match has {
            Some(has) => *has += 1,
            None => drop(self.of.insert(who.to_owned(), 1)),
        }
        self.taken += 1;
        true
    }

    /// Gives a place back.
    pub fn give_back<Q>(&mut self, who: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some(has) = self.of.get_mut(who) else { return };
        *has -= 1;
        if *has == 0 {
            self.of.remove(who);
        }
        self.taken -= 1;
    }

    /// Gives places back, one for each that is named.
    pub fn give_back_all(&mut self, all: impl IntoIterator<Item = K>) {
        all.into_iter().for_each(|who| self.give_back(&who));
    }

    /// Gives all places back.
    pub fn clear(&mut self) {
        self.of.clear();
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_takes_a_quarter_and_the_next_an_eighth() {
        for (places, most, next) in
            [(0, 0, 0), (1, 1, 0), (2, 1, 1), (8, 2, 1), (4_096, 1_024, 512)]
        {
            let mut fair = Fair::<u64>::new(places);
            assert_eq!((0..5_000).filter(|_| fair.take(&7)).count(), most, "of {places}");
            assert_eq!((0..5_000).filter(|_| fair.take(&8)).count(), next, "of {places}");
        }
    }

    #[test]
    fn however_greedy_others_are_whoever_has_few_gets_another() {
        let (places, few) = (10_240, 10);
        for greedy in [1, 2, 10, 100, 511] {
            let mut fair = Fair::<usize>::new(places);
            for _ in 0..2 {
                for one in 0..greedy {
                    while fair.take(&one) {}
                }
            }
            let got = (0..places).filter(|_| fair.take(&greedy)).count();
            assert!(got >= few, "{got} beside {greedy}");
        }
    }

    #[test]
    fn what_is_given_back_is_free_and_forgotten() {
        let mut fair = Fair::<String>::new(8);
        assert!(fair.take("a") && fair.take("a") && !fair.take("a"));
        fair.give_back("a");
        fair.give_back("nobody");
        assert_eq!((fair.taken, fair.of.len()), (1, 1));
        assert!(fair.take("a") && fair.take("b"));
        fair.give_back("a");
        fair.give_back("a");
        fair.give_back("b");
        assert_eq!((fair.taken, fair.of.len()), (0, 0));
        assert!(fair.take("b"));
        fair.clear();
        assert!(fair.take("b") && fair.take("b") && !fair.take("b"));
    }
}

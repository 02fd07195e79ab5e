//! How many counters live, and whose: what each limit has for itself, and what all of them share.
//!
//! Half of the places are split equally over the families that the policy has, a limit's counters
//! or those of its penalty; the rest is everybody's. So the keys of one limit, however many, leave
//! every other limit its part. A family that the policy no longer has keeps its counters until they
//! are fresh, and until then another may find its part taken.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::Uniform;

/// The places for counters.
pub(super) struct Room {
    places: usize,
    taken: usize,
    /// Those taken beyond what their families have for themselves.
    shared: usize,
    /// How many may be: what is left over by all that families have for themselves.
    shareable: usize,
    families: HashMap<u64, Family, BuildHasherDefault<Uniform>>,
}

#[derive(Default)]
struct Family {
    taken: usize,
    /// Places that no other family gets.
    own: usize,
}

impl Family {
    const fn shared(&self) -> usize {
        self.taken.saturating_sub(self.own)
    }
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: 0, shared: 0, shareable: places, families: HashMap::default() }
    }

    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    /// Says which families there are. Half of the places are theirs, in equal parts.
    pub(super) fn split(&mut self, families: impl IntoIterator<Item = u64>) {
        let mut families: Vec<u64> = families.into_iter().collect();
        families.sort_unstable();
        families.dedup();
        let own = (self.places / 2).checked_div(families.len()).unwrap_or(0);
        self.families.values_mut().for_each(|family| family.own = 0);
        for family in &families {
            self.families.entry(*family).or_default().own = own;
        }
        self.families.retain(|_, family| family.taken > 0 || family.own > 0);
        self.shareable = self.places - own * families.len();
        self.shared = self.families.values().map(Family::shared).sum();
    }

    /// Takes a place for one more counter of a family that has at most `most`, where there is one.
    pub(super) fn take(&mut self, id: u64, most: u64) -> bool {
        let (taken, own) =
            self.families.get(&id).map_or((0, 0), |family| (family.taken, family.own));
        let beyond = taken >= own;
        let full = self.taken >= self.places || beyond && self.shared >= self.shareable;
        if full || taken as u64 >= most {
            return false;
        }
        self.families.entry(id).or_default().taken += 1;
        self.taken += 1;
        self.shared += usize::from(beyond);
        true
    }

    /// Gives the places of counters of these families back.
    pub(super) fn give_back_all(&mut self, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| self.give_back(id));
    }

    /// Gives the place of a counter of a family back.
    pub(super) fn give_back(&mut self, id: u64) {
        let Some(family) = self.families.get_mut(&id) else { return };
        self.shared -= usize::from(family.shared() > 0);
        family.taken -= 1;
        self.taken -= 1;
        if family.taken == 0 && family.own == 0 {
            self.families.remove(&id);
        }
    }
}

//! The period that was asked for last: rules of daylight saving take longer to look at than a
//! request should wait.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::{Micros, Timestamp};

/// Edges are remembered in quarters of an hour; all of today's are multiples of it.
const QUARTER: u64 = 900_000_000;
/// The bits of a length, in quarters: more than a year has.
const LENGTH_BITS: u32 = 20;
/// The bits of the start, in quarters since 1970: more than instants have.
const START_BITS: u32 = 24;

/// Three edges in one word, so that nobody reads half of them; 0 for none.
#[derive(Debug, Default)]
pub(super) struct Remembered(AtomicU64);

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

impl Remembered {
    /// The edges around an instant, if they are those that were remembered.
    pub(super) fn edges(&self, now: Timestamp) -> Option<[Timestamp; 3]> {
        let word = self.0.load(Relaxed);
        let length =
            |shift: u32| Micros::new(((word >> shift) & ((1 << LENGTH_BITS) - 1)) * QUARTER);
        let start = Timestamp::new((word >> (2 * LENGTH_BITS)) * QUARTER);
        let end = start.after(length(LENGTH_BITS));
        (start <= now && now < end).then(|| [start, end, end.after(length(0))])
    }

    /// Remembers edges, if they are whole quarters.
    pub(super) fn note(&self, [start, end, after]: [Timestamp; 3]) {
        let parts = [
            (start.get(), START_BITS),
            (end.since(start).get(), LENGTH_BITS),
            (after.since(end).get(), LENGTH_BITS),
        ];
        let word = parts.into_iter().try_fold(0, |word, (micros, bits)| {
            let quarters = micros / QUARTER;
            let whole = micros.is_multiple_of(QUARTER) && quarters < 1 << bits;
            whole.then_some(word << bits | quarters)
        });
        if let Some(word) = word {
            self.0.store(word, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_edges_are_remembered_and_no_others() {
        let at = |quarters: u64| Timestamp::new(quarters * QUARTER);
        let remembered = Remembered::default();
        assert_eq!(remembered.edges(at(0)), None);
        let year = [at(1_994_688), at(2_029_728), at(2_064_864)];
        remembered.note(year);
        let copy = remembered.clone();
        for now in [at(1_994_688), at(2_029_727), Timestamp::new(2_029_728 * QUARTER - 1)] {
            assert_eq!(copy.edges(now), Some(year));
        }
        for now in [at(0), at(1_994_687), at(2_029_728), Timestamp::MAX] {
            assert_eq!(copy.edges(now), None);
        }
        // What the word cannot hold exactly leaves it as it was.
        let odd = Timestamp::new(QUARTER / 2);
        let later = at(1).after(Micros::new(1));
        for edges in [[odd, at(1), at(2)], [at(0), at(1), later], [at(0), at(1 << 20), at(1 << 21)]]
        {
            remembered.note(edges);
            assert_eq!(remembered.edges(year[0]), Some(year));
        }
        remembered.note([at(0), at(1), at(2)]);
        assert_eq!(remembered.edges(at(0)), Some([at(0), at(1), at(2)]));
    }
}

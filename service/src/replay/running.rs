//! Requests that hold something and end at a time that the log tells.

use std::collections::BTreeMap;

use sluicegate_limits::time::Timestamp;
use sluicegate_limits::trial::{Held, Trial};

/// The most that run at a time, about 100 MB.
const MAX_RUNNING: usize = 262_144;

/// What runs, by its end; of equals in the order in which they came.
pub(super) struct Running<'p> {
    ends: BTreeMap<(Timestamp, u64), Held<'p>>,
    next: u64,
    left_out: u64,
}

impl<'p> Running<'p> {
    pub(super) fn new() -> Self {
        Self { ends: BTreeMap::new(), next: 0, left_out: 0 }
    }

    /// Takes what ends at this instant. One too many is left to the limit's longest hold.
    pub(super) fn add(&mut self, end: Timestamp, held: Held<'p>) {
        if self.ends.len() >= MAX_RUNNING {
            self.left_out += 1;
            return;
        }
        self.ends.insert((end, self.next), held);
        self.next += 1;
    }

    /// Ends, each at its instant, what is over at this one.
    pub(super) fn end_until(&mut self, now: Timestamp, trial: &mut Trial<'p>) {
        while let Some(first) = self.ends.first_entry().filter(|first| first.key().0 <= now) {
            let ((end, _), held) = first.remove_entry();
            // What came late may have ended before what was decided last.
            let _ = trial.release(end.max(trial.now()), held);
        }
    }

    /// How many were too many.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

//! The lines that wait to be written: bounded, and nobody's keep the others' out.

use parking_lot::Mutex;
use sluicegate_limits::fair::Fair;

/// The places of lines that wait.
#[derive(Debug)]
pub(super) struct Queue {
    records: Mutex<Fair<u64>>,
    /// Alerts have places of their own, so that no records keep them out.
    alerts: Mutex<Fair<u64>>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Alert,
}

/// The place of one line, on somebody's account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) owner: u64,
}

impl Queue {
    /// So many places for each kind.
    pub(super) fn new(places: usize) -> Self {
        Self { records: Mutex::new(Fair::new(places)), alerts: Mutex::new(Fair::new(places)) }
    }

    /// Takes a place, where there is one for its owner.
    pub(super) fn take(&self, place: Place) -> bool {
        self.of(place.kind).lock().take(&place.owner)
    }

    /// Gives it back.
    pub(super) fn give_back(&self, place: Place) {
        self.of(place.kind).lock().give_back(&place.owner);
    }

    const fn of(&self, kind: Kind) -> &Mutex<Fair<u64>> {
        match kind {
            Kind::Record => &self.records,
            Kind::Alert => &self.alerts,
        }
    }
}

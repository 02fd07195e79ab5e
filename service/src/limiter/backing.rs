//! Who answers for a limit: the store, or what its limit says for when the store cannot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sluicegate_limits::policy::{Limit, OnStoreFailure};
use sluicegate_limits::time::{Micros, Timestamp};

/// A limit with a longer window does not come back by itself after the store lost its counters.
const LONGEST_RECOVERY: Micros = Micros::HOUR;

/// Who answers for one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backing {
    /// The store.
    Store,
    /// This replica's share, counted here.
    Local,
    /// Nobody: it passes.
    Open,
    /// Nobody: it denies.
    Closed,
}

/// What this replica knows of the store's losses. The store answers with its generation, the
/// instant at which its first script found it empty; a change means that counters were lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The generation of the newest answer; 0 before the first.
    generation: AtomicU64,
    /// When the store was last found emptied; 0 for never.
    lost_at: AtomicU64,
}

impl Backing {
    /// What a limit says for when the store does not answer.
    pub(super) const fn without_store(limit: &Limit) -> Self {
        match limit.on_store_failure {
            OnStoreFailure::Local => Self::Local,
            OnStoreFailure::Allow => Self::Open,
            OnStoreFailure::Deny => Self::Closed,
        }
    }
}

impl Losses {
    /// Takes note of the generation of an answer; answers whether the store was emptied since
    /// the one before. The first generation is adopted silently.
    pub(super) fn note(&self, generation: Timestamp) -> bool {
        let generation = generation.get();
        let known = self.generation.load(Relaxed);
        if generation <= known || self.generation.fetch_max(generation, Relaxed) >= generation {
            return false;
        }
        if known != 0 {
            self.lost_at.fetch_max(generation, Relaxed);
        }
        known != 0
    }

    /// Who answers for a limit at `now`, while the store answers. After a loss a limit of up to
    /// an hour stays on the share for one window; a longer one stays on what it says for a
    /// failure until this replica restarts (G13).
    pub(super) fn backing(&self, limit: &Limit, now: Timestamp) -> Backing {
        let lost_at = self.lost_at.load(Relaxed);
        if lost_at == 0 {
            return Backing::Store;
        }
        let span = memory_of(limit);
        if span > LONGEST_RECOVERY {
            return Backing::without_store(limit);
        }
        if now < Timestamp::new(lost_at).after(span) { Backing::Local } else { Backing::Store }
    }
}

/// How long a limit remembers a token: its window, or the time in which a burst refills.
fn memory_of(limit: &Limit) -> Micros {
    let windows = limit.capacity().get().div_ceil(limit.limit.get().max(1));
    Micros::new(limit.window.get().saturating_mul(windows.max(1)))
}

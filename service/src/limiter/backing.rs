//! Who answers for a limit: the store, or what its limit says for when the store cannot.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sluicegate_limits::charge::quantum;
use sluicegate_limits::policy::{Algorithm, Limit, OnStoreFailure};
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
/// instant at which its first script found it empty; another value means that counters were lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The generation that was noticed last; 0 before the first answer.
    generation: AtomicU64,
    /// When the store was last found emptied; 0 for never.
    lost_at: AtomicU64,
}

/// The generation of the newest answer to one core, whose answers come in order.
#[derive(Debug, Default)]
pub(super) struct Seen(AtomicU64);

impl Backing {
    /// What a limit says for when the store does not answer, or else `otherwise`.
    pub(super) fn without_store(limit: &Limit, otherwise: OnStoreFailure) -> Self {
        match limit.on_store_failure.unwrap_or(otherwise) {
            OnStoreFailure::Local => Self::Local,
            OnStoreFailure::Allow => Self::Open,
            OnStoreFailure::Deny => Self::Closed,
        }
    }
}

impl Losses {
    /// Takes note of the generation of an answer that was given at `now`; answers whether this
    /// tells that the store was emptied. The first generation is adopted silently, and what one
    /// core noticed the others do not tell again.
    pub(super) fn note(&self, seen: &Seen, generation: Timestamp, now: Timestamp) -> bool {
        let generation = generation.get();
        if seen.0.swap(generation, Relaxed) == generation {
            return false;
        }
        let known = self.generation.swap(generation, Relaxed);
        let lost = known != 0 && known != generation;
        if lost {
            self.lost_at.store(now.get(), Relaxed);
        }
        lost
    }

    /// Who answers for a limit at `now`, while the store answers. After a loss a limit of up to
    /// an hour stays on the share for one window; a longer one stays on what it says for a
    /// failure, or else `otherwise`, until this replica restarts (G13).
    pub(super) fn backing(
        &self,
        limit: &Limit,
        otherwise: OnStoreFailure,
        now: Timestamp,
    ) -> Backing {
        let lost_at = self.lost_at.load(Relaxed);
        if lost_at == 0 {
            return Backing::Store;
        }
        let mut span = memory_of(limit);
        if span > LONGEST_RECOVERY {
            return Backing::without_store(limit, otherwise);
        }
        if limit.algorithm == Algorithm::Concurrency {
            span = span.plus(quantum(span));
        }
        if now < Timestamp::new(lost_at).after(span) { Backing::Local } else { Backing::Store }
    }
}

/// How long a limit remembers a token: its window, its longest period or hold, or the time in
/// which a burst refills.
fn memory_of(limit: &Limit) -> Micros {
    let windows = limit.numbers.capacity().get().div_ceil(limit.numbers.limit.get().max(1));
    Micros::new(limit.window.get().saturating_mul(windows.max(1)))
}

#[cfg(test)]
mod tests {
    use sluicegate_limits::policy::{Policy, SourceFile};

    use super::*;

    const LIMITS: &str = "
rate_limits:
  minute: { limit: 5, window: 1m }
  refills_in_ten_minutes: { algorithm: token_bucket, limit: 5, window: 1m, burst: 50 }
  day: { limit: 5, window: 1d, on_store_failure: deny }
  running: { algorithm: concurrency, limit: 5, hold: 16m }
  running_long: { algorithm: concurrency, limit: 5, hold: 1h }
  hourly: { algorithm: calendar, limit: 5, period: hour }
  daily: { algorithm: calendar, limit: 5, period: day, on_store_failure: allow }
";

    fn at(minutes: u64) -> Timestamp {
        Timestamp::new(1_800_000_000_000_000).after(Micros::new(minutes * Micros::MINUTE.get()))
    }

    #[test]
    fn a_limit_returns_to_the_store_one_window_after_a_loss() {
        let text = LIMITS.to_owned();
        let policy = Policy::compile(&[SourceFile { name: "l.yaml".to_owned(), text }]).unwrap();
        let limits = policy.policy.limits();
        let losses = Losses::default();
        let backing = |now| {
            let one = |limit| losses.backing(limit, OnStoreFailure::Local, now);
            limits.iter().map(one).collect::<Vec<_>>()
        };

        let (one, other) = (Seen::default(), Seen::default());
        assert!(!losses.note(&one, at(0), at(1)), "the first generation is adopted silently");
        assert!(!losses.note(&one, at(0), at(2)));
        assert!(!losses.note(&other, at(0), at(2)));
        assert_eq!(backing(at(2)), [Backing::Store; 7]);

        assert!(losses.note(&one, at(9), at(10)));
        assert!(!losses.note(&other, at(0), at(10)), "an answer that was overtaken tells nothing");
        assert!(!losses.note(&other, at(9), at(11)), "one loss is told once");
        let local = |names: [&str; 5]| {
            let of = |limit: &Limit| match &*limit.name {
                "day" => Backing::Closed,
                "daily" => Backing::Open,
                name if names.contains(&name) => Backing::Local,
                _ => Backing::Store,
            };
            limits.iter().map(of).collect::<Vec<_>>()
        };
        let (bucket, run) = ("refills_in_ten_minutes", "running");
        let all = ["minute", bucket, run, "running_long", "hourly"];
        assert_eq!(backing(at(10)), local(all));
        assert_eq!(backing(at(11)), local(["", bucket, run, "running_long", "hourly"]));
        assert_eq!(backing(at(26)), local(["", "", run, "running_long", "hourly"]));
        assert_eq!(backing(at(27)), local(["", "", "", "running_long", "hourly"]));
        assert_eq!(backing(at(70)), local(["", "", "", "running_long", ""]));
        assert_eq!(backing(at(74)), local([""; 5]));
        assert_eq!(backing(at(100_000)), local([""; 5]));

        assert!(losses.note(&one, at(5), at(100_000)), "a clock that is behind is another store");
        assert!(!losses.note(&Seen::default(), at(5), at(100_000)));
        assert_eq!(backing(at(100_000)), local(all));
    }
}

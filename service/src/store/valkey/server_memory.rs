//! How full the server's memory is. A server that is full refuses every write, and each limit then
//! answers as if the store were away: so it is told before, as metrics and as a warning.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::ErrorKind;
use redis::aio::MultiplexedConnection;

use crate::settings::StoreUrl;

/// How often the server is asked, while calls are made: in a second a flood of keys takes some ten
/// megabytes.
const EVERY: Duration = Duration::from_secs(1);
/// From what part of `maxmemory` on it is told, and below which it has room again; in percent.
const FULL_PERCENT: u128 = 80;
const ROOM_PERCENT: u128 = 75;

/// What the server of a node says about its memory; all cores share it.
#[derive(Debug, Default)]
pub(super) struct ServerMemory {
    used: AtomicU64,
    max: AtomicU64,
    looked: Mutex<Option<Instant>>,
    /// It may not be asked.
    hidden: AtomicBool,
    full: AtomicBool,
    told_of_policy: AtomicBool,
    told_of_no_maximum: AtomicBool,
    told_of_nothing_seen: AtomicBool,
}

/// What matters of `INFO memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Info<'a> {
    used: Option<u64>,
    max: Option<u64>,
    policy: Option<&'a str>,
}

impl ServerMemory {
    /// Bytes in use, and the most that the server takes: 0 where it has no maximum. Both are 0
    /// before the first look.
    pub(super) fn bytes(&self) -> [u64; 2] {
        [self.used.load(Relaxed), self.max.load(Relaxed)]
    }

    /// Whether it is time to look again. Whoever is told so looks.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut looked = self.looked.lock();
        let due = looked.is_none_or(|last| now.saturating_duration_since(last) >= EVERY)
            && !self.hidden.load(Relaxed);
        if due {
            *looked = Some(now);
        }
        due
    }

    /// Asks the server, and says what an operator has to know.
    pub(super) async fn look(&self, link: &mut MultiplexedConnection, store: &StoreUrl) {
        match redis::cmd("INFO").arg("memory").query_async::<String>(link).await {
            Ok(text) => self.note(Info::read(&text), store),
            Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                self.hidden.store(true, Relaxed);
                self.cannot_see(store);
            }
            // A connection that is lost is noticed by the next call.
            Err(_) => {}
        }
    }

    fn note(&self, info: Info<'_>, store: &StoreUrl) {
        let Info { used: Some(used), max: Some(max), policy: Some(policy) } = info else {
            return self.cannot_see(store);
        };
        self.hidden.store(false, Relaxed);
        self.used.store(used, Relaxed);
        self.max.store(max, Relaxed);
        // Any policy but `noeviction` drops counters when memory is full, and a dropped counter is
        // a fresh one. What cannot be otherwise without a restart is said once.
        if policy != "noeviction" && !self.told_of_policy.swap(true, Relaxed) {
            tracing::warn!(
                %store,
                policy,
                "the store drops counters when its memory is full: set maxmemory-policy noeviction"
            );
        }
        if max == 0 && !self.told_of_no_maximum.swap(true, Relaxed) {
            tracing::warn!(
                %store,
                "the store has no maxmemory: a flood of keys takes what its machine has; set it \
                 (docs/store.md says how much)"
            );
        }
        self.tell_how_full(used, max, store);
    }

    fn tell_how_full(&self, used: u64, max: u64, store: &StoreUrl) {
        let (used_percent, whole) = (u128::from(used) * 100, u128::from(max));
        if max > 0 && used_percent >= whole * FULL_PERCENT {
            if !self.full.swap(true, Relaxed) {
                tracing::warn!(
                    %store,
                    used_bytes = used,
                    maxmemory_bytes = max,
                    "the store's memory is nearly full: once it is, every limit answers by \
                     on_store_failure; give it more maxmemory, or less to count (docs/store.md)"
                );
            }
        } else if (max == 0 || used_percent < whole * ROOM_PERCENT)
            && self.full.swap(false, Relaxed)
        {
            tracing::info!(%store, used_bytes = used, maxmemory_bytes = max, "the store has room");
        }
    }

    fn cannot_see(&self, store: &StoreUrl) {
        if !self.told_of_nothing_seen.swap(true, Relaxed) {
            tracing::warn!(
                %store,
                "cannot see the store's maxmemory and maxmemory-policy (allow +info): the policy \
                 must be noeviction, and nothing warns before its memory is full"
            );
        }
    }
}

impl<'a> Info<'a> {
    fn read(text: &'a str) -> Self {
        let mut info = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match name {
                "used_memory" => info.used = value.parse().ok(),
                "maxmemory" => info.max = value.parse().ok(),
                "maxmemory_policy" => info.policy = Some(value),
                _ => {}
            }
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_matters_is_read_and_anything_else_is_not() {
        let text = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n\
                    maxmemory:2097152\r\nmaxmemory_policy:noeviction\r\n";
        let (used, max, policy) = (Some(1_048_576), Some(2_097_152), Some("noeviction"));
        assert_eq!(Info::read(text), Info { used, max, policy });
        for text in ["", "maxmemory:many", "used_memory", ":::"] {
            assert_eq!(Info::read(text), Info::default(), "{text}");
        }
    }

    #[test]
    fn one_of_all_cores_looks_and_once_a_second() {
        let (memory, now) = (ServerMemory::default(), clock::instant());
        assert!(memory.is_due(now) && !memory.is_due(now));
        assert!(!memory.is_due(now + EVERY / 2));
        assert!(memory.is_due(now + EVERY) && !memory.is_due(now + EVERY));
    }
}

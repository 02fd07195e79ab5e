//! The store inside the process: a sharded map from the 128-bit key to the same counters.
//!
//! Bounded: a key that finds no room shares an *overflow* counter with the keys of its limit
//! whose hash falls in the same slot, and goes on sharing it until that counter is fresh again.
//! So a flood of keys makes the flooded limit stricter and never lets more pass (G12). `room` keeps
//! the other limits out of it.

mod locked;
mod room;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::counter::{Counter, Rate, Terms};
use crate::decide::{Ask, Check, Key, Once, Outcome, Record, Stale, decide, decide_asks};
use crate::fair::Fair;
use crate::time::{Micros, Timestamp};
use locked::{Locked, One};
use room::Room;

const SHARDS: usize = 64;
/// Overflow counters of one limit.
const OVERFLOW_SLOTS: u64 = 1_024;

/// Counters in this process, safe to share between threads.
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    overflow: Mutex<Overflow>,
    /// Locked last, and for a moment: no other lock is taken under it.
    room: Mutex<Room>,
    /// The room for records, by their owners. Locked as `room` is.
    remembered: Mutex<Fair<u64>>,
    overflowed: AtomicU64,
    /// The length of `overflow`, so that a new key need not lock it while there is none. A key
    /// that used it sees it here, since both happen under the lock of the key's shard.
    overflow_counters: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    slots: Slots,
    /// What is remembered of reservations, by their names. An empty place is one that a check
    /// looked at and that goes when the check is decided.
    records: Map<Remembered>,
}

type Slots = Map<Slot>;
type Overflow = Map<Shared>;
type Map<T> = HashMap<u128, T, BuildHasherDefault<Uniform>>;

struct Slot {
    counter: Counter,
    family: u64,
}

struct Remembered {
    owner: u64,
    record: Option<Record>,
}

/// An overflow counter.
#[derive(Default)]
struct Shared {
    counter: Counter,
    /// The slowest rate of the keys that used it since it was fresh. Plans and tenants have rates
    /// of their own, and a faster one would bring back what a slower key took.
    slowest: Option<Rate>,
}

/// Keys are hashes already.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Memory {
    /// Keeps at most `max_counters` counters, besides at most 1,024 overflow counters a limit, and
    /// at most as many records of what happened once, of which no owner keeps the others out. What
    /// would need one more is refused.
    #[must_use]
    pub fn new(max_counters: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            overflow: Mutex::default(),
            room: Mutex::new(Room::new(max_counters)),
            remembered: Mutex::new(Fair::new(max_counters)),
            overflowed: AtomicU64::new(0),
            overflow_counters: AtomicUsize::new(0),
        }
    }

    /// Says which families of counters the policy has: half of the counters are theirs, in equal
    /// parts, whatever keys the others have.
    pub fn set_families(&self, families: impl IntoIterator<Item = u64>) {
        self.room.lock().split(families);
    }

    /// Decides one check at `now`, all or nothing, atomically over all its counters.
    ///
    /// # Errors
    /// [`Stale`] where `now` lies outside the edges of a charge; nothing is touched then.
    pub fn decide(&self, check: &Check, now: Timestamp) -> Result<Outcome, Stale> {
        self.decide_on(check, || now)
    }

    /// Decides like [`Self::decide`] at the instant that `clock` tells once the counters are
    /// locked. Between callers that run at the same time no counter then sees the clock go back,
    /// which would let tokens leave early.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_on(
        &self,
        check: &Check,
        clock: impl Fn() -> Timestamp,
    ) -> Result<Outcome, Stale> {
        if let ([ask], None) = (&*check.asks, check.once)
            && let Some(decided) = self.decide_known(ask, &clock)
        {
            return decided;
        }
        let mut locked = self.lock(check);
        let routed = self.route(&mut locked, check, &clock);
        // Read last: an overflow counter is locked by now too.
        let now = clock();
        let check = routed.as_ref().unwrap_or(check);
        let decided = decide(&mut locked, check, now);
        match &decided {
            Ok(outcome) => {
                for (ask, reply) in check.iter().zip(&outcome.replies) {
                    if reply.full_in == Micros::ZERO {
                        self.forget_empty(&mut locked, ask);
                    }
                }
            }
            Err(Stale) => check.iter().for_each(|ask| self.forget_empty(&mut locked, ask)),
        }
        if let Some(once) = check.once {
            // A repeat tells of counters that it did not look at.
            check.iter().for_each(|ask| self.forget_empty(&mut locked, ask));
            self.forget_empty_record(&mut locked, once);
        }
        decided
    }

    /// The common case, one ask of a counter that lives: one lock, one look-up, and nothing is
    /// allocated but the answer. `None` where the key is new.
    fn decide_known(
        &self,
        ask: &Ask,
        clock: impl Fn() -> Timestamp,
    ) -> Option<Result<Outcome, Stale>> {
        let mut shard = self.shards.get(shard_of(ask.key))?.lock();
        let slot = shard.slots.get_mut(&number(ask.key))?;
        let mut one = One(&mut slot.counter);
        let decided = decide_asks(&mut one, std::slice::from_ref(ask), clock());
        if slot.counter.is_empty() {
            self.forget(&mut shard, ask);
        }
        Some(decided)
    }

    /// Drops every counter that equals a fresh one at `now`, and the records that count for nothing
    /// any more; answers how many counters. Locks one shard at a time.
    pub fn sweep(&self, now: Timestamp) -> usize {
        let mut dropped = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let counts =
                |kept: &Remembered| kept.record.as_ref().is_some_and(|r| r.expires() > now);
            let past: Vec<u64> = shard
                .records
                .extract_if(|_, kept| !counts(kept))
                .map(|(_, kept)| kept.owner)
                .collect();
            let fresh: Vec<u64> = shard
                .slots
                .extract_if(|_, slot| slot.counter.fresh_at() <= now)
                .map(|(_, slot)| slot.family)
                .collect();
            dropped += fresh.len();
            // Still under the lock of the shard, so that no key is gone whose place is not free.
            self.remembered.lock().give_back_all(past);
            self.room.lock().give_back_all(fresh);
        }
        let mut overflow = self.overflow.lock();
        overflow.retain(|_, slot| slot.counter.fresh_at() > now);
        self.overflow_counters.store(overflow.len(), Relaxed);
        dropped
    }

    /// How many counters live, overflow counters not included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.room.lock().taken()
    }

    /// Whether no counter lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many asks went to an overflow counter since the start.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }

    /// Locks the shards of all asks and of the record, always in the same order.
    fn lock(&self, check: &Check) -> Locked<'_> {
        let keys = check.iter().map(|ask| ask.key).chain(check.once.map(|once| once.id));
        let mut numbers: SmallVec<[usize; 4]> = keys.map(shard_of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let lock = |number: usize| Some((number, self.shards.get(number)?.lock()));
        Locked {
            shards: numbers.into_iter().filter_map(lock).collect(),
            overflow: None,
            shared: Vec::new(),
            spare: Counter::default(),
            remembered: &self.remembered,
        }
    }

    /// Opens a counter for each new key, or points the ask at its overflow counter; answers the
    /// check that results where one was pointed elsewhere.
    fn route<'a>(
        &'a self,
        locked: &mut Locked<'a>,
        check: &Check,
        clock: impl Fn() -> Timestamp,
    ) -> Option<Check> {
        let mut routed: Option<Check> = None;
        for (index, ask) in check.iter().enumerate() {
            let shard = locked.shard(ask.key);
            let known = shard.is_some_and(|shard| shard.slots.contains_key(&number(ask.key)));
            if known {
                continue;
            }
            let (family, shared) = (ask.limit_id, overflow_key(ask));
            let own =
                !self.in_use(locked, shared, &clock) && self.room.lock().take(family, ask.max_keys);
            if own {
                if let Some(shard) = locked.shard(ask.key) {
                    let slot = Slot { counter: Counter::default(), family };
                    shard.slots.insert(number(ask.key), slot);
                }
                continue;
            }
            self.overflowed.fetch_add(1, Relaxed);
            let overflow = locked.overflow.get_or_insert_with(|| self.overflow.lock());
            let terms = overflow.entry(number(shared)).or_default().terms(ask.terms, &clock);
            self.overflow_counters.store(overflow.len(), Relaxed);
            locked.shared.push(shared);
            if let Some(ask) = routed.get_or_insert_with(|| check.clone()).asks.get_mut(index) {
                (ask.key, ask.terms) = (shared, terms);
            }
        }
        routed
    }

    /// Whether an overflow counter holds tokens that a key of its slot may have taken.
    fn in_use<'a>(
        &'a self,
        locked: &mut Locked<'a>,
        shared: Key,
        clock: impl Fn() -> Timestamp,
    ) -> bool {
        if locked.overflow.is_none() && self.overflow_counters.load(Relaxed) == 0 {
            return false;
        }
        let overflow = locked.overflow.get_or_insert_with(|| self.overflow.lock());
        overflow.get(&number(shared)).is_some_and(|slot| slot.counter.fresh_at() > clock())
    }

    fn forget_empty(&self, locked: &mut Locked<'_>, ask: &Ask) {
        let Some(shard) = locked.shard(ask.key) else { return };
        let empty = shard.slots.get(&number(ask.key)).is_some_and(|slot| slot.counter.is_empty());
        if empty {
            self.forget(shard, ask);
        }
    }

    fn forget(&self, shard: &mut Shard, ask: &Ask) {
        if let Some(slot) = shard.slots.remove(&number(ask.key)) {
            self.room.lock().give_back(slot.family);
        }
    }

    fn forget_empty_record(&self, locked: &mut Locked<'_>, once: Once) {
        let (Some(shard), id) = (locked.shard(once.id), number(once.id)) else { return };
        if shard.records.get(&id).is_some_and(|kept| kept.record.is_none())
            && let Some(kept) = shard.records.remove(&id)
        {
            self.remembered.lock().give_back(&kept.owner);
        }
    }
}

impl Shared {
    /// The terms of an ask, no faster than those of any key that may have tokens in here.
    fn terms(&mut self, terms: Terms, clock: impl Fn() -> Timestamp) -> Terms {
        let Terms::TokenBucket { rate, .. } = terms else { return terms };
        let before = self.slowest.filter(|_| self.counter.fresh_at() > clock());
        let slowest = before.filter(|before| before.is_slower_than(&rate)).unwrap_or(rate);
        self.slowest = Some(slowest);
        terms.at_rate(slowest)
    }
}

fn number(key: Key) -> u128 {
    u128::from_le_bytes(key.hash)
}

fn shard_of(key: Key) -> usize {
    let [.., last] = key.hash;
    usize::from(last) % SHARDS
}

/// The counter that this ask shares when it has none of its own. It lives in a map of its own,
/// so it can be no key of a counter.
fn overflow_key(ask: &Ask) -> Key {
    let slot = (number(ask.key) >> 64) as u64 % OVERFLOW_SLOTS;
    let shared = u128::from(ask.limit_id) << 64 | u128::from(slot ^ ask.limit_id);
    Key { partition: 0, hash: shared.to_le_bytes() }
}

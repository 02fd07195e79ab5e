//! The store inside the process: a sharded map from the 128-bit key to the same counters.
//!
//! Bounded: a key that finds no room shares an *overflow* counter with the keys of its limit
//! whose hash falls in the same slot, and goes on sharing it until that counter is fresh again.
//! So a flood of keys makes the flooded limit stricter and never lets more pass (G12).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard, RwLock};
use smallvec::SmallVec;

use crate::counter::Counter;
use crate::decide::{Ask, Counters, Key, Outcome, Stale, decide};
use crate::time::{Micros, Timestamp};

const SHARDS: usize = 64;
/// Overflow counters of one limit.
const OVERFLOW_SLOTS: u64 = 1_024;

/// Counters in this process, safe to share between threads.
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    overflow: Mutex<Shard>,
    max_counters: usize,
    counters: AtomicUsize,
    /// Live counters of each limit, by the hash of its name.
    families: RwLock<HashMap<u64, Arc<AtomicU64>>>,
    overflowed: AtomicU64,
    /// The length of `overflow`, so that a new key need not lock it while there is none. A key
    /// that used it sees it here, since both happen under the lock of the key's shard.
    overflow_counters: AtomicUsize,
}

type Shard = HashMap<u128, Slot, BuildHasherDefault<Uniform>>;

struct Slot {
    counter: Counter,
    /// How many counters of the same limit live.
    family: Arc<AtomicU64>,
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

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Memory {
    /// Keeps at most `max_counters` counters, besides at most 1,024 overflow counters a limit.
    #[must_use]
    pub fn new(max_counters: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            overflow: Mutex::default(),
            max_counters,
            counters: AtomicUsize::new(0),
            families: RwLock::default(),
            overflowed: AtomicU64::new(0),
            overflow_counters: AtomicUsize::new(0),
        }
    }

    /// Decides one check at `now`, all or nothing, atomically over all its counters.
    ///
    /// # Errors
    /// [`Stale`] where `now` lies outside the edges of a charge; nothing is touched then.
    pub fn decide(&self, check: &[Ask], now: Timestamp) -> Result<Outcome, Stale> {
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
        check: &[Ask],
        clock: impl Fn() -> Timestamp,
    ) -> Result<Outcome, Stale> {
        if let [ask] = check
            && let Some(decided) = self.decide_known(ask, &clock)
        {
            return decided;
        }
        let mut locked = self.lock(check);
        let routed = self.route(&mut locked, check, &clock);
        // Read last: an overflow counter is locked by now too.
        let now = clock();
        let check = routed.as_deref().unwrap_or(check);
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
        let slot = shard.get_mut(&number(ask.key))?;
        let decided = decide(&mut One(&mut slot.counter), std::slice::from_ref(ask), clock());
        if slot.counter.is_empty() {
            self.forget(&mut shard, ask);
        }
        Some(decided)
    }

    /// Drops every counter that equals a fresh one at `now`; answers how many. Locks one shard at
    /// a time.
    pub fn sweep(&self, now: Timestamp) -> usize {
        let mut dropped = 0;
        for shard in &self.shards {
            shard.lock().retain(|_, slot| {
                let keep = slot.counter.fresh_at() > now;
                if !keep {
                    slot.family.fetch_sub(1, Relaxed);
                    dropped += 1;
                }
                keep
            });
        }
        self.counters.fetch_sub(dropped, Relaxed);
        let mut overflow = self.overflow.lock();
        overflow.retain(|_, slot| slot.counter.fresh_at() > now);
        self.overflow_counters.store(overflow.len(), Relaxed);
        dropped
    }

    /// How many counters live, overflow counters not included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.load(Relaxed)
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

    /// Locks the shards of all asks, always in the same order.
    fn lock(&self, check: &[Ask]) -> Locked<'_> {
        let mut numbers: SmallVec<[usize; 4]> = check.iter().map(|ask| shard_of(ask.key)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let lock = |number: usize| Some((number, self.shards.get(number)?.lock()));
        Locked {
            shards: numbers.into_iter().filter_map(lock).collect(),
            overflow: None,
            shared: Vec::new(),
            spare: Counter::default(),
        }
    }

    /// Opens a counter for each new key, or points the ask at its overflow counter; answers the
    /// asks that result where one was pointed elsewhere.
    fn route<'a>(
        &'a self,
        locked: &mut Locked<'a>,
        check: &[Ask],
        clock: impl Fn() -> Timestamp,
    ) -> Option<Vec<Ask>> {
        let mut routed: Option<Vec<Ask>> = None;
        for (index, ask) in check.iter().enumerate() {
            let known = locked.shard(ask.key).is_some_and(|s| s.contains_key(&number(ask.key)));
            if known {
                continue;
            }
            let family = self.family(ask.limit_id);
            let shared = overflow_key(ask);
            if !self.in_use(locked, shared, &clock) && self.reserve(&family, ask.max_keys) {
                if let Some(shard) = locked.shard(ask.key) {
                    shard.insert(number(ask.key), Slot { counter: Counter::default(), family });
                }
                continue;
            }
            self.overflowed.fetch_add(1, Relaxed);
            let overflow = locked.overflow.get_or_insert_with(|| self.overflow.lock());
            let slot = || Slot { counter: Counter::default(), family };
            overflow.entry(number(shared)).or_insert_with(slot);
            self.overflow_counters.store(overflow.len(), Relaxed);
            locked.shared.push(shared);
            if let Some(ask) = routed.get_or_insert_with(|| check.to_vec()).get_mut(index) {
                ask.key = shared;
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

    /// Takes a place for one more counter, where there is one.
    fn reserve(&self, family: &AtomicU64, max_keys: u64) -> bool {
        if self.counters.fetch_add(1, Relaxed) >= self.max_counters {
            self.counters.fetch_sub(1, Relaxed);
            return false;
        }
        if family.fetch_add(1, Relaxed) >= max_keys {
            family.fetch_sub(1, Relaxed);
            self.counters.fetch_sub(1, Relaxed);
            return false;
        }
        true
    }

    fn family(&self, limit_id: u64) -> Arc<AtomicU64> {
        if let Some(family) = self.families.read().get(&limit_id) {
            return Arc::clone(family);
        }
        Arc::clone(self.families.write().entry(limit_id).or_default())
    }

    fn forget_empty(&self, locked: &mut Locked<'_>, ask: &Ask) {
        let Some(shard) = locked.shard(ask.key) else { return };
        let empty = shard.get(&number(ask.key)).is_some_and(|slot| slot.counter.is_empty());
        if empty {
            self.forget(shard, ask);
        }
    }

    fn forget(&self, shard: &mut Shard, ask: &Ask) {
        if let Some(slot) = shard.remove(&number(ask.key)) {
            slot.family.fetch_sub(1, Relaxed);
            self.counters.fetch_sub(1, Relaxed);
        }
    }
}

/// The locked shards of one check.
struct Locked<'a> {
    shards: SmallVec<[(usize, MutexGuard<'a, Shard>); 4]>,
    /// Locked where a key is new.
    overflow: Option<MutexGuard<'a, Shard>>,
    /// The overflow keys that this check uses.
    shared: Vec<Key>,
    /// Stands in for a counter of a shard that was not locked; `lock` leaves none out.
    spare: Counter,
}

/// A store of the one counter that was looked up already.
struct One<'a>(&'a mut Counter);

impl Counters for One<'_> {
    fn counter(&mut self, _: &Ask) -> &mut Counter {
        self.0
    }
}

impl Locked<'_> {
    fn shard(&mut self, key: Key) -> Option<&mut Shard> {
        let wanted = shard_of(key);
        self.shards.iter_mut().find(|(number, _)| *number == wanted).map(|(_, shard)| &mut **shard)
    }
}

impl Counters for Locked<'_> {
    fn counter(&mut self, ask: &Ask) -> &mut Counter {
        let wanted = shard_of(ask.key);
        let shard = match &mut self.overflow {
            Some(overflow) if self.shared.contains(&ask.key) => Some(&mut **overflow),
            _ => {
                self.shards.iter_mut().find(|(number, _)| *number == wanted).map(|(_, s)| &mut **s)
            }
        };
        let slot = shard.and_then(|shard| shard.get_mut(&number(ask.key)));
        slot.map_or(&mut self.spare, |slot| &mut slot.counter)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Op, Terms, Wait};
    use crate::time::Tokens;

    const LIMIT: u64 = 3;
    const WINDOW: Micros = Micros::SECOND;

    fn ask(key: u64, max_keys: u64) -> Ask {
        let number = u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Ask {
            key: Key { partition: 0, hash: number.to_le_bytes() },
            limit_id: 7,
            max_keys,
            terms: Terms::SlidingWindow { limit: Tokens::new(LIMIT), window: WINDOW },
            op: Op::Take,
            tokens: Tokens::ONE,
            shadow: false,
            horizon: Micros::ZERO,
        }
    }

    fn passes(memory: &Memory, key: u64, max_keys: u64, now: u64) -> bool {
        memory.decide(&[ask(key, max_keys)], Timestamp::new(now)).unwrap().allowed
    }

    #[test]
    fn a_flood_of_keys_shares_overflow_counters_and_memory_stays_bounded() {
        let memory = Memory::new(10);
        let passed = (0..100_000).filter(|&key| passes(&memory, key, 1_000, 1)).count() as u64;
        assert_eq!(memory.len(), 10);
        assert_eq!(passed, 10 + OVERFLOW_SLOTS * LIMIT);
        assert_eq!(memory.overflowed(), 100_000 - 10);
    }

    #[test]
    fn max_keys_bounds_one_limit() {
        let memory = Memory::new(1_000);
        assert!((0..5).all(|key| passes(&memory, key, 2, 1)));
        assert_eq!((memory.len(), memory.overflowed()), (2, 3));
        let other = Ask { limit_id: 8, ..ask(99, 2) };
        assert!(memory.decide(&[other], Timestamp::new(1)).unwrap().allowed);
        assert_eq!(memory.len(), 3);
    }

    #[test]
    fn a_key_stays_on_its_overflow_counter_until_that_is_fresh() {
        let memory = Memory::new(1);
        assert!(passes(&memory, 1, 10, 0));
        assert!((0..LIMIT).all(|_| passes(&memory, 2, 10, 500_000)));
        assert_eq!(memory.sweep(Timestamp::new(1_000_000)), 1, "there is room again");
        assert!(!passes(&memory, 2, 10, 1_000_000), "it would have begun anew");
        assert!(passes(&memory, 2, 10, 1_500_000));
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn what_is_not_taken_leaves_nothing_behind() {
        let memory = Memory::new(10);
        let look = Ask { op: Op::Look, ..ask(1, 10) };
        assert!(memory.decide(&[look], Timestamp::new(1)).unwrap().allowed);
        let never = Ask { tokens: Tokens::new(LIMIT + 1), ..ask(2, 10) };
        let outcome = memory.decide(&[ask(3, 10), never], Timestamp::new(1)).unwrap();
        assert_eq!((outcome.allowed, outcome.replies[1].wait), (false, Wait::Never));
        let edges = [Timestamp::new(10), Timestamp::new(20), Timestamp::new(30)];
        let terms = Terms::AlignedWindow { limit: Tokens::ONE, edges };
        let stale = Ask { terms, ..ask(4, 10) };
        assert_eq!(memory.decide(&[stale], Timestamp::new(1)), Err(Stale));
        assert!(memory.is_empty());
        assert!(passes(&memory, 1, 1, 1), "the place of the family is free too");
    }

    #[test]
    fn the_clock_is_read_once_the_counters_are_locked() {
        let memory = Memory::new(10);
        let (one, other) = (ask(1, 10), ask(2, 10));
        for check in [&[one][..], &[one], &[one, other], &[one, other]] {
            let clock = || {
                for ask in check {
                    assert!(memory.shards[shard_of(ask.key)].is_locked());
                }
                Timestamp::new(5)
            };
            memory.decide_on(check, clock).unwrap();
        }
        // Without room the counter that is used is an overflow counter.
        let (full, overflow_locked) = (Memory::new(0), std::cell::Cell::new(false));
        let clock = || {
            overflow_locked.set(full.overflow.is_locked());
            Timestamp::new(5)
        };
        full.decide_on(&[one], clock).unwrap();
        assert!(overflow_locked.get(), "the instant of the decision was read before");
    }

    #[test]
    fn many_threads_admit_exactly_the_limit() {
        let memory = Memory::new(1_000);
        let check = [ask(1, 10), Ask { limit_id: 8, ..ask(2, 10) }];
        let reversed = [check[1], check[0]];
        let passed: u64 = std::thread::scope(|scope| {
            let run = |check: [Ask; 2]| {
                let memory = &memory;
                let one = move || memory.decide(&check, Timestamp::new(5)).unwrap().allowed;
                scope.spawn(move || (0..1_000).filter(|_| one()).count() as u64)
            };
            let threads = [run(check), run(reversed), run(check), run(reversed)];
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, LIMIT);
    }
}

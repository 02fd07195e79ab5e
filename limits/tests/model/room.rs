//! Which key gets a counter of its own in the embedded store, beside an account that counts
//! everything anew for each question: each limit's own part, what all share, `max_keys`, sweeps and
//! changes of the policy.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, Key};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::seeds;

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;
const WINDOW: u64 = 1_000;
/// Few enough for an exact log.
const LIMIT: usize = 3;

/// When tokens were taken from a counter.
type Log = Vec<u64>;

/// What the store has, in the plainest form.
#[derive(Default)]
struct Account {
    places: usize,
    /// The limits of the policy.
    limits: BTreeSet<u64>,
    /// Counters by limit and key.
    own: BTreeMap<(u64, u64), Log>,
    /// Overflow counters by limit and slot.
    shared: BTreeMap<(u64, u64), Log>,
}

impl Account {
    fn count(&self, limit: u64) -> usize {
        self.own.keys().filter(|(of, _)| *of == limit).count()
    }

    /// What a limit has for itself.
    fn part(&self, limit: u64) -> usize {
        let each = (self.places / 2).checked_div(self.limits.len()).unwrap_or(0);
        if self.limits.contains(&limit) { each } else { 0 }
    }

    /// Whether one more counter of a limit finds a place.
    fn has_room(&self, limit: u64, max_keys: u64) -> bool {
        let counting: BTreeSet<u64> = self.own.keys().map(|(limit, _)| *limit).collect();
        let beyond = |limit: &u64| self.count(*limit).saturating_sub(self.part(*limit));
        let shared: usize = counting.iter().map(beyond).sum();
        let kept: usize = self.limits.iter().map(|limit| self.part(*limit)).sum();
        let free = self.count(limit) < self.part(limit) || shared < self.places - kept;
        free && self.own.len() < self.places && (self.count(limit) as u64) < max_keys
    }

    /// Takes a token; answers whether it passes, and whether the key had a counter of its own.
    fn take(&mut self, limit: u64, key: u64, max_keys: u64, now: u64) -> (bool, bool) {
        let slot = (limit, key % 3);
        let in_use = self.shared.get(&slot).is_some_and(|log| !is_fresh(log, now));
        let known = self.own.contains_key(&(limit, key));
        let own = known || !in_use && self.has_room(limit, max_keys);
        let log = match own {
            true => self.own.entry((limit, key)).or_default(),
            false => self.shared.entry(slot).or_default(),
        };
        log.retain(|at| at + WINDOW > now);
        let passes = log.len() < LIMIT;
        if passes {
            log.push(now);
        }
        (passes, own)
    }

    fn sweep(&mut self, now: u64) {
        self.own.retain(|_, log| !is_fresh(log, now));
        self.shared.retain(|_, log| !is_fresh(log, now));
    }
}

fn is_fresh(log: &Log, now: u64) -> bool {
    log.iter().all(|at| at + WINDOW <= now)
}

fn ask(limit: u64, key: u64, max_keys: u64) -> Ask {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&(key << 32 | limit).to_le_bytes());
    hash[8] = u8::try_from(key % 3).unwrap();
    // Spreads the keys over the locks.
    hash[15] = key.to_le_bytes()[0];
    let terms =
        Terms::SlidingWindow { limit: Tokens::new(LIMIT as u64), window: Micros::new(WINDOW) };
    Ask {
        key: Key { partition: 0, hash },
        limit_id: limit,
        max_keys,
        terms,
        op: Op::Take,
        tokens: Tokens::ONE,
        shadow: false,
        horizon: Micros::ZERO,
    }
}

/// Another set of limits, also none.
fn change(rng: &mut Rng, account: &mut Account, memory: &Memory) {
    account.limits = (0..rng.u64(..6)).map(|_| rng.u64(1..8)).collect();
    memory.set_families(account.limits.iter().copied());
}

#[test]
fn every_limit_has_its_part_whatever_keys_the_others_have() {
    seeds::run("memory, room for each limit", OPERATIONS, |rng| {
        let places = rng.usize(..60);
        let memory = Memory::new(places);
        let mut account = Account { places, ..Account::default() };
        change(rng, &mut account, &memory);
        let max_keys = if rng.bool() { u64::MAX } else { rng.u64(..20) };
        let (mut now, mut overflowed) = (START, 0);
        let length = rng.u64(50..=500);
        for _ in 0..length {
            now += if rng.u8(..4) == 0 { rng.u64(..WINDOW) } else { rng.u64(..4) };
            // One limit has many more keys than the others.
            let limit = if rng.bool() { 1 } else { rng.u64(1..8) };
            let key = rng.u64(..if limit == 1 { 200 } else { 12 });
            let check = [ask(limit, key, max_keys)].into();
            let outcome = memory.decide(&check, Timestamp::new(now)).unwrap();
            let (passes, own) = account.take(limit, key, max_keys, now);
            overflowed += u64::from(!own);
            assert_eq!(outcome.allowed, passes, "{limit} {key} at {now}");
            assert_eq!(memory.overflowed(), overflowed, "{limit} {key} at {now}");
            assert_eq!(memory.len(), account.own.len());
            match rng.u8(..40) {
                0 => change(rng, &mut account, &memory),
                1 | 2 => {
                    memory.sweep(Timestamp::new(now));
                    account.sweep(now);
                }
                _ => {}
            }
        }
        length
    });
}

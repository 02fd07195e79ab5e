//! The store in the process alone: its bounds, and that threads share it.

use super::*;
use crate::counter::{Op, Rate, Terms, Wait};
use crate::decide::SETTLE_GRACE;
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
    memory.decide(&[ask(key, max_keys)].into(), Timestamp::new(now)).unwrap().allowed
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
    assert!(memory.decide(&[other].into(), Timestamp::new(1)).unwrap().allowed);
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
fn keys_that_share_a_bucket_refill_no_faster_than_the_slowest_of_them() {
    let memory = Memory::new(0);
    let shared = ask(1, 10).key.hash;
    let bucket = |key: u8, tokens: u64| {
        let mut hash = shared;
        hash[0] = key;
        let rate = Rate { tick: Micros::SECOND, tokens, ticks: 1 };
        let key = Key { partition: 0, hash };
        Ask { key, terms: Terms::TokenBucket { rate, burst: Tokens::new(10) }, ..ask(1, 10) }
    };
    let passed = |ask: Ask, second: u64| {
        let now = Timestamp::new(second * 1_000_000);
        (0..20).filter(|_| memory.decide(&[ask].into(), now).unwrap().allowed).count()
    };
    let (slow, fast) = (bucket(1, 1), bucket(2, 5));
    assert_eq!(passed(slow, 100), 10);
    assert_eq!(passed(fast, 101), 1, "what the slow one took comes back slowly");
    assert_eq!(passed(slow, 103), 2);
    assert_eq!(passed(slow, 104), 1);
    assert_eq!(passed(fast, 113), 9);
    assert_eq!(passed(fast, 114), 1, "the slow one may still have tokens in it");
    assert_eq!(passed(fast, 124), 10, "it is fresh");
    assert_eq!(passed(fast, 125), 5);
    assert_eq!((passed(slow, 125), passed(fast, 126)), (0, 1), "one that looks counts too");
}

#[test]
fn what_is_not_taken_leaves_nothing_behind() {
    let memory = Memory::new(10);
    let look = Ask { op: Op::Look, ..ask(1, 10) };
    assert!(memory.decide(&[look].into(), Timestamp::new(1)).unwrap().allowed);
    let never = Ask { tokens: Tokens::new(LIMIT + 1), ..ask(2, 10) };
    let outcome = memory.decide(&[ask(3, 10), never].into(), Timestamp::new(1)).unwrap();
    assert_eq!((outcome.allowed, outcome.replies[1].wait), (false, Wait::Never));
    let edges = [Timestamp::new(10), Timestamp::new(20), Timestamp::new(30)];
    let terms = Terms::AlignedWindow { limit: Tokens::ONE, edges };
    let stale = Ask { terms, ..ask(4, 10) };
    assert_eq!(memory.decide(&[stale].into(), Timestamp::new(1)), Err(Stale));
    assert!(memory.is_empty());
    assert!(passes(&memory, 1, 1, 1), "the place of the family is free too");
}

#[test]
fn the_clock_is_read_once_the_counters_are_locked() {
    let memory = Memory::new(10);
    let (one, other) = (ask(1, 10), ask(2, 10));
    for check in [vec![one], vec![one], vec![one, other], vec![one, other]] {
        let check = Check::from(check);
        let clock = || {
            for ask in &check.asks {
                assert!(memory.shards[shard_of(ask.key)].is_locked());
            }
            Timestamp::new(5)
        };
        memory.decide_on(&check, clock).unwrap();
    }
    // Without room the counter that is used is an overflow counter.
    let (full, overflow_locked) = (Memory::new(0), std::cell::Cell::new(false));
    let clock = || {
        overflow_locked.set(full.overflow.is_locked());
        Timestamp::new(5)
    };
    full.decide_on(&[one].into(), clock).unwrap();
    assert!(overflow_locked.get(), "the instant of the decision was read before");
}

#[test]
fn records_are_bounded_and_swept() {
    let memory = Memory::new(2);
    let end = Timestamp::new(10);
    let release = |id: u8| Check {
        asks: vec![Ask { op: Op::Release { end }, ..ask(1, 10) }],
        once: Some(Once { id: Key { partition: 0, hash: [id; 16] }, owner: id.into() }),
    };
    let allowed = |id, now| memory.decide(&release(id), Timestamp::new(now)).unwrap().allowed;
    assert_eq!([1, 2, 3, 1].map(|id| allowed(id, 5)), [true, true, false, true]);
    assert!(!memory.decide(&release(4), end.after(SETTLE_GRACE)).unwrap().allowed);
    assert_eq!(memory.sweep(end.after(SETTLE_GRACE)), 0);
    assert!(!allowed(3, 5), "the others are still remembered");
    memory.sweep(end.after(SETTLE_GRACE).after(SETTLE_GRACE));
    assert!(allowed(3, 5) && allowed(4, 5) && !allowed(5, 5));
    assert!(memory.is_empty(), "no counter was opened");
}

#[test]
fn no_owner_keeps_the_others_from_what_happens_once() {
    let memory = Memory::new(1_000);
    let end = Timestamp::new(10);
    let mut ids = 0_u128..;
    let mut settles = |owner| {
        let op = Op::Settle { end, held: Tokens::ONE };
        let id = Key { partition: 0, hash: ids.next().unwrap().to_le_bytes() };
        let check = Check { asks: vec![Ask { op, ..ask(1, 10) }], once: Some(Once { id, owner }) };
        memory.decide(&check, Timestamp::new(5)).unwrap().allowed
    };
    let mut count = |owner| (0..2_000).filter(|_| settles(owner)).count();
    assert_eq!((count(1), count(2)), (250, 125));
    // Those with nothing each get one, as long as fewer than half of all are greedy.
    for owner in 3..500 {
        assert!(count(owner) > 0, "{owner}");
    }
}

#[test]
fn a_flood_of_one_limits_keys_leaves_the_others_their_part() {
    let memory = Memory::new(10_000);
    memory.set_families([7, 8]);
    let flooded = (0..100_000).filter(|&key| passes(&memory, key, u64::MAX, 1)).count() as u64;
    assert_eq!(memory.len(), 7_500, "its own quarter, and the half that all share");
    assert_eq!(flooded, 7_500 + OVERFLOW_SLOTS * LIMIT);
    let overflowed = memory.overflowed();
    let other = |key: u64| Ask { limit_id: 8, ..ask(200_000 + key, u64::MAX) };
    let allowed = |ask| memory.decide(&[ask].into(), Timestamp::new(1)).unwrap().allowed;
    assert!((0..2_500).all(|key| allowed(other(key))));
    assert_eq!((memory.len(), memory.overflowed()), (10_000, overflowed));
    assert!(allowed(other(2_500)), "it shares an overflow counter with nobody yet");
    assert_eq!((memory.len(), memory.overflowed()), (10_000, overflowed + 1));
}

#[test]
fn many_threads_admit_exactly_the_limit() {
    let memory = Memory::new(1_000);
    let check = [ask(1, 10), Ask { limit_id: 8, ..ask(2, 10) }];
    let reversed = [check[1], check[0]];
    let passed: u64 = std::thread::scope(|scope| {
        let run = |check: [Ask; 2]| {
            let check = Check::from(check);
            let memory = &memory;
            let one = move || memory.decide(&check, Timestamp::new(5)).unwrap().allowed;
            scope.spawn(move || (0..1_000).filter(|_| one()).count() as u64)
        };
        let threads = [run(check), run(reversed), run(check), run(reversed)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, LIMIT);
}

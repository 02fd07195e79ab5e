//! The largest limits and costs in both: 10^15 tokens, one more, and up to 256 charges of one check
//! on one counter, in shadow and not, with debts as large as a store keeps.

use fastrand::Rng;
use sluicegate_limits::charge::MAX_CHARGES;
use sluicegate_limits::counter::{Op, Rate, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key};
use sluicegate_limits::policy::units::{ABOVE_MAX_COST, MAX_COST};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use super::client::{Client as _, Redis};
use super::{Model, compare, compare_bytes, counter_key, runtime};
use crate::valkey::ValkeyServer;

const TRACES: u64 = 60;
const STEPS: usize = 60;
const HOUR: u64 = 3_600_000_000;
const KEYS: [Key; 2] = [Key { partition: 1, hash: [1; 16] }, Key { partition: 2, hash: [2; 16] }];

/// Terms of every algorithm that hold about the largest cost; a bucket's at rates of every tick.
fn terms(rng: &mut Rng, now: u64) -> Terms {
    let some = [MAX_COST, MAX_COST, MAX_COST - 1, MAX_COST / 2 + 1, MAX_COST / 256];
    let limit = Tokens::new(some[rng.usize(0..some.len())]);
    let rates = [
        // 10^15 an hour, 10^9 a millisecond, one a microsecond.
        Rate { tick: Micros::SECOND, tokens: 2_500_000_000_000, ticks: 9 },
        Rate { tick: Micros::MILLISECOND, tokens: 1_000_000_000, ticks: 1 },
        Rate { tick: Micros::new(1), tokens: 1, ticks: 1 },
    ];
    match rng.u32(0..4) {
        0 => Terms::TokenBucket { rate: rates[rng.usize(0..3)], burst: limit },
        1 => Terms::SlidingWindow { limit, window: Micros::new(HOUR) },
        2 => {
            let start = now - now % HOUR;
            let edges = [start, start + HOUR, start + 2 * HOUR].map(Timestamp::new);
            Terms::AlignedWindow { limit, edges }
        }
        _ => Terms::Concurrency { limit },
    }
}

fn tokens(rng: &mut Rng, terms: &Terms, charges: usize) -> Tokens {
    let capacity = terms.capacity().get();
    let part = capacity / charges as u64;
    let some = [0, 1, part, part + 1, capacity, MAX_COST, ABOVE_MAX_COST.get(), Tokens::MAX.get()];
    Tokens::new(if rng.bool() { part } else { some[rng.usize(0..some.len())] })
}

/// What is done with the largest costs: each takes, holds or looks; or all settle, up to the
/// largest actual cost each, which is debt that is cut, or give back.
fn op(rng: &mut Rng, ends: bool, end: u64) -> Op {
    let end = Timestamp::new(end);
    let quantum = Micros::SECOND;
    match (ends, rng.u32(0..8)) {
        (true, 0..3) => Op::Settle { end, held: Tokens::new(rng.u64(0..=MAX_COST)) },
        (true, 3) => Op::Settle { end, held: Tokens::ZERO },
        (true, 4 | 5) => Op::Release { end },
        (true, _) => Op::Extend { end, lasting: Micros::MINUTE, quantum },
        (false, 0) => Op::Look,
        (false, 1..5) => Op::Take,
        (false, _) => Op::Hold { lasting: Micros::new(rng.u64(0..60_000_000)), quantum },
    }
}

fn check(rng: &mut Rng, terms: [Terms; 2], now: u64, last_end: u64) -> Check {
    let count = [1, 1, 2, 3, 17, MAX_CHARGES][rng.usize(0..6)];
    let (one, shadows, ends) = (rng.bool(), rng.u8(0..4), rng.u32(0..4) == 0);
    let ask = |_| {
        let which = if one { 0 } else { rng.usize(0..2) };
        let end = if rng.bool() { last_end } else { now + 30_000_000 };
        let op = op(rng, ends, end);
        Ask {
            key: KEYS[which],
            limit_id: 0,
            max_keys: u64::MAX,
            terms: terms[which],
            op,
            tokens: match op {
                Op::Settle { .. } => Tokens::new(rng.u64(0..=MAX_COST)),
                _ => tokens(rng, &terms[which], count),
            },
            shadow: rng.u8(0..4) < shadows,
            horizon: Micros::HOUR,
        }
    };
    (0..count).map(ask).collect()
}

#[test]
fn the_largest_costs_are_the_same_in_both() {
    let server = ValkeyServer::start(&[]);
    runtime().block_on(async {
        let mut client = Redis::connect(&server).await;
        let (mut passed, mut never) = (0, 0);
        for seed in 0..TRACES {
            let mut rng = Rng::with_seed(seed);
            let mut model = Model::default();
            let mut now = 1_800_000_000_000_000;
            let (mut limits, mut last_end) = ([terms(&mut rng, now); 2], now);
            for _ in 0..STEPS {
                now += [0, 1, 1_000, 20_000_000, HOUR][rng.usize(0..5)];
                if rng.u32(0..8) == 0 {
                    limits[rng.usize(0..2)] = terms(&mut rng, now);
                }
                for limit in &mut limits {
                    if let Terms::AlignedWindow { edges, .. } = limit {
                        let start = now - now % HOUR;
                        *edges = [start, start + HOUR, start + 2 * HOUR].map(Timestamp::new);
                    }
                }
                let check = check(&mut rng, limits, now, last_end);
                let at = Timestamp::new(now);
                let decided = compare(&mut client, &mut model, at, &[check], rng.bool()).await;
                compare_bytes(&mut client, &model, &KEYS, &[]).await;
                let outcome = decided[0].as_ref().expect("a decision");
                let ends = outcome.replies.iter().map(|reply| reply.end.get());
                last_end = ends.max().filter(|end| *end > 0).unwrap_or(last_end);
                passed += u64::from(outcome.allowed);
                never += u64::from(outcome.replies.iter().any(|r| r.wait == Wait::Never));
            }
            for key in KEYS {
                client.set(&counter_key(&key), None).await;
            }
        }
        let fair = TRACES * STEPS as u64 / 10;
        assert!(passed > fair && never > fair, "{passed} passed, {never} never: they say little");
    });
}

//! Penalties against a log of strikes: who is blocked and until when, and that a denial changes
//! nothing but strikes, a pass nothing of them.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Reply, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::rule::{Algorithm, Rule};
use crate::world::Lane;
use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;
/// Those whose waits are exact to 1 µs.
const EXACT: [Algorithm; 3] = [Algorithm::Window, Algorithm::Aligned, Algorithm::Concurrency];

/// The numbers of one penalty, in µs.
#[derive(Clone, Copy, Debug)]
struct Rules {
    after: u64,
    within: u64,
    block: u64,
}

/// A limit with a penalty, and every strike that must have been counted.
struct Struck {
    lane: Lane,
    key: Key,
    rules: Rules,
    shadow: bool,
    strikes: Vec<u64>,
    /// When the last block began; the strikes up to then count no more.
    blocked_at: Option<u64>,
}

impl Rules {
    fn random(rng: &mut Rng, scale: u64) -> Self {
        let length = |rng: &mut Rng| numbers::pick(rng, &[1, 7, scale / 9 + 1, scale, 3 * scale]);
        let after = numbers::pick(rng, &[1, 1, 2, 3, 5, 1_000_000]);
        Self { after, within: length(rng), block: length(rng) }
    }

    fn terms(self) -> Terms {
        let (within, block) = (Micros::new(self.within), Micros::new(self.block));
        Terms::Penalty { after: Tokens::new(self.after), within, block }
    }
}

impl Struck {
    fn random(rng: &mut Rng, number: usize, algorithms: &[Algorithm]) -> Self {
        let algorithm = numbers::pick(rng, algorithms);
        let mut rule = Rule::random(rng, algorithm);
        while rule.scale() > 3_600_000_000 {
            rule = Rule::random(rng, algorithm);
        }
        let capacity = rng.u64(..6);
        let lane = Lane::new(rng, number, rule.with_capacity(capacity));
        let rules = Rules::random(rng, lane.rule.scale());
        let (key, shadow) = (world::key(100 + number), rng.u8(..6) == 0);
        Self { lane, key, rules, shadow, strikes: Vec::new(), blocked_at: None }
    }

    /// The main ask and the penalty's.
    fn asks(&self, op: Op, tokens: u64, now: u64) -> [Ask; 2] {
        let main = self.lane.ask(op, tokens, self.shadow, now);
        let op = if op == Op::Look { op } else { Op::Strike };
        let terms = self.rules.terms();
        [main, Ask { key: self.key, terms, op, tokens: Tokens::ONE, ..main }]
    }

    /// How long it is still blocked.
    fn blocked_for(&self, now: u64) -> u64 {
        self.blocked_at.map_or(0, |at| (at + self.rules.block).saturating_sub(now))
    }

    /// The strikes that count: those of the window of `now` since the last block.
    fn counted(&self, now: u64) -> u64 {
        let start = now - now % self.rules.within;
        let counts = |at: &&u64| **at >= start && self.blocked_at.is_none_or(|b| **at > b);
        // Several strikes may come in one µs, and a block begins with the last of its own.
        self.strikes.iter().rev().take_while(counts).count() as u64
    }

    fn strike(&mut self, now: u64) -> bool {
        self.strikes.push(now);
        let blocks = self.counted(now) >= self.rules.after;
        if blocks {
            self.blocked_at = Some(now);
        }
        blocks
    }

    /// What the reply to the penalty's ask has to be.
    fn expected(&mut self, main: &Reply, denied: bool, op: Op, now: u64) -> Reply {
        let blocked = self.blocked_for(now);
        let strikes = denied && op != Op::Look && !self.shadow && blocked == 0 && !main.allowed;
        let begins = strikes && self.strike(now);
        let left = if self.blocked_for(now) > 0 { 0 } else { self.rules.after - self.counted(now) };
        let wait = match (blocked, begins) {
            (0, false) => Wait::None,
            (0, true) => Wait::For(Micros::new(self.rules.block)),
            _ => Wait::For(Micros::new(blocked)),
        };
        let counts = if self.counted(now) > 0 { now - now % self.rules.within } else { 0 };
        let fresh = (counts + self.rules.within).saturating_sub(now);
        let fresh = if counts > 0 { fresh } else { 0 }.max(self.blocked_for(now));
        let full_in = Micros::new(fresh);
        Reply { full_in, ..Reply::bare(blocked == 0, Tokens::new(left), wait) }
    }
}

#[test]
fn strikes_block_as_the_log_of_denials_says() {
    seeds::run("penalty", OPERATIONS, |rng| {
        let mut limits: Vec<Struck> =
            (0..rng.usize(1..=3)).map(|number| Struck::random(rng, number, &EXACT)).collect();
        let (mut counters, mut now) = (HashMap::new(), START);
        let steps = rng.u64(1..=200);
        for _ in 0..steps {
            now = pass_time(rng, &limits, now);
            if rng.u8(..16) == 0 {
                counters.retain(|_, counter: &mut Counter| counter.fresh_at().get() > now);
            }
            step(rng, &mut limits, &mut counters, now);
        }
        steps
    });
}

/// Also to just before, at and just after the end of a block or of a window.
fn pass_time(rng: &mut Rng, limits: &[Struck], now: u64) -> u64 {
    let limit = &limits[rng.usize(..limits.len())];
    let window = now - now % limit.rules.within + limit.rules.within;
    let later = match rng.u8(..8) {
        0 | 1 => now + limit.blocked_for(now) + rng.u64(..3),
        2 => window + rng.u64(..3),
        3 => now + rng.u64(..=limit.rules.within / 4),
        _ => return now + numbers::gap(rng, limit.lane.rule.scale()) / 8,
    };
    now.max(later - 1)
}

fn step(rng: &mut Rng, limits: &mut [Struck], counters: &mut HashMap<Key, Counter>, now: u64) {
    let looks = rng.u8(..8) == 0;
    let mut ops = Vec::new();
    for limit in limits.iter() {
        let op = match limit.lane.rule {
            _ if looks => Op::Look,
            Rule::Concurrency { .. } => limit.lane.hold(rng.u64(..=limit.lane.longest)),
            _ => Op::Take,
        };
        ops.push((op, numbers::cost(rng, limit.lane.rule.capacity())));
    }
    let check = |later: u64| -> Check {
        let each = limits.iter().zip(&ops);
        each.flat_map(|(limit, (op, tokens))| limit.asks(*op, *tokens, later)).collect()
    };
    let before = counters.clone();
    let outcome = decide(counters, &check(now), Timestamp::new(now)).unwrap();
    let passes = |(limit, [main, penalty]): (&Struck, &[Reply; 2])| {
        limit.shadow || main.allowed && penalty.allowed
    };
    let (pairs, []) = outcome.replies.as_chunks::<2>() else { panic!("two replies a limit") };
    assert_eq!(outcome.allowed, limits.iter().zip(pairs).all(passes));
    assert_wait(limits, counters, &outcome, pairs, check, now);
    for ((limit, [main, penalty]), (op, _)) in limits.iter_mut().zip(pairs).zip(&ops) {
        let known = limit.strikes.len();
        let expected = limit.expected(main, !outcome.allowed, *op, now);
        assert_eq!(*penalty, expected, "{:?} at {now}: {:?}", limit.rules, limit.strikes);
        let same = |key| world::bytes(before.get(key)) == world::bytes(counters.get(key));
        assert!(outcome.allowed || same(&limit.lane.key), "a denial took");
        assert!(limit.strikes.len() > known || same(&limit.key), "written without a strike");
    }
}

/// G8: who comes back when every limit says so passes, and 1 µs before is denied.
fn assert_wait(
    limits: &[Struck],
    counters: &HashMap<Key, Counter>,
    outcome: &Outcome,
    pairs: &[[Reply; 2]],
    check: impl Fn(u64) -> Check,
    now: u64,
) {
    if outcome.allowed {
        return;
    }
    let enforced = limits.iter().zip(pairs).filter(|(limit, _)| !limit.shadow);
    let wait = enforced.map(|(_, [main, penalty])| main.wait.max(penalty.wait)).max();
    let Some(Wait::For(wait)) = wait else { return };
    let passes = |later: u64| {
        let mut alone = counters.clone();
        decide(&mut alone, &check(later), Timestamp::new(later)).unwrap().allowed
    };
    assert!(passes(now + wait.get()), "denied after {wait} µs at {now}: {outcome:?}");
    assert!(!passes(now + wait.get() - 1), "passes 1 µs before {wait} µs at {now}: {outcome:?}");
}

/// G15: whatever the clock does, nobody waits for longer than a block that begins now, nor is a
/// strike remembered for longer than a window.
#[test]
fn a_clock_that_steps_blocks_for_no_longer_than_a_block() {
    seeds::run("penalty, clock", OPERATIONS / 4, |rng| {
        let limit = Struck::random(rng, 0, &[Algorithm::Window]);
        let (mut counters, mut now) = (HashMap::new(), START);
        let steps = rng.u64(1..=100);
        for _ in 0..steps {
            now = match rng.u8(..10) {
                0 => now - rng.u64(..=10 * (limit.rules.block + limit.rules.within)),
                1 => now + rng.u64(..=10 * (limit.rules.block + limit.rules.within)),
                _ => now + numbers::gap(rng, limit.rules.within.max(64)) / 8,
            };
            let op = if rng.u8(..4) == 0 { Op::Look } else { Op::Take };
            let asks = limit.asks(op, limit.lane.rule.capacity() + rng.u64(..2), now);
            let outcome = decide(&mut counters, &asks.into(), Timestamp::new(now)).unwrap();
            let [_, penalty] = outcome.replies[..] else { panic!("two replies") };
            let Rules { after, within, block } = limit.rules;
            assert!(penalty.wait <= Wait::For(Micros::new(block)), "{penalty:?}");
            assert!(penalty.full_in.get() <= block.max(within), "{penalty:?}");
            assert!(penalty.left.get() <= after);
            if let Wait::For(wait) = penalty.wait {
                let later = Timestamp::new(now + wait.get());
                let retry = limit.asks(Op::Look, 1, later.get());
                let retried = decide(&mut counters.clone(), &retry.into(), later).unwrap();
                assert!(retried.replies[1].allowed, "still blocked");
            }
        }
        steps
    });
}

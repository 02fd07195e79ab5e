//! Counters beside their models: makes one check on both and compares everything that is answered.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Reply, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::ledger::{Grant, Ledger};
use crate::numbers;
use crate::rule::Rule;

/// One limit, its counter's name, its model and who holds tokens of it.
pub(crate) struct Lane {
    pub(crate) key: Key,
    pub(crate) rule: Rule,
    /// The same with the largest number it ever had: what is audited.
    pub(crate) largest: Rule,
    pub(crate) ledger: Ledger,
    pub(crate) grants: Vec<Grant>,
    /// The longest hold, in µs.
    pub(crate) longest: u64,
}

/// One charge of a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(crate) lane: usize,
    pub(crate) op: Op,
    pub(crate) tokens: u64,
    pub(crate) shadow: bool,
}

/// All counters of a trace.
pub(crate) struct World {
    pub(crate) counters: HashMap<Key, Counter>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) now: u64,
    /// What was asked and answered, for the one who looks for the cause of a failure.
    history: Vec<(u64, Vec<Charge>, Outcome)>,
}

impl Lane {
    /// A lane whose holds last up to about a window.
    pub(crate) fn new(rng: &mut Rng, number: usize, rule: Rule) -> Self {
        let scale = rule.scale();
        let longest = numbers::pick(rng, &[scale / 64, scale / 7, scale, scale * 2, 1_000]).max(1);
        let (ledger, grants) = (Ledger::default(), Vec::new());
        Self { key: key(number), rule, largest: rule, ledger, grants, longest }
    }

    /// Gives the limit another number; what is used stays used.
    pub(crate) fn change(&mut self, capacity: u64) {
        self.rule = self.rule.with_capacity(capacity);
        if capacity > self.largest.capacity() {
            self.largest = self.rule;
        }
    }

    /// The grid of hold ends.
    pub(crate) fn quantum(&self) -> u64 {
        self.longest.div_ceil(16)
    }

    /// The operation that holds for `lasting` µs.
    pub(crate) fn hold(&self, lasting: u64) -> Op {
        Op::Hold { lasting: Micros::new(lasting), quantum: Micros::new(self.quantum()) }
    }

    /// What is asked of the store.
    pub(crate) fn ask(&self, op: Op, tokens: u64, shadow: bool, now: u64) -> Ask {
        Ask {
            key: self.key,
            limit_id: 1,
            max_keys: u64::MAX,
            terms: self.rule.terms(now),
            op,
            tokens: Tokens::new(tokens),
            shadow,
            horizon: Micros::new(self.longest + self.quantum()),
        }
    }

    /// The end of a hold that was asked for now.
    fn end(&self, lasting: Micros, now: u64) -> u64 {
        let end = (now + lasting.get()).div_ceil(self.quantum()) * self.quantum();
        self.rule.hold_end(end, now)
    }
}

impl World {
    /// A world without any usage.
    pub(crate) fn new(rng: &mut Rng, lanes: Vec<Lane>) -> Self {
        let now = numbers::pick(rng, &[1, 999_999, 1_700_000_000_000_000, 1_790_000_123_456_789]);
        Self { counters: HashMap::new(), lanes, now, history: Vec::new() }
    }

    /// The bytes of every counter.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.lanes.iter().map(|lane| bytes(self.counters.get(&lane.key))).collect()
    }

    /// Forgets the counters that say they are fresh, as a store does.
    pub(crate) fn sweep(&mut self) {
        let now = Timestamp::new(self.now);
        self.counters.retain(|_, counter| counter.fresh_at() > now);
    }

    /// Makes one check and compares every answer with the models.
    pub(crate) fn check(&mut self, charges: &[Charge]) -> Outcome {
        let now = self.now;
        let before = self.bytes();
        let asks: Check =
            charges.iter().map(|c| self.lanes[c.lane].ask(c.op, c.tokens, c.shadow, now)).collect();
        let outcome = decide(&mut self.counters, &asks, Timestamp::new(now)).unwrap();
        self.history.push((now, charges.to_vec(), outcome.clone()));
        for lane in &mut self.lanes {
            lane.ledger.fold(lane.rule, now);
        }
        let mut passes = true;
        for (charge, reply) in charges.iter().zip(&outcome.replies) {
            self.compare_verdict(charges, charge, reply);
            passes &= reply.allowed || charge.shadow;
        }
        assert_eq!(outcome.allowed, passes, "all or nothing");
        for (charge, reply) in charges.iter().zip(&outcome.replies) {
            if passes && reply.allowed {
                self.carry_out(charge, reply);
            } else {
                let lane = &self.lanes[charge.lane];
                assert_eq!(reply.end, Timestamp::ZERO, "no hold without a grant");
                if charge.op.needs_room() {
                    crate::decisions::assert_wait(&self.counters, lane, &asks, reply.wait, now);
                }
            }
        }
        self.compare_rest(charges, &outcome);
        self.compare_bytes(charges, &outcome, &before);
        outcome
    }

    /// Lets a holder spend tokens of a grant.
    pub(crate) fn spend(&mut self, lane: usize, grant: usize, tokens: u64) {
        let now = self.now;
        let lane = &mut self.lanes[lane];
        let grant = &mut lane.grants[grant];
        if grant.end > now {
            let tokens = tokens.min(grant.tokens);
            grant.tokens -= tokens;
            grant.spent += tokens;
            lane.ledger.spend(tokens, now);
            lane.largest.assert_bound(&lane.ledger);
        }
    }

    fn compare_verdict(&self, charges: &[Charge], charge: &Charge, reply: &Reply) {
        let (lane, now) = (&self.lanes[charge.lane], self.now);
        if let Op::Extend { end, .. } = charge.op {
            let held = lane.ledger.held_until(end.get());
            let expected = charge.tokens == 0 || end.get() > now && held >= charge.tokens;
            assert_eq!(reply.allowed, expected, "{charge:?}");
        }
        if !charge.op.needs_room() {
            return;
        }
        let asked: u64 = charges
            .iter()
            .filter(|other| other.lane == charge.lane && other.op.needs_room())
            .map(|other| other.tokens)
            .sum();
        let (capacity, held) = (lane.rule.capacity(), lane.ledger.held());
        let room = |used: u64| capacity > 0 && used + held + asked <= capacity;
        let least = lane.rule.least_used(&lane.ledger, now);
        let most = lane.largest.most_used(&lane.ledger, now);
        let told =
            format!("{:?} {charge:?} at {now}: {least}..{most} used, {held} held", lane.rule);
        assert!(!reply.allowed || room(least), "too permissive: {told}");
        assert!(reply.allowed || !room(most), "too strict: {told}");
        assert_eq!(reply.wait == Wait::None, reply.allowed, "{told}");
        let never = asked.min(Tokens::MAX.get()) > capacity || capacity == 0;
        assert_eq!(reply.wait == Wait::Never, never, "{told}");
    }

    fn carry_out(&mut self, charge: &Charge, reply: &Reply) {
        let (now, tokens) = (self.now, charge.tokens);
        let lane = &mut self.lanes[charge.lane];
        match charge.op {
            Op::Look | Op::Strike => {}
            Op::Take => lane.ledger.take(tokens, now),
            Op::Hold { lasting, .. } => {
                let end = lane.end(lasting, now);
                if tokens > 0 {
                    assert_eq!(reply.end.get(), end, "{:?}", lane.rule);
                    lane.ledger.hold(tokens, end);
                    lane.grants.push(Grant { end, tokens, spent: 0 });
                }
            }
            Op::Extend { end, lasting, .. } => {
                let later = lane.end(lasting, now).max(end.get());
                if tokens > 0 {
                    assert_eq!(reply.end.get(), later, "{:?}", lane.rule);
                    let moved = lane.ledger.release(tokens, end.get());
                    lane.ledger.hold(moved, later);
                }
            }
            Op::Release { end } if end.get() > now => {
                lane.ledger.release(tokens, end.get());
            }
            Op::Release { .. } => {}
            Op::Settle { end, held } if end.get() > now => {
                lane.ledger.release(held.get(), end.get());
                lane.ledger.settle(tokens, now);
            }
            Op::Settle { held, .. } => {
                lane.ledger.settle(tokens.saturating_sub(held.get()), now);
            }
            Op::Reset => {
                lane.ledger.reset();
                lane.grants.clear();
            }
        }
        lane.ledger.fold(lane.rule, now);
        lane.largest.assert_bound(&lane.ledger);
    }

    /// What is left and how long until all is back.
    fn compare_rest(&self, charges: &[Charge], outcome: &Outcome) {
        for (charge, reply) in charges.iter().zip(&outcome.replies) {
            let (lane, now) = (&self.lanes[charge.lane], self.now);
            let (capacity, held) = (lane.rule.capacity(), lane.ledger.held());
            let least = capacity.saturating_sub(lane.largest.most_used(&lane.ledger, now) + held);
            let most = capacity.saturating_sub(lane.rule.least_used(&lane.ledger, now) + held);
            let left = reply.left.get();
            assert!((least..=most).contains(&left), "{left} left, not {least}..={most}: {lane:?}");
            let counter = self.counters.get(&lane.key);
            crate::decisions::assert_full_in(counter, lane, reply.full_in.get(), now);
            assert!(lane.ledger.ends().count() <= 17, "too many sums in the model");
        }
    }

    /// A denial, a look, a shadow that would deny, a cost of 0: none of them writes anything.
    fn compare_bytes(&self, charges: &[Charge], outcome: &Outcome, before: &[Vec<u8>]) {
        for (number, (old, new)) in before.iter().zip(self.bytes()).enumerate() {
            let wrote = charges.iter().zip(&outcome.replies).any(|(charge, reply)| {
                let idle = charge.tokens == 0 && charge.op.needs_room() || charge.op == Op::Look;
                charge.lane == number && outcome.allowed && reply.allowed && !idle
            });
            assert!(wrote || *old == new, "counter {number} was written by {charges:?}");
            assert!(new.get(1).is_none_or(|&sums| sums <= 17), "more than 17 sums");
            assert_round_trip(&new, self.counters.get(&self.lanes[number].key));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, lane) in self.lanes.iter().enumerate() {
                eprintln!("counter {number}: {:?}, longest hold {} µs", lane.rule, lane.longest);
            }
            for (now, charges, outcome) in &self.history {
                for (charge, reply) in charges.iter().zip(&outcome.replies) {
                    eprintln!("{now}: {charge:?} -> {reply:?}");
                }
            }
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, longest hold {} µs, {:?}", self.rule, self.longest, self.ledger)
    }
}

/// The name of the counter with this number.
pub(crate) fn key(number: usize) -> Key {
    let number = u32::try_from(number).unwrap();
    let mut hash = [7; 16];
    hash[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
    hash[12..].copy_from_slice(&number.to_be_bytes());
    Key { partition: hash[3], hash }
}

/// The stored bytes of a counter; none where there is no counter.
pub(crate) fn bytes(counter: Option<&Counter>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(counter) = counter {
        counter.encode(&mut bytes);
    }
    bytes
}

fn assert_round_trip(bytes: &[u8], counter: Option<&Counter>) {
    if bytes.is_empty() {
        return;
    }
    let decoded = Counter::decode(bytes).unwrap();
    assert_eq!(Some(&decoded), counter, "decoded from its bytes");
}

//! What replies tell of the tokens booked in a window: over everything that is done in it, holds,
//! settlements, expiry and denials included, each number of tokens is passed exactly once.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Check, Key, Reply, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::aligned::Calendar;
use crate::rule::Rule;
use crate::world::Lane;
use crate::{numbers, seeds};

const OPERATIONS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000;

/// A quota as it is written: nothing happens to it between writes.
struct Quota {
    lane: Lane,
    calendar: Calendar,
    /// The window that was written last, and what is booked in it.
    stored: (u64, u64),
    holds: BTreeMap<u64, u64>,
    /// Parts of the limit, and how often each was reached, by window.
    parts: Vec<u64>,
    reached: HashMap<(u64, u64), u64>,
    /// The most that was booked in each window.
    most: HashMap<u64, u64>,
}

impl Quota {
    fn random(rng: &mut Rng, number: usize) -> Self {
        let calendar = Calendar { window: numbers::pick(rng, &[64_000, 1_000_000, 60_000_000]) };
        let limit = numbers::pick(rng, &[1, 2, 5, 10, 64, 100, 1_000]);
        let lane = Lane::new(rng, number, Rule::Aligned { limit, calendar });
        let mut parts: Vec<u64> = (0..8).map(|_| rng.u64(1..=limit)).collect();
        parts.sort_unstable();
        parts.dedup();
        let (reached, most) = (HashMap::new(), HashMap::new());
        Self { lane, calendar, stored: (0, 0), holds: BTreeMap::new(), parts, reached, most }
    }

    fn op(&self, rng: &mut Rng) -> (Op, u64) {
        let ends: Vec<(u64, u64)> = self.holds.iter().map(|(end, held)| (*end, *held)).collect();
        let tokens = numbers::cost(rng, self.lane.rule.capacity());
        let lasting = rng.u64(..=self.lane.longest);
        let (choice, taken) = (rng.u8(..16), (Op::Take, tokens));
        if choice < 4 || ends.is_empty() {
            return if choice % 2 == 0 { taken } else { (self.lane.hold(lasting), tokens) };
        }
        let (end, held) = numbers::pick(rng, &ends);
        let part = rng.u64(..=held);
        let (at, quantum) = (Timestamp::new(end), Micros::new(self.lane.quantum()));
        match choice {
            4 => (Op::Look, tokens),
            5 | 6 => (Op::Release { end: at }, part),
            7 => (Op::Extend { end: at, lasting: Micros::new(lasting), quantum }, part),
            8..=10 => (Op::Settle { end: at, held: Tokens::new(part) }, rng.u64(..=part + 1)),
            _ => taken,
        }
    }

    /// Does what was granted, as it is written, and compares what the reply says.
    fn note(&mut self, op: Op, tokens: u64, reply: &Reply, passes: bool, now: u64) {
        let [start, ..] = self.calendar.edges(now);
        let before = self.booked(start);
        let idle = tokens == 0 && !matches!(op, Op::Settle { .. });
        if passes && reply.allowed && !idle && op != Op::Look {
            self.write(op, tokens, reply.end.get(), start, now);
        }
        let after = self.booked(start);
        assert_eq!(reply.booked, [before, after].map(Tokens::new), "{op:?} of {tokens} at {now}");
        let [told, upto] = reply.booked.map(Tokens::get);
        for part in self.parts.iter().filter(|part| told < **part && **part <= upto) {
            *self.reached.entry((start, *part)).or_default() += 1;
        }
        self.most.insert(start, after);
    }

    fn booked(&self, start: u64) -> u64 {
        if self.stored.0 == start { self.stored.1 } else { 0 }
    }

    fn write(&mut self, op: Op, tokens: u64, granted: u64, start: u64, now: u64) {
        self.stored = (start, self.booked(start));
        while let Some(first) = self.holds.first_entry().filter(|first| *first.key() <= now) {
            let (end, held) = first.remove_entry();
            self.stored.1 += if end > start { held } else { 0 };
        }
        match op {
            Op::Take => self.stored.1 += tokens,
            Op::Hold { .. } => *self.holds.entry(granted).or_default() += tokens,
            Op::Extend { end, .. } => {
                let moved = self.give_back(end.get(), tokens);
                *self.holds.entry(granted).or_default() += moved;
            }
            Op::Release { end } => {
                self.give_back(end.get(), tokens);
            }
            Op::Settle { end, held } if end.get() > now => {
                self.give_back(end.get(), held.get());
                self.stored.1 += tokens;
            }
            Op::Settle { held, .. } => self.stored.1 += tokens.saturating_sub(held.get()),
            Op::Look | Op::Reset | Op::Strike => {}
        }
        self.holds.retain(|_, held| *held > 0);
    }

    fn give_back(&mut self, end: u64, tokens: u64) -> u64 {
        let Some(sum) = self.holds.get_mut(&end) else { return 0 };
        let back = tokens.min(*sum);
        *sum -= back;
        back
    }

    /// Each part was reached once in each window that has booked it, and in no other.
    fn assert_reached_once(&self) {
        for (window, most) in &self.most {
            for part in &self.parts {
                let times = self.reached.get(&(*window, *part)).copied().unwrap_or(0);
                assert_eq!(
                    times,
                    u64::from(part <= most),
                    "part {part} of {window}, {most} booked"
                );
            }
        }
    }
}

#[test]
fn each_part_of_a_quota_is_reached_once_in_a_window() {
    seeds::run("booked", OPERATIONS, |rng| {
        let mut quotas: Vec<Quota> =
            (0..rng.usize(1..=2)).map(|number| Quota::random(rng, number)).collect();
        let mut counters: HashMap<Key, Counter> = HashMap::new();
        let (mut now, steps) = (START, rng.u64(1..=300));
        for _ in 0..steps {
            now += numbers::gap(rng, quotas[0].calendar.window) / 8;
            if rng.u8(..16) == 0 {
                counters.retain(|_, counter| counter.fresh_at().get() > now);
            }
            let shadow = rng.u8(..8) == 0;
            let ops: Vec<(Op, u64)> = quotas.iter().map(|quota| quota.op(rng)).collect();
            let each = quotas.iter().zip(&ops);
            let asks = each.map(|(quota, (op, tokens))| quota.lane.ask(*op, *tokens, shadow, now));
            let check: Check = asks.collect();
            let outcome = decide(&mut counters, &check, Timestamp::new(now)).unwrap();
            for ((quota, (op, tokens)), reply) in quotas.iter_mut().zip(ops).zip(&outcome.replies) {
                quota.note(op, tokens, reply, outcome.allowed, now);
            }
        }
        quotas.iter().for_each(Quota::assert_reached_once);
        steps
    });
}

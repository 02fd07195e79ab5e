//! Random traces: instants, and batches of checks over a few counters.

mod form;
mod reservation;

use fastrand::Rng;
use form::Form;
use reservation::{Reservation, key};
use sluicegate_limits::counter::{Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, SETTLE_GRACE};
use sluicegate_limits::policy::units::MAX_COST;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// Limits in one trace.
const LIMITS: usize = 6;
/// Hold ends that are remembered for a counter.
const ENDS: usize = 24;
/// Reservations that are remembered.
const RESERVATIONS: usize = 6;
const START: u64 = 1_800_000_000_000_000;
/// The longest hold.
const LONGEST: u64 = 10_000_000;

/// A world of a few limits whose clock and numbers move.
pub(crate) struct Trace {
    rng: Rng,
    now: u64,
    limits: Vec<Limit>,
    reservations: Vec<Reservation>,
    /// Instants at which an answer said that something changes.
    moments: Vec<u64>,
}

struct Limit {
    key: Key,
    form: Form,
    /// The counter of its strikes, and its penalty.
    penalty: (Key, Form),
    /// Ends that were granted, newest last.
    ends: Vec<u64>,
    quantum: u64,
}

impl Trace {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let limits = (0..LIMITS).map(|_| Limit::new(&mut rng)).collect();
        let (now, moments) = (START + rng.u64(0..LONGEST), Vec::new());
        Self { now, limits, reservations: Vec::new(), rng, moments }
    }

    /// The counters.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.limits.iter().flat_map(|limit| [limit.key, limit.penalty.0]).collect()
    }

    /// The names of records that checks may be about.
    pub(crate) fn ids(&self) -> Vec<Key> {
        self.reservations.iter().map(|reservation| reservation.id).collect()
    }

    /// Moves the clock and sometimes a limit, and answers the next batch.
    pub(crate) fn step(&mut self) -> (Timestamp, Vec<Check>) {
        let rng = &mut self.rng;
        self.now = match rng.u32(0..100) {
            0..25 => self.now,
            25..45 => {
                // Just before, at, or just after.
                let moment = rng.choice(&self.moments).copied().unwrap_or(self.now);
                self.moments.clear();
                moment + rng.u64(0..3) - 1
            }
            45..60 => self.now + rng.u64(0..2_000),
            60..90 => self.now + rng.u64(0..2_000_000),
            90..96 => self.now + rng.u64(0..200_000_000),
            96..99 => self.now - rng.u64(0..20_000_000),
            _ => self.now - rng.u64(0..4_000_000_000),
        };
        if rng.u32(0..40) == 0 {
            let place = rng.usize(0..self.limits.len());
            self.limits[place].form = Form::random(rng);
        }
        if rng.u32(0..80) == 0 {
            let place = rng.usize(0..self.limits.len());
            self.limits[place].penalty.1 = Form::penalty(rng);
        }
        let checks = rng.usize(1..4);
        (Timestamp::new(self.now), (0..checks).map(|_| self.check()).collect())
    }

    /// Remembers what was granted, so that later operations can be about it.
    pub(crate) fn learn(&mut self, check: &Check, outcome: &Outcome) {
        let now = outcome.now.get();
        for (ask, reply) in check.iter().zip(&outcome.replies) {
            self.moments.push(now + reply.full_in.get());
            if let Wait::For(wait) = reply.wait {
                self.moments.push(now + wait.get());
            }
            let limit = self.limits.iter_mut().find(|limit| limit.key == ask.key);
            if let Some(limit) = limit.filter(|_| reply.end > Timestamp::ZERO) {
                self.moments.push(reply.end.get());
                limit.ends.push(reply.end.get());
                if limit.ends.len() > ENDS {
                    limit.ends.remove(0);
                }
            }
        }
        if let Some(reservation) = Reservation::of(check, outcome, &mut self.rng) {
            if self.reservations.len() == RESERVATIONS {
                let place = self.rng.usize(0..RESERVATIONS);
                self.reservations.remove(place);
            }
            self.reservations.push(reservation);
        }
        if let Some(reservation) = self.rng.choice(&self.reservations) {
            let graces = self.rng.u64(1..4);
            self.moments.push(reservation.last_end() + graces * SETTLE_GRACE.get());
        }
    }

    fn check(&mut self) -> Check {
        let rng = &mut self.rng;
        // Edges that were computed a little too early or too late are stale.
        let skew = if rng.u32(0..50) == 0 { rng.u64(0..3_000_000_000) } else { 0 };
        let seen = if rng.bool() { self.now + skew } else { self.now - skew };
        if rng.u32(0..3) == 0 && !self.reservations.is_empty() {
            let place = rng.usize(0..self.reservations.len());
            let limits = &self.limits;
            return self.reservations[place].check(rng, LONGEST, |ask| {
                let limit = limits.iter().find(|limit| limit.key == ask.key);
                limit.into_iter().for_each(|limit| ask.terms = limit.form.terms(seen));
            });
        }
        let charges = rng.usize(0..4) + usize::from(rng.u8(0..20) != 0);
        let mut asks: Vec<Ask> = (0..charges).flat_map(|_| self.charge(seen)).collect();
        if self.rng.u32(0..60) == 0 {
            empty_a_window(&mut asks, self.rng.bool());
        }
        asks.into()
    }

    /// What one limit asks: its ask and mostly, in this order, that of its penalty.
    fn charge(&mut self, seen: u64) -> Vec<Ask> {
        let place = self.rng.usize(0..self.limits.len());
        let main = self.ask(place, seen);
        let rng = &mut self.rng;
        let (key, form) = self.limits[place].penalty;
        let op = match (rng.u32(0..40), main.op) {
            (0, _) => Op::Reset,
            (1, _) => Op::Take,
            (_, Op::Look) => Op::Look,
            _ => Op::Strike,
        };
        let strike = Ask { key, terms: form.terms(seen), op, tokens: Tokens::ONE, ..main };
        match rng.u32(0..20) {
            0..8 => vec![main],
            8 => vec![strike],
            9 => vec![strike, main],
            _ => vec![main, strike],
        }
    }

    fn ask(&mut self, place: usize, seen: u64) -> Ask {
        let rng = &mut self.rng;
        let limit = &self.limits[place];
        let terms = limit.form.terms(seen);
        let capacity = terms.capacity().get();
        let tokens = match rng.u32(0..40) {
            0 => 0,
            1 => capacity,
            2 => capacity + 1,
            3 => rng.u64(0..=MAX_COST + 1),
            4..15 => rng.u64(0..=capacity / 4),
            _ => rng.u64(1..4),
        };
        let horizon =
            if rng.u32(0..30) == 0 { rng.u64(0..LONGEST) } else { LONGEST + LONGEST / 16 };
        Ask {
            key: limit.key,
            limit_id: 0,
            max_keys: u64::MAX,
            terms,
            op: limit.op(rng, self.now),
            tokens: Tokens::new(tokens),
            shadow: rng.u32(0..6) == 0,
            horizon: Micros::new(horizon),
        }
    }
}

impl Limit {
    fn new(rng: &mut Rng) -> Self {
        let quantum = [0, 1, 1_000, 625_000][rng.usize(0..4)];
        let penalty = (key(rng), Form::penalty(rng));
        Self { key: key(rng), form: Form::random(rng), penalty, ends: Vec::new(), quantum }
    }

    fn op(&self, rng: &mut Rng, now: u64) -> Op {
        let known = rng.choice(&self.ends).copied().unwrap_or(now + 5_000);
        let end = Timestamp::new(if rng.u32(0..10) == 0 { known + 1 } else { known });
        let lasting = Micros::new(rng.u64(0..=LONGEST));
        let quantum = Micros::new(self.quantum);
        match rng.u32(0..100) {
            0..10 => Op::Look,
            10..55 => Op::Take,
            55..80 => Op::Hold { lasting, quantum },
            80..86 => Op::Extend { end, lasting, quantum },
            86..92 => Op::Release { end },
            92..98 => Op::Settle { end, held: Tokens::new(rng.u64(0..5)) },
            98 => Op::Settle { end, held: Tokens::ZERO },
            _ if rng.u32(0..4) == 0 => Op::Reset,
            _ => Op::Take,
        }
    }
}

/// Makes this window or the next one of every ask with edges one of no length.
fn empty_a_window(asks: &mut [Ask], this: bool) {
    for ask in asks {
        if let Terms::AlignedWindow { edges: [first, second, third], .. } = &mut ask.terms {
            *second = if this { *first } else { *third };
        }
    }
}

//! Random traces: instants, and batches of checks over a few counters.

use fastrand::Rng;
use sluicegate_limits::counter::{Op, Rate, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// Counters in one trace.
const KEYS: usize = 6;
/// Hold ends that are remembered for a counter.
const ENDS: usize = 24;
const START: u64 = 1_800_000_000_000_000;
const LEASE: u64 = 10_000_000;

/// A world of a few limits whose clock and numbers move.
pub(crate) struct Trace {
    rng: Rng,
    now: u64,
    limits: Vec<Limit>,
    /// Instants at which an answer said that something changes.
    moments: Vec<u64>,
}

struct Limit {
    key: Key,
    form: Form,
    /// Ends that were granted, newest last.
    ends: Vec<u64>,
    quantum: u64,
}

/// Terms without edges.
#[derive(Clone, Copy)]
enum Form {
    Fixed(Terms),
    Aligned { limit: u64, window: u64 },
}

impl Trace {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let limits = (0..KEYS).map(|_| Limit::new(&mut rng)).collect();
        Self { now: START + rng.u64(0..LEASE), limits, rng, moments: Vec::new() }
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.limits.iter().map(|limit| limit.key).collect()
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
        let checks = rng.usize(1..4);
        (Timestamp::new(self.now), (0..checks).map(|_| self.check()).collect())
    }

    /// Remembers what was granted, so that later operations can be about it.
    pub(crate) fn learn(&mut self, check: &Check, outcome: &Outcome) {
        for (ask, reply) in check.iter().zip(&outcome.replies) {
            let limit = self.limits.iter_mut().find(|limit| limit.key == ask.key);
            let limit = limit.expect("the ask is about a limit of this trace");
            let now = outcome.now.get();
            self.moments.push(now + reply.full_in.get());
            if let Wait::For(wait) = reply.wait {
                self.moments.push(now + wait.get());
            }
            if reply.end > Timestamp::ZERO {
                self.moments.push(reply.end.get());
                limit.ends.push(reply.end.get());
                if limit.ends.len() > ENDS {
                    limit.ends.remove(0);
                }
            }
        }
    }

    fn check(&mut self) -> Check {
        // Edges that were computed a little too early or too late are stale.
        let skew = if self.rng.u32(0..50) == 0 { self.rng.u64(0..3_000_000_000) } else { 0 };
        let seen = if self.rng.bool() { self.now + skew } else { self.now - skew };
        let asks = self.rng.usize(0..4) + usize::from(self.rng.u8(0..20) != 0);
        (0..asks).map(|_| self.ask(seen)).collect()
    }

    fn ask(&mut self, seen: u64) -> Ask {
        let rng = &mut self.rng;
        let place = rng.usize(0..self.limits.len());
        let limit = &self.limits[place];
        let capacity = limit.form.terms(seen).capacity().get();
        let tokens = match rng.u32(0..40) {
            0 => 0,
            1 => capacity,
            2 => capacity + 1,
            3 => rng.u64(0..1 << 32),
            4..15 => rng.u64(0..=capacity / 4),
            _ => rng.u64(1..4),
        };
        let horizon = if rng.u32(0..30) == 0 { rng.u64(0..LEASE) } else { LEASE + LEASE / 16 };
        Ask {
            key: limit.key,
            limit_id: 0,
            max_keys: u64::MAX,
            terms: limit.form.terms(seen),
            op: limit.op(rng, self.now),
            tokens: Tokens::new(tokens),
            shadow: rng.u32(0..6) == 0,
            horizon: Micros::new(horizon),
        }
    }
}

impl Limit {
    fn new(rng: &mut Rng) -> Self {
        let mut hash = [0; 16];
        rng.fill(&mut hash);
        let quantum = [0, 1, 1_000, 625_000][rng.usize(0..4)];
        let key = Key { partition: rng.u8(..), hash };
        Self { key, form: Form::random(rng), ends: Vec::new(), quantum }
    }

    fn op(&self, rng: &mut Rng, now: u64) -> Op {
        let known = rng.choice(&self.ends).copied().unwrap_or(now + 5_000);
        let end = Timestamp::new(if rng.u32(0..10) == 0 { known + 1 } else { known });
        let lasting = Micros::new(rng.u64(0..=LEASE));
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

impl Form {
    fn random(rng: &mut Rng) -> Self {
        let limit = match rng.u32(0..10) {
            0 => 0,
            1..4 => rng.u64(1..10),
            4..6 => rng.u64(1..65),
            6..9 => rng.u64(65..5_000),
            _ => rng.u64(1..1_000_000_000_000_000),
        };
        let window = match rng.u32(0..4) {
            0 => rng.u64(1..1_000) * 1_000,
            1 => rng.u64(1..60) * 1_000_000,
            2 => rng.u64(1..60) * 60_000_000,
            _ => rng.u64(1..=366) * 86_400_000_000,
        };
        let tokens = Tokens::new(limit);
        match rng.u32(0..4) {
            0 => Self::Fixed(match rate(limit, window) {
                Some(rate) => {
                    Terms::TokenBucket { rate, burst: Tokens::new(limit * rng.u64(1..3)) }
                }
                None => Terms::Concurrency { limit: tokens },
            }),
            1 => Self::Fixed(Terms::SlidingWindow { limit: tokens, window: Micros::new(window) }),
            2 => Self::Aligned { limit, window },
            _ => Self::Fixed(Terms::Concurrency { limit: tokens }),
        }
    }

    fn terms(self, now: u64) -> Terms {
        match self {
            Self::Fixed(terms) => terms,
            Self::Aligned { limit, window } => {
                let start = now - now % window;
                let edges = [start, start + window, start + 2 * window].map(Timestamp::new);
                Terms::AlignedWindow { limit: Tokens::new(limit), edges }
            }
        }
    }
}

/// The finest tick in which `limit` tokens a `window` µs are exact, as the compiler of limits
/// chooses it; none where refilling would take a hundred years or no tick fits.
fn rate(limit: u64, window: u64) -> Option<Rate> {
    let century = 100 * 366 * 86_400_000_000_u64;
    if limit == 0 || 2 * window > century {
        return None;
    }
    [1, 1_000, 1_000_000].into_iter().find_map(|tick| {
        let ticks = window.is_multiple_of(tick).then_some(window / tick)?;
        let common = gcd(limit, ticks);
        let (tokens, ticks) = (limit / common, ticks / common);
        let fits = u128::from(tokens) * u128::from(ticks) <= 1 << 52;
        fits.then_some(Rate { tick: Micros::new(tick), tokens, ticks })
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

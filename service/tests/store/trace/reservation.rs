//! Reservations of a trace: holds that were granted together, and checks that end them once.

use fastrand::Rng;
use sluicegate_limits::counter::Op;
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Reply};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// What one check held, by the name of its record.
pub(crate) struct Reservation {
    pub(crate) id: Key,
    /// The asks, and the ends that were granted at first.
    held: Vec<(Ask, Timestamp)>,
}

impl Reservation {
    /// The holds of a check that passed; `None` where it held nothing.
    pub(super) fn of(check: &Check, outcome: &Outcome, rng: &mut Rng) -> Option<Self> {
        let held = |(ask, reply): (&Ask, &Reply)| match ask.op {
            // Of no tokens: it has no end.
            Op::Hold { lasting, .. } if reply.end == Timestamp::ZERO => {
                Some((*ask, outcome.now.after(lasting)))
            }
            Op::Hold { .. } => Some((*ask, reply.end)),
            _ => None,
        };
        let held: Vec<_> = check.iter().zip(&outcome.replies).filter_map(held).collect();
        let keep = outcome.allowed && check.once.is_none() && !held.is_empty();
        keep.then(|| Self { id: key(rng), held })
    }

    pub(super) fn last_end(&self) -> u64 {
        self.held.iter().map(|(_, end)| end.get()).max().unwrap_or(0)
    }

    /// A check that extends or ends it, as its holder asks: always by the ends that were granted
    /// at first. Sometimes one that its holder would not send.
    pub(super) fn check(&self, rng: &mut Rng, longest: u64, now_terms: impl Fn(&mut Ask)) -> Check {
        let (kind, lasting) = (rng.u32(0..10), Micros::new(rng.u64(0..=longest)));
        let mut asks: Vec<Ask> = Vec::with_capacity(self.held.len());
        for &(mut ask, end) in &self.held {
            let held = ask.tokens;
            ask.op = match kind {
                0..4 => Op::Extend { end, lasting, quantum: Micros::new(1_000) },
                4..8 => {
                    ask.tokens = Tokens::new(rng.u64(0..=held.get() + held.get() / 4 + 1));
                    Op::Settle { end, held }
                }
                8 => Op::Release { end },
                _ => any(rng, end, lasting, held),
            };
            now_terms(&mut ask);
            asks.push(ask);
        }
        if rng.u32(0..20) == 0 {
            let more = asks[rng.usize(0..asks.len())];
            asks.push(more);
        } else if rng.u32(0..20) == 0 {
            asks.pop();
        }
        Check { asks, once: Some(self.id.into()) }
    }
}

fn any(rng: &mut Rng, end: Timestamp, lasting: Micros, held: Tokens) -> Op {
    let quantum = Micros::ZERO;
    [
        Op::Look,
        Op::Take,
        Op::Hold { lasting, quantum },
        Op::Extend { end, lasting, quantum },
        Op::Release { end },
        Op::Settle { end, held },
        Op::Reset,
        Op::Strike,
    ][rng.usize(0..8)]
}

pub(super) fn key(rng: &mut Rng) -> Key {
    let mut hash = [0; 16];
    rng.fill(&mut hash);
    Key { partition: rng.u8(..), hash }
}

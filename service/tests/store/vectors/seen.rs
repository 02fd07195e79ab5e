//! What the traces must do often enough, and bytes that are neither counter nor record.

use sluicegate_limits::counter::{Op, Wait};
use sluicegate_limits::decide::{Ask, Check, Outcome};
use sluicegate_limits::time::Tokens;

/// Bytes of a counter that no version of this script wrote.
pub(super) const COUNTERS: &[&[u8]] = &[
    b"\x15\x00",
    b"\x15\x00aaaaaaaabbbbbbbbcccccccc\x01\0\0\0\0\0\0\0",
    b"\x15\x01aaaaaaaabbbbbbbbaaaaaaaabbbbbbbbcccccccc\0\0\0\0\0\0\0\0",
    b"\x16\x00aaaaaaaabbbbbbbb",
    b"\x21\x00aaaaaaaabbbbbbbb",
    b"\x11\x00aaaaaaaabbbbbbb",
    b"\x13\x02aaaaaaaabbbbbbbb",
    b"x",
    &[0; 40],
];

/// Bytes of a record that no version of this script wrote; it would count for long.
pub(super) const RECORDS: &[&[u8]] = &[
    b"x",
    b"\x13\0\0\0\0\0\0\x1f\0\0\0",
    b"\x11\0\0\0\0\0\0\x1f\0",
    b"\x11\0\0\0\0\0\0\x1f\0\x02\0aaaaaaaa",
    b"\x12\0\0\0\0\0\0\x1f\0",
    b"\x12\0\0\0\0\0\0\x1f\0\x01\x01\0aaaa",
];

/// How often the traces did what.
#[derive(Debug, Default)]
pub(super) struct Seen {
    operations: u64,
    strikes: u64,
    blocks: u64,
    booked: u64,
    extended: u64,
    ended: u64,
    refused: u64,
    /// Ends of nothing, which leave no record.
    idle: u64,
}

impl Seen {
    pub(super) fn count(&mut self, check: &Check, outcome: &Outcome) {
        self.operations += check.len() as u64;
        for (ask, reply) in check.iter().zip(&outcome.replies) {
            let strike = u64::from(ask.op == Op::Strike && !outcome.allowed && reply.allowed);
            self.strikes += strike;
            self.blocks += u64::from(strike == 1 && reply.wait != Wait::None);
            self.booked += u64::from(reply.booked[0] != reply.booked[1]);
        }
        if check.once.is_some() {
            let nothing = |ask: &Ask| match ask.op {
                Op::Settle { held, .. } => held.plus(ask.tokens) == Tokens::ZERO,
                _ => ask.tokens == Tokens::ZERO,
            };
            self.idle += u64::from(outcome.allowed && check.iter().all(nothing));
            let extends = check.iter().any(|ask| matches!(ask.op, Op::Extend { .. }));
            match outcome.allowed {
                false => self.refused += 1,
                true if extends => self.extended += 1,
                true => self.ended += 1,
            }
        }
    }

    /// How often the rarest of all was done.
    pub(super) fn rarest(&self) -> u64 {
        let Self { operations: _, strikes, blocks, booked, extended, ended, refused, idle } = *self;
        let all = [strikes, blocks, booked, extended, ended, refused, idle];
        all.into_iter().min().unwrap_or(0)
    }
}

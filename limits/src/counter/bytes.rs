//! The bytes of a counter, the same in memory and in the store, little-endian:
//!
//! one byte version and algorithm, one byte hold count, the holds (end, tokens), the ledger:
//! bucket (anchor, taken) | sliding window (opening, total, then (time, tokens) oldest first) |
//! aligned window (end, used) | concurrency nothing | penalty, which has no holds, (end, strikes),
//! (blocked until, 0). Each number is a u64.

use super::aligned_window::AlignedWindow;
use super::holds::{Hold, Holds};
use super::penalty::Penalty;
use super::sliding_window::{Entry, MOST_ENTRIES, SlidingWindow};
use super::token_bucket::TokenBucket;
use super::{Counter, Ledger};
use crate::time::{EXACT, Timestamp};

const VERSION: u8 = 1;
const TOKEN_BUCKET: u8 = 1;
const SLIDING_WINDOW: u8 = 2;
const ALIGNED_WINDOW: u8 = 3;
const CONCURRENCY: u8 = 4;
const PENALTY: u8 = 5;

/// Bytes that are not a counter that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState;

impl std::fmt::Display for BadState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stored counter has an unknown version, algorithm or length")
    }
}

impl std::error::Error for BadState {}

impl Counter {
    /// Appends the bytes of this counter; an empty counter has none.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let tag = match self.ledger {
            Ledger::TokenBucket(_) => TOKEN_BUCKET,
            Ledger::SlidingWindow(_) => SLIDING_WINDOW,
            Ledger::AlignedWindow(_) => ALIGNED_WINDOW,
            Ledger::None => CONCURRENCY,
            Ledger::Penalty(_) => PENALTY,
        };
        let holds = self.holds();
        out.push(VERSION << 4 | tag);
        out.push(u8::try_from(holds.len()).unwrap_or(u8::MAX));
        for hold in holds {
            put(out, [hold.end, hold.tokens]);
        }
        match &self.ledger {
            Ledger::None => {}
            Ledger::TokenBucket(bucket) => put(out, [bucket.anchor, bucket.taken]),
            Ledger::AlignedWindow(window) => put(out, [window.end, window.used]),
            Ledger::Penalty(penalty) => {
                put(out, [penalty.end, penalty.strikes]);
                put(out, [penalty.blocked_until, 0]);
            }
            Ledger::SlidingWindow(window) => {
                put(out, [window.opening, window.total]);
                for entry in &window.entries {
                    put(out, [entry.time, entry.tokens]);
                }
            }
        }
    }

    /// Reads the bytes of a counter; none at all are a fresh one.
    ///
    /// # Errors
    /// An unknown version or algorithm, or a length that does not fit: never a fresh counter.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadState> {
        let [head, count, rest @ ..] = bytes else {
            return if bytes.is_empty() { Ok(Self::default()) } else { Err(BadState) };
        };
        let (pairs, []) = rest.as_chunks::<16>() else { return Err(BadState) };
        let mut pairs = pairs.iter().map(pair);
        let holds: Vec<Hold> = pairs
            .by_ref()
            .take((*count).into())
            .map(|[end, tokens]| Hold { end, tokens })
            .collect();
        if holds.len() != usize::from(*count) || head >> 4 != VERSION {
            return Err(BadState);
        }
        let ledger = match (head & 15, pairs.next()) {
            (TOKEN_BUCKET, Some([anchor, taken])) => {
                Ledger::TokenBucket(TokenBucket { anchor, taken })
            }
            (ALIGNED_WINDOW, Some([end, used])) => {
                Ledger::AlignedWindow(AlignedWindow { end, used })
            }
            (SLIDING_WINDOW, Some([opening, total])) => {
                let entries = pairs.by_ref().take(MOST_ENTRIES);
                let entries = entries.map(|[time, tokens]| Entry { time, tokens }).collect();
                Ledger::SlidingWindow(Box::new(SlidingWindow { opening, total, entries }))
            }
            (CONCURRENCY, None) => Ledger::None,
            (PENALTY, Some([end, strikes])) if *count == 0 => match pairs.next() {
                Some([blocked_until, 0]) => {
                    Ledger::Penalty(Box::new(Penalty { end, strikes, blocked_until }))
                }
                _ => return Err(BadState),
            },
            _ => return Err(BadState),
        };
        if pairs.next().is_some() {
            return Err(BadState);
        }
        let holds = (!holds.is_empty()).then(|| Box::new(Holds::from_sorted(holds)));
        Ok(Self { ledger, holds, fresh_at: Timestamp::ZERO })
    }
}

fn put(out: &mut Vec<u8>, numbers: [u64; 2]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Two numbers; one that no counter can have is cut below 2^53, so that no sum overflows.
fn pair(bytes: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64].map(|number| number.min(EXACT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!(Counter::decode(&[]), Ok(Counter::default()));
        let form = |head: &[u8], numbers: usize| [head, &vec![7; numbers]].concat();
        assert!(Counter::decode(&form(&[0x11, 0], 16)).is_ok());
        for bad in [
            form(&[0x11], 0),
            form(&[0x11, 0], 0),
            form(&[0x11, 1], 16),
            form(&[0x21, 0], 16),
            form(&[0x15, 0], 16),
            form(&[0x15, 0], 32),
            form(&[0x15, 1], 48),
            form(&[0x16, 0], 16),
            form(&[0x11, 0], 15),
            form(&[0x11, 0], 32),
            form(&[0x14, 0], 16),
        ] {
            assert_eq!(Counter::decode(&bad), Err(BadState), "{bad:?}");
        }
    }

    #[test]
    fn round_trips_every_form() {
        let holds = Some(Box::new(Holds::from_sorted(vec![Hold { end: 9, tokens: 2 }])));
        let entries =
            [Entry { time: 4, tokens: 1 }, Entry { time: 5, tokens: 2 }].into_iter().collect();
        for ledger in [
            Ledger::None,
            Ledger::TokenBucket(TokenBucket { anchor: 1, taken: 2 }),
            Ledger::AlignedWindow(AlignedWindow { end: 1, used: 2 }),
            Ledger::SlidingWindow(Box::new(SlidingWindow { opening: 5, total: 3, entries })),
        ] {
            assert_round_trip(Counter { ledger, holds: holds.clone(), fresh_at: Timestamp::ZERO });
        }
        let penalty = Penalty { end: 5, strikes: 2, blocked_until: 7 };
        let ledger = Ledger::Penalty(Box::new(penalty));
        assert_round_trip(Counter { ledger, ..Counter::default() });
    }

    fn assert_round_trip(counter: Counter) {
        let mut bytes = Vec::new();
        counter.encode(&mut bytes);
        assert_eq!(Counter::decode(&bytes), Ok(counter));
    }
}

//! Stored bytes: whatever they are, reading them and deciding on them never panics, and what was
//! read is written back as it was read.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op, Terms};
use sluicegate_limits::decide::{Ask, Key, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::rule::{ALL, Algorithm, Rule};
use crate::{numbers, seeds, world};

const OPERATIONS: u64 = 200_000;
const LARGEST: u64 = (1 << 53) - 1;

#[test]
fn any_bytes_are_read_or_refused() {
    seeds::run("bytes, any", OPERATIONS, |rng| {
        let bytes = if rng.bool() { noise(rng) } else { likely(rng) };
        let Ok(counter) = Counter::decode(&bytes) else { return 1 };
        let written = world::bytes(Some(&counter));
        assert!(written.is_empty() || written.len() == bytes.len(), "{bytes:?}");
        let again = Counter::decode(&written).unwrap();
        assert_eq!(world::bytes(Some(&again)), written, "{bytes:?}");
        assert!(written.is_empty() || again == counter, "{bytes:?}");
        decide_on(rng, counter);
        1
    });
}

/// Decides a few random checks, each of any size, on a counter that nobody would have written.
fn decide_on(rng: &mut Rng, counter: Counter) {
    let mut counters: HashMap<Key, Counter> = HashMap::new();
    counters.insert(world::key(0), counter);
    for _ in 0..4 {
        let algorithm = numbers::pick(rng, &ALL);
        let now = number(rng).clamp(1, LARGEST - 2);
        let terms = terms(rng, algorithm, now);
        let (end, lasting) = (Timestamp::new(number(rng)), Micros::new(number(rng)));
        let (held, quantum) = (Tokens::new(number(rng)), Micros::new(number(rng)));
        let op = match rng.u8(..7) {
            0 => Op::Look,
            1 => Op::Take,
            2 => Op::Hold { lasting, quantum },
            3 => Op::Extend { end, lasting, quantum },
            4 => Op::Release { end },
            5 => Op::Settle { end, held },
            _ => Op::Reset,
        };
        let ask = Ask {
            key: world::key(0),
            limit_id: 1,
            max_keys: 1,
            terms,
            op,
            tokens: Tokens::new(number(rng)),
            shadow: rng.bool(),
            horizon: Micros::new(number(rng)),
        };
        let check = vec![ask; rng.usize(1..=2)].into();
        decide(&mut counters, &check, Timestamp::new(now)).unwrap();
    }
}

/// Terms of any size that compiles.
fn terms(rng: &mut Rng, algorithm: Algorithm, now: u64) -> Terms {
    let limit = Tokens::new(numbers::limit(rng));
    match algorithm {
        Algorithm::Aligned => {
            let edges = [now / 2, now + 1, LARGEST].map(Timestamp::new);
            Terms::AlignedWindow { limit, edges }
        }
        _ => Rule::random(rng, algorithm).terms(now),
    }
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(..100);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

/// The form of a counter with numbers of any size, sometimes cut or lengthened.
fn likely(rng: &mut Rng) -> Vec<u8> {
    let (tag, holds) = (rng.u8(1..=4), if rng.u8(..20) == 0 { 255 } else { rng.u8(..5) });
    let entries = if rng.u8(..20) == 0 { rng.usize(..300) } else { rng.usize(..6) };
    let ledger = match tag {
        1 | 3 => 2,
        2 => 2 + 2 * entries,
        _ => 0,
    };
    let mut bytes = vec![0x10 | tag, holds];
    for _ in 0..usize::from(holds) * 2 + ledger {
        bytes.extend(number(rng).to_le_bytes());
    }
    match rng.u8(..16) {
        0 => bytes.truncate(rng.usize(..=bytes.len())),
        1 => bytes.push(rng.u8(..)),
        _ => {}
    }
    bytes
}

fn number(rng: &mut Rng) -> u64 {
    let now = 1_700_000_000_000_000;
    match rng.u8(..12) {
        0 => 0,
        1 => 1,
        2 => LARGEST,
        3 => rng.u64(..),
        4..=6 => rng.u64(..=LARGEST),
        7 | 8 => now + rng.u64(..1_000_000),
        _ => rng.u64(..100),
    }
}

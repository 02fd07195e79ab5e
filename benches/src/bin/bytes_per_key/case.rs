//! What every key has seen when it is measured, and the bytes that a store then keeps for it.

use sluicegate_benches::{Algorithm, PLENTY, ask, hash};
use sluicegate_limits::counter::{Op, Rate, Terms};
use sluicegate_limits::decide::{Ask, Check, Key, Plain, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// How many requests each key has seen: the first and, for a sliding window, enough to fill it.
const REQUESTS: [u64; 2] = [1, 100];
const START: Timestamp = Timestamp::new(1_764_000_000_000_000);
/// November and December of 2025, which `START` lies in.
const MONTHS: [Timestamp; 3] = [
    Timestamp::new(1_761_955_200_000_000),
    Timestamp::new(1_764_547_200_000_000),
    Timestamp::new(1_767_225_600_000_000),
];
/// Far apart, so that no number is used twice.
const STRIKES: u64 = 1 << 40;
const RESERVATIONS: u64 = 1 << 41;

/// What each key has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How often.
    pub(super) count: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Takes, spread over a minute.
    Takes(Terms),
    /// Requests that run at the same time and were not begun at the same time.
    Running,
    /// One that passes, and one that is denied and struck for it.
    Struck,
    /// Tokens set aside.
    Reserved,
    /// Tokens set aside, and the actual ones taken instead.
    Settled,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let takes =
            |name, terms| REQUESTS.map(|count| Self { name, count, kind: Kind::Takes(terms) });
        let algorithms =
            Algorithm::ALL.map(|algorithm| takes(algorithm.as_str(), algorithm.terms(PLENTY)));
        let months = Terms::AlignedWindow { limit: PLENTY, edges: MONTHS };
        let mut all: Vec<Self> = algorithms.into_iter().flatten().collect();
        all.extend(takes("calendar", months));
        all.extend([
            Self { name: "concurrency", count: 1, kind: Kind::Running },
            Self { name: "concurrency", count: 4, kind: Kind::Running },
            Self { name: "penalty", count: 2, kind: Kind::Struck },
            Self { name: "reserved", count: 1, kind: Kind::Reserved },
            Self { name: "settled", count: 2, kind: Kind::Settled },
        ]);
        all
    }

    /// The counters that live for each key.
    pub(super) fn counters(self) -> u64 {
        if self.kind == Kind::Struck { 2 } else { 1 }
    }

    /// What the key of this number sees as its `step`th check, below the count, and when.
    pub(super) fn check(self, number: u64, step: u64) -> (Timestamp, Check) {
        let within = START.after(Micros::new(step * Micros::MINUTE.get() / self.count));
        let bucket = |tokens| Terms::TokenBucket {
            rate: Rate { tick: Micros::SECOND, tokens: 1, ticks: 60 },
            burst: Tokens::new(tokens),
        };
        let hold = Op::Hold { lasting: Micros::HOUR, quantum: Micros::ZERO };
        let end = START.after(Micros::HOUR);
        match self.kind {
            Kind::Takes(terms) => (within, [ask(number, terms)].into()),
            Kind::Running => {
                let four = Terms::Concurrency { limit: Tokens::new(4) };
                (within, [Ask { op: hold, ..held(number, four) }].into())
            }
            Kind::Struck => {
                let day = Micros::DAY;
                let penalty = Terms::Penalty { after: Tokens::new(3), within: day, block: day };
                let strike = Ask { op: Op::Strike, ..ask(number + STRIKES, penalty) };
                (START, [ask(number, bucket(1)), strike].into())
            }
            Kind::Reserved | Kind::Settled if step == 0 => {
                (START, [Ask { op: hold, ..held(number, bucket(1)) }].into())
            }
            Kind::Reserved | Kind::Settled => {
                let op = Op::Settle { end, held: Tokens::ONE };
                let asks = vec![Ask { op, ..held(number, bucket(1)) }];
                (within, Check { asks, once: Some(reservation(number).into()) })
            }
        }
    }

    /// What a store keeps for the key of this number: the counters, then the record, each with the
    /// start of its name in Valkey.
    pub(super) fn stored(self, number: u64) -> Vec<(&'static str, Key, Vec<u8>)> {
        let mut plain = Plain::default();
        for (now, check) in (0..self.count).map(|step| self.check(number, step)) {
            // No instant is stale: all lie between the edges above.
            drop(decide(&mut plain, &check, now));
        }
        let counters = plain.counters.iter().map(|(key, counter)| {
            let mut bytes = Vec::new();
            counter.encode(&mut bytes);
            ("", *key, bytes)
        });
        let records = plain.records.iter().filter_map(|(key, record)| {
            record.as_ref().map(|record| ("s:", *key, record.as_bytes().to_vec()))
        });
        counters.chain(records).collect()
    }
}

/// An ask on a counter whose holds may last an hour.
fn held(number: u64, terms: Terms) -> Ask {
    Ask { horizon: Micros::DAY, ..ask(number, terms) }
}

fn reservation(number: u64) -> Key {
    Key { partition: 0, hash: hash(number + RESERVATIONS).to_le_bytes() }
}

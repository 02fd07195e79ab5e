//! The arithmetic alone: one decision on one counter, by algorithm and by what it finds there.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate_benches::{Algorithm, PLENTY, ask};
use sluicegate_limits::counter::Counter;
use sluicegate_limits::decide::{Ask, Check, Counters, decide};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

/// Between one decision and the next.
const STEP: Micros = Micros::new(7);
const START: Timestamp = Timestamp::new(1_764_000_000_000_000);
/// A store with one counter: what is left is arithmetic.
struct One(Counter);

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, passes, denies, bytes);
criterion_main!(benches);

impl Counters for One {
    fn counter(&mut self, _: &Ask) -> &mut Counter {
        &mut self.0
    }
}

fn passes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide, passes");
    for algorithm in Algorithm::ALL {
        let check = [ask(1, algorithm.terms(PLENTY))].into();
        let (mut one, mut now) = (One(Counter::default()), START);
        group.bench_function(algorithm.as_str(), |b| {
            b.iter(|| {
                now = now.after(STEP);
                decide(&mut one, black_box(&check), now)
            });
        });
    }
    let four =
        [1, 2, 3, 4].map(|number| ask(number, Algorithm::SlidingWindow.terms(PLENTY))).into();
    let (mut map, mut now) = (HashMap::new(), START);
    group.bench_function("four sliding_window", |b| {
        b.iter(|| {
            now = now.after(STEP);
            decide(&mut map, black_box(&four), now)
        });
    });
}

fn denies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide, denies");
    for algorithm in Algorithm::ALL {
        let (mut one, check, now) = full(algorithm);
        group.bench_function(algorithm.as_str(), |b| {
            b.iter(|| decide(&mut one, black_box(&check), now));
        });
    }
}

/// What the shared store's clients do with each counter besides.
fn bytes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bytes of a full counter");
    for algorithm in Algorithm::ALL {
        let (one, ..) = full(algorithm);
        let mut bytes = Vec::new();
        one.0.encode(&mut bytes);
        group.bench_function(format!("{} ({} bytes)", algorithm.as_str(), bytes.len()), |b| {
            b.iter(|| Counter::decode(black_box(&bytes)));
        });
    }
}

/// A counter from which everything was taken one by one, the check that it denies, and when. The
/// sliding window has all the entries that it can have.
fn full(algorithm: Algorithm) -> (One, Check, Timestamp) {
    let spacing = match algorithm {
        // Slower, and the bucket would refill.
        Algorithm::TokenBucket => Micros::new(1),
        Algorithm::SlidingWindow | Algorithm::FixedWindow => Micros::new(59_900),
    };
    let check = [ask(1, algorithm.terms(Tokens::new(1_000)))].into();
    let (mut one, mut now) = (One(Counter::default()), START);
    for _ in 0..1_000 {
        let taken = decide(&mut one, &check, now);
        assert!(taken.is_ok_and(|outcome| outcome.allowed), "the bench itself is wrong");
        now = now.after(spacing);
    }
    let denied = decide(&mut one, &check, now);
    assert!(denied.is_ok_and(|outcome| !outcome.allowed), "the bench itself is wrong");
    (one, check, now)
}

//! The in-process store beside `governor`'s keyed limiter: nanoseconds for each decision, clock
//! included, with 10^6 keys and with one.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sluicegate_benches::{Algorithm, KEYS, Numbers, PLENTY, ask, hash, text};
use sluicegate_limits::counter::Terms;
use sluicegate_limits::decide::Ask;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Timestamp, Tokens};

/// What governor allows at most.
const QUOTA: Quota = Quota::per_minute(NonZeroU32::MAX).allow_burst(NonZeroU32::MAX);
/// How many limits the benches of several limits have.
const SEVERAL: u64 = 4;

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, uniform, hot, denied, several);
criterion_main!(benches);

/// 10^6 keys, each as likely as any other: cache misses dominate.
fn uniform(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uniform keys");
    for algorithm in Algorithm::ALL {
        let terms = algorithm.terms(PLENTY);
        let memory = filled(terms);
        let mut numbers = Numbers::default();
        group.bench_function(format!("memory {}", algorithm.as_str()), |b| {
            b.iter(|| memory.decide(&[ask(next(&mut numbers), terms)].into(), now()));
        });
    }
    let governor: DefaultKeyedRateLimiter<u128> = RateLimiter::keyed(QUOTA);
    (0..KEYS).for_each(|number| drop(governor.check_key(&hash(number))));
    let mut numbers = Numbers::default();
    group.bench_function("governor u128", |b| {
        b.iter(|| governor.check_key(&hash(next(&mut numbers))).is_ok());
    });
    drop(governor);
    let governor: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(QUOTA);
    let names: Vec<String> = (0..KEYS).map(text).collect();
    names.iter().for_each(|name| drop(governor.check_key(name)));
    let mut numbers = Numbers::default();
    group.bench_function("governor string", |b| {
        b.iter(|| {
            names.get(next(&mut numbers) as usize).map(|name| governor.check_key(name).is_ok())
        });
    });
}

/// One key that everybody uses.
fn hot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one hot key");
    for algorithm in Algorithm::ALL {
        let check = [ask(1, algorithm.terms(PLENTY))].into();
        let memory = Memory::new(10);
        group.bench_function(format!("memory {}", algorithm.as_str()), |b| {
            b.iter(|| memory.decide(black_box(&check), now()));
        });
    }
    let governor: DefaultKeyedRateLimiter<u128> = RateLimiter::keyed(QUOTA);
    let key = hash(1);
    group.bench_function("governor u128", |b| {
        b.iter(|| governor.check_key(black_box(&key)).is_ok());
    });
    let governor: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(QUOTA);
    let key = text(1);
    group.bench_function("governor string", |b| {
        b.iter(|| governor.check_key(black_box(&key)).is_ok());
    });
}

/// One key that is over its limit: each answer computes its wait.
fn denied(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one denied key");
    for algorithm in Algorithm::ALL {
        let one = ask(1, algorithm.terms(Tokens::new(1_000)));
        let all = [Ask { tokens: Tokens::new(1_000), ..one }].into();
        let memory = Memory::new(10);
        group.bench_function(format!("memory {}", algorithm.as_str()), |b| {
            b.iter(|| {
                let outcome = memory.decide(black_box(&all), now());
                black_box(outcome.is_ok())
            });
        });
    }
    let governor: DefaultKeyedRateLimiter<u128> =
        RateLimiter::keyed(Quota::per_hour(NonZeroU32::MIN));
    let key = hash(1);
    group.bench_function("governor u128", |b| {
        b.iter(|| governor.check_key(black_box(&key)).is_ok());
    });
}

/// Four limits in one request: all or nothing here, four independent checks there.
fn several(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("four limits, uniform keys");
    for algorithm in Algorithm::ALL {
        let terms = algorithm.terms(PLENTY);
        let memory = filled(terms);
        let mut numbers = Numbers::default();
        group.bench_function(format!("memory {}", algorithm.as_str()), |b| {
            b.iter(|| {
                let check = [(); SEVERAL as usize].map(|()| ask(next(&mut numbers), terms));
                memory.decide(&check.into(), now())
            });
        });
    }
    let governor: DefaultKeyedRateLimiter<u128> = RateLimiter::keyed(QUOTA);
    (0..KEYS).for_each(|number| drop(governor.check_key(&hash(number))));
    let mut numbers = Numbers::default();
    group.bench_function("governor u128", |b| {
        b.iter(|| (0..SEVERAL).all(|_| governor.check_key(&hash(next(&mut numbers))).is_ok()));
    });
}

/// A store in which every key has a counter.
fn filled(terms: Terms) -> Memory {
    let memory = Memory::new(usize::MAX);
    (0..KEYS).for_each(|number| drop(memory.decide(&[ask(number, terms)].into(), now())));
    memory
}

fn next(numbers: &mut Numbers) -> u64 {
    numbers.next().unwrap_or_default()
}

/// The wall clock: governor reads one too.
#[expect(clippy::disallowed_methods, reason = "benches are exempt: they measure with a real clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

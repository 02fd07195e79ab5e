//! Which of many limits apply: what a request costs must not grow with those that cannot.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sluicegate_benches::policies::{FACTS, RuledOutBy, tenants};
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::Timestamp;

/// How many limits a policy has; few where speed is not the question.
const LIMITS: &[usize] = if cfg!(debug_assertions) { &[10, 100] } else { &[10, 1_000, 10_000] };
const TENANTS: usize = if cfg!(debug_assertions) { 100 } else { 100_000 };

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, limits, with_tenants);
criterion_main!(benches);

/// One of so many limits applies; the others are ruled out.
fn limits(criterion: &mut Criterion) {
    for by in RuledOutBy::ALL {
        let mut group = criterion.benchmark_group(format!("charges, ruled out by {}", by.as_str()));
        for count in LIMITS {
            let policy = policy(&[by.limits(*count)]);
            group.bench_function(BenchmarkId::from_parameter(count), |b| measure(b, &policy));
        }
    }
}

/// As many limits as there are, and the tenants.
fn with_tenants(criterion: &mut Criterion) {
    let count = LIMITS.last().copied().unwrap_or(10);
    let mut files = tenants(TENANTS);
    files.push(RuledOutBy::Path.limits(count));
    let policy = policy(&files);
    criterion.bench_function("charges, with tenants", |b| measure(b, &policy));
}

fn measure(bencher: &mut criterion::Bencher<'_>, policy: &Policy) {
    let (facts, secret) = (facts(), secret());
    let charges = || policy.charges(black_box(&facts), None, &secret, Timestamp::ZERO);
    assert_eq!(charges().map(|charges| charges.len()), Ok(1), "one limit applies");
    bencher.iter(charges);
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn policy(files: &[SourceFile]) -> Policy {
    match Policy::compile(files) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{problems:?}"),
    }
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn secret() -> KeySecret {
    KeySecret::new(&[7; 32]).unwrap_or_else(|error| panic!("{error}"))
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn facts() -> Attributes {
    let mut builder = AttributesBuilder::new();
    for (name, value) in FACTS {
        if let Err(error) = builder.set(name, value) {
            panic!("{error}");
        }
    }
    builder.finish()
}

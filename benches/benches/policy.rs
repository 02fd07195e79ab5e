//! From the facts about a request to its charges, and on to its verdict: the mission's limits.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::{SystemTime, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::counter::Op;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::Timestamp;
use sluicegate_limits::verdict::Verdict;

const MISSION: &str = include_str!("../../limits/examples/quickstart.yaml");
/// Requests, by the limits that apply to them.
const REQUESTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "one limit",
        &[
            ("tenant_id", "acme"),
            ("method", "GET"),
            ("path", "/v1/items"),
            ("authenticated", "true"),
        ],
    ),
    (
        "two limits",
        &[
            ("tenant_id", "acme"),
            ("method", "POST"),
            ("path", "/v1/reports/export"),
            ("authenticated", "true"),
        ],
    ),
    ("anonymous", &[("ip_address", "203.0.113.7"), ("method", "GET"), ("path", "/v1/items")]),
];

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, attributes, charges, verdict, compile);
criterion_main!(benches);

/// Facts in canonical form, as a door builds them.
fn attributes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attributes");
    for (name, facts) in REQUESTS {
        group.bench_function(name, |b| b.iter(|| facts_of(black_box(facts))));
    }
}

/// Matching, keys and costs.
fn charges(criterion: &mut Criterion) {
    let (policy, secret) = (mission(), secret());
    let mut group = criterion.benchmark_group("charges");
    for (name, facts) in REQUESTS {
        let facts = facts_of(facts);
        group.bench_function(name, |b| {
            b.iter(|| policy.charges(black_box(&facts), None, &secret, Timestamp::ZERO));
        });
    }
}

/// Charges, decision on the in-process store, verdict: all that the core does for a request.
fn verdict(criterion: &mut Criterion) {
    let (policy, secret, memory) = (mission(), secret(), Memory::new(1_000));
    let mut group = criterion.benchmark_group("charges to verdict, one key");
    for (name, facts) in REQUESTS {
        let facts = facts_of(facts);
        group.bench_function(name, |b| {
            b.iter(|| {
                let now = now();
                let charges = policy.charges(black_box(&facts), None, &secret, now).ok()?;
                let check = charges.iter().map(|charge| charge.ask(Op::Take)).collect();
                let outcome = memory.decide(&check, now).ok()?;
                Some(Verdict::of(&charges, &outcome.replies))
            });
        });
    }
}

/// A whole file, as at a reload.
fn compile(criterion: &mut Criterion) {
    let files = [SourceFile { name: "quickstart.yaml".to_owned(), text: MISSION.to_owned() }];
    criterion.bench_function("compile the mission's limits", |b| {
        b.iter(|| Policy::compile(black_box(&files)));
    });
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn mission() -> Policy {
    let files = [SourceFile { name: "quickstart.yaml".to_owned(), text: MISSION.to_owned() }];
    match Policy::compile(&files) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{problems:?}"),
    }
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn secret() -> KeySecret {
    KeySecret::new(&[7; 32]).unwrap_or_else(|error| panic!("{error}"))
}

#[expect(clippy::panic, reason = "a bench fails by panicking")]
fn facts_of(facts: &[(&str, &str)]) -> Attributes {
    let mut builder = AttributesBuilder::new();
    for (name, value) in facts {
        if let Err(error) = builder.set(name, value) {
            panic!("{error}");
        }
    }
    builder.finish()
}

#[expect(clippy::disallowed_methods, reason = "benches are exempt: they measure with a real clock")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

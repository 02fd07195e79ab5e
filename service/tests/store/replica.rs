//! A limiter as one replica has it, and what it is asked.

use std::sync::Arc;

use sluicegate::call::{Call, Decision, Door, Ending, Method};
use sluicegate::limiter::{Limiter, Shared};
use sluicegate::metrics::Metrics;
use sluicegate::settings::{Replicas, Settings};
use sluicegate::store::Store;
use sluicegate::telemetry::TraceParent;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Tokens};

use crate::server::{settings, shared};

/// A replica on this store.
pub(crate) fn replica(limits: &str, store: Store, count: u32, rank: Option<u32>) -> Limiter {
    let settings = Settings { replicas: Replicas { count, rank }, ..settings() };
    Limiter::new(parts(limits, &settings), store)
}

/// What the cores of a replica share.
pub(crate) fn parts(limits: &str, settings: &Settings) -> Arc<Shared> {
    let (memory, metrics) = (Arc::new(Memory::new(1_000)), Metrics::new(1_000));
    shared(limits, settings, &memory, &metrics).0
}

/// These limits, compiled.
pub(crate) fn policy(limits: &str) -> Arc<Policy> {
    let file = SourceFile { name: "limits.yaml".to_owned(), text: limits.to_owned() };
    Arc::new(Policy::compile(&[file]).unwrap().policy)
}

/// A request of the tenant acme.
pub(crate) fn call(path: &str, method: Method) -> Call {
    call_of("acme", path, method)
}

pub(crate) fn call_of(tenant: &str, path: &str, method: Method) -> Call {
    let mut attributes = AttributesBuilder::new();
    for (name, value) in [("tenant_id", tenant), ("method", "GET"), ("path", path)] {
        attributes.set(name, value).unwrap();
    }
    Call {
        attributes: attributes.finish(),
        cost: None,
        deadline: None,
        door: Door::Grpc,
        method,
        trace: TraceParent::NONE,
    }
}

pub(crate) fn seconds(seconds: u64) -> Micros {
    Micros::new(seconds * 1_000_000)
}

/// Reserves so many tokens on a path.
pub(crate) async fn reserve(
    limiter: &Limiter,
    path: &str,
    estimate: u64,
    lasting: Micros,
) -> Decision {
    let cost = Some(Tokens::new(estimate));
    limiter.check(Call { cost, ..call(path, Method::Reserve { lasting }) }).await
}

/// Holds a slot on a path.
pub(crate) async fn hold(limiter: &Limiter, path: &str, lasting: Micros) -> Decision {
    limiter.check(call(path, Method::Hold { lasting })).await
}

/// The token that a decision granted.
pub(crate) fn token(decision: &Decision) -> String {
    assert!(decision.verdict.allowed, "{:?}", decision.verdict);
    let token = decision.grant.as_ref().expect("something is granted").token.clone();
    assert!(!token.is_empty());
    token
}

/// Ends what a token names, or moves its end.
pub(crate) async fn end(limiter: &Limiter, token: &str, ending: Ending) -> Decision {
    let reservation = limiter.open(token).expect("a token of ours");
    limiter.end(call("/", Method::Check), &reservation, ending).await
}

pub(crate) async fn settle(limiter: &Limiter, token: &str, actual: u64) -> Decision {
    end(limiter, token, Ending::Settle { actual: Tokens::new(actual) }).await
}

/// What each limit of a path has left.
pub(crate) async fn left(limiter: &Limiter, path: &str) -> Vec<u64> {
    let looked = Call { cost: Some(Tokens::ZERO), ..call(path, Method::Peek) };
    let verdict = limiter.check(looked).await.verdict;
    verdict.limits.iter().map(|limit| limit.remaining.get()).collect()
}

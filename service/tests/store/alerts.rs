//! Quota alerts over a fleet: two replicas on one store, and each part is told once by one of them.

use std::sync::Arc;

use futures_util::future::join_all;
use sluicegate::call::{Call, Door, Method};
use sluicegate::limiter::Limiter;
use sluicegate::metrics::Metrics;
use sluicegate::telemetry::TraceParent;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::Tokens;

use crate::server::{settings, shared};
use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, run, store};

/// A year, so that hardly any run of the tests sees two periods.
const LIMITS: &str = "
rate_limits:
  yearly:
    key: tenant_id
    algorithm: calendar
    limit: 1000
    period: year
    alert_at: [1%, 50%, 80%, 95%, 100%]
  trial:
    key: tenant_id
    algorithm: calendar
    limit: 100
    period: year
    mode: shadow
    alert_at: [80%]
";
const PARTS: [(&str, u8); 6] =
    [("yearly", 1), ("yearly", 50), ("yearly", 80), ("yearly", 95), ("yearly", 100), ("trial", 80)];

fn call(tenant: &str, cost: u64, method: Method) -> Call {
    let mut attributes = AttributesBuilder::new();
    attributes.set("tenant_id", tenant).unwrap();
    Call {
        attributes: attributes.finish(),
        cost: Some(Tokens::new(cost)),
        deadline: None,
        door: Door::Grpc,
        method,
        trace: TraceParent::NONE,
    }
}

/// How often a part was told by all replicas together.
fn told(replicas: &[(Limiter, Arc<Metrics>)], (limit, percent): (&str, u8)) -> u64 {
    let labels = format!("{{limit=\"{limit}\",threshold=\"{percent}\"}} ");
    let line = format!("sluicegate_quota_alerts_total{labels}");
    let count = |metrics: &Metrics| {
        let text = metrics.scrape();
        let value = text.lines().find_map(|each| each.strip_prefix(line.as_str())?.parse().ok());
        value.unwrap_or(0)
    };
    replicas.iter().map(|(_, metrics)| count(metrics)).sum()
}

#[test]
fn each_part_of_a_quota_is_told_once_by_the_whole_fleet() {
    run(async {
        let server = ValkeyServer::start(&[]);
        let replicas: Vec<_> = (0..2)
            .map(|_| {
                let (memory, metrics) = (Arc::new(Memory::new(1_000)), Metrics::new(1_000));
                let (shared, _) = shared(LIMITS, &settings(), &memory, &metrics);
                (Limiter::new(shared, store(server.port(), PATIENCE)), metrics)
            })
            .collect();
        for (limiter, metrics) in &replicas {
            sluicegate::reload::show(metrics, &limiter.policy());
        }
        for tenants in 1..=2 {
            let tenant = format!("tenant-{tenants}");
            let (mut used, mut degraded) = (0, false);
            // Costs that do not meet the parts exactly, peeks between them, and denials at the end.
            for round in 0..40 {
                let cost = |n: u64| 1 + (n * 7 + round) % 3;
                let asked = (0..32).map(|n| {
                    let (limiter, _) = &replicas[usize::try_from(n % 2).unwrap()];
                    let method = if n % 9 == 8 { Method::Peek } else { Method::Check };
                    let call = call(&tenant, cost(n), method);
                    async move { (cost(n), method, limiter.check(call).await.verdict) }
                });
                for (cost, method, verdict) in join_all(asked).await {
                    degraded |= verdict.degraded;
                    used += if verdict.allowed && method == Method::Check { cost } else { 0 };
                }
            }
            assert_eq!((used, degraded), (1_000, false), "all of it, and not more");
            for part in PARTS {
                assert_eq!(told(&replicas, part), tenants, "{part:?}");
            }
        }
    });
}

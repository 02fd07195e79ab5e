//! What Prometheus can scrape.
//!
//! Every number that a request touches is an atomic behind a handle that was resolved before:
//! a decision looks nothing up and takes no lock. `table` names all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use sluicegate_limits::invalid::InvalidRequest;
use sluicegate_limits::verdict::Verdict;

use crate::call::{Decision, Door, Ending};
use crate::store::StoreError;
use crate::store::valkey::ValkeyNode;

mod decisions;
mod endings;
mod latency;
mod policy;
mod table;

use decisions::DecisionMetrics;
use endings::EndingMetrics;
pub use latency::{BOUNDS_US, Latency};
pub use policy::PolicyMetrics;
pub use table::{Kind, Row, TABLE};

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// All metrics of the process. Every part holds the same one.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: DecisionMetrics,
    endings: EndingMetrics,
    /// Requests that the limits could not decide, by cause.
    invalid: Vec<(&'static str, Counter)>,
    /// The limits in effect, and their files.
    pub policy: PolicyMetrics,
    /// The call to the store.
    pub store: StoreMetrics,
    /// The file that tells the place of an address.
    pub geography: GeographyMetrics,
    memory_counters: Gauge,
    overflows: Counter,
    /// The connections of the gRPC listener.
    pub grpc: ListenerMetrics,
    /// The connections of the HTTP listener.
    pub http: ListenerMetrics,
    /// Decision records that were written.
    pub records_written: Counter,
    /// Decision records that were dropped because too many waited.
    pub records_dropped: Counter,
    /// Denials that left no record, because there were too many of their limits.
    pub records_left_out: Counter,
}

/// What the calls to the store leave behind.
#[derive(Debug)]
pub struct StoreMetrics {
    took: Latency,
    errors: [Counter; StoreError::KINDS.len()],
    batches: Counter,
    batched_checks: Counter,
    breaker: Gauge,
    generations: Counter,
    memory_used: Gauge,
    memory_max: Gauge,
}

/// The file that tells the place of an address.
#[derive(Debug)]
pub struct GeographyMetrics {
    accepted: Counter,
    rejected: Counter,
    built: Gauge,
}

/// The connections of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// Those of the peers that it trusts.
    pub trusted: ConnectionMetrics,
    /// Those of everybody else.
    pub strangers: ConnectionMetrics,
}

/// Connections of one kind.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Those that are open.
    pub open: Gauge,
    /// Those that were closed at once.
    pub refused: Counter,
}

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new(memory_max_counters: usize) -> Arc<Self> {
        let mut r = Registry::default();
        let build = add(&mut r, &table::BUILD, Gauges::default());
        build.get_or_create_owned(&label("version", env!("CARGO_PKG_VERSION"))).set(1);
        let store = StoreMetrics::register(&mut r);
        let memory_max: Gauge = add(&mut r, &table::MEMORY_MAX, Gauge::default());
        memory_max.set(i64::try_from(memory_max_counters).unwrap_or(i64::MAX));
        let open = add(&mut r, &table::CONNECTIONS, Gauges::default());
        let refused = add(&mut r, &table::REFUSED, Counters::default());
        let connections = |listener: &str, caller: &str| {
            let labels = vec![("listener", listener.to_owned()), ("caller", caller.to_owned())];
            ConnectionMetrics {
                open: open.get_or_create_owned(&labels),
                refused: refused.get_or_create_owned(&labels),
            }
        };
        let listener = |name: &str| ListenerMetrics {
            trusted: connections(name, "trusted"),
            strangers: connections(name, "stranger"),
        };
        let (grpc, http) = (listener("grpc"), listener("http"));
        let invalid = add(&mut r, &table::INVALID, Counters::default());
        let of_cause = |cause| (cause, invalid.get_or_create_owned(&label("cause", cause)));
        let records = add(&mut r, &table::RECORDS, Counters::default());
        Arc::new(Self {
            decisions: DecisionMetrics::register(&mut r),
            endings: EndingMetrics::register(&mut r),
            invalid: InvalidRequest::causes().map(of_cause).collect(),
            policy: PolicyMetrics::register(&mut r),
            store,
            geography: GeographyMetrics::register(&mut r),
            memory_counters: add(&mut r, &table::MEMORY_COUNTERS, Gauge::default()),
            overflows: add(&mut r, &table::OVERFLOWS, Counter::default()),
            grpc,
            http,
            records_written: records.get_or_create_owned(&label("result", "written")),
            records_dropped: records.get_or_create_owned(&label("result", "dropped")),
            records_left_out: records.get_or_create_owned(&label("result", "left_out")),
            registry: r,
        })
    }

    /// The text that Prometheus scrapes (OpenMetrics 1.0).
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail; a collector of ours never returns an error.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts one decision: by door, verdict and reason, and by the limits that spoke in it.
    pub fn decided(&self, door: Door, decision: &Decision) {
        let verdict = &decision.verdict;
        self.decisions.count(door, verdict, decision.took);
        if !verdict.allowed
            && let Some(limit) = verdict.limit_name()
        {
            self.policy.denied(limit);
        }
        self.alerted(verdict);
        for limit in verdict.would_deny() {
            self.policy.would_deny(&limit.name);
        }
    }

    /// Counts a request that the limits could not decide.
    pub fn invalid(&self, request: &InvalidRequest) {
        let cause = request.cause();
        if let Some((_, counter)) = self.invalid.iter().find(|(known, _)| *known == cause) {
            counter.inc();
        }
    }

    /// Counts a call that ended what was held, or moved its end.
    pub fn ended(&self, door: Door, ending: Ending, decision: &Decision) {
        self.endings.count(door, ending, decision);
        self.alerted(&decision.verdict);
    }

    fn alerted(&self, verdict: &Verdict) {
        for alert in &verdict.alerts {
            self.policy.alerted(&alert.limit, alert.percent);
        }
    }

    /// Shows the embedded store: its counters now, and its overflows since the start.
    pub fn memory(&self, counters: usize, overflowed: u64) {
        self.memory_counters.set(i64::try_from(counters).unwrap_or(i64::MAX));
        self.overflows.inner().store(overflowed, Relaxed);
    }
}

impl StoreMetrics {
    fn register(r: &mut Registry) -> Self {
        let took = add(r, &table::STORE_DURATION, Latency::default());
        let errors = add(r, &table::STORE_ERRORS, Counters::default());
        Self {
            took,
            errors: StoreError::KINDS.map(|kind| errors.get_or_create_owned(&label("kind", kind))),
            batches: add(r, &table::BATCHES, Counter::default()),
            batched_checks: add(r, &table::BATCHED_CHECKS, Counter::default()),
            breaker: add(r, &table::BREAKER, Gauge::default()),
            generations: add(r, &table::GENERATIONS, Counter::default()),
            memory_used: add(r, &table::STORE_MEMORY_USED, Gauge::default()),
            memory_max: add(r, &table::STORE_MEMORY_MAX, Gauge::default()),
        }
    }

    /// Counts a call: how long an answer took, or why there was none.
    pub fn asked<T>(&self, answer: &Result<T, StoreError>, took: Duration) {
        let Err(error) = answer else { return self.took.observe(took) };
        let index = StoreError::KINDS.iter().position(|kind| *kind == error.kind());
        if let Some(counter) = index.and_then(|i| self.errors.get(i)) {
            counter.inc();
        }
    }

    /// Shows the shared store: its breaker and its memory now, and its calls since the start.
    pub fn shared(&self, node: &ValkeyNode) {
        self.breaker.set(node.breaker() as i64);
        let [used, max] = node.memory_bytes();
        self.memory_used.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.memory_max.set(i64::try_from(max).unwrap_or(i64::MAX));
        self.batches.inner().store(node.batches(), Relaxed);
        self.batched_checks.inner().store(node.batched_checks(), Relaxed);
    }

    /// Counts that the store was found emptied.
    pub fn generation_changed(&self) {
        self.generations.inc();
    }
}

impl GeographyMetrics {
    fn register(r: &mut Registry) -> Self {
        let reloads = add(r, &table::GEOGRAPHY_RELOADS, Counters::default());
        Self {
            accepted: reloads.get_or_create_owned(&label("result", "accepted")),
            rejected: reloads.get_or_create_owned(&label("result", "rejected")),
            built: add(r, &table::GEOGRAPHY_BUILT, Gauge::default()),
        }
    }

    /// Shows the file in effect: when it was built, in seconds since 1970.
    pub fn in_effect(&self, built: u64) {
        self.built.set(i64::try_from(built).unwrap_or(i64::MAX));
    }

    /// Counts a change of the file that was taken.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// Counts a change of the file that was rejected.
    pub fn rejected(&self) {
        self.rejected.inc();
    }
}

/// Registers a metric under the name that the table gives it. The encoder adds `_total` to a
/// counter and a full stop to the help by itself.
fn add<M: Metric + Clone>(registry: &mut Registry, row: &Row, metric: M) -> M {
    let name = row.name.strip_suffix("_total").unwrap_or(row.name);
    registry.register(name, row.help.trim_end_matches('.'), metric.clone());
    metric
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

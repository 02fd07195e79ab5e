//! The limits in effect and their files, and the counters of each limit.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluicegate_limits::time::Timestamp;

use super::{Counters, Gauges, add, label, table};

/// What Prometheus sees of the limits and their files.
#[derive(Debug)]
pub struct PolicyMetrics {
    info: Gauges,
    limits: Gauge,
    denials: Counters,
    would_deny: Counters,
    by_limit: ArcSwap<HashMap<String, LimitCounters>>,
    accepted: Counter,
    rejected: Counter,
    rejected_since: Gauge,
}

#[derive(Clone, Debug)]
struct LimitCounters {
    denials: Counter,
    would_deny: Counter,
}

impl PolicyMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        let reloads = add(r, &table::RELOADS, Counters::default());
        Self {
            denials: add(r, &table::DENIALS, Counters::default()),
            would_deny: add(r, &table::WOULD_DENY, Counters::default()),
            info: add(r, &table::POLICY, Gauges::default()),
            limits: add(r, &table::POLICY_LIMITS, Gauge::default()),
            by_limit: ArcSwap::default(),
            accepted: reloads.get_or_create_owned(&label("result", "accepted")),
            rejected: reloads.get_or_create_owned(&label("result", "rejected")),
            rejected_since: add(r, &table::REJECTED_SINCE, Gauge::default()),
        }
    }

    /// Shows the policy in effect: its revision and the names of its limits. Limits that are not
    /// in it any more lose their series, so that the policy bounds the number of series.
    pub fn in_effect<'a>(&self, revision: &str, limits: impl Iterator<Item = &'a str>) {
        self.info.clear();
        self.info.get_or_create_owned(&label("revision", revision)).set(1);
        let resolve = |name: &str| LimitCounters {
            denials: self.denials.get_or_create_owned(&label("limit", name)),
            would_deny: self.would_deny.get_or_create_owned(&label("limit", name)),
        };
        let now: HashMap<_, _> = limits.map(|name| (name.to_owned(), resolve(name))).collect();
        self.limits.set(i64::try_from(now.len()).unwrap_or(i64::MAX));
        for gone in self.by_limit.load().keys().filter(|name| !now.contains_key(*name)) {
            self.denials.remove(&label("limit", gone));
            self.would_deny.remove(&label("limit", gone));
        }
        self.by_limit.store(Arc::new(now));
    }

    /// Counts a denial that this limit bound.
    pub fn denied(&self, limit: &str) {
        if let Some(counters) = self.by_limit.load().get(limit) {
            counters.denials.inc();
        }
    }

    /// Counts a request that this limit in shadow mode would have denied.
    pub fn would_deny(&self, limit: &str) {
        if let Some(counters) = self.by_limit.load().get(limit) {
            counters.would_deny.inc();
        }
    }

    /// Counts a change of the files that was taken.
    pub fn accepted(&self) {
        self.accepted.inc();
        self.rejected_since.set(0);
    }

    /// Counts a change of the files that was rejected; `since` is when they began to be bad.
    pub fn rejected(&self, since: Timestamp) {
        self.rejected.inc();
        self.rejected_since.set(i64::try_from(since.get() / 1_000_000).unwrap_or(i64::MAX));
    }
}

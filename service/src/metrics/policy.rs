//! The limits in effect and their files, and the counters of each limit.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluicegate_limits::time::Timestamp;

use super::{Counters, Gauges, Labels, add, label, table};

/// What Prometheus sees of the limits and their files.
#[derive(Debug)]
pub struct PolicyMetrics {
    info: Gauges,
    limits: Gauge,
    denials: Counters,
    would_deny: Counters,
    alerts: Counters,
    by_limit: ArcSwap<HashMap<String, LimitCounters>>,
    accepted: Counter,
    rejected: Counter,
    rejected_since: Gauge,
}

#[derive(Clone, Debug)]
struct LimitCounters {
    denials: Counter,
    would_deny: Counter,
    alerts: Vec<(u8, Counter)>,
}

impl PolicyMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        let reloads = add(r, &table::RELOADS, Counters::default());
        Self {
            denials: add(r, &table::DENIALS, Counters::default()),
            would_deny: add(r, &table::WOULD_DENY, Counters::default()),
            alerts: add(r, &table::ALERTS, Counters::default()),
            info: add(r, &table::POLICY, Gauges::default()),
            limits: add(r, &table::POLICY_LIMITS, Gauge::default()),
            by_limit: ArcSwap::default(),
            accepted: reloads.get_or_create_owned(&label("result", "accepted")),
            rejected: reloads.get_or_create_owned(&label("result", "rejected")),
            rejected_since: add(r, &table::REJECTED_SINCE, Gauge::default()),
        }
    }

    /// Shows the policy in effect: its revision, and its limits with the percents that they alert
    /// at. Limits that are not in it any more lose their series, so that the policy bounds the
    /// number of series.
    pub fn in_effect<'a>(&self, revision: &str, limits: impl Iterator<Item = (&'a str, &'a [u8])>) {
        self.info.clear();
        self.info.get_or_create_owned(&label("revision", revision)).set(1);
        let alert = |name: &str, percent: u8| {
            (percent, self.alerts.get_or_create_owned(&threshold(name, percent)))
        };
        let resolve = |name: &str, alert_at: &[u8]| LimitCounters {
            denials: self.denials.get_or_create_owned(&label("limit", name)),
            would_deny: self.would_deny.get_or_create_owned(&label("limit", name)),
            alerts: alert_at.iter().map(|percent| alert(name, *percent)).collect(),
        };
        let limits = limits.map(|(name, alert_at)| (name.to_owned(), resolve(name, alert_at)));
        let now: HashMap<_, _> = limits.collect();
        self.limits.set(i64::try_from(now.len()).unwrap_or(i64::MAX));
        for (name, counters) in self.by_limit.load().iter() {
            let kept = now.get(name);
            if kept.is_none() {
                self.denials.remove(&label("limit", name));
                self.would_deny.remove(&label("limit", name));
            }
            let alerts = kept.map(|kept| &*kept.alerts).unwrap_or_default();
            for (percent, _) in &counters.alerts {
                if alerts.iter().all(|(kept, _)| kept != percent) {
                    self.alerts.remove(&threshold(name, *percent));
                }
            }
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

    /// Counts a part of a quota that was used up.
    pub fn alerted(&self, limit: &str, percent: u8) {
        let limits = self.by_limit.load();
        let alerts = limits.get(limit).map(|counters| &*counters.alerts).unwrap_or_default();
        if let Some((_, counter)) = alerts.iter().find(|(known, _)| *known == percent) {
            counter.inc();
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

fn threshold(limit: &str, percent: u8) -> Labels {
    vec![("limit", limit.to_owned()), ("threshold", percent.to_string())]
}

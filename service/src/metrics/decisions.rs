//! What was decided, by door, verdict and reason.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sluicegate_limits::policy::Mode;
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::call::Door;

use super::{Counters, Labels, Latency, add, label, table};

/// Every door, in the order of the enum.
const DOORS: [Door; 3] = [Door::Grpc, Door::ExtAuthz, Door::Http];

/// The decisions of every door.
#[derive(Debug)]
pub(super) struct DecisionMetrics {
    doors: [DoorMetrics; DOORS.len()],
}

#[derive(Debug)]
struct DoorMetrics {
    allowed: Counter,
    denied: Vec<Counter>,
    degraded: Counter,
    unmatched: Counter,
    took: Latency,
}

impl DecisionMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        let decisions = add(r, &table::DECISIONS, Counters::default());
        let degraded = add(r, &table::DEGRADED, Counters::default());
        let unmatched = add(r, &table::UNMATCHED, Counters::default());
        let took = add(r, &table::DURATION, Family::<Labels, Latency>::default());
        let decided = |door: Door, verdict: &str, reason: &str| {
            decisions.get_or_create_owned(&vec![
                ("door", door.as_str().to_owned()),
                ("verdict", verdict.to_owned()),
                ("reason", reason.to_owned()),
            ])
        };
        let doors = DOORS.map(|door| {
            let one = label("door", door.as_str());
            DoorMetrics {
                allowed: decided(door, "allowed", "none"),
                denied: Reason::ALL.iter().map(|r| decided(door, "denied", r.as_str())).collect(),
                degraded: degraded.get_or_create_owned(&one),
                unmatched: unmatched.get_or_create_owned(&one),
                took: took.get_or_create_owned(&one),
            }
        });
        Self { doors }
    }

    /// Counts one decision and how long it took.
    pub(super) fn count(&self, door: Door, verdict: &Verdict, took: Duration) {
        let Some(counts) = self.doors.get(door as usize) else { return };
        let counter = match verdict.reason {
            None => Some(&counts.allowed),
            Some(reason) => counts.denied.get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.inc();
        }
        if verdict.degraded {
            counts.degraded.inc();
        }
        let unmatched = matches!(verdict.reason, None | Some(Reason::NoLimitApplies));
        if unmatched && verdict.limits.iter().all(|limit| limit.mode == Mode::Shadow) {
            counts.unmatched.inc();
        }
        counts.took.observe(took);
    }
}

//! What became of reservations and holds, by door, method and reason.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use super::{Counters, add, table};
use crate::call::{Decision, Door, Ending};

/// The doors that end something, and how.
const DOORS: [Door; 2] = [Door::Grpc, Door::Http];
const METHODS: [Ending; 3] = [
    Ending::Settle { actual: Tokens::ZERO },
    Ending::Extend { lasting: Micros::ZERO },
    Ending::Release,
];
/// Why nothing was done.
const REASONS: [Reason; 5] = [
    Reason::HoldExpired,
    Reason::StoreUnavailable,
    Reason::Overloaded,
    Reason::UntrustedCaller,
    Reason::InvalidRequest,
];

/// The calls that end what is held, or move its end.
#[derive(Debug)]
pub(super) struct EndingMetrics {
    calls: Vec<(Door, &'static str, Option<Reason>, Counter)>,
    overrun: Counter,
}

impl EndingMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        let calls = add(r, &table::HELD_CALLS, Counters::default());
        let overrun = add(r, &table::OVERRUN, Counter::default());
        let counter = |door: Door, method: &'static str, reason: Option<Reason>| {
            let labels = vec![
                ("door", door.as_str().to_owned()),
                ("method", method.to_owned()),
                ("reason", reason.map_or("none", Reason::as_str).to_owned()),
            ];
            (door, method, reason, calls.get_or_create_owned(&labels))
        };
        let reasons = || REASONS.into_iter().map(Some).chain([None]);
        let of_door = |door| {
            METHODS
                .iter()
                .flat_map(move |method| reasons().map(move |r| (door, method.as_str(), r)))
        };
        let all = DOORS.into_iter().flat_map(of_door);
        Self {
            calls: all.map(|(door, method, reason)| counter(door, method, reason)).collect(),
            overrun,
        }
    }

    /// Counts one call.
    pub(super) fn count(&self, door: Door, ending: Ending, decision: &Decision) {
        let named = (door, ending.as_str(), decision.verdict.reason);
        let mut calls = self.calls.iter();
        if let Some((.., counter)) = calls.find(|(d, m, r, _)| (*d, *m, *r) == named) {
            counter.inc();
        }
        if let Some(grant) = &decision.grant {
            self.overrun.inc_by(grant.overrun.get());
        }
    }
}

//! A part of a quota that was used up, as a line of JSON among the decision records.

use std::collections::BTreeMap;

use serde::Serialize;
use sluicegate_limits::alert::Alert;

use super::{Redactor, SHOWN};
use crate::call::{Call, Decision};
use crate::instant::rfc3339;

/// The target of these lines.
const TARGET: &str = "sluicegate::alert";

/// One alert. Personal values in it are redacted already.
#[derive(Debug, Serialize)]
pub(super) struct AlertRecord {
    target: &'static str,
    time: String,
    /// The decision that reached the part.
    decision_id: String,
    limit: String,
    threshold_percent: u8,
    used: u64,
    quota: u64,
    period_ends: String,
    /// Whose quota it is: the key of the limit, as far as records show its attributes.
    #[serde(flatten)]
    key: BTreeMap<&'static str, String>,
}

impl AlertRecord {
    pub(super) fn of(alert: &Alert, call: &Call, decision: &Decision, redactor: &Redactor) -> Self {
        let limit = decision.policy.limits().iter().find(|limit| limit.name == alert.limit);
        let key = limit.map(|limit| &*limit.key).unwrap_or_default();
        let shown = redactor.shown(&call.attributes, &SHOWN);
        Self {
            target: TARGET,
            time: rfc3339(decision.now),
            decision_id: decision.id.to_string(),
            limit: alert.limit.to_string(),
            threshold_percent: alert.percent,
            used: alert.used.get(),
            quota: alert.quota.get(),
            period_ends: rfc3339(alert.ends),
            key: shown.filter(|(name, _)| key.iter().any(|key| key == name)).collect(),
        }
    }
}

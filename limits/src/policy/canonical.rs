//! The revision: a hash of what a policy means, the same on every replica.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::calendar::StartsOn;
use super::condition::Condition;
use super::tenants::Tenants;
use super::{CostRule, EndpointCost, IpPrefix, Limit, OnStoreFailure, Penalty};
use crate::attributes::{PathSetting, Paths};

/// Changes when the canonical form does.
const LABEL: &str = "sluicegate policy v2";

/// The first 16 hex digits of the SHA-256 of the canonical form.
pub(super) fn revision(
    limits: &[Limit],
    endpoint_costs: &[EndpointCost],
    tenants: &Tenants,
    ip_prefix: IpPrefix,
    paths: &Paths,
) -> String {
    let mut form = Form(Sha256::new());
    form.text(LABEL);
    // Their order means nothing: the most specific entry counts.
    let mut costs: Vec<_> = endpoint_costs.iter().map(|e| (e.text.as_str(), e.cost)).collect();
    costs.sort_unstable();
    form.number(costs.len() as u64);
    for (pattern, cost) in costs {
        form.text(pattern);
        form.number(cost.get());
    }
    // The order of limits breaks ties between them, so it stays.
    form.number(limits.len() as u64);
    for limit in limits {
        form.limit(limit);
    }
    let (plans, of_tenants) = tenants.len();
    form.number(plans as u64);
    form.number(of_tenants as u64);
    tenants.canonical(&mut |text, numbers| {
        form.text(text);
        numbers.iter().for_each(|number| form.number(*number));
    });
    ip_prefix.bits().into_iter().for_each(|bits| form.number(u64::from(bits)));
    PathSetting::ALL.iter().for_each(|setting| form.text(paths.meaning(*setting)));
    let digest = form.0.finalize();
    digest.iter().take(8).fold(String::with_capacity(16), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Every part with its length before it, so that different policies are different bytes.
struct Form(Sha256);

impl Form {
    fn number(&mut self, n: u64) {
        self.0.update(n.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn option(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn limit(&mut self, limit: &Limit) {
        self.text(&limit.name);
        let mut patterns: Vec<_> = limit.patterns.iter().map(ToString::to_string).collect();
        patterns.sort_unstable();
        patterns.dedup();
        self.texts(&patterns);
        let condition = limit.condition.as_ref().map(Condition::canonical);
        self.option(condition.as_deref());
        self.texts(&limit.key);
        self.text(limit.missing_key.as_str());
        self.text(limit.algorithm.as_str());
        self.number(limit.numbers.limit.get());
        self.number(limit.window.get());
        self.number(limit.numbers.capacity().get());
        match &limit.cost {
            CostRule::Endpoint => self.text("endpoint"),
            CostRule::Number(tokens) => {
                self.text("number");
                self.number(tokens.get());
            }
            CostRule::Attribute { of, missing } => {
                self.text("attribute");
                self.text(of);
                self.number(missing.get());
            }
        }
        self.quota(limit);
        self.number(limit.hold.get());
        self.text(limit.mode.as_str());
        self.text(limit.accuracy.as_str());
        self.number(u64::from(limit.penalty.is_some()));
        if let Some(Penalty { after, within, block }) = limit.penalty {
            [after.get(), within.get(), block.get()].into_iter().for_each(|n| self.number(n));
        }
        let (name, key) = limit.counter();
        self.text(name);
        self.texts(key);
        self.option(limit.on_store_failure.map(OnStoreFailure::as_str));
        self.number(limit.max_keys);
        self.option(limit.reason.as_deref());
    }

    fn quota(&mut self, limit: &Limit) {
        self.number(u64::from(limit.calendar.is_some()));
        if let Some(calendar) = &limit.calendar {
            self.text(calendar.period.as_str());
            self.text(calendar.zone());
            let StartsOn { month, day } = calendar.starts_on();
            [month, day].into_iter().for_each(|n| self.number(u64::from(n.unsigned_abs())));
        }
        self.number(limit.alert_at.len() as u64);
        limit.alert_at.iter().for_each(|percent| self.number(u64::from(*percent)));
    }
}

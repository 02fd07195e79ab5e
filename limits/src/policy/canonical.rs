//! The revision: a hash of what a policy means, the same on every replica.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{CostRule, EndpointCost, Limit};

/// Changes when the canonical form does.
const LABEL: &str = "sluicegate policy v1";

/// The first 16 hex digits of the SHA-256 of the canonical form.
pub(super) fn revision(limits: &[Limit], endpoint_costs: &[EndpointCost]) -> String {
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

    fn option(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn limit(&mut self, limit: &Limit) {
        self.text(&limit.name);
        let mut patterns: Vec<_> = limit.patterns.iter().map(ToString::to_string).collect();
        patterns.sort_unstable();
        patterns.dedup();
        self.number(patterns.len() as u64);
        patterns.iter().for_each(|pattern| self.text(pattern));
        self.number(limit.key.len() as u64);
        limit.key.iter().for_each(|attribute| self.text(attribute));
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
            CostRule::Attribute(name) => {
                self.text("attribute");
                self.text(name);
            }
        }
        self.text(limit.mode.as_str());
        self.text(limit.on_store_failure.as_str());
        self.number(limit.max_keys);
        self.option(limit.reason.as_deref());
    }
}

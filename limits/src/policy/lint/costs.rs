//! Costs that cannot be paid, and costs that nobody asks for.

use super::reach::may_match;
use super::{Finding, Lint, code};
use crate::policy::{CostRule, EndpointCost, Limit, Mode, Policy};
use crate::time::Tokens;

impl Lint<'_> {
    /// Requests that cost more than passes at once, and costs of endpoints without use.
    pub(super) fn costs(&mut self) {
        let policy = self.policy;
        let mut dearest: Vec<&EndpointCost> = policy.endpoint_costs.iter().collect();
        dearest.sort_by_key(|entry| std::cmp::Reverse(entry.cost));
        for (position, limit) in policy.limits.iter().enumerate() {
            let most = limit.numbers.capacity();
            // A limit of 0 has its own warning.
            if limit.mode == Mode::Disabled || most == Tokens::ZERO {
                continue;
            }
            let (cost, whose) = match &limit.cost {
                CostRule::Number(cost) if *cost > most => (*cost, "every request".to_owned()),
                CostRule::Endpoint => match self.dearest(limit, &dearest) {
                    Some(entry) => (entry.cost, format!("a request to `{}`", entry.text)),
                    None => continue,
                },
                CostRule::Number(_) | CostRule::Attribute { .. } => continue,
            };
            let word = if limit.numbers.burst.is_some() { "burst" } else { "limit" };
            let message = format!(
                "{whose} costs {cost}, and limit `{}` never passes it: {most} at once",
                limit.name
            );
            let help = format!("raise its `{word}` to {cost} at least, or lower the cost");
            self.about(position, |places| places.cost, code::NEVER_PASSES, message, &help);
        }
        self.unused_costs();
    }

    /// The dearest endpoint that costs more than passes and that the limit is about.
    fn dearest<'p>(
        &mut self,
        limit: &Limit,
        dearest: &[&'p EndpointCost],
    ) -> Option<&'p EndpointCost> {
        let above = dearest.iter().take_while(|entry| entry.cost > limit.numbers.capacity());
        let mut above = above.copied();
        above.find(|entry| self.may_compare() && self.pays(limit, entry))
    }

    /// Whether some request that a limit is about pays this entry, and no more specific one.
    fn pays(&mut self, limit: &Limit, entry: &EndpointCost) -> bool {
        let policy: &Policy = self.policy;
        if limit.patterns.is_empty() {
            return true;
        }
        if self.is_exhausted() {
            return false;
        }
        limit.patterns.iter().filter(|own| own.overlaps(&entry.pattern)).any(|own| {
            let mut others = policy.endpoint_costs.iter();
            !others.any(|other| {
                self.may_compare()
                    && other.pattern.specificity() > entry.pattern.specificity()
                    && other.pattern.covers(own)
            })
        })
    }

    fn unused_costs(&mut self) {
        let policy = self.policy;
        let asking = |limit: &&Limit| {
            limit.mode != Mode::Disabled
                && (limit.cost == CostRule::Endpoint || limit.key.iter().any(|a| a == "endpoint"))
        };
        for (entry, spot) in policy.endpoint_costs.iter().zip(&self.places.endpoint_costs) {
            let mut limits = policy.limits.iter().filter(asking);
            if limits.any(|limit| !self.may_compare() || may_match(limit, &entry.pattern)) {
                continue;
            }
            let message = format!("no limit asks what `{}` costs", entry.text);
            let help = "remove it, or add a limit for it whose `cost` is `endpoint`".to_owned();
            self.found.push(Finding { spot: spot.clone(), code: code::UNUSED_COST, message, help });
        }
    }
}

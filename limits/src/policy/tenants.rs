//! Plans and tenants: other numbers for limits, by who asks.
//!
//! A plan's numbers stand above those of the limit, a tenant's above those of the plan, and a
//! tenant's numbers that have an end are as good as not written once it is past.

mod resolve;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::problem::At;
use super::{Numbers, Problem, Severity, problem};
use crate::time::Timestamp;

pub(super) use resolve::Written;

/// Where the numbers of a charge come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer<'p> {
    /// The limit itself.
    Limit,
    /// The plan of this name.
    Plan(&'p str),
    /// The tenant's own numbers, without an end.
    Tenant {
        /// What people wrote about them.
        why: Option<&'p str>,
    },
    /// The tenant's own numbers, up to an instant that is not past.
    Exception {
        /// The first instant at which they do not count.
        until: Timestamp,
        /// What people wrote about them.
        why: Option<&'p str>,
    },
}

/// All plans and tenants, lean: there may be many tenants, most of them without numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenants {
    plans: Vec<Plan>,
    by_id: HashMap<Box<str>, Tenant>,
    /// The numbers of all tenants, those of one tenant in a row.
    own: Vec<Own>,
}

/// A contract tier.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: Box<str>,
    /// By the position of the limit in the policy, sorted by it.
    numbers: Vec<(u32, Numbers)>,
}

/// One tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant {
    /// The position of its plan.
    pub(crate) plan: Option<u32>,
    /// Where in `own` its numbers begin, and how many they are.
    first: u32,
    len: u32,
}

/// A tenant's own numbers for one limit.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) limit: u32,
    pub(crate) numbers: Numbers,
    pub(crate) until: Option<Timestamp>,
    pub(crate) why: Option<Box<str>>,
    /// Where they stand, where they have an end.
    file: Option<Arc<str>>,
    at: At,
}

impl Tenants {
    /// What is said of the tenant of this id.
    pub(crate) fn tenant(&self, id: &str) -> Option<Tenant> {
        self.by_id.get(id).copied()
    }

    /// The plan at a position.
    pub(crate) fn plan(&self, at: u32) -> Option<&Plan> {
        self.plans.get(at as usize)
    }

    /// The position of the plan of this name.
    pub(crate) fn plan_named(&self, name: &str) -> Option<u32> {
        let at = self.plans.binary_search_by(|plan| (*plan.name).cmp(name)).ok()?;
        u32::try_from(at).ok()
    }

    /// A tenant's own numbers for the limit at a position, where they count at this instant.
    pub(crate) fn own(
        &self,
        tenant: &Tenant,
        limit: u32,
        now: Timestamp,
    ) -> Option<(&Numbers, Layer<'_>)> {
        let own = self.all_of(tenant).iter().find(|own| own.limit == limit)?;
        let why = own.why.as_deref();
        match own.until {
            None => Some((&own.numbers, Layer::Tenant { why })),
            Some(until) if now < until => Some((&own.numbers, Layer::Exception { until, why })),
            Some(_) => None,
        }
    }

    /// A warning for each tenant's numbers whose end is past.
    pub(crate) fn expired(&self, limits: &[super::Limit], now: Timestamp) -> Vec<Problem> {
        let past = self.own.iter().filter(|own| own.until.is_some_and(|until| until <= now));
        let warning = |own: &Own| Problem {
            severity: Severity::Warning,
            code: problem::code::EXPIRED,
            message: match limits.get(own.limit as usize) {
                Some(limit) => {
                    format!("a tenant's numbers for `{}` are past their end", limit.name)
                }
                None => "a tenant's numbers are past their end".to_owned(),
            },
            file: own.file.as_deref().unwrap_or_default().to_owned(),
            line: own.at.line,
            column: own.at.column,
            help: Some("they do not count any more: remove them".to_owned()),
        };
        let mut warnings: Vec<_> = past.map(warning).collect();
        warnings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        warnings
    }

    /// The positions of the limits that have other numbers for some plan or tenant.
    pub(super) fn changed(&self) -> HashSet<usize> {
        let plans = self.plans.iter().flat_map(|plan| plan.numbers.iter().map(|(limit, _)| *limit));
        let limits = plans.chain(self.own.iter().map(|own| own.limit));
        limits.map(|limit| limit as usize).collect()
    }

    /// What plans and tenants mean, in an order that files do not change: each plan with its
    /// numbers, each tenant with its plan and numbers and their ends.
    pub(super) fn canonical(&self, out: &mut impl FnMut(&str, &[u64])) {
        let numbers = |limit: u32, numbers: &Numbers| {
            [u64::from(limit), numbers.limit.get(), numbers.capacity().get()]
        };
        for plan in &self.plans {
            out(&plan.name, &[plan.numbers.len() as u64]);
            plan.numbers.iter().for_each(|(limit, of)| out("", &numbers(*limit, of)));
        }
        let mut tenants: Vec<_> = self.by_id.iter().collect();
        tenants.sort_unstable_by(|a, b| a.0.cmp(b.0));
        for (id, tenant) in tenants {
            out(id, &[u64::from(tenant.len)]);
            out(tenant.plan.and_then(|at| self.plan(at)).map_or("", |plan| &plan.name), &[]);
            for own in self.all_of(tenant) {
                out("", &numbers(own.limit, &own.numbers));
                out("", &[own.until.map_or(0, Timestamp::get)]);
            }
        }
    }

    /// The plans by name.
    pub(crate) fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The ids of all tenants, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(|id| &**id)
    }

    /// How many plans and tenants there are.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.plans.len(), self.by_id.len())
    }

    /// All numbers of a tenant's own, whether or not they are past their end, by limit.
    pub(crate) fn all_of(&self, tenant: &Tenant) -> &[Own] {
        let first = tenant.first as usize;
        self.own.get(first..first + tenant.len as usize).unwrap_or_default()
    }
}

impl Plan {
    /// The positions of the limits that it has numbers for.
    pub(crate) fn limits(&self) -> impl Iterator<Item = u32> {
        self.numbers.iter().map(|(limit, _)| *limit)
    }

    /// The plan's numbers for the limit at a position.
    pub(crate) fn numbers(&self, limit: u32) -> Option<&Numbers> {
        let at = self.numbers.binary_search_by_key(&limit, |(of, _)| *of).ok()?;
        self.numbers.get(at).map(|(_, numbers)| numbers)
    }
}

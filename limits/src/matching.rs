//! Which limits are about a request, and what it costs them.
//!
//! `charges` and `explain` both ask here, so that an explanation cannot differ from what happens.

mod cost;
mod index;
mod key;
mod paths;
mod readings;
mod routes;

use std::borrow::Cow;

use crate::attributes::Attributes;
use crate::policy::condition::Condition;
use crate::policy::pattern::Pattern;
use crate::policy::tenants::Tenant;
use crate::policy::{EndpointCost, Layer, Limit, Mode, Numbers, Policy, UNAUTHENTICATED};
use crate::time::{Timestamp, Tokens};
use index::Found;

pub(crate) use cost::CostFrom;
pub(crate) use index::LimitIndex;
pub(crate) use key::KeyValues;
pub(crate) use paths::PathIndex;
pub(crate) use routes::{Probe, Routes, sample};

/// A request as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'r> {
    attributes: &'r Attributes,
    method: Option<&'r str>,
    /// One reading of its path; the attribute `path`, unless another one is looked at.
    path: Option<&'r str>,
    /// The entry of `endpoint_costs` that matches best.
    endpoint: Option<&'r EndpointCost>,
    /// The cost that the caller states.
    stated: Option<Tokens>,
    /// What the files say of the request's tenant.
    tenant: Option<Tenant>,
    /// The position of the plan by the files, else by the attribute, where the files know it.
    plan: Option<u32>,
    /// The name of the plan; one of the attribute need not be in the files.
    plan_name: Option<&'r str>,
    /// What the address is counted as, where that is not the address itself.
    network: Option<&'r str>,
}

/// Why a limit does not apply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotApplied<'p> {
    /// The limit is disabled.
    Disabled,
    /// No pattern of its `match` matches.
    NoMatch,
    /// It is for unauthenticated requests and this one is authenticated.
    Authenticated,
    /// This part of its `when` does not hold.
    Condition(&'p Condition),
    /// The request has no such attribute, and the limit's key needs it.
    Missing(&'p str),
}

impl Policy {
    /// The value of an attribute of a request as limits see it: `endpoint` is what the policy
    /// says, whatever a caller states.
    #[must_use]
    pub fn value<'r>(&'r self, attributes: &'r Attributes, name: &str) -> Option<&'r str> {
        self.request(attributes, None).value(name)
    }

    /// The same as it names counters: of an address the network that counts as one.
    #[must_use]
    pub fn counted<'r>(&'r self, attributes: &'r Attributes, name: &str) -> Option<Cow<'r, str>> {
        let network = self.ip_prefix.network(attributes).filter(|_| name == "ip_address");
        network.map(Cow::Owned).or_else(|| self.value(attributes, name).map(Cow::Borrowed))
    }

    /// The request with its endpoint looked up.
    pub(crate) fn request<'r>(
        &'r self,
        attributes: &'r Attributes,
        stated: Option<Tokens>,
    ) -> Request<'r> {
        let (method, path) = (attributes.get("method"), attributes.get("path"));
        let endpoint = self.endpoint(method, path);
        let tenant = attributes.get("tenant_id").and_then(|id| self.tenants.tenant(id));
        let by_files = tenant.and_then(|tenant| tenant.plan);
        let name_by_files =
            by_files.and_then(|plan| self.tenants.plan(plan)).map(|plan| &*plan.name);
        let plan_name = name_by_files.or_else(|| attributes.get("plan"));
        let plan = by_files.or_else(|| self.tenants.plan_named(plan_name?));
        let network = None;
        Request { attributes, method, path, endpoint, stated, tenant, plan, plan_name, network }
    }

    /// The entry of `endpoint_costs` that matches best.
    fn endpoint(&self, method: Option<&str>, path: Option<&str>) -> Option<&EndpointCost> {
        let mut found = Found::new();
        self.endpoint_index.find(method, path, &mut found);
        let costs = found.iter().filter_map(|at| self.endpoint_costs.get(*at as usize));
        let matching = costs.filter(|entry| entry.pattern.matches_route(method, path));
        matching.max_by_key(|entry| entry.pattern.specificity())
    }

    /// The limits that apply, in the order of the policy, with their positions and the values of
    /// their keys.
    pub(crate) fn applying<'p, 'r>(
        &'p self,
        request: &Request<'r>,
    ) -> impl Iterator<Item = (u32, &'p Limit, KeyValues<'r>)> {
        self.limit_index.find(request).into_iter().filter_map(|at| {
            let limit = self.limits.get(at as usize)?;
            limit.applies(request).ok().map(|values| (at, limit, values))
        })
    }

    /// How many tokens pass the limit at a position, for this request, and who says so.
    pub(crate) fn numbers<'p>(
        &'p self,
        (at, limit): (u32, &'p Limit),
        request: &Request<'_>,
        now: Timestamp,
    ) -> (Numbers, Layer<'p>) {
        let own = request.tenant.and_then(|tenant| self.tenants.own(&tenant, at, now));
        let of_plan = || {
            // The counter of all requests without a tenant is none of a plan.
            request.attributes.get("tenant_id")?;
            let plan = self.tenants.plan(request.plan?)?;
            plan.numbers(at).map(|numbers| (numbers, Layer::Plan(&plan.name)))
        };
        let (numbers, layer) = own.or_else(of_plan).unwrap_or((&limit.numbers, Layer::Limit));
        (*numbers, layer)
    }
}

impl Limit {
    /// Whether this limit is about a request.
    ///
    /// # Errors
    /// The first reason why it is not.
    pub(crate) fn applies<'r>(
        &self,
        request: &Request<'r>,
    ) -> Result<KeyValues<'r>, NotApplied<'_>> {
        if self.mode == Mode::Disabled {
            return Err(NotApplied::Disabled);
        }
        let (method, path) = (request.method, request.path);
        let matches = |pattern: &Pattern| pattern.matches_route(method, path);
        if !self.patterns.is_empty() && !self.patterns.iter().any(matches) {
            return Err(NotApplied::NoMatch);
        }
        if let Some(condition) = &self.condition {
            if let Some(part) = condition.failing(&|name| request.fact(name)) {
                return Err(NotApplied::Condition(part));
            }
        } else if self.is_for_unauthenticated() && request.is_authenticated() {
            return Err(NotApplied::Authenticated);
        }
        self.key_values(request).map_err(NotApplied::Missing)
    }

    /// Whether the limit's name alone says that it is for requests without a proven identity.
    pub(crate) fn is_for_unauthenticated(&self) -> bool {
        *self.name == *UNAUTHENTICATED && self.condition.is_none()
    }
}

impl<'r> Request<'r> {
    /// The value of an attribute. `endpoint` is what the policy says, whatever a caller states,
    /// and `plan` too for tenants that it knows.
    fn value(&self, name: &str) -> Option<&'r str> {
        match name {
            "endpoint" => self.endpoint.map(|entry| entry.text.as_str()),
            "plan" => self.plan_name,
            "path" => self.path,
            _ => self.attributes.get(name),
        }
    }

    /// The same request, its address counted as this network.
    pub(crate) fn counted_as(self, network: Option<&'r str>) -> Self {
        Self { network, ..self }
    }

    /// The value that names a counter.
    pub(crate) fn counted(&self, name: &str) -> Option<&'r str> {
        match self.network {
            Some(network) if name == "ip_address" => Some(network),
            _ => self.value(name),
        }
    }

    /// The value that a condition sees. `cost` is what the caller states, where it does.
    pub(crate) fn fact(&self, name: &str) -> Option<Cow<'r, str>> {
        match (name, self.stated) {
            ("cost", Some(tokens)) => Some(tokens.get().to_string().into()),
            _ => self.value(name).map(Cow::Borrowed),
        }
    }

    /// Every attribute that may have a value, some perhaps twice.
    fn for_each_name(&self, mut each: impl FnMut(&str)) {
        self.attributes.iter().map(|(name, _)| name).for_each(&mut each);
        for given in ["endpoint", "plan"] {
            if self.attributes.get(given).is_none() && self.value(given).is_some() {
                each(given);
            }
        }
    }

    fn is_authenticated(&self) -> bool {
        self.attributes.get("authenticated") == Some("true")
    }
}

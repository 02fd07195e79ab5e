//! Which limits are about a request, and what it costs them.
//!
//! `charges` and `explain` both ask here, so that an explanation cannot differ from what happens.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::attributes::Attributes;
use crate::policy::condition::Condition;
use crate::policy::keys::MAX_KEY_ATTRIBUTES;
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::units::MAX_COST;
use crate::policy::{CostRule, EndpointCost, Limit, Mode, Policy, UNAUTHENTICATED};
use crate::time::Tokens;

/// How many leading literal segments of a path the index looks at.
const INDEXED_SEGMENTS: usize = 4;

/// Finds what may match a path without trying every pattern: a tree of the literal segments that
/// patterns begin with, and at each the positions, in the order of the policy, that begin so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    root: Branch,
    /// How many positions there are.
    len: u32,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    positions: Vec<u32>,
    below: HashMap<Box<str>, Branch>,
}

/// A request as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'r> {
    attributes: &'r Attributes,
    /// The entry of `endpoint_costs` that matches best.
    endpoint: Option<&'r EndpointCost>,
    /// The cost that the caller states.
    stated: Option<Tokens>,
}

/// The values of a limit's key attributes in a request, in the order of the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyValues<'r> {
    values: [&'r str; MAX_KEY_ATTRIBUTES],
    len: usize,
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

/// Where a cost came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostFrom<'p> {
    /// The number in the limit.
    Limit,
    /// An attribute of the request.
    Attribute(&'p str),
    /// The attribute is missing or not a number.
    BadAttribute(&'p str),
    /// The request states it.
    Stated,
    /// This entry of `endpoint_costs`.
    Endpoint(&'p str),
    /// Nothing says otherwise.
    Default,
}

impl Index {
    /// Indexes entries in the order of the policy; an entry without patterns matches everything.
    pub(crate) fn new<'p>(entries: impl Iterator<Item = &'p [Pattern]>) -> Self {
        let mut index = Self::default();
        for patterns in entries {
            let position = index.len;
            index.len = index.len.saturating_add(1);
            if patterns.is_empty() {
                index.root.add(position);
            }
            for pattern in patterns {
                index.root.descend(pattern).add(position);
            }
        }
        index
    }

    /// The positions that may match, in order, each once.
    fn candidates<'i>(&'i self, attributes: &Attributes) -> Candidates<'i> {
        let mut lists = [&[][..]; INDEXED_SEGMENTS + 1];
        if attributes.path_is_opaque() {
            return Candidates { lists, all: 0..self.len };
        }
        let path = attributes.get("path").unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let mut branch = Some(&self.root);
        for list in &mut lists {
            let Some(here) = branch else { break };
            *list = &here.positions;
            branch = segments.next().and_then(|segment| here.below.get(segment));
        }
        Candidates { lists, all: 0..0 }
    }
}

impl Branch {
    fn add(&mut self, position: u32) {
        if self.positions.last() != Some(&position) {
            self.positions.push(position);
        }
    }

    /// The branch of the literal segments that a pattern begins with, as many as are indexed.
    fn descend(&mut self, pattern: &Pattern) -> &mut Self {
        let mut branch = self;
        for segment in pattern.segments().iter().take(INDEXED_SEGMENTS) {
            let Segment::Literal(literal) = segment else { break };
            branch = branch.below.entry(literal.clone()).or_default();
        }
        branch
    }
}

/// Merges a few sorted lists of positions.
struct Candidates<'i> {
    lists: [&'i [u32]; INDEXED_SEGMENTS + 1],
    /// Used instead of the lists where everything is a candidate.
    all: std::ops::Range<u32>,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if let Some(position) = self.all.next() {
            return Some(position);
        }
        let least = self.lists.iter().filter_map(|list| list.first()).min().copied()?;
        for list in &mut self.lists {
            if let Some((first, rest)) = list.split_first()
                && *first == least
            {
                *list = rest;
            }
        }
        Some(least)
    }
}

impl Policy {
    /// The value of an attribute of a request as limits see it: `endpoint` is what the policy
    /// says, whatever a caller states.
    #[must_use]
    pub fn value<'r>(&'r self, attributes: &'r Attributes, name: &str) -> Option<&'r str> {
        self.request(attributes, None).value(name)
    }

    /// The request with its endpoint looked up.
    pub(crate) fn request<'r>(
        &'r self,
        attributes: &'r Attributes,
        stated: Option<Tokens>,
    ) -> Request<'r> {
        let costs = self.endpoint_index.candidates(attributes);
        let costs = costs.filter_map(|at| self.endpoint_costs.get(at as usize));
        let matching = costs.filter(|entry| entry.pattern.matches(attributes));
        let endpoint = if attributes.path_is_opaque() {
            // It matches every pattern of its method, so it pays the highest price among them.
            matching.reduce(|best, next| if next.cost > best.cost { next } else { best })
        } else {
            matching.max_by_key(|entry| entry.pattern.specificity())
        };
        Request { attributes, endpoint, stated }
    }

    /// The limits that apply, in the order of the policy, with the values of their keys.
    pub(crate) fn applying<'p, 'r>(
        &'p self,
        request: &Request<'r>,
    ) -> impl Iterator<Item = (&'p Limit, KeyValues<'r>)> {
        let limits = self.limit_index.candidates(request.attributes);
        let limits = limits.filter_map(|at| self.limits.get(at as usize));
        limits.filter_map(|limit| limit.applies(request).ok().map(|values| (limit, values)))
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
        let attributes = request.attributes;
        if !self.patterns.is_empty() && !self.patterns.iter().any(|p| p.matches(attributes)) {
            return Err(NotApplied::NoMatch);
        }
        if let Some(condition) = &self.condition {
            if let Some(part) = condition.failing(&|name| request.fact(name)) {
                return Err(NotApplied::Condition(part));
            }
        } else if self.is_for_unauthenticated() && request.is_authenticated() {
            return Err(NotApplied::Authenticated);
        }
        let mut values = [""; MAX_KEY_ATTRIBUTES];
        for (value, name) in values.iter_mut().zip(&self.key) {
            *value = request.value(name).ok_or(NotApplied::Missing(name))?;
        }
        Ok(KeyValues { values, len: self.key.len() })
    }

    /// Whether the limit's name alone says that it is for requests without a proven identity.
    pub(crate) fn is_for_unauthenticated(&self) -> bool {
        *self.name == *UNAUTHENTICATED && self.condition.is_none()
    }

    /// What the request costs this limit, and why.
    pub(crate) fn cost_of<'r>(&'r self, request: &Request<'r>) -> (Tokens, CostFrom<'r>) {
        match &self.cost {
            CostRule::Number(tokens) => (*tokens, CostFrom::Limit),
            CostRule::Attribute(name) => match request.value(name).and_then(amount) {
                Some(tokens) => (tokens, CostFrom::Attribute(name)),
                None => (Tokens::ONE, CostFrom::BadAttribute(name)),
            },
            CostRule::Endpoint => request.endpoint_cost(),
        }
    }
}

impl<'r> KeyValues<'r> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'r str> {
        self.values.iter().copied().take(self.len)
    }
}

impl<'r> Request<'r> {
    /// The value of an attribute. `endpoint` is what the policy says, whatever a caller states.
    fn value(&self, name: &str) -> Option<&'r str> {
        match name {
            "endpoint" => self.endpoint.map(|entry| entry.text.as_str()),
            _ => self.attributes.get(name),
        }
    }

    /// The value that a condition sees. `cost` is what the caller states, where it does.
    pub(crate) fn fact(&self, name: &str) -> Option<Cow<'r, str>> {
        match (name, self.stated) {
            ("cost", Some(tokens)) => Some(tokens.get().to_string().into()),
            _ => self.value(name).map(Cow::Borrowed),
        }
    }

    fn is_authenticated(&self) -> bool {
        self.attributes.get("authenticated") == Some("true")
    }

    fn endpoint_cost(&self) -> (Tokens, CostFrom<'r>) {
        let stated = self.stated.map(|tokens| Tokens::new(tokens.get().min(MAX_COST)));
        if let Some(tokens) = stated.or_else(|| self.attributes.get("cost").and_then(amount)) {
            return (tokens, CostFrom::Stated);
        }
        match self.endpoint {
            Some(entry) => (entry.cost, CostFrom::Endpoint(&entry.text)),
            None => (Tokens::ONE, CostFrom::Default),
        }
    }
}

/// The cost that an attribute states: decimal digits, at least 1, at most the largest cost.
fn amount(text: &str) -> Option<Tokens> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than fit are still a number, and a large one.
    digits.then(|| Tokens::new(text.parse().unwrap_or(MAX_COST).clamp(1, MAX_COST)))
}

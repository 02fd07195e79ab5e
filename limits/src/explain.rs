//! Why a request would pass or not: each limit of the policy, whether it applies and why.
//!
//! Offline, on fresh counters, through the same matching, charges and decision as a real request;
//! or beside a verdict that the service gave.

mod tree;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::attributes::Attributes;
use crate::counter::Wait;
use crate::matching::{CostFrom, KeyValues, NotApplied, Request};
use crate::policy::condition::Condition;
use crate::policy::units::instant_text;
use crate::policy::{DEFAULT, Layer, Limit, Numbers, Place, Policy};
use crate::time::{Timestamp, Tokens};
use crate::trial::Trial;
use crate::verdict::Verdict;

/// What a policy does with one request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether the request passes.
    pub allowed: bool,
    /// Why it does not; absent where it passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong with the request; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The limit that binds; `None` where none applies.
    pub limit_name: Option<String>,
    /// Tokens left of it after the request.
    pub remaining: Option<u64>,
    /// Milliseconds until the request would pass: absent where it passes, `null` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<Option<u64>>,
    /// The policy that was asked.
    pub policy_revision: String,
    /// Whether a limit answered without the shared store; absent where none did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    /// Every limit of the policy, in its order.
    pub limits: Vec<LimitExplanation>,
    /// Whether all counters were fresh.
    #[serde(skip)]
    pub fresh: bool,
}

/// What one limit has to do with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitExplanation {
    /// Its name.
    pub name: String,
    /// Whether it applies.
    pub applies: bool,
    /// Why it applies, or does not.
    pub why: String,
    /// The attributes that name its counter.
    pub key: Vec<String>,
    /// The most tokens that pass at once, for this request.
    pub limit: u64,
    /// Where that number comes from: `limit`, `plan`, `tenant` or `exception`, a tenant's number
    /// that has an end.
    pub layer: Cow<'static, str>,
    /// The plan that the number comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The end of an exception, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What people wrote about a tenant's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_why: Option<String>,
    /// The length of its window; of a quota the longest that its period may be.
    pub window_ms: u64,
    /// Tokens that come back in one window; only of a token bucket, whose `limit` is its burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refill: Option<u64>,
    /// The periods of a quota, for people: "month from day 15 in Europe/Madrid".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// How it counts.
    pub algorithm: Cow<'static, str>,
    /// What a denial does.
    pub mode: Cow<'static, str>,
    /// What it answers while the store does not; `None` where its file leaves that to the
    /// request's traffic class, and nobody knows the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_store_failure: Option<Cow<'static, str>>,
    /// Tokens that the request costs; `None` where the limit does not apply or nobody knows.
    pub cost: Option<u64>,
    /// Where the cost comes from.
    pub cost_from: Option<String>,
    /// Tokens used before the request: 0 on fresh counters; `None` where nobody knows.
    pub used: Option<u64>,
    /// Tokens left after the request; `None` where the limit does not apply.
    pub remaining: Option<u64>,
    /// Where the limit is written.
    pub source: Place,
}

/// Explains what the policy does with a request on fresh counters. `cost` is what the caller
/// states, in tokens.
#[must_use]
pub fn explain(
    policy: &Policy,
    attributes: &Attributes,
    cost: Option<Tokens>,
    now: Timestamp,
) -> Explanation {
    // A trial that has just begun takes any instant.
    let verdict = Trial::new(policy).check(now, attributes, cost);
    let verdict = verdict.unwrap_or_else(|_| Verdict::of(&[], &[]));
    let mut explanation = Explanation::of(policy, attributes, cost, &verdict, now);
    explanation.fresh = true;
    explanation.limits.iter_mut().for_each(|limit| limit.used = Some(0));
    explanation
}

/// Explains what the limits of the policy have to do with a request that got this verdict, in
/// their order, at the instant of the verdict. At most `most` of them, before all those that the
/// verdict is about.
///
/// What was used is told of limits that the store answered for.
#[must_use]
pub fn explain_verdict(
    policy: &Policy,
    attributes: &Attributes,
    cost: Option<Tokens>,
    verdict: &Verdict,
    now: Timestamp,
    most: usize,
) -> Vec<LimitExplanation> {
    let request = policy.request(attributes, cost);
    let mut said = verdict.limits.iter().peekable();
    let mut room_for_others = most.saturating_sub(verdict.limits.len());
    let explained = (0..).zip(policy.limits()).filter_map(|(at, limit)| {
        let counts = policy.numbers((at, limit), &request, now);
        let Some(said) = said.next_if(|said| said.name == limit.name) else {
            room_for_others = room_for_others.checked_sub(1)?;
            return Some(LimitExplanation::of(limit, counts, &request, None, None));
        };
        let charged = verdict.allowed && said.allowed;
        let taken = if charged { limit.cost_of(&request).0 } else { Tokens::ZERO };
        let left_before = said.remaining.plus(taken).get();
        let used = Tokens::new(said.limit.get().saturating_sub(left_before));
        let used = (!said.degraded).then_some(used);
        Some(LimitExplanation::of(limit, counts, &request, used, Some(said.remaining)))
    });
    explained.take(most).collect()
}

impl Explanation {
    /// Explains the verdict that the policy gave a request. `cost` is what the caller stated, in
    /// tokens.
    #[must_use]
    pub fn of(
        policy: &Policy,
        attributes: &Attributes,
        cost: Option<Tokens>,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Self {
        Self {
            allowed: verdict.allowed,
            reason: (!verdict.allowed).then(|| verdict.reason_text.clone()),
            detail: (!verdict.detail.is_empty()).then(|| verdict.detail.clone()),
            limit_name: verdict.limit_name().map(ToOwned::to_owned),
            remaining: verdict.remaining().map(Tokens::get),
            retry_after_ms: verdict.retry_after().map(Wait::to_millis_up),
            policy_revision: policy.revision().to_owned(),
            degraded: verdict.degraded,
            limits: explain_verdict(policy, attributes, cost, verdict, now, usize::MAX),
            fresh: false,
        }
    }
}

impl LimitExplanation {
    /// Where the number comes from, for people; `None` where it is the limit's own.
    #[must_use]
    pub fn layer_text(&self) -> Option<String> {
        let why = self.layer_why.iter().map(|why| format!(": {why}")).collect::<String>();
        match (&*self.layer, &self.plan, &self.until) {
            ("plan", Some(plan), _) => Some(format!("of the plan `{plan}`")),
            ("tenant", _, _) => Some(format!("the tenant's own{why}")),
            ("exception", _, Some(until)) => Some(format!("the tenant's own until {until}{why}")),
            _ => None,
        }
    }

    fn of(
        limit: &Limit,
        (numbers, layer): (Numbers, Layer<'_>),
        request: &Request<'_>,
        used: Option<Tokens>,
        remaining: Option<Tokens>,
    ) -> Self {
        let applies = limit.applies(request);
        let (cost, from) = limit.cost_of(request);
        let is_known = !matches!(from, CostFrom::NotANumber(_));
        let (word, plan, until, layer_why) = match layer {
            Layer::Limit => ("limit", None, None, None),
            Layer::Plan(name) => ("plan", Some(name), None, None),
            Layer::Tenant { why } => ("tenant", None, None, why),
            Layer::Exception { until, why } => ("exception", None, Some(until), why),
        };
        Self {
            name: limit.name.to_string(),
            applies: applies.is_ok(),
            why: match &applies {
                Ok(values) => why_it_applies(limit, request, values),
                Err(not) => why_not(limit, *not),
            },
            key: limit.key.clone(),
            limit: numbers.capacity().get(),
            layer: word.into(),
            plan: plan.map(ToOwned::to_owned),
            until: until.map(instant_text),
            layer_why: layer_why.map(ToOwned::to_owned),
            window_ms: limit.window.to_millis_up(),
            refill: numbers.burst.map(|_| numbers.limit.get()),
            period: limit.calendar.as_ref().map(ToString::to_string),
            algorithm: limit.algorithm.as_str().into(),
            mode: limit.mode.as_str().into(),
            on_store_failure: limit.on_store_failure.map(|rule| rule.as_str().into()),
            cost: applies.is_ok().then_some(cost.get()).filter(|_| is_known),
            cost_from: applies.is_ok().then(|| cost_text(from)),
            used: used.map(Tokens::get),
            remaining: remaining.map(Tokens::get),
            source: limit.place.clone(),
        }
    }
}

fn why_it_applies(limit: &Limit, request: &Request<'_>, values: &KeyValues<'_>) -> String {
    let mut parts = Vec::new();
    match limit.patterns.as_slice() {
        [] if *limit.name == *DEFAULT => {
            parts.push("`default` is for every request with its key".to_owned());
        }
        [] if limit.is_for_unauthenticated() => {}
        [] => parts.push("it has no match, so it is for every request".to_owned()),
        patterns => parts.push(format!("its match holds: {}", listed(patterns))),
    }
    if let Some(condition) = &limit.condition {
        parts.push(why_it_holds(condition, request));
    }
    if limit.is_for_unauthenticated() {
        parts.push("`unauthenticated` implies that authenticated is false, and it is".to_owned());
    }
    let missing: Vec<&str> = limit.missing(values).collect();
    let has = |name: &&String| !missing.contains(&name.as_str());
    let there: Vec<&String> = limit.key.iter().filter(has).collect();
    if limit.key.is_empty() {
        parts.push("it has no key: one counter for all".to_owned());
    } else if !there.is_empty() {
        parts.push(format!("the request has {}", listed(&there)));
    }
    if !missing.is_empty() {
        let what = match limit.needs(values) {
            Some(_) => "which it must have: `missing_key` is deny",
            None => "which counts as one value: `missing_key` is together",
        };
        parts.push(format!("the request has no {}, {what}", listed(&missing)));
    }
    parts.join("; ")
}

fn why_not(limit: &Limit, not: NotApplied<'_>) -> String {
    match not {
        NotApplied::Disabled => "its mode is disabled".to_owned(),
        NotApplied::NoMatch => format!("its match does not hold: {}", listed(&limit.patterns)),
        NotApplied::Authenticated => {
            "`unauthenticated` implies that authenticated is false, and it is true".to_owned()
        }
        NotApplied::Condition(part) => format!("its `when` does not hold: `{part}`"),
        NotApplied::Missing(attribute) => format!("the request has no `{attribute}`"),
    }
}

/// A condition that holds, and what of it nobody knows.
fn why_it_holds(condition: &Condition, request: &Request<'_>) -> String {
    let mut unknown = Vec::new();
    condition.unknown(&|name| request.fact(name), &mut unknown);
    let mut text = format!("its `when` holds: `{condition}`");
    for test in unknown {
        let name = &test.attribute;
        let what = match request.fact(name) {
            None => "is missing",
            Some(_) => "is not a value that can be compared so",
        };
        text.push_str(&format!(" (`{name}` {what}, so `{test}` holds)"));
    }
    text
}

fn cost_text(from: CostFrom<'_>) -> String {
    match from {
        CostFrom::Limit => "the limit's own cost".to_owned(),
        CostFrom::Attribute(name) => format!("the attribute `{name}`"),
        CostFrom::Missing(name) => format!("what the limit says for requests without `{name}`"),
        CostFrom::NotANumber(name) => {
            format!("the attribute `{name}` is no number, so nobody knows")
        }
        CostFrom::Stated => "the request states it".to_owned(),
        CostFrom::Endpoint(pattern) => format!("endpoint_costs `{pattern}`"),
        CostFrom::Default => "nothing says otherwise".to_owned(),
    }
}

fn listed(items: &[impl fmt::Display]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

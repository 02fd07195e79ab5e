//! The fields of one limit that differ, each with what that does to what can pass.

use std::collections::BTreeSet;

use super::{Detail, Effect, capacity, words};
use crate::policy::condition::Condition;
use crate::policy::{CostRule, Limit, MissingKey, Mode, OnStoreFailure, Penalty};
use Effect::{Looser, Neither, Stricter};

/// Every field that means something else now.
pub(super) fn compare(old: &Limit, new: &Limit) -> Vec<Detail> {
    let mut details = Details(Vec::new());
    let numbers = |limit: &Limit| Some(words::numbers(limit, &limit.numbers));
    let same_numbers =
        old.algorithm == new.algorithm && old.window == new.window && old.numbers == new.numbers;
    if numbers(old) != numbers(new) || !same_numbers {
        let effect = capacity::effect((old, &old.numbers), (new, &new.numbers));
        details.add("limit", numbers(old), numbers(new), effect);
    } else {
        // For a concurrency limit the hold is a part of the numbers.
        let hold = |limit: &Limit| Some(crate::policy::units::window_text(limit.hold));
        details.compare("hold", hold(old), hold(new), Effect::None);
    }
    let key = |limit: &Limit| (!limit.key.is_empty()).then(|| limit.key.join(", "));
    details.compare("key", key(old), key(new), by_key(&old.key, &new.key));
    let missing_key = |limit: &Limit| Some(limit.missing_key.as_str().to_owned());
    let effect = by_missing_key(old.missing_key, new.missing_key);
    details.compare("missing_key", missing_key(old), missing_key(new), effect);
    let (before, after) = (words::patterns(old), words::patterns(new));
    details.compare("match", before, after, by_patterns(old, new));
    let condition = |limit: &Limit| limit.condition.as_ref().map(ToString::to_string);
    let effect = match (&old.condition, &new.condition) {
        (None, Some(_)) => Looser,
        (Some(_), None) => Stricter,
        _ => Neither,
    };
    // The order of parts means nothing.
    let meaning = |limit: &Limit| limit.condition.as_ref().map(Condition::canonical);
    if meaning(old) != meaning(new) {
        details.add("when", condition(old), condition(new), effect);
    }
    let cost = |limit: &Limit| Some(words::cost(&limit.cost));
    details.compare("cost", cost(old), cost(new), by_cost(&old.cost, &new.cost));
    let mode = |limit: &Limit| Some(limit.mode.as_str().to_owned());
    details.compare("mode", mode(old), mode(new), by_mode(old.mode, new.mode));
    let penalty = |limit: &Limit| limit.penalty.as_ref().map(words::penalty);
    let effect = by_penalty(old.penalty.as_ref(), new.penalty.as_ref());
    details.compare("penalty", penalty(old), penalty(new), effect);
    rest(&mut details, old, new);
    details.0
}

/// What does not change what can pass while the store answers.
fn rest(details: &mut Details, old: &Limit, new: &Limit) {
    let failure = |limit: &Limit| limit.on_store_failure.map(|rule| rule.as_str().to_owned());
    let effect = by_failure(old.on_store_failure, new.on_store_failure);
    details.compare("on_store_failure", failure(old), failure(new), effect);
    let none = Effect::None;
    let alerts = |limit: &Limit| {
        let alerts: Vec<_> = limit.alert_at.iter().map(|percent| format!("{percent}%")).collect();
        (!alerts.is_empty()).then(|| alerts.join(", "))
    };
    details.compare("alert_at", alerts(old), alerts(new), none);
    details.compare("reason", old.reason.clone(), new.reason.clone(), none);
    let accuracy = |limit: &Limit| Some(limit.accuracy.as_str().to_owned());
    details.compare("accuracy", accuracy(old), accuracy(new), none);
    let max_keys = |limit: &Limit| Some(words::amount_text(limit.max_keys));
    details.compare("max_keys", max_keys(old), max_keys(new), none);
    let counters = |limit: &Limit| {
        let (name, key) = limit.counter();
        Some(if key.is_empty() { name.to_owned() } else { format!("{name} by {}", key.join(", ")) })
    };
    // Other names are other counters: every key begins anew, once.
    let (before, after) = (counters(old), counters(new));
    details.compare("counters", before, after, none);
}

struct Details(Vec<Detail>);

impl Details {
    fn add(
        &mut self,
        field: &'static str,
        before: Option<String>,
        after: Option<String>,
        effect: Effect,
    ) {
        self.0.push(Detail { field, limit: None, before, after, effect });
    }

    fn compare(
        &mut self,
        field: &'static str,
        before: Option<String>,
        after: Option<String>,
        effect: Effect,
    ) {
        if before != after {
            self.add(field, before, after, effect);
        }
    }
}

/// More attributes make more counters, about fewer requests.
fn by_key(old: &[String], new: &[String]) -> Effect {
    let set = |key: &[String]| -> BTreeSet<String> { key.iter().cloned().collect() };
    by_sets(&set(old), &set(new), Looser)
}

/// More patterns are about more requests; none are about all.
fn by_patterns(old: &Limit, new: &Limit) -> Effect {
    let set = |limit: &Limit| -> BTreeSet<String> {
        limit.patterns.iter().map(ToString::to_string).collect()
    };
    let (old, new) = (set(old), set(new));
    match (old.is_empty(), new.is_empty()) {
        (true, false) => Looser,
        (false, true) => Stricter,
        _ => by_sets(&old, &new, Stricter),
    }
}

fn by_sets(old: &BTreeSet<String>, new: &BTreeSet<String>, with_more: Effect) -> Effect {
    let with_less = if with_more == Looser { Stricter } else { Looser };
    match (old.is_subset(new), new.is_subset(old)) {
        (true, false) => with_more,
        (false, true) => with_less,
        _ => Neither,
    }
}

fn by_cost(old: &CostRule, new: &CostRule) -> Effect {
    match (old, new) {
        (CostRule::Number(old), CostRule::Number(new)) if new > old => Stricter,
        (CostRule::Number(old), CostRule::Number(new)) if new < old => Looser,
        (
            CostRule::Attribute { of: one, missing: old },
            CostRule::Attribute { of: other, missing: new },
        ) if one == other && new != old => {
            if new > old {
                Stricter
            } else {
                Looser
            }
        }
        _ => Neither,
    }
}

/// What is counted is stricter than what is left alone, and a refusal stricter than both.
fn by_missing_key(old: MissingKey, new: MissingKey) -> Effect {
    let rank = |word| match word {
        MissingKey::Skip => 0,
        MissingKey::Together => 1,
        MissingKey::Deny => 2,
    };
    if rank(new) > rank(old) { Stricter } else { Looser }
}

fn by_mode(old: Mode, new: Mode) -> Effect {
    match (old == Mode::Enforce, new == Mode::Enforce) {
        (false, true) => Stricter,
        (true, false) => Looser,
        _ => Effect::None,
    }
}

fn by_penalty(old: Option<&Penalty>, new: Option<&Penalty>) -> Effect {
    let within = |inner: &Penalty, outer: &Penalty| {
        inner.after <= outer.after && inner.within == outer.within && inner.block >= outer.block
    };
    match (old, new) {
        (None, Some(_)) => Stricter,
        (Some(_), None) => Looser,
        (Some(old), Some(new)) if within(new, old) => Stricter,
        (Some(old), Some(new)) if within(old, new) => Looser,
        _ => Neither,
    }
}

/// What changes while the store is away; nothing said is the rule of the traffic class.
fn by_failure(old: Option<OnStoreFailure>, new: Option<OnStoreFailure>) -> Effect {
    let rank = |rule| match rule {
        OnStoreFailure::Allow => 0,
        OnStoreFailure::Local => 1,
        OnStoreFailure::Deny => 2,
    };
    match (old.map(rank), new.map(rank)) {
        (Some(old), Some(new)) if new > old => Stricter,
        (Some(old), Some(new)) if new < old => Looser,
        _ => Neither,
    }
}

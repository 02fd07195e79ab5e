//! What changes in meaning from one policy to another, whatever their files look like.
//!
//! Stricter and looser are about what can pass: a change is *stricter* where every series of
//! requests that passes now would have passed before, and *looser* the other way round. What is
//! neither, or cannot be told, is just a change.

mod capacity;
mod fields;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::{EndpointCost, Limit, Mode, Policy};

pub use words::amount_text;

/// All that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whether the two policies mean the same.
    pub equal: bool,
    /// The revision of the old policy.
    pub old_revision: String,
    /// The revision of the new policy.
    pub new_revision: String,
    /// What changes: limits in the order of the new policy, then those that are gone, then costs.
    pub changes: Vec<Change>,
}

/// What changes about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is.
    pub what: What,
    /// Its name: of the limit, or the pattern of the endpoint.
    pub name: String,
    /// How it changes.
    pub change: Kind,
    /// What it was called before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What in particular.
    pub details: Vec<Detail>,
}

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The key in the file, or a word for several that belong together.
    pub field: &'static str,
    /// What it said; `None` where nothing.
    pub before: Option<String>,
    /// What it says; `None` where nothing.
    pub after: Option<String>,
    /// What that does to what can pass.
    pub effect: Effect,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A limit.
    Limit,
    /// An entry of `endpoint_costs`.
    EndpointCost,
    /// The order of the limits, which decides which of equals is named.
    Order,
}

/// How a thing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Less can pass.
    Tightened,
    /// More can pass.
    Loosened,
    /// Neither stricter nor looser.
    Changed,
}

/// What a field's change does to what can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Less can pass.
    Stricter,
    /// More can pass.
    Looser,
    /// Other requests can pass, or it cannot be told.
    Neither,
    /// What can pass stays the same.
    None,
}

/// Compares two policies.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Difference {
    let mut changes = limits(old, new);
    changes.extend(endpoint_costs(&old.endpoint_costs, &new.endpoint_costs));
    Difference {
        equal: old.revision() == new.revision(),
        old_revision: old.revision().to_owned(),
        new_revision: new.revision().to_owned(),
        changes,
    }
}

fn limits(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut before: BTreeMap<&str, &Limit> =
        old.limits().iter().map(|limit| (&*limit.name, limit)).collect();
    let mut changes = Vec::new();
    let mut order = Vec::new();
    for limit in new.limits() {
        // A limit of the same name is that limit, whatever `was` says besides.
        let was = limit.was.as_ref().map(|was| &*was.name);
        let found = before.remove(&*limit.name).or_else(|| before.remove(was?));
        match found {
            None => changes.push(whole(limit, Kind::Added)),
            Some(old) => {
                order.push(&*old.name);
                changes.extend(one(old, limit));
            }
        }
    }
    let gone = |limit: &&Limit| before.contains_key(&*limit.name);
    changes.extend(old.limits().iter().filter(gone).map(|limit| whole(limit, Kind::Removed)));
    let stayed = old.limits().iter().map(|limit| &*limit.name).filter(|name| order.contains(name));
    if !stayed.eq(order.iter().copied()) {
        changes.push(Change {
            what: What::Order,
            name: order.join(", "),
            change: Kind::Changed,
            was: None,
            details: Vec::new(),
        });
    }
    changes
}

/// A limit that is new or gone.
fn whole(limit: &Limit, change: Kind) -> Change {
    let (added, effect) = match (change, limit.mode) {
        (Kind::Added, Mode::Enforce) => (true, Effect::Stricter),
        (Kind::Added, _) => (true, Effect::None),
        (_, Mode::Enforce) => (false, Effect::Looser),
        _ => (false, Effect::None),
    };
    let text = Some(words::summary(limit));
    let (before, after) = if added { (None, text) } else { (text, None) };
    let details = vec![Detail { field: "limit", before, after, effect }];
    Change { what: What::Limit, name: limit.name.to_string(), change, was: None, details }
}

/// A limit that is in both.
fn one(old: &Limit, new: &Limit) -> Option<Change> {
    let was = (old.name != new.name).then(|| old.name.to_string());
    let details = fields::compare(old, new);
    if details.is_empty() && was.is_none() {
        return None;
    }
    let change = kind(old, new, &details);
    Some(Change { what: What::Limit, name: new.name.to_string(), change, was, details })
}

/// What the changes of a limit come to.
fn kind(old: &Limit, new: &Limit, details: &[Detail]) -> Kind {
    // A limit that denies nothing before and after changes nothing of what can pass.
    if old.mode != Mode::Enforce && new.mode != Mode::Enforce {
        return Kind::Changed;
    }
    // From or to a limit that denies nothing, only that counts.
    if old.mode != new.mode {
        return if new.mode == Mode::Enforce { Kind::Tightened } else { Kind::Loosened };
    }
    let has = |effect| details.iter().any(|detail| detail.effect == effect);
    match (has(Effect::Stricter), has(Effect::Looser), has(Effect::Neither)) {
        (true, false, false) => Kind::Tightened,
        (false, true, false) => Kind::Loosened,
        _ => Kind::Changed,
    }
}

fn endpoint_costs(old: &[EndpointCost], new: &[EndpointCost]) -> Vec<Change> {
    let by_text = |costs: &[EndpointCost]| -> BTreeMap<String, u64> {
        costs.iter().map(|entry| (entry.text.clone(), entry.cost.get())).collect()
    };
    let (old, new) = (by_text(old), by_text(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &String| {
        let (before, after) = (old.get(name), new.get(name));
        let (change, effect) = match (before, after) {
            (None, _) => (Kind::Added, Effect::Neither),
            (_, None) => (Kind::Removed, Effect::Neither),
            (Some(before), Some(after)) if after > before => (Kind::Tightened, Effect::Stricter),
            (Some(before), Some(after)) if after < before => (Kind::Loosened, Effect::Looser),
            _ => return None,
        };
        let text = |cost: Option<&u64>| cost.map(|cost| amount_text(*cost));
        let (before, after) = (text(before), text(after));
        let details = vec![Detail { field: "cost", before, after, effect }];
        Some(Change { what: What::EndpointCost, name: name.clone(), change, was: None, details })
    };
    names.into_iter().filter_map(change).collect()
}

//! What changes in meaning from one policy to another, whatever their files look like.
//!
//! Stricter and looser are about what can pass: a change is *stricter* where every series of
//! requests that passes now would have passed before, and *looser* the other way round. What is
//! neither, or cannot be told, is just a change.

mod capacity;
mod fields;
mod paths;
mod side;
mod tenants;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::{EndpointCost, Limit, Mode, Policy};
use crate::time::Timestamp;

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
    /// What changes: limits in the order of the new policy, then those that are gone, costs, plans,
    /// tenants in groups, the largest first, and which paths are refused. Empty where the two mean
    /// the same, and only there.
    pub changes: Vec<Change>,
}

/// What changes about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is.
    pub what: What,
    /// Its name: of the limit, the plan, the setting, or the first of the tenants; the pattern of
    /// the endpoint.
    pub name: String,
    /// The ids of all tenants that it is about, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// How it changes.
    pub change: Kind,
    /// What it was called before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What in particular.
    pub details: Vec<Detail>,
}

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Detail {
    /// The key in the file, or a word for several that belong together.
    pub field: &'static str,
    /// The limit whose numbers change for a plan or for tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
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
    /// A plan.
    Plan,
    /// Tenants that all change in the same way.
    Tenants,
    /// The order of the limits, which decides which of equals is named.
    Order,
    /// A setting of how paths are read, or what begins or ends to be refused for it.
    Paths,
}

/// How a thing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// A limit in both policies, or in one, with its positions.
#[derive(Clone, Copy)]
struct Pair<'p> {
    old: Option<(u32, &'p Limit)>,
    new: Option<(u32, &'p Limit)>,
}

/// Compares two policies, each with the settings that it was compiled for, at an instant: a
/// tenant's numbers that are past their end then do not count.
#[must_use]
pub fn diff(old: &Policy, new: &Policy, at: Timestamp) -> Difference {
    let pairs = pairs(old, new);
    let mut changes: Vec<Change> = pairs.iter().filter_map(Pair::change).collect();
    changes.extend(order(old, &pairs));
    changes.extend(endpoint_costs(&old.endpoint_costs, &new.endpoint_costs));
    changes.extend(tenants::Both { old, new, pairs: &pairs, at }.changes());
    changes.extend(paths::changes(old, new));
    Difference {
        equal: old.revision() == new.revision(),
        old_revision: old.revision().to_owned(),
        new_revision: new.revision().to_owned(),
        changes,
    }
}

/// All limits in the order of the new policy, then those that are gone.
fn pairs<'p>(old: &'p Policy, new: &'p Policy) -> Vec<Pair<'p>> {
    let mut before: BTreeMap<&str, (u32, &Limit)> =
        old.limits().iter().zip(0..).map(|(limit, at)| (&*limit.name, (at, limit))).collect();
    let mut pairs = Vec::with_capacity(new.limits().len());
    for (limit, at) in new.limits().iter().zip(0..) {
        // A limit of the same name is that limit, whatever `was` says besides.
        let was = limit.was.as_ref().map(|was| &*was.name);
        let old = before.remove(&*limit.name).or_else(|| before.remove(was?));
        pairs.push(Pair { old, new: Some((at, limit)) });
    }
    let mut gone: Vec<_> = before.into_values().collect();
    gone.sort_unstable_by_key(|(at, _)| *at);
    pairs.extend(gone.into_iter().map(|old| Pair { old: Some(old), new: None }));
    pairs
}

impl Pair<'_> {
    fn change(&self) -> Option<Change> {
        match (self.old, self.new) {
            (Some((_, old)), Some((_, new))) => one(old, new),
            (None, Some((_, new))) => Some(whole(new, Kind::Added)),
            (Some((_, old)), None) => Some(whole(old, Kind::Removed)),
            (None, None) => None,
        }
    }
}

/// The limits that are in both, where they stand in another order.
fn order(old: &Policy, pairs: &[Pair<'_>]) -> Option<Change> {
    let both = pairs.iter().filter(|pair| pair.new.is_some()).filter_map(|pair| pair.old);
    let positions: Vec<u32> = both.map(|(at, _)| at).collect();
    if positions.is_sorted() {
        return None;
    }
    let names = positions.iter().filter_map(|at| old.limits().get(*at as usize));
    let names: Vec<&str> = names.map(|limit| &*limit.name).collect();
    Some(Change::of(What::Order, names.join(", "), Kind::Changed, Vec::new()))
}

impl Change {
    fn of(what: What, name: String, change: Kind, details: Vec<Detail>) -> Self {
        Self { what, name, tenants: Vec::new(), change, was: None, details }
    }
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
    let details = vec![Detail { field: "limit", limit: None, before, after, effect }];
    Change::of(What::Limit, limit.name.to_string(), change, details)
}

/// A limit that is in both.
fn one(old: &Limit, new: &Limit) -> Option<Change> {
    let was = (old.name != new.name).then(|| old.name.to_string());
    let details = fields::compare(old, new);
    if details.is_empty() && was.is_none() {
        return None;
    }
    let change = kind(old, new, &details);
    Some(Change { was, ..Change::of(What::Limit, new.name.to_string(), change, details) })
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
    kind_of(details)
}

fn kind_of(details: &[Detail]) -> Kind {
    match together(details) {
        Effect::Stricter => Kind::Tightened,
        Effect::Looser => Kind::Loosened,
        Effect::Neither | Effect::None => Kind::Changed,
    }
}

/// What several fields together do to what can pass.
fn together(details: &[Detail]) -> Effect {
    let has = |effect| details.iter().any(|detail| detail.effect == effect);
    match (has(Effect::Stricter), has(Effect::Looser), has(Effect::Neither)) {
        (true, false, false) => Effect::Stricter,
        (false, true, false) => Effect::Looser,
        (false, false, false) => Effect::None,
        _ => Effect::Neither,
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
        let details = vec![Detail { field: "cost", limit: None, before, after, effect }];
        Some(Change::of(What::EndpointCost, name.clone(), change, details))
    };
    names.into_iter().filter_map(change).collect()
}

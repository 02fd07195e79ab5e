//! What changes about paths that servers read in different ways: how they are read, and which of
//! them begin to be refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Detail, Effect, What, kind_of};
use crate::attributes::{PathFault, PathSetting};
use crate::matching::{Probe, Routes};
use crate::policy::Policy;

/// How many refused requests are named for each cause, as examples.
const SHOWN: usize = 3;

/// The settings that change, and what is refused now and was not before, or the other way round.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut details: BTreeMap<String, Vec<Detail>> = BTreeMap::new();
    for setting in PathSetting::ALL {
        let of = |policy: &Policy| Some(policy.paths().meaning(*setting).to_owned());
        let (before, after) = (of(old), of(new));
        if before != after {
            let effect = Effect::Neither;
            let detail = Detail { field: "setting", limit: None, before, after, effect };
            details.entry(setting.to_string()).or_default().push(detail);
        }
    }
    let (old, new) = (Routes::new(old), Routes::new(new));
    let probes: BTreeSet<Probe> = old.probes().into_iter().chain(new.probes()).collect();
    let mut begins: BTreeMap<String, Vec<Probe>> = BTreeMap::new();
    let mut ends: BTreeMap<String, Vec<Probe>> = BTreeMap::new();
    for probe in probes {
        match (old.fault(&probe), new.fault(&probe)) {
            (None, Some(fault)) => begins.entry(name(fault)).or_default().push(probe),
            (Some(fault), None) => ends.entry(name(fault)).or_default().push(probe),
            _ => {}
        }
    }
    for (name, probes) in begins {
        let after = Some(listed(&probes));
        let (field, effect) = ("refuses", Effect::Stricter);
        let detail = Detail { field, limit: None, before: None, after, effect };
        details.entry(name).or_default().push(detail);
    }
    for (name, probes) in ends {
        let before = Some(listed(&probes));
        let (field, effect) = ("refuses", Effect::Looser);
        let detail = Detail { field, limit: None, before, after: None, effect };
        details.entry(name).or_default().push(detail);
    }
    let change = |(name, details): (String, Vec<Detail>)| {
        Change::of(What::Paths, name, kind_of(&details), details)
    };
    details.into_iter().map(change).collect()
}

/// What a change is told under: the setting, or what a path has.
fn name(fault: PathFault) -> String {
    match fault {
        PathFault::Ambiguous(setting) => setting.to_string(),
        other => other.cause().to_owned(),
    }
}

fn listed(probes: &[Probe]) -> String {
    let shown = probes.iter().take(SHOWN).map(|(method, target)| format!("{method} {target}"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match probes.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more like these"),
        _ => shown,
    }
}

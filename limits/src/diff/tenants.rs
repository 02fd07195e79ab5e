//! What changes about plans and tenants: which numbers count for whom.
//!
//! There may be many tenants, so those that change in the same way are told of once.

use std::collections::{BTreeSet, HashMap};

use super::side::{Said, Side};
use super::{Change, Detail, Kind, Pair, What, kind_of, together};
use crate::policy::{Limit, Policy};
use crate::time::Timestamp;

/// Two policies with their limits side by side.
pub(super) struct Both<'p> {
    pub(super) old: &'p Policy,
    pub(super) new: &'p Policy,
    pub(super) pairs: &'p [Pair<'p>],
    /// When exceptions are past their end or not.
    pub(super) at: Timestamp,
}

/// What both policies say of a tenant; `None` where it is not named.
#[derive(Clone, Copy)]
struct Told<'p> {
    old: Option<Said<'p>>,
    new: Option<Said<'p>>,
}

/// Which limits are told of.
type Differs<'p> = fn(Option<&Side<'p>>, Option<&Side<'p>>) -> bool;

impl<'p> Both<'p> {
    /// The plans that change by name, then groups of tenants, the largest first.
    pub(super) fn changes(&self) -> Vec<Change> {
        let by_old = self.by_old();
        let mut changes = self.plans(&by_old);
        changes.extend(self.tenants(&by_old));
        changes
    }

    /// The position among the pairs of each limit of the old policy.
    fn by_old(&self) -> HashMap<u32, usize> {
        let old = self.pairs.iter().zip(0..).filter_map(|(pair, index)| Some((pair.old?.0, index)));
        old.collect()
    }

    fn plans(&self, by_old: &HashMap<u32, usize>) -> Vec<Change> {
        let (old, new) = (&self.old.tenants, &self.new.tenants);
        let names: BTreeSet<&str> =
            old.plans().iter().chain(new.plans()).map(|plan| &*plan.name).collect();
        let change = |name: &str| {
            let told = Told { old: Said::plan(old, name), new: Said::plan(new, name) };
            let details = self.details(told, by_old, Side::differ_by_plan);
            Some(Change::of(What::Plan, name.to_owned(), told.kind(&details)?, details))
        };
        names.into_iter().filter_map(change).collect()
    }

    fn tenants(&self, by_old: &HashMap<u32, usize>) -> Vec<Change> {
        let (old, new) = (&self.old.tenants, &self.new.tenants);
        let ids: BTreeSet<&str> = old.ids().chain(new.ids()).collect();
        // Most have a plan and nothing else: these are looked at once for each pair of plans.
        let mut bare: HashMap<_, (Told<'p>, Vec<&str>)> = HashMap::new();
        let mut groups: HashMap<(Kind, Vec<Detail>), Vec<String>> = HashMap::new();
        for id in ids {
            let told = Told { old: Said::tenant(old, id), new: Said::tenant(new, id) };
            if told.is_bare() {
                bare.entry(told.plans()).or_insert((told, Vec::new())).1.push(id);
            } else if let Some(group) = self.group(told, by_old) {
                groups.entry(group).or_default().push(id.to_owned());
            }
        }
        for (told, ids) in bare.into_values() {
            if let Some(group) = self.group(told, by_old) {
                groups.entry(group).or_default().extend(ids.into_iter().map(ToOwned::to_owned));
            }
        }
        let change = |((kind, details), mut tenants): ((Kind, Vec<Detail>), Vec<String>)| {
            tenants.sort_unstable();
            let first = tenants.first().cloned().unwrap_or_default();
            Change { tenants, ..Change::of(What::Tenants, first, kind, details) }
        };
        let mut changes: Vec<_> = groups.into_iter().map(change).collect();
        let size = |change: &Change| std::cmp::Reverse(change.tenants.len());
        changes.sort_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.name.cmp(&b.name)));
        changes
    }

    /// How a tenant changes, if it does.
    fn group(&self, told: Told<'p>, by_old: &HashMap<u32, usize>) -> Option<(Kind, Vec<Detail>)> {
        let [before, after] = [told.old, told.new].map(|said| Some(said?.plan?.name.to_string()));
        let details = if before == after {
            // What its plan itself changes is told of the plan.
            self.details(told, by_old, Side::differ_by_tenant)
        } else {
            let mut details = self.details(told, by_old, Side::differ_by_both);
            let effect = together(&details);
            details.insert(0, Detail { field: "plan", limit: None, before, after, effect });
            details
        };
        Some((told.kind(&details)?, details))
    }

    /// The limits whose numbers change, among those that something is said of.
    fn details(
        &self,
        told: Told<'p>,
        by_old: &HashMap<u32, usize>,
        differ: Differs<'p>,
    ) -> Vec<Detail> {
        let (old, new) = (told.old.unwrap_or_default(), told.new.unwrap_or_default());
        // The pairs begin with the limits of the new policy.
        let after = new.limits().map(|limit| limit as usize);
        let before = old.limits().filter_map(|limit| by_old.get(&limit).copied());
        let concerned: BTreeSet<usize> = after.chain(before).collect();
        let detail = |pair: &Pair<'p>| {
            let before = pair.old.map(|(at, limit)| old.side(at, limit, self.at));
            let after = pair.new.map(|(at, limit)| new.side(at, limit, self.at));
            let limit: Option<&Limit> = pair.new.or(pair.old).map(|(_, limit)| limit);
            differ(before.as_ref(), after.as_ref()).then(|| Detail {
                field: "numbers",
                limit: limit.map(|limit| limit.name.to_string()),
                effect: Side::effect(before.as_ref(), after.as_ref()),
                before: before.map(|side| side.text()),
                after: after.map(|side| side.text()),
            })
        };
        concerned.into_iter().filter_map(|index| detail(self.pairs.get(index)?)).collect()
    }
}

impl<'p> Told<'p> {
    /// Whether nothing but plans is said.
    fn is_bare(&self) -> bool {
        [self.old, self.new].iter().flatten().all(|said| said.own.is_empty())
    }

    /// Whether it is named, and its plan, before and after.
    fn plans(&self) -> [Option<Option<&'p str>>; 2] {
        [self.old, self.new].map(|said| Some(said?.plan.map(|plan| &*plan.name)))
    }

    fn kind(&self, details: &[Detail]) -> Option<Kind> {
        match (self.old.is_some(), self.new.is_some()) {
            (false, true) => Some(Kind::Added),
            (true, false) => Some(Kind::Removed),
            _ => (!details.is_empty()).then(|| kind_of(details)),
        }
    }
}

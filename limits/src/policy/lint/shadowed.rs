//! Limits that can never deny, because another one denies before them.

use std::collections::{HashMap, HashSet};

use super::reach::{Covering, covers};
use super::{Lint, applies_with, code};
use crate::policy::condition::Condition;
use crate::policy::{Algorithm, CostRule, Limit, MissingKey, Mode};

/// Limits that count alike are compared: the same tokens, by the same algorithm, under the same
/// key and condition.
type Kind<'p> = (Algorithm, &'p CostRule, Vec<&'p str>, Option<String>);

impl Lint<'_> {
    /// Limits for whose every request another limit applies that is at least as tight.
    pub(super) fn shadowed(&mut self) {
        let policy = self.policy;
        let mut kinds: HashMap<Kind<'_>, Vec<(usize, &Limit)>> = HashMap::new();
        // Of limits with numbers for plans and tenants nobody can say which is the tighter.
        let changed = policy.tenants.changed();
        let enforcing =
            policy.limits.iter().enumerate().filter(|(position, limit)| {
                limit.mode == Mode::Enforce && !changed.contains(position)
            });
        for (position, limit) in enforcing.clone() {
            let mut key: Vec<&str> = limit.key.iter().map(String::as_str).collect();
            key.sort_unstable();
            let kind = (limit.algorithm, &limit.cost, key, condition(limit));
            kinds.entry(kind).or_default().push((position, limit));
        }
        let keys: HashSet<Vec<&str>> = kinds.keys().map(|(_, _, key, _)| key.clone()).collect();
        let kinds: HashMap<_, _> = kinds
            .into_iter()
            .map(|(kind, limits)| (kind, Covering::new(limits.into_iter())))
            .collect();
        for (position, limit) in enforcing {
            if self.is_exhausted() {
                break;
            }
            let parts = parts(&limit.key, &keys);
            // Looking one up takes as long as a few comparisons.
            self.comparisons += 4 * parts.len();
            let conditions = [None, condition(limit)];
            let conditions = conditions.get(usize::from(limit.condition.is_none())..);
            let tighter = parts
                .into_iter()
                .flat_map(|key| conditions.into_iter().flatten().map(move |c| (key.clone(), c)))
                .filter_map(|(key, condition)| {
                    kinds.get(&(limit.algorithm, &limit.cost, key, condition.clone()))
                })
                .flat_map(|covering| covering.of(limit))
                .find(|other| {
                    let other = (*other, policy.limits.get(*other));
                    let (at, Some(other)) = other else { return false };
                    at != position && self.may_compare() && denies_first(other, limit)
                        // Of two that are alike the later one is too many.
                        && (at < position || !denies_first(limit, other))
                });
            if let Some(other) = tighter.and_then(|at| policy.limits.get(at)) {
                let message = format!(
                    "limit `{}` never denies: `{}` at {}:{} is for the same requests, and tighter",
                    limit.name, other.name, other.place.file, other.place.line
                );
                let help = "remove it, or lower its numbers";
                self.about(position, |places| places.name, code::NEVER_DENIES, message, help);
            }
        }
    }
}

/// What a limit's condition means; the same text for the same meaning.
fn condition(limit: &Limit) -> Option<String> {
    limit.condition.as_ref().map(Condition::canonical)
}

/// Whether one limit denies every request that the other would, both having the same algorithm
/// and costs, and the first one's key being a part of the other's.
fn denies_first(tight: &Limit, loose: &Limit) -> bool {
    let (few, many) = (tight.numbers.limit.get(), loose.numbers.limit.get());
    let numbers = few <= many
        && match tight.algorithm {
            Algorithm::SlidingWindow => sliding_denies_first(tight, loose),
            Algorithm::TokenBucket => {
                tight.window == loose.window && tight.numbers.burst <= loose.numbers.burst
            }
            Algorithm::FixedWindow => tight.window.get().is_multiple_of(loose.window.get()),
            Algorithm::Calendar => tight.calendar == loose.calendar,
            Algorithm::Concurrency => tight.hold >= loose.hold,
        };
    numbers
        // Away from the store each answers by its own rule.
        && tight.on_store_failure == loose.on_store_failure
        // A quota may be there to tell how much of it is used.
        && loose.alert_at.is_empty()
        && applies_with(tight, loose)
        && counts_all_of(tight, loose)
        && covers(tight, loose)
}

/// Whether a limit counts every request that has what the other needs for its key, of which its
/// own is a part.
fn counts_all_of(tight: &Limit, loose: &Limit) -> bool {
    let same = tight.missing_key == loose.missing_key && tight.key.len() == loose.key.len();
    match loose.missing_key {
        MissingKey::Skip => true,
        MissingKey::Together => same || tight.key.is_empty(),
        MissingKey::Deny => same,
    }
}

/// Whether a sliding window with no more tokens is the tighter one. Above 64 tokens one counts
/// takes together, for up to a sixty-fourth of its window longer than they last.
fn sliding_denies_first(tight: &Limit, loose: &Limit) -> bool {
    let (long, short) = (tight.window.get(), loose.window.get());
    let (few, many) = (tight.numbers.limit.get(), loose.numbers.limit.get());
    let same_log = many <= 64 || (few > 64 && long == short && tight.key == loose.key);
    let longer = long.saturating_sub(short) >= short.div_ceil(64);
    long >= short && (longer || same_log || many / 2 >= few)
}

/// The sorted keys, of all that there are, that have no other attributes than these.
fn parts<'k>(key: &'k [String], keys: &HashSet<Vec<&'k str>>) -> Vec<Vec<&'k str>> {
    let mut sorted: Vec<&str> = key.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let subsets = 1_usize << sorted.len();
    if keys.len() <= subsets {
        let part = |part: &&Vec<&str>| part.iter().all(|name| sorted.contains(name));
        return keys.iter().filter(part).cloned().collect();
    }
    let subset = |chosen: usize| {
        let is_chosen = |(at, _): &(usize, &&'k str)| chosen >> at & 1 == 1;
        sorted.iter().enumerate().filter(is_chosen).map(|(_, name)| *name).collect()
    };
    (0..subsets).map(subset).collect()
}

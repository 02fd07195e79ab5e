//! Limits by the requests that they are about.

use std::collections::HashMap;

use super::{Lint, code};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::{Limit, MissingKey};

/// How many leading literal segments are looked at.
const INDEXED_SEGMENTS: usize = 4;

/// Finds limits whose `match` may cover that of another, without comparing all of them.
pub(super) struct Covering(HashMap<String, Vec<usize>>);

impl Covering {
    /// Indexes the limits at these positions.
    pub(super) fn new<'p>(limits: impl Iterator<Item = (usize, &'p Limit)>) -> Self {
        let mut index: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, limit) in limits {
            let mut add = |prefix: String| {
                let positions = index.entry(prefix).or_default();
                if positions.last() != Some(&position) {
                    positions.push(position);
                }
            };
            if limit.patterns.is_empty() {
                add(String::new());
            }
            limit.patterns.iter().for_each(|pattern| add(prefix(pattern)));
        }
        Self(index)
    }

    /// The limits that may cover a limit: those whose patterns begin as its first one does.
    pub(super) fn of(&self, limit: &Limit) -> impl Iterator<Item = usize> {
        let prefix = limit.patterns.first().map(prefix).unwrap_or_default();
        let ends = prefix.match_indices('/').map(|(at, _)| at).chain([prefix.len()]);
        let prefixes: Vec<String> = ends.map(|end| prefix[..end].to_owned()).collect();
        prefixes.into_iter().filter_map(|prefix| self.0.get(&prefix)).flatten().copied()
    }
}

impl Lint<'_> {
    /// Patterns whose requests another pattern of the same `match` has too.
    pub(super) fn repeated_patterns(&mut self) {
        let mut found = Vec::new();
        for (position, limit) in self.limits() {
            for (at, pattern) in limit.patterns.iter().enumerate() {
                let others = limit.patterns.iter().enumerate().filter(|(other, _)| *other != at);
                // Of two that say the same the later one is too many.
                let mut covering = others
                    .filter(|(other, wider)| {
                        wider.covers(pattern) && (*other < at || !pattern.covers(wider))
                    })
                    .map(|(_, wider)| wider);
                if let Some(wider) = covering.next() {
                    let message = format!("`{pattern}` is part of `{wider}`");
                    found.push((position, at, message));
                }
            }
        }
        for (position, at, message) in found {
            let place = |places: &super::LimitPlaces| {
                places.patterns.get(at).copied().unwrap_or(places.name)
            };
            self.about(position, place, code::REPEATED_PATTERN, message, "remove it");
        }
    }

    /// Limits whose key needs an endpoint where no endpoint has a cost, and so a name.
    pub(super) fn endpoint_keys(&mut self) {
        let needing: Vec<_> = self
            .limits()
            .filter(|(_, limit)| limit.missing_key == MissingKey::Skip)
            .filter(|(_, limit)| limit.key.iter().any(|attribute| attribute == "endpoint"))
            .map(|(position, _)| position)
            .collect();
        for position in needing {
            let policy = self.policy;
            let Some(limit) = policy.limits.get(position) else { continue };
            let reached = policy
                .endpoint_costs
                .iter()
                .any(|entry| !self.may_compare() || may_match(limit, &entry.pattern));
            if !reached {
                let message = format!(
                    "limit `{}` never applies: no request that it is about has an `endpoint`",
                    limit.name
                );
                let help = "`endpoint` is the entry of `endpoint_costs` that matches: add entries";
                self.about(position, |places| places.key, code::NEVER_APPLIES, message, help);
            }
        }
    }
}

/// Whether a limit's `match` holds for every request for which the other's does.
pub(super) fn covers(wide: &Limit, narrow: &Limit) -> bool {
    let each = |pattern: &Pattern| wide.patterns.iter().any(|wide| wide.covers(pattern));
    wide.patterns.is_empty() || (!narrow.patterns.is_empty() && narrow.patterns.iter().all(each))
}

/// Whether a limit's `match` holds for some request that a pattern matches.
pub(super) fn may_match(limit: &Limit, pattern: &Pattern) -> bool {
    limit.patterns.is_empty() || limit.patterns.iter().any(|own| own.overlaps(pattern))
}

/// The literal segments that a pattern begins with, each with a `/` before it.
fn prefix(pattern: &Pattern) -> String {
    let mut prefix = String::new();
    for segment in pattern.segments().iter().take(INDEXED_SEGMENTS) {
        let Segment::Literal(literal) = segment else { break };
        prefix.push('/');
        prefix.push_str(literal);
    }
    prefix
}

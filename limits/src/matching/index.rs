//! Finds the limits that may apply without asking every limit.
//!
//! Three things that a request is, or has, rule out whole sets of limits at one look: the value of
//! an attribute that a limit's `when` compares for equality, the attributes of its `key` that have
//! to be there, and the method and path of its `match`. What is found is a superset of what
//! applies: [`super::Request`] is asked about each.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::Request;
use super::paths::PathIndex;
use crate::policy::condition::Is;
use crate::policy::{Limit, MissingKey, Mode};

/// Positions in the policy.
pub(crate) type Found = SmallVec<[u32; 32]>;

/// The limits of a policy by what rules them out.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitIndex {
    /// Limits that compare no attribute for equality.
    others: KeyIndex,
    /// The others, by the attribute that they compare.
    selected: Vec<Selected>,
}

/// Limits that compare one attribute with texts for equality.
#[derive(Clone, Debug)]
struct Selected {
    attribute: Box<str>,
    values: HashMap<Box<str>, KeyIndex>,
    /// All of them but those that need the attribute for their key: a comparison with what is
    /// missing holds.
    missing: KeyIndex,
}

/// Limits by the attributes that they need for their keys: each stands behind all of its own, the
/// rarest first. A request goes only where it has the attribute.
#[derive(Clone, Debug, Default)]
struct KeyIndex {
    here: PathIndex,
    below: Vec<(Box<str>, Self)>,
}

/// How often things are named in a policy: what is rare rules out more.
struct Counts<'p> {
    keys: HashMap<&'p str, usize>,
    values: HashMap<(&'p str, &'p str), usize>,
}

impl LimitIndex {
    /// Indexes the limits of a policy; those that are disabled are left out.
    pub(crate) fn new(limits: &[Limit]) -> Self {
        let counts = Counts::of(limits);
        let mut index = Self::default();
        for (position, limit) in (0..).zip(limits) {
            if limit.mode != Mode::Disabled {
                index.add(position, limit, &counts);
            }
        }
        index
    }

    fn add(&mut self, position: u32, limit: &Limit, counts: &Counts<'_>) {
        let Some((attribute, values)) = counts.selector(limit) else {
            for key in counts.needed(limit) {
                self.others.add(&key, position, limit);
            }
            return;
        };
        let selected = self.selected_by(attribute);
        for key in counts.needed(limit) {
            for value in values {
                let of_value = selected.values.entry(value.clone()).or_default();
                of_value.add(&key, position, limit);
            }
            if !key.contains(&attribute) {
                selected.missing.add(&key, position, limit);
            }
        }
    }

    fn selected_by(&mut self, attribute: &str) -> &mut Selected {
        let at = self.selected.iter().position(|selected| *selected.attribute == *attribute);
        let at = at.unwrap_or_else(|| {
            let (values, missing) = (HashMap::new(), KeyIndex::default());
            self.selected.push(Selected { attribute: attribute.into(), values, missing });
            self.selected.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found or pushed just above")]
        &mut self.selected[at]
    }

    /// The positions of the limits that may apply, in order, each once.
    pub(crate) fn find(&self, request: &Request<'_>) -> Found {
        let mut found = Found::new();
        self.others.find(request, &mut found);
        for selected in &self.selected {
            match request.value(&selected.attribute) {
                None => selected.missing.find(request, &mut found),
                Some(value) => {
                    if let Some(of_value) = selected.values.get(value) {
                        of_value.find(request, &mut found);
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl KeyIndex {
    fn add(&mut self, key: &[&str], position: u32, limit: &Limit) {
        let Some((first, rest)) = key.split_first() else {
            return self.here.add(position, &limit.patterns);
        };
        let at = self.below.binary_search_by(|(name, _)| (**name).cmp(first));
        let at = at.unwrap_or_else(|at| {
            self.below.insert(at, ((*first).into(), Self::default()));
            at
        });
        if let Some((_, below)) = self.below.get_mut(at) {
            below.add(rest, position, limit);
        }
    }

    fn find(&self, request: &Request<'_>, found: &mut Found) {
        self.here.find(request.method, request.path, found);
        if self.below.len() <= request.attributes.len() {
            let there = self.below.iter().filter(|(name, _)| request.value(name).is_some());
            return there.for_each(|(_, below)| below.find(request, found));
        }
        // Fewer attributes than branches: each is looked up, with those that the policy gives.
        request.for_each_name(|name| {
            let at = self.below.binary_search_by(|(known, _)| (**known).cmp(name));
            if let Some((_, below)) = at.ok().and_then(|at| self.below.get(at)) {
                below.find(request, found);
            }
        });
    }
}

impl<'p> Counts<'p> {
    fn of(limits: &'p [Limit]) -> Self {
        let mut counts = Self { keys: HashMap::new(), values: HashMap::new() };
        for limit in limits {
            for name in &limit.key {
                *counts.keys.entry(name).or_default() += 1;
            }
            for (attribute, values) in equalities(limit) {
                for value in values {
                    *counts.values.entry((attribute, value)).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The attributes that a request needs for a limit to apply: all of one of these.
    fn needed<'l>(&self, limit: &'l Limit) -> Vec<Vec<&'l str>> {
        let mut key: Vec<&str> = limit.key.iter().map(String::as_str).collect();
        // One order for all limits, or one set of attributes would stand in many places.
        key.sort_by_key(|name| (self.keys.get(name).copied(), *name));
        match limit.missing_key {
            MissingKey::Skip => vec![key],
            MissingKey::Together => key.into_iter().map(|name| vec![name]).collect(),
            MissingKey::Deny => vec![Vec::new()],
        }
    }

    /// The comparison of a limit that rules it out most often.
    fn selector<'l>(&self, limit: &'l Limit) -> Option<(&'l str, &'l [Box<str>])> {
        equalities(limit).min_by_key(|(attribute, values)| {
            let of = |value: &str| self.values.get(&(*attribute, value)).copied();
            values.iter().filter_map(|value| of(value)).sum::<usize>()
        })
    }
}

/// The comparisons for equality that all have to hold.
fn equalities(limit: &Limit) -> impl Iterator<Item = (&str, &[Box<str>])> {
    let tests = limit.condition.iter().flat_map(|condition| condition.conjuncts());
    tests.filter_map(|test| match &test.is {
        Is::Text { among, negated: false } => Some((&*test.attribute, &**among)),
        _ => None,
    })
}

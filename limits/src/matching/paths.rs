//! Finds what may match a method and path without trying every pattern.

use std::collections::HashMap;

use super::index::Found;
use crate::attributes::Attributes;
use crate::policy::pattern::{Pattern, Segment};

/// How many leading segments of a path are looked at. A request walks down at most two branches at
/// each, so at most 2^8.
const INDEXED_SEGMENTS: usize = 8;

/// Entries of a policy by their patterns: a tree of the method and the leading segments, and at
/// each branch the positions, in the order of the policy, of the entries that may match there.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathIndex {
    /// Entries without patterns: they match every request.
    always: Vec<u32>,
    methods: Branch,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    /// Patterns that end here.
    here: Vec<u32>,
    /// Patterns that go on in a way that is not looked at: `**`, or many segments.
    beyond: Vec<u32>,
    below: HashMap<Box<str>, Self>,
    /// Any one method or segment.
    any: Option<Box<Self>>,
}

impl PathIndex {
    /// Indexes entries in the order of the policy; an entry without patterns matches everything.
    pub(crate) fn new<'p>(entries: impl Iterator<Item = &'p [Pattern]>) -> Self {
        let mut index = Self::default();
        for (position, patterns) in (0..).zip(entries) {
            index.add(position, patterns);
        }
        index
    }

    /// Adds the entry at a position.
    pub(super) fn add(&mut self, position: u32, patterns: &[Pattern]) {
        if patterns.is_empty() {
            push(&mut self.always, position);
        }
        for pattern in patterns {
            let mut branch = self.methods.step(pattern.method());
            let mut indexed = 0;
            for segment in pattern.segments().iter().take(INDEXED_SEGMENTS) {
                branch = match segment {
                    Segment::Literal(literal) => branch.step(Some(literal)),
                    Segment::Param(_) | Segment::Any => branch.step(None),
                    Segment::Rest => break,
                };
                indexed += 1;
            }
            let all = indexed == pattern.segments().len();
            push(if all { &mut branch.here } else { &mut branch.beyond }, position);
        }
    }

    /// Finds the positions whose patterns may match.
    pub(crate) fn find(&self, attributes: &Attributes, found: &mut Found) {
        found.extend_from_slice(&self.always);
        let Some(path) = attributes.get("path") else { return };
        let named = attributes.get("method").and_then(|method| self.methods.below.get(method));
        let any = self.methods.any.as_deref();
        for method in named.into_iter().chain(any) {
            if attributes.path_is_opaque() {
                // Every pattern of the method matches it.
                method.all(found);
            } else {
                let path = path.strip_prefix('/').unwrap_or(path);
                method.find((!path.is_empty()).then_some(path), found);
            }
        }
    }
}

impl Branch {
    /// The branch below for a text, or for any.
    fn step(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.below.entry(text.into()).or_default(),
            None => self.any.get_or_insert_default(),
        }
    }

    /// `rest` is what follows of the path, without its leading slash; none at its end.
    fn find(&self, rest: Option<&str>, found: &mut Found) {
        found.extend_from_slice(&self.beyond);
        let Some(rest) = rest else {
            return found.extend_from_slice(&self.here);
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        let literal = self.below.get(segment);
        literal.into_iter().chain(self.any.as_deref()).for_each(|next| next.find(rest, found));
    }

    fn all(&self, found: &mut Found) {
        found.extend_from_slice(&self.here);
        found.extend_from_slice(&self.beyond);
        self.below.values().chain(self.any.as_deref()).for_each(|branch| branch.all(found));
    }
}

/// Keeps positions in order, each once.
fn push(positions: &mut Vec<u32>, position: u32) {
    if positions.last() != Some(&position) {
        positions.push(position);
    }
}

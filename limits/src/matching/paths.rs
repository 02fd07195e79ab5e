//! Finds what may match a method and path without trying every pattern.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::index::Found;
use crate::policy::pattern::{GET, HEAD, Pattern, Segment};

/// How many leading segments of a path are looked at. A request walks down at most two branches at
/// each, so at most 2^8 for each of its method, any method and, for `HEAD`, `GET`.
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

    /// Visits what may match together: for every kind of method and path that some pattern names,
    /// the positions whose patterns may match, some more than once. Kinds whose positions are part
    /// of another's are left out.
    pub(crate) fn each_way(&self, visit: &mut impl FnMut(&[u32]) -> ControlFlow<()>) {
        let any = self.methods.any.as_deref();
        let mut ways: Vec<Vec<&Branch>> = Vec::new();
        for (name, branch) in &self.methods.below {
            let get = (**name == *HEAD).then(|| self.methods.below.get(GET)).flatten();
            ways.push([Some(branch), get, any].into_iter().flatten().collect());
        }
        if ways.is_empty() {
            ways.push(any.into_iter().collect());
        }
        for branches in ways {
            if each_path(&branches, &self.always, visit).is_break() {
                return;
            }
        }
    }

    /// Finds the positions whose patterns may match a method and a canonical path.
    pub(crate) fn find(&self, method: Option<&str>, path: Option<&str>, found: &mut Found) {
        found.extend_from_slice(&self.always);
        let Some(path) = path.and_then(|path| path.strip_prefix('/')) else { return };
        let path = (!path.is_empty()).then_some(path);
        let named = [method, method.filter(|method| *method == HEAD).map(|_| GET)];
        let named = named.into_iter().flatten().filter_map(|name| self.methods.below.get(name));
        let any = self.methods.any.as_deref();
        named.chain(any).for_each(|method| method.find(path, found));
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
}

/// Visits what may match together below branches that one path leads to; `found` is what matches by
/// the way there.
fn each_path(
    branches: &[&Branch],
    found: &[u32],
    visit: &mut impl FnMut(&[u32]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let beyond = branches.iter().flat_map(|branch| &branch.beyond).copied();
    let found: Vec<u32> = found.iter().copied().chain(beyond).collect();
    let here = branches.iter().flat_map(|branch| &branch.here).copied();
    visit(&found.iter().copied().chain(here).collect::<Vec<_>>())?;
    let any: Vec<&Branch> = branches.iter().filter_map(|branch| branch.any.as_deref()).collect();
    let literals: BTreeSet<&str> =
        branches.iter().flat_map(|branch| branch.below.keys()).map(|key| &**key).collect();
    // The slash at the end of a path is no segment of its own.
    let is_end = |literal: &str| literal.is_empty();
    for literal in &literals {
        let any = any.iter().filter(|_| !is_end(literal)).copied();
        let below = branches.iter().filter_map(|branch| branch.below.get(*literal));
        each_path(&below.chain(any).collect::<Vec<_>>(), &found, visit)?;
    }
    // What any segment leads to is part of what a literal leads to.
    if literals.iter().all(|literal| is_end(literal)) && !any.is_empty() {
        each_path(&any, &found, visit)?;
    }
    ControlFlow::Continue(())
}

/// Keeps positions in order, each once.
fn push(positions: &mut Vec<u32>, position: u32) {
    if positions.last() != Some(&position) {
        positions.push(position);
    }
}

//! What is likely not meant in a policy that compiles: each finding is a warning with its place.
//!
//! Lints say what is sure, and nothing where they cannot be sure.

mod callers;
mod conditions;
mod costs;
mod crowded;
mod missing;
mod paths;
mod reach;
mod shadowed;

use std::collections::BTreeSet;

use super::problem::{At, Problem, Problems, code};
use super::{Compiled, Limit, Mode, Policy};
use crate::time::Timestamp;

/// The most pairs of limits, or of limits and costs, that are compared. What a policy has beyond
/// is not looked at.
const MAX_COMPARISONS: usize = 5_000_000;

/// What a policy runs in, as far as lints look at it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The instant at which exceptions may have expired.
    pub now: Timestamp,
    /// What the settings of the service say; `None` where they are not known.
    pub service: Option<Service>,
}

/// What the settings of the service say.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// The attributes that they map from what a gateway brings.
    pub attributes: BTreeSet<String>,
    /// Whether they say whose address a gateway's request has.
    pub says_whose_address: bool,
    /// Those of them that a client cannot leave out of its own accord: claims of a token that was
    /// verified, and what the operator says.
    pub vouched_for: BTreeSet<String>,
    /// The attribute whose presence makes a request authenticated.
    pub proof: Option<String>,
    /// Whether a request that no limit applies to is denied.
    pub denies_unmatched: bool,
}

/// Where the parts of a policy stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// By limit, in the order of the policy.
    pub(crate) limits: Vec<LimitPlaces>,
    /// By entry of `endpoint_costs`.
    pub(crate) endpoint_costs: Vec<Spot>,
    /// The first file, where a finding is about the policy as a whole.
    pub(crate) first_file: String,
}

/// A place in one of several files.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) file: String,
    pub(crate) at: At,
}

/// Where the parts of one limit stand; its name where it has no such part.
#[derive(Clone, Debug)]
pub(crate) struct LimitPlaces {
    pub(crate) name: At,
    pub(crate) key: At,
    pub(crate) cost: At,
    pub(crate) when: At,
    pub(crate) patterns: Vec<At>,
}

/// What lints look at, and what they found.
struct Lint<'c> {
    policy: &'c Policy,
    places: &'c Places,
    comparisons: usize,
    found: Vec<Finding>,
}

struct Finding {
    spot: Spot,
    code: &'static str,
    message: String,
    help: String,
}

impl Compiled {
    /// Everything that is likely not meant: the warnings of the compiler, and what shows only in
    /// the whole policy and its surroundings.
    #[must_use]
    pub fn lints(&self, surroundings: &Surroundings) -> Vec<Problem> {
        let mut lint =
            Lint { policy: &self.policy, places: &self.places, comparisons: 0, found: Vec::new() };
        lint.shadowed();
        lint.contradictions();
        lint.unknown_endpoints();
        lint.gets_without_heads();
        lint.repeated_patterns();
        lint.endpoint_keys();
        lint.costs();
        lint.crowded();
        let chosen = lint.chosen_keys();
        lint.may_be_missing(surroundings.service.as_ref(), &chosen);
        lint.anonymous(surroundings.service.as_ref());
        lint.addresses(surroundings.service.as_ref());
        lint.undelivered(surroundings.service.as_ref());
        lint.unsaid_case(surroundings.service.as_ref());
        let mapped = surroundings.service.as_ref().map(|service| &service.attributes);
        let known = |problem: &&Problem| match (problem.code, mapped) {
            (code::UNMAPPED_ATTRIBUTE, Some(mapped)) => {
                !mapped.iter().any(|name| problem.message.contains(&format!("`{name}`")))
            }
            _ => true,
        };
        let expired = self.policy.expired(surroundings.now);
        lint.finish(self.warnings.iter().filter(known).chain(&expired))
    }
}

impl Lint<'_> {
    /// The limits that are looked at, with their positions.
    fn limits(&self) -> impl Iterator<Item = (usize, &Limit)> {
        let limits = self.policy.limits.iter().enumerate();
        limits.filter(|(_, limit)| limit.mode != Mode::Disabled)
    }

    /// Whether there may be one more comparison.
    fn may_compare(&mut self) -> bool {
        self.comparisons += 1;
        !self.is_exhausted()
    }

    /// Whether no more may be compared.
    const fn is_exhausted(&self) -> bool {
        self.comparisons > MAX_COMPARISONS
    }

    /// Reports something about a limit.
    fn about(
        &mut self,
        position: usize,
        place: impl Fn(&LimitPlaces) -> At,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        let limit = self.policy.limits.get(position);
        let places = self.places.limits.get(position);
        if let (Some(limit), Some(places)) = (limit, places) {
            let spot = Spot { file: limit.place.file.clone(), at: place(places) };
            self.found.push(Finding { spot, code, message, help: help.to_owned() });
        }
    }

    /// All warnings by file and place.
    fn finish<'p>(self, warnings: impl Iterator<Item = &'p Problem>) -> Vec<Problem> {
        let mut all = self.found;
        for Problem { code, message, file, line, column, help, .. } in warnings {
            let at = At { line: *line, column: *column };
            let spot = Spot { file: file.clone(), at };
            let (message, help) = (message.clone(), help.clone().unwrap_or_default());
            all.push(Finding { spot, code, message, help });
        }
        // By file: within one, the problems sort themselves by place.
        all.sort_by(|a, b| a.spot.file.cmp(&b.spot.file));
        let mut problems = Problems::default();
        let mut file = None;
        for Finding { spot, code, message, help } in all {
            if file.as_ref() != Some(&spot.file) {
                problems.begin(&spot.file);
            }
            problems.warning(spot.at, code, message, &help);
            file = Some(spot.file);
        }
        problems.finish()
    }
}

/// Whether a limit applies wherever the other one does, if its `match` and key do.
fn applies_with(limit: &Limit, other: &Limit) -> bool {
    let same = limit.condition.is_some() && limit.condition == other.condition;
    same || (limit.condition.is_none() && !limit.is_for_unauthenticated())
}

//! Requests that more limits may charge than one request may have.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

use super::{Lint, code};
use crate::charge::MAX_CHARGES;
use crate::matching::PathIndex;
use crate::policy::condition::{Is, Order, Test};
use crate::policy::problem::shown;
use crate::policy::{Limit, MissingKey, Mode};

/// What every request of a gateway has: no comparison holds because it is missing.
const ALWAYS_THERE: [&str; 4] = ["authenticated", "host", "method", "path"];

/// The positions of the limits that each value of one attribute leaves, and those that its absence
/// leaves.
#[derive(Default)]
struct Choices<'l> {
    values: HashMap<Cow<'l, str>, Vec<usize>>,
    absent: Vec<usize>,
}

impl Lint<'_> {
    /// Requests that may be refused because too many limits apply. A request has one method, one
    /// path, and one value or none of each attribute that conditions compare for equality; what
    /// else conditions say is taken to hold.
    pub(super) fn crowded(&mut self) {
        let policy = self.policy;
        let enabled = |(_, limit): &(usize, &Limit)| limit.mode != Mode::Disabled;
        let limits: Vec<_> = policy.limits.iter().enumerate().filter(enabled).collect();
        if limits.len() <= MAX_CHARGES {
            return;
        }
        let paths = PathIndex::new(limits.iter().map(|(_, limit)| &*limit.patterns));
        let mut crowd = Vec::new();
        paths.each_way(&mut |found| {
            // Looking at one limit takes about as long as comparing two.
            self.comparisons += found.len();
            if self.is_exhausted() {
                return ControlFlow::Break(());
            }
            let mut found = found.to_vec();
            found.sort_unstable();
            found.dedup();
            crowd = at_once(found.iter().filter_map(|at| limits.get(*at as usize).copied()));
            if crowd.len() > MAX_CHARGES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let (Some(last), Some(first)) = (crowd.get(MAX_CHARGES), crowd.first()) else { return };
        let Some(first) = policy.limits.get(*first) else { return };
        let message = format!(
            "one request may be charged by {} limits, from `{}` to this one and beyond; one with \
             more than {MAX_CHARGES} is refused",
            crowd.len(),
            shown(&first.name)
        );
        let help = "one limit with numbers of its own for plans and tenants counts as one; or let \
                    `match` and equalities in `when` exclude each other, with `has(x)` where `x` \
                    may be missing";
        let last = *last;
        self.about(last, |places| places.name, code::CROWDED, message, help);
    }
}

/// The most of these limits that one request can meet, as far as equalities tell, in their order:
/// never too few.
fn at_once<'l>(limits: impl Iterator<Item = (usize, &'l Limit)>) -> Vec<usize> {
    let mut met = Vec::new();
    let mut choices: HashMap<&str, Choices<'_>> = HashMap::new();
    for (position, limit) in limits {
        // Of several comparisons the first rules out enough, or nothing does.
        let Some((attribute, values)) = equality(limit) else {
            met.push(position);
            continue;
        };
        let of = choices.entry(attribute).or_default();
        if may_lack(limit, attribute) {
            of.absent.push(position);
        }
        for value in values {
            of.values.entry(value).or_default().push(position);
        }
    }
    for Choices { values, absent } in choices.into_values() {
        // Of equals the first in the file, so that a warning stays where it is.
        let order = |one: &Vec<usize>| (one.len(), std::cmp::Reverse(one.first().copied()));
        met.extend(values.into_values().chain([absent]).max_by_key(order).unwrap_or_default());
    }
    met.sort_unstable();
    met
}

/// The first attribute that a condition compares for equality, and the values that it may have.
fn equality(limit: &Limit) -> Option<(&str, Vec<Cow<'_, str>>)> {
    let mut tests = limit.condition.iter().flat_map(|condition| condition.conjuncts());
    tests.find_map(|test| Some((&*test.attribute, values_of(test)?)))
}

fn values_of(test: &Test) -> Option<Vec<Cow<'_, str>>> {
    match &test.is {
        Is::Text { among, negated: false } => {
            Some(among.iter().map(|text| Cow::Borrowed(&**text)).collect())
        }
        Is::Numbers { among, negated: false } => {
            Some(among.iter().map(|number| number.to_string().into()).collect())
        }
        Is::Number { order: Order::Equal, than } => Some(vec![than.to_string().into()]),
        Is::Flag(flag) => Some(vec![if *flag { "true" } else { "false" }.into()]),
        _ => None,
    }
}

/// Whether a request without the attribute meets the limit's comparison with it.
fn may_lack(limit: &Limit, attribute: &str) -> bool {
    let is_asked_for = limit.condition.as_ref().is_some_and(|when| when.needs(attribute));
    let is_needed =
        limit.missing_key == MissingKey::Skip && limit.key.iter().any(|name| name == attribute);
    !is_asked_for && !is_needed && !ALWAYS_THERE.contains(&attribute)
}

//! Conditions that contradict themselves, or ask for what no request has.

use std::collections::HashSet;

use super::{LimitPlaces, Lint, code};
use crate::policy::Limit;
use crate::policy::condition::{Condition, Is, Test};
use crate::policy::pattern::{GET, HEAD};
use crate::policy::problem::shown;

impl Lint<'_> {
    /// Conditions with two parts that no value meets: only what nobody knows meets both.
    pub(super) fn contradictions(&mut self) {
        let policy = self.policy;
        for (position, limit) in policy.limits.iter().enumerate() {
            let Some((one, other)) = self.contradiction(limit) else { continue };
            let message = format!("no request meets both `{one}` and `{other}`");
            let help = match one.is {
                Is::There(_) => "the limit never applies: remove one of them".to_owned(),
                _ => format!(
                    "the limit is only for requests without `{}`: remove one, or write `||`",
                    one.attribute
                ),
            };
            let place = |places: &LimitPlaces| places.when;
            self.about(position, place, code::CONTRADICTION, message, &help);
        }
    }

    /// Endpoints in conditions that are no entry of `endpoint_costs`: no request has them.
    pub(super) fn unknown_endpoints(&mut self) {
        let policy = self.policy;
        let entries: HashSet<&str> =
            policy.endpoint_costs.iter().map(|entry| entry.text.as_str()).collect();
        for (position, limit) in policy.limits.iter().enumerate() {
            let tests = limit.condition.iter().flat_map(Condition::tests);
            let texts = tests.filter(|test| *test.attribute == *"endpoint").flat_map(|test| {
                let Is::Text { among, .. } = &test.is else { return &[][..] };
                &**among
            });
            for text in texts.filter(|text| !entries.contains(&***text)) {
                let message = format!("no entry of `endpoint_costs` is `{}`", shown(text));
                let help = "a request that no entry matches has no `endpoint`, and so meets the \
                            condition: add the entry, or use `match`";
                self.about(position, |places| places.when, code::UNKNOWN_ENDPOINT, message, help);
            }
        }
    }

    /// Conditions on the method `GET` that leave out `HEAD`, which servers answer by the same code.
    pub(super) fn gets_without_heads(&mut self) {
        let policy = self.policy;
        for (position, limit) in policy.limits.iter().enumerate() {
            let tests: Vec<&Test> = limit.condition.iter().flat_map(Condition::tests).collect();
            let mut named = tests.iter().filter(|test| *test.attribute == *"method");
            let names = |test: &Test, method: &str| {
                let Is::Text { among, .. } = &test.is else { return false };
                among.iter().any(|name| **name == *method)
            };
            // Whoever names HEAD has thought of it.
            if named.clone().any(|test| names(test, HEAD)) {
                continue;
            }
            let of_get = |test: &&&Test| {
                names(test, GET) && matches!(&test.is, Is::Text { negated: false, .. })
            };
            let Some(test) = named.find(of_get) else { continue };
            let message =
                format!("`{test}` leaves `HEAD` out, which servers answer as they do GET");
            let help = "write `method in [\"GET\", \"HEAD\"]`, or a `match` of GET, which is about \
                        both; for GET alone add `method != \"HEAD\"`";
            self.about(position, |places| places.when, code::GET_ALONE, message, help);
        }
    }

    fn contradiction<'l>(&mut self, limit: &'l Limit) -> Option<(&'l Test, &'l Test)> {
        let Some(Condition::All(parts)) = &limit.condition else { return None };
        let tests: Vec<&Test> = parts
            .iter()
            .filter_map(|part| match part {
                Condition::Test(test) => Some(test),
                Condition::All(_) | Condition::Any(_) => None,
            })
            .collect();
        tests.iter().enumerate().find_map(|(at, one)| {
            let later = tests.iter().skip(at + 1);
            let mut same = later.filter(|other| other.attribute == one.attribute);
            let other = same.find(|other| {
                self.may_compare() && (excludes(&one.is, &other.is) || excludes(&other.is, &one.is))
            })?;
            Some((*one, *other))
        })
    }
}

/// Whether no value meets both.
fn excludes(one: &Is, other: &Is) -> bool {
    match (one, other) {
        (Is::There(one), Is::There(other)) | (Is::Flag(one), Is::Flag(other)) => one != other,
        (Is::Text { among, negated: false }, other) => {
            among.iter().all(|text| meets(text, other) == Some(false))
        }
        _ => false,
    }
}

/// Whether a text meets a test of texts; `None` where the test is about something else.
fn meets(text: &str, is: &Is) -> Option<bool> {
    let (found, negated) = match is {
        Is::Text { among, negated } => (among.iter().any(|one| **one == *text), *negated),
        Is::Prefix { text: begin, negated } => (text.starts_with(&**begin), *negated),
        Is::Suffix { text: end, negated } => (text.ends_with(&**end), *negated),
        Is::There(_) | Is::Flag(_) | Is::Number { .. } | Is::Numbers { .. } => return None,
    };
    Some(found != negated)
}

//! What a step does besides asking: holding something under a name, and ending it.

use std::collections::HashMap;

use super::Action;
use super::step::Instant;
use crate::charge::{Ending, Intent};
use crate::policy::problem::{Problems, code, nearest, shown};
use crate::policy::read::{self, Fields, Spanned};
use crate::policy::units::{MAX_COST, MAX_HOLD};
use crate::time::{Micros, Tokens};

/// The keys that say what a step does; one of them at most.
const ACTIONS: [&str; 5] = ["hold", "reserve", "settle", "release", "extend"];
/// Keys of requests that the end of a hold has not.
const OF_REQUESTS: [&str; 7] =
    ["times", "with", "cost", "reason", "retry_after", "applies", "would_deny"];

/// How something is held under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Hold,
    Reservation,
}

/// Reads what a step does; a mistake is reported, and the step is taken as a request then.
pub(super) fn action(
    fields: &mut Fields<'_>,
    time: &mut Instant,
    problems: &mut Problems,
) -> Action {
    let mut named = ACTIONS.iter().filter_map(|key| Some((*key, fields.take(key)?)));
    let first = named.next();
    let second = named.next();
    drop(named);
    if let Some((key, node)) = second {
        let message = format!("a step does one thing, and `{key}` is a second one");
        problems.error(node.at, code::MISPLACED_KEY, message, "write two steps at the same time");
    }
    let lasting = fields.take("lasting");
    let lasting_at = lasting.as_ref().map(|node| node.at);
    let range = (Micros::MILLISECOND, MAX_HOLD);
    let lasting =
        lasting.and_then(|node| read::time(node, "a time for `lasting`", range, problems));
    let actual = fields.take("actual");
    let actual_at = actual.as_ref().map(|node| node.at);
    let actual = actual.and_then(|node| read::number(node, "`actual`", (0, MAX_COST), problems));
    let key = first.as_ref().map_or("", |(key, _)| *key);
    if let Some(at) = lasting_at.filter(|_| matches!(key, "" | "settle" | "release")) {
        misplaced(at, "lasting", "`hold`, `reserve` and `extend`", problems);
    }
    if let Some(at) = actual_at.filter(|_| key != "settle") {
        misplaced(at, "actual", "`settle`", problems);
    }
    let Some((key, node)) = first else { return Action::Check };
    let at = node.at;
    let Some(name) = read::text(node, "a name", problems) else { return Action::Check };
    let lasting = lasting.unwrap_or(MAX_HOLD);
    let hold = |intent| Action::Hold { name: name.value.clone(), intent };
    let end = |ending| Action::End { name: name.value.clone(), ending };
    match key {
        "hold" | "reserve" => {
            // A second one of the name would be forgotten.
            none_of(&["times"], fields, key, problems);
            let holding = if key == "hold" { Holding::Hold } else { Holding::Reservation };
            time.holds.insert(name.value.clone(), holding);
            hold(match holding {
                Holding::Hold => Intent::Hold { lasting },
                Holding::Reservation => Intent::Reserve { lasting },
            })
        }
        _ => {
            none_of(&OF_REQUESTS, fields, key, problems);
            known(&name, key, &time.holds, problems);
            match key {
                "release" => end(Ending::Release),
                "extend" => end(Ending::Extend { lasting }),
                _ => {
                    if actual_at.is_none() {
                        let message = "a step with `settle` has no `actual`".to_owned();
                        let help = "the tokens that it did cost: `actual: 100`; 0 takes it back";
                        problems.error(at, code::MISSING_KEY, message, help);
                    }
                    let actual = actual.map_or(Tokens::ZERO, |actual| Tokens::new(actual.value));
                    end(Ending::Settle { actual })
                }
            }
        }
    }
}

/// Reports keys that do not go with what the step does.
fn none_of(keys: &[&str], fields: &mut Fields<'_>, action: &str, problems: &mut Problems) {
    for key in keys {
        if let Some(node) = fields.take(key) {
            let message = format!("a step with `{action}` has no `{key}`");
            problems.error(node.at, code::MISPLACED_KEY, message, "remove it");
        }
    }
}

fn misplaced(at: crate::policy::problem::At, key: &str, owners: &str, problems: &mut Problems) {
    let message = format!("only {owners} take `{key}`");
    problems.error(at, code::MISPLACED_KEY, message, "remove it");
}

/// Reports a name under which nothing is held that can end so.
fn known(
    name: &Spanned<String>,
    key: &str,
    holds: &HashMap<String, Holding>,
    problems: &mut Problems,
) {
    let fits = |holding: &Holding| match key {
        "settle" => *holding == Holding::Reservation,
        "release" => *holding == Holding::Hold,
        _ => true,
    };
    if holds.get(&name.value).is_some_and(fits) {
        return;
    }
    let names = holds.iter().filter(|(_, holding)| fits(holding)).map(|(name, _)| name.as_str());
    let help = match nearest(&name.value, names) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "a reservation is settled, a hold is released; both may be extended".to_owned(),
    };
    let message = format!("nothing above is held as `{}` that `{key}` ends", shown(&name.value));
    problems.error(name.at, code::UNKNOWN_HOLD, message, &help);
}

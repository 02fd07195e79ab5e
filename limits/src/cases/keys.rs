//! The keys of case files, as those of the language stand in `policy::keys`.

use super::MAX_TIMES;
use crate::policy::Algorithm;
use crate::policy::keys::{Form, Key};
use crate::policy::units::{MAX_COST, MAX_HOLD, MAX_LIMIT, MAX_WINDOW, MIN_WINDOW};
use crate::time::Micros;

/// The most limits files that one case file names.
pub(super) const MAX_LIMITS_FILES: usize = 64;
/// The longest path of a limits file, in bytes.
const MAX_PATH_BYTES: usize = 4_096;
/// The longest name of a case, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// Keys of a map of this kind are needed whatever the limit.
const ALWAYS: &[Algorithm] = &[Algorithm::SlidingWindow];

const FACTS: Form = Form::Entries(&Form::Attribute, &Form::Scalar);
const NAME: Form = Form::Text(MAX_NAME_BYTES);
const HOLD: Form = Form::Time { least: Micros::MILLISECOND, most: MAX_HOLD };
const LIMITS: Form = Form::List(&Form::LimitName);

/// The keys of a case file.
pub const CASE_FILE_KEYS: &[Key] = &[
    Key::new(
        "limits",
        "the limits files that the cases are about, by their paths from here",
        Form::OneOrMore(&Form::Text(MAX_PATH_BYTES), MAX_LIMITS_FILES),
    )
    .needed_by(ALWAYS),
    Key::new("cases", "a list of cases", Form::List(&Form::Map(CASE_KEYS))).needed_by(ALWAYS),
];

/// The keys of a case.
pub const CASE_KEYS: &[Key] = &[
    Key::new("name", "what the case shows, in words", Form::Text(MAX_NAME_BYTES)).needed_by(ALWAYS),
    Key::new("start", "the instant of `at: 0s`; 2026-01-01T00:00:00Z unless set", Form::Instant),
    Key::new("given", "what is known of every request, by attribute", FACTS),
    Key::new("steps", "requests one after the other", Form::List(&Form::Map(STEP_KEYS)))
        .needed_by(ALWAYS),
];

/// The keys of a step.
pub const STEP_KEYS: &[Key] = &[
    Key::new(
        "at",
        "when: a time since the start, or an instant; that of the step before unless set",
        Form::Either(&[Form::Time { least: Micros::ZERO, most: MAX_WINDOW }, Form::Instant]),
    ),
    Key::new("times", "how often; once unless set", Form::Number { least: 1, most: MAX_TIMES }),
    Key::new("with", "attributes instead of those in `given`; `~` takes one away", FACTS),
    Key::new(
        "cost",
        "the cost that the request states, in tokens",
        Form::Number { least: 0, most: MAX_COST },
    ),
    Key::new("hold", "holds under this name what the request takes of concurrency", NAME),
    Key::new("reserve", "sets aside under this name what the request may cost: `cost`", NAME),
    Key::new("settle", "ends the reservation of this name: it did cost `actual`", NAME),
    Key::new("release", "gives back the hold of this name", NAME),
    Key::new("extend", "lets the hold or reservation of this name last longer", NAME),
    Key::new("lasting", "how long to hold; as long as each limit lets unless set", HOLD),
    Key::new(
        "actual",
        "the tokens that a reservation did cost",
        Form::Number { least: 0, most: MAX_COST },
    ),
    Key::new("expect", "the answer: allow or deny", Form::Word(&["allow", "deny"]))
        .needed_by(ALWAYS),
    Key::new(
        "limit",
        "on a denial the limit that binds; on an allow one that applies, of which `remaining` is",
        Form::LimitName,
    ),
    Key::new("reason", "what the denial says", Form::Reason),
    Key::new(
        "remaining",
        "tokens left after the last repetition",
        Form::Number { least: 0, most: MAX_LIMIT },
    ),
    Key::new(
        "retry_after",
        "how long the denial says to wait, in whole milliseconds rounded up, or `never`",
        Form::Either(&[Form::Time { least: MIN_WINDOW, most: MAX_WINDOW }, Form::Word(&["never"])]),
    ),
    Key::new("applies", "the limits that apply", LIMITS),
    Key::new("would_deny", "the limits in shadow that would deny", LIMITS),
];

//! The keys of the language: one table for reading, documents and the JSON Schema.

use super::kinds::{Accuracy, Algorithm, MissingKey, Mode, OnStoreFailure, Period};
use super::units::{
    MAX_BLOCK, MAX_COST, MAX_HOLD, MAX_LIMIT, MAX_STRIKES, MAX_WINDOW, MIN_HOLD, MIN_WINDOW,
};
use crate::time::Micros;

/// The most patterns in one `match`.
pub(crate) const MAX_PATTERNS: usize = 64;
/// The most attributes in one `key`.
pub const MAX_KEY_ATTRIBUTES: usize = 8;
/// The longest description, in bytes.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 4_096;
/// The longest condition, in bytes.
pub(crate) const MAX_CONDITION_BYTES: usize = 4_096;
/// The largest `max_keys`.
pub(crate) const MAX_MAX_KEYS: u64 = 1_000_000_000;
/// The longest `tenant_id` that files name, in bytes.
pub(crate) const MAX_TENANT_BYTES: usize = 256;
/// The longest `why`, in bytes.
pub(crate) const MAX_WHY_BYTES: usize = 1_024;
/// The most entries of `alert_at`.
pub(crate) const MAX_ALERTS: usize = 8;

/// One key of the language.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// How files write it.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// The algorithms whose limits may have it.
    pub of: &'static [Algorithm],
    /// The algorithms whose limits need it.
    pub needed_by: &'static [Algorithm],
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A whole number.
    Number {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// An integer and one of ms, s, m, h and d.
    Time {
        /// The shortest.
        least: Micros,
        /// The longest.
        most: Micros,
    },
    /// A text, at most so many bytes long.
    Text(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a limit.
    LimitName,
    /// The name of an attribute.
    Attribute,
    /// The name of a time zone.
    Zone,
    /// What a denial says.
    Reason,
    /// A method and a path.
    Pattern,
    /// A month and a day, `MM-DD`.
    Day,
    /// A whole number and `%`, from 1 to 100.
    Percent,
    /// An instant in the form of RFC 3339.
    Instant,
    /// Any value that is no list and no map.
    Scalar,
    /// A list of such values.
    List(&'static Form),
    /// One such value, or a list of at most so many.
    OneOrMore(&'static Form, usize),
    /// Any of these.
    Either(&'static [Form]),
    /// A map with these keys.
    Map(&'static [Key]),
    /// A map from such names to such values.
    Entries(&'static Form, &'static Form),
}

const ALL: &[Algorithm] = &[
    Algorithm::SlidingWindow,
    Algorithm::TokenBucket,
    Algorithm::FixedWindow,
    Algorithm::Calendar,
    Algorithm::Concurrency,
];
const WINDOWED: &[Algorithm] =
    &[Algorithm::SlidingWindow, Algorithm::TokenBucket, Algorithm::FixedWindow];
const BUCKET: &[Algorithm] = &[Algorithm::TokenBucket];
const CALENDAR: &[Algorithm] = &[Algorithm::Calendar];
const CONCURRENCY: &[Algorithm] = &[Algorithm::Concurrency];

const COST: Form = Form::Number { least: 0, most: MAX_COST };
const TOKENS: Form = Form::Number { least: 0, most: MAX_LIMIT };
const WINDOW: Form = Form::Time { least: MIN_WINDOW, most: MAX_WINDOW };
const HOLD: Form = Form::Time { least: MIN_HOLD, most: MAX_HOLD };
const ATTRIBUTES: Form = Form::OneOrMore(&Form::Attribute, MAX_KEY_ATTRIBUTES);

/// The keys of a file.
pub const FILE_KEYS: &[Key] = &[
    Key::new("version", "the version of the language: 1", Form::Number { least: 1, most: 1 }),
    Key::new(
        "endpoint_costs",
        "tokens that a request costs, by endpoint",
        Form::Entries(&Form::Pattern, &COST),
    ),
    Key::new(
        "plans",
        "contract tiers and their numbers",
        Form::Entries(&Form::LimitName, &Form::Map(PLAN_KEYS)),
    ),
    Key::new(
        "tenants",
        "who is on which plan, and their own numbers",
        Form::Entries(&Form::Text(MAX_TENANT_BYTES), &Form::Map(TENANT_KEYS)),
    ),
    Key::new(
        "rate_limits",
        "limits by name",
        Form::Entries(&Form::LimitName, &Form::Map(LIMIT_KEYS)),
    ),
];

/// The keys of a plan.
pub const PLAN_KEYS: &[Key] = &[
    Key::new("description", "a text for people", Form::Text(MAX_DESCRIPTION_BYTES)),
    Key::new(
        "limits",
        "numbers that replace those of limits, by the name of the limit",
        Form::Entries(&Form::LimitName, &Form::Map(PLAN_LIMIT_KEYS)),
    ),
];

/// The keys of a tenant.
pub const TENANT_KEYS: &[Key] = &[
    Key::new("plan", "the plan that the tenant is on", Form::LimitName),
    Key::new(
        "limits",
        "numbers that replace those of limits and of the plan, by the name of the limit",
        Form::Entries(&Form::LimitName, &Form::Map(EXCEPTION_KEYS)),
    ),
];

/// The keys of a plan's numbers for one limit.
pub const PLAN_LIMIT_KEYS: &[Key] = &[
    Key::new("limit", "how many tokens pass", TOKENS).needed_by(ALL),
    Key::new("burst", "the most tokens at once; the limit unless set", TOKENS),
];

/// The keys of a tenant's numbers for one limit.
pub const EXCEPTION_KEYS: &[Key] = &[
    Key::new("limit", "how many tokens pass", TOKENS).needed_by(ALL),
    Key::new("burst", "the most tokens at once; the limit unless set", TOKENS),
    Key::new("until", "when these numbers end", Form::Instant),
    Key::new("why", "a text for people", Form::Text(MAX_WHY_BYTES)),
];

/// The keys of a limit.
pub const LIMIT_KEYS: &[Key] = &[
    Key::new("description", "a text for people", Form::Text(MAX_DESCRIPTION_BYTES)),
    Key::new(
        "match",
        "the endpoints that it is about; every request unless set",
        Form::OneOrMore(&Form::Pattern, MAX_PATTERNS),
    ),
    Key::new(
        "when",
        "what else has to hold: country != \"XX\" && claims.risk_score <= 70",
        Form::Text(MAX_CONDITION_BYTES),
    ),
    Key::new("key", "the attributes whose values name a counter", ATTRIBUTES),
    Key::new(
        "missing_key",
        "what it makes of a request without an attribute of its key",
        Form::Word(MissingKey::NAMES),
    ),
    Key::new("algorithm", "how it counts", Form::Word(Algorithm::NAMES)),
    Key::new("limit", "how many tokens pass", TOKENS).needed_by(ALL),
    Key::new("window", "how long a window is", WINDOW).of(WINDOWED).needed_by(WINDOWED),
    Key::new("burst", "the most tokens at once; the limit unless set", TOKENS).of(BUCKET),
    Key::new("period", "how long a quota lasts", Form::Word(Period::NAMES))
        .of(CALENDAR)
        .needed_by(CALENDAR),
    Key::new("timezone", "whose calendar it is; UTC unless set", Form::Zone).of(CALENDAR),
    Key::new(
        "starts_on",
        "the day of the month, or MM-DD of the year, that a period begins on",
        Form::Either(&[Form::Number { least: 1, most: 31 }, Form::Day]),
    )
    .of(CALENDAR),
    Key::new(
        "alert_at",
        "the parts of a quota that are told when they are used",
        Form::OneOrMore(&Form::Percent, MAX_ALERTS),
    )
    .of(CALENDAR),
    Key::new("hold", "the longest that tokens are held for one request", HOLD)
        .needed_by(CONCURRENCY),
    Key::new(
        "cost",
        "tokens that a request costs: by endpoint, a number, or a numeric attribute",
        Form::Either(&[COST, Form::Attribute, Form::Map(COST_KEYS)]),
    ),
    Key::new("mode", "what a denial does", Form::Word(Mode::NAMES)),
    Key::new("penalty", "who is denied too often is blocked", Form::Map(PENALTY_KEYS)),
    Key::new(
        "on_store_failure",
        "what it answers while the store does not",
        Form::Word(OnStoreFailure::NAMES),
    ),
    Key::new("accuracy", "how exactly replicas count", Form::Word(Accuracy::NAMES)),
    Key::new(
        "max_keys",
        "counters of it in the embedded store",
        Form::Number { least: 1, most: MAX_MAX_KEYS },
    ),
    Key::new("reason", "what a denial says", Form::Reason),
    Key::new(
        "was",
        "its former name, and key, that its counters still have",
        Form::Either(&[Form::LimitName, Form::Map(WAS_KEYS)]),
    ),
];

/// The keys of `cost`, where it is an attribute.
pub const COST_KEYS: &[Key] = &[
    Key::new("of", "the attribute with the number", Form::Attribute).needed_by(ALL),
    Key::new("missing", "tokens where the request does not have it; 1 unless set", COST),
];

/// The keys of `penalty`.
pub const PENALTY_KEYS: &[Key] = &[
    Key::new("after", "the denial that blocks", Form::Number { least: 1, most: MAX_STRIKES })
        .needed_by(ALL),
    Key::new("within", "how long denials count", Form::Time { least: MIN_HOLD, most: MAX_WINDOW })
        .needed_by(ALL),
    Key::new("block", "how long a block lasts", Form::Time { least: MIN_HOLD, most: MAX_BLOCK })
        .needed_by(ALL),
];

/// The keys of `was`.
pub const WAS_KEYS: &[Key] = &[
    Key::new("name", "the name that the counters have", Form::LimitName).needed_by(ALL),
    Key::new("key", "the attributes that named them, place by place", ATTRIBUTES),
];

/// A word of `accuracy` that a later version knows.
pub(crate) const ACCURACY_LATER: &str = "leased";

impl Key {
    pub(crate) const fn new(name: &'static str, about: &'static str, form: Form) -> Self {
        Self { name, about, form, of: ALL, needed_by: &[] }
    }

    /// A line that files may have, for hints.
    pub(crate) fn example(&self) -> String {
        let value = match self.form {
            Form::Number { .. } => "100",
            Form::Time { .. } => "5m",
            Form::Word(words) => words.first().copied().unwrap_or_default(),
            Form::LimitName => "old_name",
            _ => "…",
        };
        format!("{}: {value}", self.name)
    }

    const fn of(self, of: &'static [Algorithm]) -> Self {
        Self { of, ..self }
    }

    pub(crate) const fn needed_by(self, needed_by: &'static [Algorithm]) -> Self {
        Self { needed_by, ..self }
    }
}

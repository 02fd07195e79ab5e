//! Limits in a few words.

use std::fmt::Write as _;

use crate::policy::units::window_text;
use crate::policy::{Algorithm, CostRule, Limit, Mode, Numbers, Penalty};
use crate::time::Tokens;

/// An amount as files may write it: `1_000_000`.
#[must_use]
pub fn amount_text(amount: u64) -> String {
    let digits = amount.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// A limit that is new or gone.
pub(super) fn summary(limit: &Limit) -> String {
    let mut text = numbers(limit, &limit.numbers);
    if !limit.key.is_empty() {
        let _ = write!(text, " by {}", limit.key.join(", "));
    }
    if let Some(patterns) = patterns(limit) {
        let _ = write!(text, ", for {patterns}");
    }
    if let Some(condition) = &limit.condition {
        let _ = write!(text, ", when {condition}");
    }
    if limit.mode != Mode::Enforce {
        let _ = write!(text, ", {}", limit.mode.as_str());
    }
    text
}

/// How many tokens pass, and how they are counted.
pub(super) fn numbers(limit: &Limit, numbers: &Numbers) -> String {
    let amount = amount_text(numbers.limit.get());
    let mut text = match limit.algorithm {
        Algorithm::Concurrency => {
            return format!("{amount} at a time, held for {}", window_text(limit.hold));
        }
        _ => match &limit.calendar {
            Some(calendar) => format!("{amount} per {calendar}"),
            None => format!("{amount} per {}", window_text(limit.window)),
        },
    };
    if let Some(burst) = numbers.burst {
        let _ = write!(text, ", burst {}", amount_text(burst.get()));
    }
    if limit.algorithm != Algorithm::SlidingWindow && limit.algorithm != Algorithm::Calendar {
        let _ = write!(text, ", {}", limit.algorithm.as_str());
    }
    text
}

/// The patterns of `match`; `None` where it is about every request.
pub(super) fn patterns(limit: &Limit) -> Option<String> {
    let mut patterns: Vec<_> = limit.patterns.iter().map(ToString::to_string).collect();
    patterns.sort_unstable();
    patterns.dedup();
    (!patterns.is_empty()).then(|| patterns.join(", "))
}

pub(super) fn cost(rule: &CostRule) -> String {
    match rule {
        CostRule::Endpoint => "endpoint".to_owned(),
        CostRule::Number(tokens) => amount_text(tokens.get()),
        CostRule::Attribute { of, missing: Tokens::ONE } => format!("attribute {of}"),
        CostRule::Attribute { of, missing } => {
            format!("attribute {of}, {} where it is missing", amount_text(missing.get()))
        }
    }
}

pub(super) fn penalty(penalty: &Penalty) -> String {
    let (within, block) = (window_text(penalty.within), window_text(penalty.block));
    format!("blocked for {block} after {} denials within {within}", penalty.after)
}

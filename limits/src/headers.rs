//! The header fields that tell an HTTP client about its limits.
//!
//! `draft11` writes the fields of draft-ietf-httpapi-ratelimit-headers-11, which are structured
//! fields (RFC 9651). The draft says what they mean; for our algorithms that is:
//!
//! - `q`, the quota: the limit, for a token bucket its burst.
//! - `w`, the window in which the quota comes back: for a token bucket, burst divided by rate.
//! - `r`, the available quota: the tokens left.
//! - `t`, the effective window in which `r` may be spent: on denial until the same request would
//!   pass; otherwise, and where it never would, until all tokens are back.
//!
//! A limit of concurrency has neither `w` nor `t`: its tokens come back when requests end.
//!
//! Seconds are whole and rounded up, so no client comes too early. `draft03` writes the fields of
//! draft-ietf-httpapi-ratelimit-headers-03, and `legacy` the `X-RateLimit-*` that came before,
//! whose reset is in seconds from now too. Only enforcing limits are listed, and at most eight, as
//! [`Verdict::named`] has them: a shadow limit is not the client's business. No field says whom a
//! limit is counted for.

use std::fmt::Write;

use crate::counter::Wait;
use crate::policy::Algorithm;
use crate::time::{Micros, Tokens};
use crate::verdict::{LimitVerdict, Verdict};

/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// Which header fields tell of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderStyle {
    /// `RateLimit-Policy` and `RateLimit`, as draft 11 has them.
    #[default]
    Draft11,
    /// `RateLimit-Limit`, `-Remaining` and `-Reset`, as draft 03 had them.
    Draft03,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    Legacy,
    /// Only `Retry-After`, which is no rate limit field.
    None,
}

/// The header fields for a verdict, names in lower case; none where no enforcing limit applied.
///
/// A denial that can pass later has `retry-after` in every style: the wait in seconds, rounded
/// up, plus `retry_after_jitter` seconds, which spread the clients that wait for one instant.
#[must_use]
pub fn rate_limit_headers(
    verdict: &Verdict,
    style: HeaderStyle,
    retry_after_jitter: u64,
) -> Vec<(&'static str, String)> {
    let Some(binding) = verdict.binding_limit() else { return Vec::new() };
    let mut fields = match style {
        HeaderStyle::Draft11 => vec![
            ("ratelimit-policy", list(verdict, |limit| format!("{}{}", name(limit), quota(limit)))),
            ("ratelimit", available(binding)),
        ],
        HeaderStyle::Draft03 => {
            let policies = list(verdict, |limit| format!("{}{}", limit.limit, window(limit)));
            vec![
                ("ratelimit-limit", format!("{}, {policies}", binding.limit)),
                ("ratelimit-remaining", binding.remaining.to_string()),
                ("ratelimit-reset", effective_window(binding).to_string()),
            ]
        }
        HeaderStyle::Legacy => vec![
            ("x-ratelimit-limit", binding.limit.to_string()),
            ("x-ratelimit-remaining", binding.remaining.to_string()),
            ("x-ratelimit-reset", effective_window(binding).to_string()),
        ],
        HeaderStyle::None => Vec::new(),
    };
    if let Some(Wait::For(wait)) = verdict.retry_after() {
        let seconds = wait.to_seconds_up().saturating_add(retry_after_jitter);
        fields.push(("retry-after", seconds.to_string()));
    }
    fields
}

fn list(verdict: &Verdict, item: impl Fn(&LimitVerdict) -> String) -> String {
    verdict.named().into_iter().map(item).collect::<Vec<_>>().join(", ")
}

fn quota(limit: &LimitVerdict) -> String {
    format!(";q={}{}", integer(limit.limit), window(limit))
}

fn available(limit: &LimitVerdict) -> String {
    let left = format!("{};r={}", name(limit), integer(limit.remaining));
    match limit.algorithm {
        Algorithm::Concurrency => left,
        _ => format!("{left};t={}", effective_window(limit)),
    }
}

/// The parameter with the window, in whole seconds; never 0, which a window cannot be.
fn window(limit: &LimitVerdict) -> String {
    match limit.algorithm {
        Algorithm::Concurrency => String::new(),
        _ => format!(";w={}", limit.refill.to_seconds_up().max(1)),
    }
}

fn effective_window(limit: &LimitVerdict) -> u64 {
    let until: Micros = match limit.wait {
        Wait::For(wait) => wait,
        Wait::None | Wait::Never => limit.full_in,
    };
    until.to_seconds_up()
}

fn integer(tokens: Tokens) -> u64 {
    tokens.get().min(MAX_INTEGER)
}

/// A limit's name as a String of RFC 9651, which has printable ASCII only: a quote and a
/// backslash are escaped, every other byte outside it is percent-encoded.
fn name(limit: &LimitVerdict) -> String {
    let mut text = String::with_capacity(limit.name.len() + 2);
    text.push('"');
    for byte in limit.name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text.push('"');
    text
}

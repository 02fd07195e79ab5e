//! What a step must get and what it got, in the same words.

use super::Expect;
use super::run::names;
use crate::policy::Mode;
use crate::policy::units::window_text;
use crate::time::Micros;
use crate::verdict::Verdict;

/// What a step must get.
pub(super) fn expected(expect: &Expect) -> String {
    let mut text = answer(expect.allowed).to_owned();
    match (&expect.limit, expect.remaining, expect.allowed) {
        (Some(limit), Some(left), true) => text.push_str(&format!(", {left} of `{limit}` left")),
        (Some(limit), None, true) => text.push_str(&format!(", `{limit}` applies")),
        (Some(limit), _, false) => text.push_str(&format!(" by `{limit}`")),
        (None, Some(left), true) => text.push_str(&format!(", {left} left")),
        (None, _, _) => {}
    }
    if let Some(reason) = &expect.reason {
        text.push_str(&format!(", reason {reason}"));
    }
    if let Some(wait) = expect.retry_after_ms {
        text.push_str(&retry(wait));
    }
    if let Some(left) = expect.remaining.filter(|_| !expect.allowed) {
        text.push_str(&format!(", {left} left"));
    }
    if let Some(applies) = &expect.applies {
        text.push_str(&format!(", of the limits apply {}", listed(applies)));
    }
    if let Some(deny) = &expect.would_deny {
        text.push_str(&format!(", in shadow would deny {}", listed(deny)));
    }
    text
}

/// What it got: the answer, and what it expected something of.
pub(super) fn got(expect: &Expect, verdict: &Verdict) -> String {
    let mut text = answer(verdict.allowed).to_owned();
    let about = expect.about(verdict);
    match (about, verdict.allowed) {
        (None, true) => text.push_str(", no limit applies"),
        (None, false) => {}
        (Some((name, left)), true) => text.push_str(&format!(", {left} of `{name}` left")),
        (Some((name, _)), false) => text.push_str(&format!(" by `{name}`")),
    }
    if !verdict.allowed {
        text.push_str(&format!(", reason {}", verdict.reason_text));
        if !verdict.detail.is_empty() {
            text.push_str(&format!(" ({})", verdict.detail));
        }
        let wait = verdict.retry_after().map(crate::counter::Wait::to_millis_up);
        text.push_str(&wait.map(retry).unwrap_or_default());
        if let Some((_, left)) = about {
            text.push_str(&format!(", {left} left"));
        }
    }
    if expect.applies.is_some() {
        text.push_str(&format!(", of the limits apply {}", listed(&names(verdict, None))));
    }
    if expect.would_deny.is_some() {
        let deny = names(verdict, Some(Mode::Shadow));
        text.push_str(&format!(", in shadow would deny {}", listed(&deny)));
    }
    text
}

fn answer(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn retry(wait_ms: Option<u64>) -> String {
    match wait_ms {
        Some(ms) => format!(", retry after {}", window_text(Micros::new(ms.saturating_mul(1_000)))),
        None => ", retry never".to_owned(),
    }
}

fn listed(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

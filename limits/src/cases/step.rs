//! One step of a case: a request, when and how often, and what it must get.

use std::collections::HashMap;

use super::held::{self, Holding};
use super::keys::STEP_KEYS;
use super::read::{Fact, facts};
use super::{Expect, MAX_REQUESTS, MAX_TIMES, Step};
use crate::attributes::{Attributes, AttributesBuilder, Paths};
use crate::policy::problem::{At, Problems, code, nearest, shown};
use crate::policy::read::{self, Fields, Spanned, kind};
use crate::policy::units::{MAX_COST, MAX_LIMIT, MAX_WINDOW, MIN_WINDOW};
use crate::policy::yaml::{Node, Value};
use crate::policy::{Algorithm, Place, Policy};
use crate::time::{Micros, Timestamp, Tokens};

/// What the steps of one file have in common.
pub(super) struct Context<'p> {
    pub(super) file: &'p str,
    pub(super) policy: Option<&'p Policy>,
    /// How many requests were read so far.
    pub(super) requests: u64,
}

/// When a case began, and the instant that it has come to.
pub(super) struct Instant {
    pub(super) start: Timestamp,
    pub(super) now: Timestamp,
    /// The names under which requests of the case hold something.
    pub(super) holds: HashMap<String, Holding>,
}

/// Reads one step; what could not be read is reported.
pub(super) fn step(
    node: Node<'_>,
    given: &[Fact],
    time: &mut Instant,
    context: &mut Context<'_>,
    problems: &mut Problems,
) -> Option<Step> {
    let place = Place { file: context.file.to_owned(), line: node.at.line };
    let node_at = node.at;
    let mut fields = Fields::of(node, "a step".to_owned(), STEP_KEYS, problems)?;
    fields.suit(Algorithm::default(), problems);
    let action = held::action(&mut fields, time, problems);
    let at = fields.take("at");
    let at_text = at.as_ref().map(written).unwrap_or_default();
    if let Some(at) = at.and_then(|node| instant(node, time.start, problems)) {
        if at.value < time.now {
            let message = "this step is before the one above it".to_owned();
            problems.error(at.at, code::TIME_GOES_BACK, message, "put the steps in order of time");
        }
        time.now = time.now.max(at.value);
    }
    let times = fields.take("times");
    let times = times.and_then(|node| read::number(node, "`times`", (1, MAX_TIMES), problems));
    let times = times.map_or(1, |times| times.value);
    context.requests = context.requests.saturating_add(times).min(MAX_REQUESTS + 1);
    let with = fields.take("with").map(|node| facts(node, "`with`", context.policy, problems));
    let paths = context.policy.map(Policy::paths).copied().unwrap_or_default();
    let attributes = attributes(node_at, given, &with.unwrap_or_default(), &paths, problems);
    let cost = fields.take("cost");
    let cost = cost.and_then(|node| read::number(node, "`cost`", (0, MAX_COST), problems));
    let expect = expect(&mut fields, context, problems)?;
    Some(Step {
        action,
        place,
        at: time.now,
        at_text,
        times,
        attributes,
        cost: cost.map(|cost| Tokens::new(cost.value)),
        expect,
    })
}

/// An offset from the start, or an instant.
fn instant(
    node: Node<'_>,
    start: Timestamp,
    problems: &mut Problems,
) -> Option<Spanned<Timestamp>> {
    // Times have neither.
    if written(&node).contains(['-', ':']) {
        return read::instant(node, "`at`", problems);
    }
    let at = node.at;
    let range = (Micros::ZERO, MAX_WINDOW);
    let offset = read::time(node, "a time since the start", range, problems)?;
    Some(Spanned { at, value: start.after(offset) })
}

/// The facts of a request: those of the case, and those of the step instead of them.
fn attributes(
    at: At,
    given: &[Fact],
    with: &[Fact],
    paths: &Paths,
    problems: &mut Problems,
) -> Attributes {
    let overridden = |fact: &&Fact| with.iter().all(|other| other.name != fact.name);
    let mut attributes = AttributesBuilder::new();
    for fact in given.iter().filter(overridden).chain(with) {
        let set = attributes.set(&fact.name, fact.value.as_deref().unwrap_or(""));
        if let Err(invalid) = set {
            problems.error(at, code::BAD_ATTRIBUTE, shown(&invalid.to_string()), "");
            break;
        }
    }
    attributes.finish_for(paths)
}

fn expect(
    fields: &mut Fields<'_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Expect> {
    const WORDS: [(&str, bool); 2] = [("allow", true), ("deny", false)];
    let limits = |node, what, problems: &mut Problems| limits(node, what, context.policy, problems);
    let node = fields.take("expect");
    let allowed = node.and_then(|node| read::word(node, "an answer", &WORDS, problems));
    let limit = fields.take("limit").and_then(|node| read::text(node, "`limit`", problems));
    if let Some(limit) = &limit {
        known(limit, context.policy, problems);
    }
    let reason = denied(fields, "reason", allowed.as_ref(), problems);
    let reason = reason.and_then(|node| read::text(node, "`reason`", problems));
    let wait = denied(fields, "retry_after", allowed.as_ref(), problems);
    let retry_after_ms = wait.and_then(|node| retry_after(node, problems));
    let remaining = fields.take("remaining");
    let remaining =
        remaining.and_then(|node| read::number(node, "`remaining`", (0, MAX_LIMIT), problems));
    let applies = fields.take("applies").and_then(|node| limits(node, "`applies`", problems));
    let would_deny = fields.take("would_deny");
    let would_deny = would_deny.and_then(|node| limits(node, "`would_deny`", problems));
    Some(Expect {
        allowed: allowed?.value,
        limit: limit.map(|limit| limit.value),
        reason: reason.map(|reason| reason.value),
        remaining: remaining.map(|remaining| remaining.value),
        retry_after_ms,
        applies,
        would_deny,
    })
}

/// What only a denial has.
fn denied<'t>(
    fields: &mut Fields<'t>,
    key: &str,
    allowed: Option<&Spanned<bool>>,
    problems: &mut Problems,
) -> Option<Node<'t>> {
    let node = fields.take(key)?;
    if allowed.is_some_and(|allowed| allowed.value) {
        let message = format!("only a denial has a `{key}`");
        problems.error(node.at, code::MISPLACED_KEY, message, "remove it, or `expect: deny`");
        return None;
    }
    Some(node)
}

/// Milliseconds, or `Some(None)` for never.
fn retry_after(node: Node<'_>, problems: &mut Problems) -> Option<Option<u64>> {
    if written(&node) == "never" {
        return Some(None);
    }
    let range = (MIN_WINDOW, MAX_WINDOW);
    let wait = read::time(node, "a wait; a time or `never` is one", range, problems)?;
    Some(Some(wait.to_millis_up()))
}

/// Names of limits, in the order of the policy.
fn limits(
    node: Node<'_>,
    what: &str,
    policy: Option<&Policy>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let Value::List(list) = node.value else {
        let message = format!("{what} has to be a list, and this is {}", kind(&node.value));
        problems.error(node.at, code::WRONG_TYPE, message, "`[]` where it is no limit");
        return None;
    };
    let mut names = Vec::with_capacity(list.len());
    for node in list {
        let name = read::text(node, what, problems)?;
        known(&name, policy, problems);
        names.push(name.value);
    }
    let place = |name: &String| {
        policy.and_then(|policy| policy.limits().iter().position(|limit| *limit.name == **name))
    };
    names.sort_by_key(place);
    Some(names)
}

/// Reports a limit that the policy does not have.
fn known(name: &Spanned<String>, policy: Option<&Policy>, problems: &mut Problems) {
    let Some(policy) = policy else { return };
    let names = || policy.limits().iter().map(|limit| &*limit.name);
    if names().any(|known| known == name.value) {
        return;
    }
    let help = match nearest(&name.value, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "the limits files that this file names have no such limit".to_owned(),
    };
    let message = format!("unknown limit `{}`", shown(&name.value));
    problems.error(name.at, code::UNKNOWN_LIMIT, message, &help);
}

/// A value as it is written; empty for lists and maps.
fn written(node: &Node<'_>) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.to_string(),
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

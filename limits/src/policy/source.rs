//! The limits file as it was written: every value typed, with its place, nothing decided yet.
//!
//! These types do not travel past `compile`. The tables of keys are what the language has.

use super::problem::{At, Problems, code, shown};
use super::read::{self, Fields, Spanned};
use super::units::{MAX_COST, MAX_LIMIT};
use super::yaml::{self, Node, Value};
use super::{Algorithm, Mode, OnStoreFailure};
use crate::time::Micros;

/// The keys of a file.
pub const FILE_KEYS: &[&str] = &["version", "endpoint_costs", "rate_limits"];
/// The keys of a limit.
pub const LIMIT_KEYS: &[&str] = &[
    "description",
    "match",
    "key",
    "algorithm",
    "limit",
    "window",
    "burst",
    "cost",
    "mode",
    "on_store_failure",
    "max_keys",
    "reason",
];
/// Keys of a file that a later version reads.
const FILE_KEYS_LATER: &[&str] = &["plans", "tenants"];
/// Keys of a limit that a later version reads.
const LIMIT_KEYS_LATER: &[&str] =
    &["when", "accuracy", "penalty", "was", "period", "timezone", "starts_on", "alert_at", "hold"];
/// Algorithms that a later version knows.
const ALGORITHMS_LATER: &[&str] = &["calendar", "concurrency"];

/// The most patterns in one `match`.
const MAX_PATTERNS: usize = 64;
/// The most attributes in one `key`.
pub const MAX_KEY_ATTRIBUTES: usize = 8;
/// The longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 4_096;
/// The largest `max_keys`.
const MAX_MAX_KEYS: u64 = 1_000_000_000;

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) endpoint_costs: Vec<(Spanned<String>, u64)>,
    pub(crate) limits: Vec<RawLimit>,
}

/// What one limit says.
#[derive(Debug)]
pub(crate) struct RawLimit {
    pub(crate) name: Spanned<String>,
    pub(crate) description: Option<String>,
    pub(crate) patterns: Vec<Spanned<String>>,
    pub(crate) key: Vec<Spanned<String>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) limit: Spanned<u64>,
    pub(crate) window: Micros,
    pub(crate) burst: Option<Spanned<u64>>,
    pub(crate) cost: Option<Spanned<RawCost>>,
    pub(crate) mode: Mode,
    pub(crate) on_store_failure: OnStoreFailure,
    pub(crate) max_keys: Option<u64>,
    pub(crate) reason: Option<Spanned<String>>,
}

/// What `cost` says.
#[derive(Debug)]
pub(crate) enum RawCost {
    Endpoint,
    Number(u64),
    Attribute(String),
}

/// Reads one file; what could not be read is reported and left out.
pub(crate) fn read(text: &str, problems: &mut Problems) -> Source {
    let mut source = Source::default();
    let before = problems.errors();
    let root = yaml::read(text, problems);
    let empty = |value: &Value<'_>| read::kind(value) == "nothing";
    let Some(root) = root.filter(|root| !empty(&root.value)) else {
        if problems.errors() == before {
            nothing(At::START, "the file is empty", problems);
        }
        return source;
    };
    let at = root.at;
    let owner = "a limits file".to_owned();
    let Some(mut fields) = Fields::of(root, owner, FILE_KEYS, FILE_KEYS_LATER, problems) else {
        return source;
    };
    if let Some(node) = fields.take("version") {
        read::number(node, "`version`", (1, 1), problems);
    }
    if let Some(node) = fields.take("endpoint_costs") {
        source.endpoint_costs = endpoint_costs(node, problems);
    }
    match fields.take("rate_limits") {
        None => nothing(at, "the file has no `rate_limits`", problems),
        Some(node) if empty(&node.value) => {
            nothing(node.at, "there is nothing under `rate_limits`", problems);
        }
        Some(node) => source.limits = limits(node, problems),
    }
    source
}

fn nothing(at: At, message: &str, problems: &mut Problems) {
    let help = "write `rate_limits:` and limits under it; `rate_limits: {}` has none on purpose";
    problems.error(at, code::EMPTY, message.to_owned(), help);
}

fn endpoint_costs(node: Node<'_>, problems: &mut Problems) -> Vec<(Spanned<String>, u64)> {
    let entries = read::entries(node, "`endpoint_costs`", problems).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(pattern, node)| {
            let what = format!("the cost of `{}`", shown(&pattern.value));
            let cost = read::number(node, &what, (0, MAX_COST), problems)?;
            Some((pattern, cost.value))
        })
        .collect()
}

fn limits(node: Node<'_>, problems: &mut Problems) -> Vec<RawLimit> {
    let entries = read::entries(node, "`rate_limits`", problems).unwrap_or_default();
    entries.into_iter().filter_map(|(name, node)| limit(name, node, problems)).collect()
}

/// Reads one limit: everything in it is looked at, and it is kept if all of it was good.
fn limit(name: Spanned<String>, node: Node<'_>, problems: &mut Problems) -> Option<RawLimit> {
    let before = problems.errors();
    if name.value == "<<" {
        let message = "merge keys (`<<`) are not part of the language".to_owned();
        problems.error(name.at, code::UNSUPPORTED_YAML, message, "repeat the keys");
    } else if !is_name(&name.value) {
        let message = format!("`{}` is not a name for a limit", shown(&name.value));
        problems.error(name.at, code::BAD_NAME, message, "1 to 128 of A-Z a-z 0-9 _ . -");
    }
    let owner = format!("limit `{}`", shown(&name.value));
    let at = name.at;
    let node = Node { at: if is_map(&node) { at } else { node.at }, value: node.value };
    let mut fields = Fields::of(node, owner, LIMIT_KEYS, LIMIT_KEYS_LATER, problems)?;
    let raw = RawLimit {
        name,
        description: description(&mut fields, problems),
        patterns: list(&mut fields, "match", MAX_PATTERNS, problems),
        key: list(&mut fields, "key", MAX_KEY_ATTRIBUTES, problems),
        algorithm: word(&mut fields, "algorithm", &Algorithm::WORDS, ALGORITHMS_LATER, problems),
        limit: limit_number(&mut fields, problems).unwrap_or(Spanned { at, value: 0 }),
        window: window(&mut fields, problems).unwrap_or(Micros::SECOND),
        burst: fields
            .take("burst")
            .and_then(|node| read::number(node, "`burst`", (0, MAX_LIMIT), problems)),
        cost: fields.take("cost").and_then(|node| cost(node, problems)),
        mode: word(&mut fields, "mode", &Mode::WORDS, &[], problems),
        on_store_failure: word(
            &mut fields,
            "on_store_failure",
            &OnStoreFailure::WORDS,
            &[],
            problems,
        ),
        max_keys: fields
            .take("max_keys")
            .and_then(|node| read::number(node, "`max_keys`", (1, MAX_MAX_KEYS), problems))
            .map(|n| n.value),
        reason: fields.take("reason").and_then(|node| read::text(node, "`reason`", problems)),
    };
    (problems.errors() == before).then_some(raw)
}

fn description(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let text = read::text(fields.take("description")?, "`description`", problems)?;
    if text.value.len() > MAX_DESCRIPTION_BYTES {
        let message = format!("a description of {} bytes", text.value.len());
        let help = format!("at most {MAX_DESCRIPTION_BYTES} bytes");
        problems.error(text.at, code::OUT_OF_RANGE, message, &help);
    }
    Some(text.value)
}

fn list(
    fields: &mut Fields<'_>,
    key: &str,
    most: usize,
    problems: &mut Problems,
) -> Vec<Spanned<String>> {
    let node = fields.take(key);
    node.and_then(|node| read::texts(node, &format!("`{key}`"), most, problems)).unwrap_or_default()
}

fn word<T: Copy + Default>(
    fields: &mut Fields<'_>,
    key: &str,
    words: &[(&'static str, T)],
    later: &[&str],
    problems: &mut Problems,
) -> T {
    let node = fields.take(key);
    let what = format!("a word for `{key}`");
    let word = node.and_then(|node| read::word(node, &what, words, later, problems));
    word.map(|word| word.value).unwrap_or_default()
}

fn limit_number(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Spanned<u64>> {
    let help = "how many tokens pass in a window: `limit: 100`";
    let node = fields.require("limit", help, problems)?;
    read::number(node, "`limit`", (0, MAX_LIMIT), problems)
}

fn window(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Micros> {
    let node = fields.require("window", "how long a window is: `window: 1m`", problems)?;
    read::window(node, "a window", problems).map(|window| window.value)
}

fn cost(node: Node<'_>, problems: &mut Problems) -> Option<Spanned<RawCost>> {
    let at = node.at;
    let looks_like_a_number = match &node.value {
        Value::Scalar { text, .. } => {
            text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        }
        Value::List(_) | Value::Map(_) => false,
    };
    let value = if looks_like_a_number {
        RawCost::Number(read::number(node, "`cost`", (0, MAX_COST), problems)?.value)
    } else {
        let text = read::text(node, "`cost`", problems)?.value;
        if text == "endpoint" { RawCost::Endpoint } else { RawCost::Attribute(text) }
    };
    Some(Spanned { at, value })
}

/// Whether a text can name a limit.
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Whether a text can be a reason.
pub(crate) fn is_reason(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_map(node: &Node<'_>) -> bool {
    matches!(node.value, Value::Map(_))
}

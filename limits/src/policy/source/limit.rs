//! One limit as it was written.

use super::quota::{self, RawQuota};
use crate::policy::keys::{
    ACCURACY_LATER, COST_KEYS, LIMIT_KEYS, MAX_DESCRIPTION_BYTES, MAX_KEY_ATTRIBUTES, MAX_MAX_KEYS,
    MAX_PATTERNS, PENALTY_KEYS, WAS_KEYS,
};
use crate::policy::kinds::{Accuracy, Algorithm, MissingKey, Mode, OnStoreFailure, Penalty};
use crate::policy::problem::{Problems, code, shown};
use crate::policy::read::{self, Fields, Spanned};
use crate::policy::units::{
    MAX_BLOCK, MAX_COST, MAX_HOLD, MAX_LIMIT, MAX_STRIKES, MAX_WINDOW, MIN_HOLD, MIN_WINDOW,
};
use crate::policy::yaml::{Node, Value};
use crate::time::{Micros, Tokens};

/// What one limit says.
#[derive(Debug)]
pub(crate) struct RawLimit {
    pub(crate) name: Spanned<String>,
    pub(crate) description: Option<String>,
    pub(crate) patterns: Vec<Spanned<String>>,
    pub(crate) when: Option<Spanned<String>>,
    pub(crate) key: Vec<Spanned<String>>,
    pub(crate) missing_key: MissingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) limit: Spanned<u64>,
    /// Some where the algorithm has windows.
    pub(crate) window: Option<Micros>,
    pub(crate) burst: Option<Spanned<u64>>,
    pub(crate) quota: RawQuota,
    pub(crate) hold: Option<Micros>,
    pub(crate) cost: Option<Spanned<RawCost>>,
    pub(crate) mode: Mode,
    pub(crate) penalty: Option<Penalty>,
    pub(crate) on_store_failure: Option<OnStoreFailure>,
    pub(crate) accuracy: Accuracy,
    pub(crate) max_keys: Option<u64>,
    pub(crate) reason: Option<Spanned<String>>,
    pub(crate) was: Option<RawWas>,
}

/// What `cost` says.
#[derive(Debug)]
pub(crate) enum RawCost {
    Endpoint,
    Number(u64),
    Attribute { of: Spanned<String>, missing: Option<Spanned<u64>> },
}

/// What `was` says.
#[derive(Debug)]
pub(crate) struct RawWas {
    pub(crate) name: Spanned<String>,
    /// None where only the name changed.
    pub(crate) key: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Reads one limit: everything in it is looked at, and it is kept if all of it was good.
pub(super) fn read(
    name: Spanned<String>,
    node: Node<'_>,
    problems: &mut Problems,
) -> Option<RawLimit> {
    let before = problems.errors();
    if name.value == "<<" {
        let message = "merge keys (`<<`) are not part of the language".to_owned();
        problems.error(name.at, code::UNSUPPORTED_YAML, message, "repeat the keys");
    } else {
        limit_name(&name, problems);
    }
    let owner = format!("limit `{}`", shown(&name.value));
    let at = name.at;
    let node = Node { at: if is_map(&node) { at } else { node.at }, value: node.value };
    let mut fields = Fields::of(node, owner, LIMIT_KEYS, problems)?;
    let algorithm = algorithm(&mut fields, problems);
    let missing_key = missing_key(&mut fields, problems);
    let raw = RawLimit {
        name,
        description: description(&mut fields, problems),
        patterns: list(&mut fields, "match", MAX_PATTERNS, problems),
        when: fields.take("when").and_then(|node| read::text(node, "`when`", problems)),
        key: list(&mut fields, "key", MAX_KEY_ATTRIBUTES, problems),
        missing_key,
        limit: number(&mut fields, "limit", (0, MAX_LIMIT), problems)
            .unwrap_or(Spanned { at, value: 0 }),
        window: time(&mut fields, "window", (MIN_WINDOW, MAX_WINDOW), problems),
        burst: number(&mut fields, "burst", (0, MAX_LIMIT), problems),
        quota: quota::read(&mut fields, problems),
        hold: time(&mut fields, "hold", (MIN_HOLD, MAX_HOLD), problems),
        cost: fields.take("cost").and_then(|node| cost(node, problems)),
        mode: word(&mut fields, "mode", &Mode::WORDS, problems).unwrap_or_default(),
        penalty: fields.take("penalty").and_then(|node| penalty(node, problems)),
        on_store_failure: word(&mut fields, "on_store_failure", &OnStoreFailure::WORDS, problems),
        accuracy: accuracy(&mut fields, problems).unwrap_or_default(),
        max_keys: number(&mut fields, "max_keys", (1, MAX_MAX_KEYS), problems).map(|n| n.value),
        reason: fields.take("reason").and_then(|node| read::text(node, "`reason`", problems)),
        was: fields.take("was").and_then(|node| was(node, problems)),
        algorithm,
    };
    (problems.errors() == before).then_some(raw)
}

/// The algorithm, and whether the limit has the keys that it needs and no others.
fn algorithm(fields: &mut Fields<'_>, problems: &mut Problems) -> Algorithm {
    let word = match fields.take("algorithm") {
        None => Some(Algorithm::default()),
        Some(node) => {
            let word = read::word(node, "a word for `algorithm`", &Algorithm::WORDS, problems);
            word.map(|word| word.value)
        }
    };
    // Of a word that means nothing nobody knows which keys would be right.
    if let Some(algorithm) = word {
        fields.suit(algorithm, problems);
    }
    word.unwrap_or_default()
}

/// What is said of a missing key, and whether there is a key that it can be about.
fn missing_key(fields: &mut Fields<'_>, problems: &mut Problems) -> MissingKey {
    let Some(node) = fields.take("missing_key") else { return MissingKey::default() };
    if !fields.has("key") {
        let message = "`missing_key` is about the attributes of a `key`, and there is none";
        let help = "remove it, or say by which attributes the limit counts";
        problems.error(node.at, code::MISPLACED_KEY, message.to_owned(), help);
    }
    let word = read::word(node, "a word for `missing_key`", &MissingKey::WORDS, problems);
    word.map(|word| word.value).unwrap_or_default()
}

fn accuracy(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Accuracy> {
    let node = fields.take("accuracy")?;
    if let Value::Scalar { text, .. } = &node.value
        && text == ACCURACY_LATER
    {
        read::not_available(node.at, ACCURACY_LATER, problems);
        return None;
    }
    read::word(node, "a word for `accuracy`", &Accuracy::WORDS, problems).map(|word| word.value)
}

fn limit_name(name: &Spanned<String>, problems: &mut Problems) {
    name_for("a limit", name, problems);
}

pub(super) fn name_for(what: &str, name: &Spanned<String>, problems: &mut Problems) {
    if !is_name(&name.value) {
        let message = format!("`{}` is not a name for {what}", shown(&name.value));
        problems.error(name.at, code::BAD_NAME, message, "1 to 128 of A-Z a-z 0-9 _ . -");
    }
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

pub(super) fn word<T: Copy>(
    fields: &mut Fields<'_>,
    key: &str,
    words: &[(&'static str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let what = format!("a word for `{key}`");
    read::word(fields.take(key)?, &what, words, problems).map(|word| word.value)
}

fn number(
    fields: &mut Fields<'_>,
    key: &str,
    range: (u64, u64),
    problems: &mut Problems,
) -> Option<Spanned<u64>> {
    read::number(fields.take(key)?, &format!("`{key}`"), range, problems)
}

fn time(
    fields: &mut Fields<'_>,
    key: &str,
    range: (Micros, Micros),
    problems: &mut Problems,
) -> Option<Micros> {
    read::time(fields.take(key)?, &format!("a time for `{key}`"), range, problems)
}

fn cost(node: Node<'_>, problems: &mut Problems) -> Option<Spanned<RawCost>> {
    let at = node.at;
    if is_map(&node) {
        return Some(Spanned { at, value: cost_of(node, problems)? });
    }
    let looks_like_a_number = match &node.value {
        Value::Scalar { text, .. } => {
            text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        }
        Value::List(_) | Value::Map(_) => false,
    };
    let value = if looks_like_a_number {
        RawCost::Number(read::number(node, "`cost`", (0, MAX_COST), problems)?.value)
    } else {
        let of = read::text(node, "`cost`", problems)?;
        if of.value == "endpoint" {
            RawCost::Endpoint
        } else {
            RawCost::Attribute { of, missing: None }
        }
    };
    Some(Spanned { at, value })
}

/// A cost that is the number in an attribute, and what counts without it.
fn cost_of(node: Node<'_>, problems: &mut Problems) -> Option<RawCost> {
    let mut fields = Fields::of(node, "`cost`".to_owned(), COST_KEYS, problems)?;
    fields.suit(Algorithm::default(), problems);
    let of = fields.take("of").and_then(|node| read::text(node, "`of`", problems));
    let missing = number(&mut fields, "missing", (0, MAX_COST), problems);
    let of = of?;
    if of.value == "endpoint" {
        let message = "`endpoint` is a pattern and no number".to_owned();
        problems.error(of.at, code::BAD_NAME, message, "the cost of it is `cost: endpoint`");
    }
    Some(RawCost::Attribute { of, missing })
}

fn penalty(node: Node<'_>, problems: &mut Problems) -> Option<Penalty> {
    let mut fields = Fields::of(node, "`penalty`".to_owned(), PENALTY_KEYS, problems)?;
    fields.suit(Algorithm::default(), problems);
    let after = number(&mut fields, "after", (1, MAX_STRIKES), problems);
    let within = time(&mut fields, "within", (MIN_HOLD, MAX_WINDOW), problems);
    let block = time(&mut fields, "block", (MIN_HOLD, MAX_BLOCK), problems);
    Some(Penalty { after: Tokens::new(after?.value), within: within?, block: block? })
}

fn was(node: Node<'_>, problems: &mut Problems) -> Option<RawWas> {
    if !is_map(&node) {
        let name = read::text(node, "`was`", problems)?;
        limit_name(&name, problems);
        return Some(RawWas { name, key: None });
    }
    let mut fields = Fields::of(node, "`was`".to_owned(), WAS_KEYS, problems)?;
    fields.suit(Algorithm::default(), problems);
    let name = fields.take("name").and_then(|node| read::text(node, "`name`", problems));
    name.iter().for_each(|name| limit_name(name, problems));
    let key = fields.take("key").and_then(|node| {
        let at = node.at;
        let value = read::texts(node, "`key`", MAX_KEY_ATTRIBUTES, problems)?;
        Some(Spanned { at, value })
    });
    Some(RawWas { name: name?, key })
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

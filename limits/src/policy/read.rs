//! Typed values out of YAML nodes; every mistake becomes a problem with its place.

use super::keys::Key;
use super::kinds::Algorithm;
use super::problem::{At, Problems, code, nearest, shown};
use super::units::{self, InvalidNumber, InvalidWindow, window_text};
use super::yaml::{Node, Value};
use crate::time::{Micros, Timestamp};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) at: At,
    pub(crate) value: T,
}

/// The entries of a map whose keys are known, until they are taken.
pub(crate) struct Fields<'t> {
    /// What the map is, for messages: "limit `a`".
    owner: String,
    at: At,
    keys: &'static [Key],
    entries: Vec<(&'static Key, Node<'t>)>,
    seen: Vec<&'static str>,
    /// Keys that were likely meant by unknown ones.
    misspelt: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    /// Reads a map. Unknown and repeated keys are reported and left out.
    pub(crate) fn of(
        node: Node<'t>,
        owner: String,
        keys: &'static [Key],
        problems: &mut Problems,
    ) -> Option<Self> {
        let at = node.at;
        let mut fields = Self { owner, at, keys, entries: vec![], seen: vec![], misspelt: vec![] };
        for (name, value) in entries(node, &fields.owner, problems)? {
            if let Some(key) = keys.iter().find(|key| key.name == name.value) {
                if fields.seen.contains(&key.name) {
                    let message = format!("`{}` stands twice in {}", key.name, fields.owner);
                    problems.error(name.at, code::REPEATED_KEY, message, "keep one of them");
                } else {
                    fields.seen.push(key.name);
                    fields.entries.push((key, value));
                }
            } else {
                fields.misspelt.extend(unknown_key(&name, &fields.owner, keys, problems));
            }
        }
        Some(fields)
    }

    /// The value of a key, where it has one.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node<'t>> {
        let at = self.entries.iter().position(|(known, _)| known.name == key)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// Whether a key is there, taken or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.seen.contains(&key)
    }

    /// Reports the keys that an algorithm needs and are not there, and takes out those that are
    /// there and it does not use.
    pub(crate) fn suit(&mut self, algorithm: Algorithm, problems: &mut Problems) {
        let keys = self.keys.iter().filter(|key| key.needed_by.contains(&algorithm));
        // A key that was misspelt was reported already.
        let gone = keys
            .filter(|key| !(self.seen.contains(&key.name) || self.misspelt.contains(&key.name)));
        for key in gone {
            let message = format!("{} has no `{}`", self.owner, key.name);
            let help = format!("{}: `{}`", key.about, key.example());
            problems.error(self.at, code::MISSING_KEY, message, &help);
        }
        self.entries.retain(|(key, node)| {
            let suits = key.of.contains(&algorithm);
            if !suits {
                let message = format!("`{}` has no `{}`", algorithm.as_str(), key.name);
                let words = listed(key.of.iter().map(|algorithm| algorithm.as_str()));
                let help = format!("remove it, or choose the algorithm {words}");
                problems.error(node.at, code::MISPLACED_KEY, message, &help);
            }
            suits
        });
    }
}

/// The entries of a map with text keys; repeated keys stay.
pub(crate) fn entries<'t>(
    node: Node<'t>,
    owner: &str,
    problems: &mut Problems,
) -> Option<Vec<(Spanned<String>, Node<'t>)>> {
    let Value::Map(map) = node.value else {
        let message = format!("{owner} has to be a map, and this is {}", kind(&node.value));
        problems.error(node.at, code::WRONG_TYPE, message, "write `key: value` lines");
        return None;
    };
    let mut out = Vec::with_capacity(map.len());
    for (key, value) in map {
        match key.value {
            Value::Scalar { text, .. } => {
                out.push((Spanned { at: key.at, value: text.into_owned() }, value));
            }
            Value::List(_) | Value::Map(_) => problems.error(
                key.at,
                code::UNSUPPORTED_YAML,
                format!("a key of {owner} is {}", kind(&key.value)),
                "keys are texts",
            ),
        }
    }
    Some(out)
}

/// A text, quoted or not; not empty.
pub(crate) fn text(node: Node<'_>, what: &str, problems: &mut Problems) -> Option<Spanned<String>> {
    let at = node.at;
    match node.value {
        Value::Scalar { text, plain } if !is_nothing(&text, plain) => {
            Some(Spanned { at, value: text.into_owned() })
        }
        other => {
            wrong_type(at, what, "a text", &other, problems);
            None
        }
    }
}

/// One text, or a list of at most `most`.
pub(crate) fn texts(
    node: Node<'_>,
    what: &str,
    most: usize,
    problems: &mut Problems,
) -> Option<Vec<Spanned<String>>> {
    let at = node.at;
    let Value::List(list) = node.value else {
        return text(node, what, problems).map(|one| vec![one]);
    };
    if list.is_empty() || list.len() > most {
        let message = format!("{what} has {} entries", list.len());
        let help = format!("1 to {most} entries; or leave the key out");
        problems.error(at, code::OUT_OF_RANGE, message, &help);
        return None;
    }
    let before = problems.errors();
    let all: Vec<_> = list.into_iter().filter_map(|node| text(node, what, problems)).collect();
    (problems.errors() == before).then_some(all)
}

/// A plain decimal number of `least` to `most`.
pub(crate) fn number(
    node: Node<'_>,
    what: &str,
    (least, most): (u64, u64),
    problems: &mut Problems,
) -> Option<Spanned<u64>> {
    const HELP: &str = "decimal digits without quotes; `_` may stand between them: 1_000_000";
    let at = node.at;
    let Value::Scalar { text, plain } = node.value else {
        wrong_type(at, what, "a number", &node.value, problems);
        return None;
    };
    if is_nothing(&text, plain) {
        problems.error(at, code::WRONG_TYPE, format!("{what} has no value"), HELP);
        return None;
    }
    if !plain {
        let message = format!("{what} is a number, and this is a quoted text");
        problems.error(at, code::BAD_NUMBER, message, "remove the quotes");
        return None;
    }
    match units::number(&text, most) {
        Ok(value) if value >= least => Some(Spanned { at, value }),
        Err(InvalidNumber::Form) => {
            let message = format!("`{}` is not a number for {what}", shown(&text));
            problems.error(at, code::BAD_NUMBER, message, HELP);
            None
        }
        Ok(_) | Err(InvalidNumber::Above(_)) => {
            let message = format!("{} is out of range for {what}", shown(&text));
            problems.error(at, code::OUT_OF_RANGE, message, &format!("{least} to {most}"));
            None
        }
    }
}

/// A time of `least` to `most`.
pub(crate) fn time(
    node: Node<'_>,
    what: &str,
    (least, most): (Micros, Micros),
    problems: &mut Problems,
) -> Option<Micros> {
    const HELP: &str = "an integer and one of ms, s, m, h, d: 30s, 1m, 24h";
    let Spanned { at, value } = text(node, what, problems)?;
    let (code, message, help) = match units::window(&value, (least, most)) {
        Ok(time) => return Some(time),
        Err(InvalidWindow::NoUnit) => (
            code::BAD_WINDOW,
            format!("{what} has no unit: `{}`", shown(&value)),
            format!("did you mean `{}s`?", shown(&value)),
        ),
        Err(InvalidWindow::Form) => {
            (code::BAD_WINDOW, format!("`{}` is not {what}", shown(&value)), HELP.to_owned())
        }
        Err(InvalidWindow::Range) => (
            code::OUT_OF_RANGE,
            format!("`{}` is out of range for {what}", shown(&value)),
            format!("{} to {}", window_text(least), window_text(most)),
        ),
    };
    problems.error(at, code, message, &help);
    None
}

/// An instant in the form of RFC 3339.
pub(crate) fn instant(
    node: Node<'_>,
    what: &str,
    problems: &mut Problems,
) -> Option<Spanned<Timestamp>> {
    let Spanned { at, value } = text(node, what, problems)?;
    let instant = units::instant(&value).map(|instant| Spanned { at, value: instant });
    if instant.is_none() {
        let message = format!("`{}` is not an instant for {what}", shown(&value));
        let help = "RFC 3339, from 1970 on: 2026-03-14T22:59:59Z";
        problems.error(at, code::BAD_INSTANT, message, help);
    }
    instant
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    node: Node<'_>,
    what: &str,
    words: &[(&'static str, T)],
    problems: &mut Problems,
) -> Option<Spanned<T>> {
    let Spanned { at, value } = text(node, what, problems)?;
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == value) {
        return Some(Spanned { at, value: *found });
    }
    let names = || words.iter().map(|(word, _)| *word);
    let help = match nearest(&value, names()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of {}", listed(names())),
    };
    problems.error(at, code::BAD_WORD, format!("`{}` is not {what}", shown(&value)), &help);
    None
}

/// Reports a part of the language that comes later.
pub(crate) fn not_available(at: At, word: &str, problems: &mut Problems) {
    problems.error(
        at,
        code::NOT_AVAILABLE,
        format!("`{word}` is not available in this version"),
        "remove it; docs/limits.md lists what this version reads",
    );
}

/// Reports a key that the language does not have; answers with the one it was likely meant to be.
fn unknown_key(
    name: &Spanned<String>,
    owner: &str,
    keys: &'static [Key],
    problems: &mut Problems,
) -> Option<&'static str> {
    let nearest = nearest(&name.value, keys.iter().map(|key| key.name));
    let help = match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None => format!("{owner} has {}", listed(keys.iter().map(|key| key.name))),
    };
    let code = if name.value == "<<" { code::UNSUPPORTED_YAML } else { code::UNKNOWN_KEY };
    problems.error(
        name.at,
        code,
        format!("unknown key `{}` in {owner}", shown(&name.value)),
        &help,
    );
    nearest
}

fn wrong_type(at: At, what: &str, expected: &str, found: &Value<'_>, problems: &mut Problems) {
    let message = format!("{what} has to be {expected}, and this is {}", kind(found));
    problems.error(at, code::WRONG_TYPE, message, "");
}

/// What a value is, for messages.
pub(crate) fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Scalar { text, plain } if is_nothing(text, *plain) => "nothing",
        Value::Scalar { .. } => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// Whether YAML means the absence of a value.
pub(crate) fn is_nothing(text: &str, plain: bool) -> bool {
    text.is_empty() || (plain && matches!(text, "~" | "null" | "Null" | "NULL"))
}

fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

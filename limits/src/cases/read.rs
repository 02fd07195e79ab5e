//! A case file to cases: every mistake with its place, all at once.

use std::collections::{HashMap, HashSet};

use super::keys::{CASE_FILE_KEYS, CASE_KEYS, MAX_LIMITS_FILES, MAX_NAME_BYTES};
use super::step::{Context, Instant, step};
use super::{Case, DEFAULT_START, MAX_REQUESTS, Suite};
use crate::attributes::AttributesBuilder;
use crate::policy::problem::{At, Problem, Problems, code, nearest, shown};
use crate::policy::read::{self, Fields, Spanned, entries, is_nothing, kind};
use crate::policy::yaml::{self, Node, Value};
use crate::policy::{ATTRIBUTE_FAMILIES, Algorithm, KNOWN_ATTRIBUTES, Place, Policy, SourceFile};

/// A limits file that a case file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsPath {
    /// As it is written: relative to the folder of the case file.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// A fact about a request as a case states it: its name, and its value or none.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// The limits files that a case file names; none where it cannot be read.
#[must_use]
pub fn limits_of(file: &SourceFile) -> Vec<LimitsPath> {
    let mut ignored = Problems::default();
    let Some(root) = yaml::read(&file.text, &mut ignored) else { return Vec::new() };
    let fields = Fields::of(root, String::new(), CASE_FILE_KEYS, &mut ignored);
    let node = fields.and_then(|mut fields| fields.take("limits"));
    let paths = node.and_then(|node| read::texts(node, "", MAX_LIMITS_FILES, &mut ignored));
    let path = |path: Spanned<String>| {
        let At { line, column } = path.at;
        LimitsPath { path: path.value, line, column }
    };
    paths.unwrap_or_default().into_iter().map(path).collect()
}

impl Suite {
    /// Reads a case file about a policy. Without a policy, since its files have errors, what the
    /// cases say of its limits is not checked and the answer is of use for its problems alone.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn read(file: &SourceFile, policy: Option<&Policy>) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        problems.begin(&file.name);
        let cases = suite(file, policy, &mut problems);
        if problems.errors() > 0 { Err(problems.finish()) } else { Ok(Self { cases }) }
    }
}

fn suite(file: &SourceFile, policy: Option<&Policy>, problems: &mut Problems) -> Vec<Case> {
    let before = problems.errors();
    let root = yaml::read(&file.text, problems);
    let Some(root) = root.filter(|root| kind(&root.value) != "nothing") else {
        if problems.errors() == before {
            let help = "name the limits, `limits: api.yaml`, and write `cases:`";
            problems.error(At::START, code::EMPTY, "the case file is empty".to_owned(), help);
        }
        return Vec::new();
    };
    let owner = "a case file".to_owned();
    let fields = Fields::of(root, owner, CASE_FILE_KEYS, problems);
    let Some(mut fields) = fields else { return Vec::new() };
    fields.suit(Algorithm::default(), problems);
    if let Some(node) = fields.take("limits") {
        read::texts(node, "`limits`", MAX_LIMITS_FILES, problems);
    }
    let node = fields.take("cases");
    let list = node.and_then(|node| list(node, "`cases`", problems)).unwrap_or_default();
    let mut context = Context { file: &file.name, policy, requests: 0 };
    let mut names = HashSet::new();
    list.into_iter().filter_map(|node| case(node, &mut names, &mut context, problems)).collect()
}

fn case(
    node: Node<'_>,
    names: &mut HashSet<String>,
    context: &mut Context<'_>,
    problems: &mut Problems,
) -> Option<Case> {
    let at = node.at;
    let mut fields = Fields::of(node, "a case".to_owned(), CASE_KEYS, problems)?;
    fields.suit(Algorithm::default(), problems);
    let name = fields.take("name").and_then(|node| case_name(node, names, problems));
    let start = fields.take("start").and_then(|node| read::instant(node, "`start`", problems));
    let start = start.map_or(DEFAULT_START, |start| start.value);
    let given = fields.take("given").map(|node| facts(node, "`given`", context.policy, problems));
    let given = given.unwrap_or_default();
    let node = fields.take("steps");
    let list = node.and_then(|node| list(node, "`steps`", problems)).unwrap_or_default();
    let mut now = Instant { start, now: start, holds: HashMap::new() };
    let steps: Vec<_> = list
        .into_iter()
        .filter_map(|node| step(node, &given, &mut now, context, problems))
        .collect();
    if context.requests > MAX_REQUESTS {
        let message = format!("the file makes more than {MAX_REQUESTS} requests");
        problems.error(at, code::OUT_OF_RANGE, message, "repeat steps less often: `times`");
        context.requests = 0;
    }
    let place = Place { file: context.file.to_owned(), line: at.line };
    Some(Case { name: name?, place, steps })
}

/// A name that no case before it has.
fn case_name(
    node: Node<'_>,
    names: &mut HashSet<String>,
    problems: &mut Problems,
) -> Option<String> {
    let name = read::text(node, "`name`", problems)?;
    if name.value.len() > MAX_NAME_BYTES {
        let message = format!("a name of {} bytes", name.value.len());
        let help = format!("at most {MAX_NAME_BYTES} bytes");
        problems.error(name.at, code::OUT_OF_RANGE, message, &help);
    }
    if !names.insert(name.value.clone()) {
        let message = format!("two cases are named `{}`", shown(&name.value));
        problems.error(name.at, code::REPEATED_CASE, message, "rename one of them");
    }
    Some(name.value)
}

/// A list with at least one entry.
fn list<'t>(node: Node<'t>, what: &str, problems: &mut Problems) -> Option<Vec<Node<'t>>> {
    match node.value {
        Value::List(list) if !list.is_empty() => Some(list),
        Value::List(_) => {
            let message = format!("{what} has no entries");
            problems.error(node.at, code::OUT_OF_RANGE, message, "at least one");
            None
        }
        other => {
            let message = format!("{what} has to be a list, and this is {}", kind(&other));
            problems.error(node.at, code::WRONG_TYPE, message, "begin each entry with `- `");
            None
        }
    }
}

/// Facts about a request, `name: value`; the value nothing takes one away.
pub(super) fn facts(
    node: Node<'_>,
    what: &str,
    policy: Option<&Policy>,
    problems: &mut Problems,
) -> Vec<Fact> {
    let entries = entries(node, what, problems).unwrap_or_default();
    let mut facts: Vec<Fact> = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        let Some(fact) = fact(&name, node, policy, problems) else { continue };
        if facts.iter().any(|other| other.name == fact.name) {
            let message = format!("`{}` stands twice in {what}", shown(&fact.name));
            problems.error(name.at, code::REPEATED_KEY, message, "keep one of them");
        } else {
            facts.push(fact);
        }
    }
    facts
}

fn fact(
    name: &Spanned<String>,
    node: Node<'_>,
    policy: Option<&Policy>,
    problems: &mut Problems,
) -> Option<Fact> {
    let at = node.at;
    known(name, policy, problems);
    let value = match node.value {
        Value::Scalar { text, plain } if is_nothing(&text, plain) => None,
        Value::Scalar { text, .. } => Some(text.into_owned()),
        other => {
            let message = format!("an attribute is a text, and this is {}", kind(&other));
            problems.error(at, code::WRONG_TYPE, message, "a value, or `~` for none");
            return None;
        }
    };
    // Alone, so that each mistake is told once and at its place.
    let mut alone = AttributesBuilder::new();
    if let Err(invalid) = alone.set(&name.value, value.as_deref().unwrap_or("")) {
        problems.error(at, code::BAD_ATTRIBUTE, shown(&invalid.to_string()), "");
        return None;
    }
    let name = crate::attributes::canonical_name(&name.value).ok()?.into_owned();
    Some(Fact { name, value })
}

/// Reports an attribute that neither every service knows nor a limit speaks of: misspelt, it
/// would quietly be another request.
fn known(name: &Spanned<String>, policy: Option<&Policy>, problems: &mut Problems) {
    let text = name.value.as_str();
    let Some(policy) = policy else { return };
    let family = ATTRIBUTE_FAMILIES.iter().any(|family| text.starts_with(family));
    let mut own = policy.attributes();
    if family || KNOWN_ATTRIBUTES.contains(&text) || own.any(|own| own == text) {
        return;
    }
    let words = KNOWN_ATTRIBUTES.iter().copied().chain(policy.attributes());
    let help = match nearest(text, words) {
        Some(word) => format!("did you mean `{word}`?"),
        None => "neither every service nor a limit of this policy knows it".to_owned(),
    };
    let message = format!("unknown attribute `{}`", shown(text));
    problems.error(name.at, code::UNKNOWN_ATTRIBUTE, message, &help);
}

//! Which field of a log line is which attribute.
//!
//! The name of an attribute is also the name of its field, unless the format has its own names
//! ([`Names`]), the settings map a header or a claim, or `--map ATTRIBUTE=FIELD` says otherwise.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use sluicegate_limits::attributes::{AttributesBuilder, InvalidAttribute, Paths, canonical_name};
use sluicegate_limits::policy::units;
use sluicegate_limits::time::{Micros, Tokens};

use super::Entry;
use crate::instant;
use crate::settings::AttributeSource;

/// The name of the instant of a request, where attributes have theirs.
pub(super) const AT: &str = "at";
/// The name of the cost that a request stated.
pub(super) const COST: &str = "cost";
/// The name of how long a request ran, in milliseconds.
pub(super) const DURATION: &str = "duration_ms";
/// What says `--map ATTRIBUTE=present:OTHER`.
const PRESENT: &str = "present:";

/// Attributes that have a form, and whose values may be hashes or beginnings in decision records.
const STOOD_FOR: [&str; 2] = ["ip_address", "host"];

/// Names of fields by name of attribute, the first that has a value counts.
pub(crate) type Names = BTreeMap<String, Source>;

/// Where an attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The first of these fields that has a value.
    Fields(Vec<Field>),
    /// `true` where the named attribute is present, else `false`.
    Present(String),
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(super) name: String,
    /// Of a list with commas, as `X-Forwarded-For`, the nth value from the right; 0: all of it.
    pub(super) from_right: u8,
    /// It is not what the attribute is, and is taken for want of that.
    pub(super) is_substitute: bool,
}

/// The mapping, ready to be applied.
pub(super) struct Mapping {
    rules: Vec<(String, Rule)>,
    slots: HashMap<String, usize>,
    /// How the upstream reads paths.
    paths: Paths,
    /// A value of one dash is none, as Envoy writes it.
    dash_is_absent: bool,
    /// Values that are no proper ones may stand for them: hashes in decision records.
    stand_ins: bool,
    /// Of each rule: whether a line had it.
    seen: Vec<bool>,
}

enum Rule {
    Fields(Vec<Place>),
    Present(String),
}

/// A field and its slot.
struct Place {
    field: Field,
    slot: usize,
    /// How many requests got their value from it.
    used: u64,
}

/// A field that requests got an attribute from although another one was meant.
pub(super) struct Substitute<'m> {
    /// The one that was meant.
    pub(super) meant: &'m str,
    /// The one that was there.
    pub(super) field: &'m Field,
    /// In how many requests.
    pub(super) requests: u64,
}

/// The values of one line, by slot; empty is absent.
#[derive(Default)]
pub(super) struct Values(Vec<String>);

impl Field {
    /// A field by its name. Of `X-Forwarded-For` the entry is meant that the nearest proxy wrote.
    pub(super) fn new(name: &str) -> Self {
        let is_list = name.to_ascii_lowercase().replace('_', "-").ends_with("x-forwarded-for");
        Self { name: name.to_owned(), from_right: u8::from(is_list), is_substitute: false }
    }

    /// The same, for want of another field.
    pub(super) fn substitute(self) -> Self {
        Self { is_substitute: true, ..self }
    }
}

impl Source {
    pub(super) fn fields(names: &[&str]) -> Self {
        Self::Fields(names.iter().map(|name| Field::new(name)).collect())
    }

    /// The fields in which logs have what the settings take from a header, a claim or a context.
    fn of(attribute: &str, source: &AttributeSource) -> Self {
        let named = |name: &str, family: &str| {
            let own = [Field::new(attribute)].into_iter().chain(written(name, family));
            Self::Fields(own.collect())
        };
        match source {
            AttributeSource::Header(name) => named(name, "headers"),
            AttributeSource::Claim(name) => named(name, "claims"),
            AttributeSource::Context(name) => named(name, "context"),
            AttributeSource::Present(of) => Self::Present(of.clone()),
            AttributeSource::TransferEncoding(_) => Self::fields(&[attribute]),
        }
    }
}

/// The fields in which logs have a header.
pub(super) fn of_header(name: &str) -> Vec<Field> {
    written(name, "headers").into()
}

fn written(name: &str, family: &str) -> [Field; 3] {
    let (own, under) = (format!("{family}.{name}"), name.replace('-', "_"));
    [name, &under, &own].map(Field::new)
}

/// Reads one `ATTRIBUTE=FIELD` or `ATTRIBUTE=present:OTHER`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_map(text: &str) -> Result<(String, Source), String> {
    let (attribute, field) = text
        .split_once('=')
        .filter(|(_, field)| !field.is_empty())
        .ok_or_else(|| format!("`{text}` is not ATTRIBUTE=FIELD, as tenant_id=x-tenant"))?;
    let name = canonical_name(attribute).map_err(|error| error.to_string())?;
    let source = field
        .strip_prefix(PRESENT)
        .map_or_else(|| Source::fields(&[field]), |of| Source::Present(of.to_owned()));
    Ok((name.into_owned(), source))
}

/// What the settings map, in terms of a log's fields.
pub(crate) fn of_settings(attributes: &BTreeMap<String, AttributeSource>) -> Names {
    attributes.iter().map(|(name, source)| (name.clone(), Source::of(name, source))).collect()
}

impl Mapping {
    pub(super) fn new(names: Names, paths: Paths, dash_is_absent: bool, stand_ins: bool) -> Self {
        let mut slots = HashMap::new();
        let mut rules = Vec::new();
        for (attribute, source) in names {
            let rule = match source {
                Source::Present(of) => Rule::Present(of),
                Source::Fields(fields) => {
                    let place = |field: Field| {
                        let next = slots.len();
                        let slot = *slots.entry(field.name.clone()).or_insert(next);
                        Place { field, slot, used: 0 }
                    };
                    Rule::Fields(fields.into_iter().map(place).collect())
                }
            };
            rules.push((attribute, rule));
        }
        // What asks whether another attribute is present comes after all of those.
        rules.sort_by_key(|(_, rule)| matches!(rule, Rule::Present(_)));
        let seen = vec![false; rules.len()];
        Self { rules, slots, paths, dash_is_absent, stand_ins, seen }
    }

    /// The slot of a field that is read.
    pub(super) fn slot(&self, field: &str) -> Option<usize> {
        self.slots.get(field).copied()
    }

    /// The fields that are read, with their slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = (&str, usize)> {
        self.slots.iter().map(|(name, slot)| (name.as_str(), *slot))
    }

    /// The slot of a column: the one of a field that is read, else of an attribute of that name.
    /// `None` where the name is none of an attribute.
    pub(super) fn slot_of_column(&mut self, name: &str) -> Option<usize> {
        if let Some(slot) = self.slot(name) {
            return Some(slot);
        }
        let attribute = canonical_name(name).ok()?.into_owned();
        if attribute == "endpoint" || self.rules.iter().any(|(ruled, _)| *ruled == attribute) {
            return None;
        }
        let slot = self.slots.len();
        self.slots.insert(name.to_owned(), slot);
        let field = Field { name: name.to_owned(), from_right: 0, is_substitute: false };
        self.rules.insert(0, (attribute, Rule::Fields(vec![Place { field, slot, used: 0 }])));
        self.seen.insert(0, false);
        Some(slot)
    }

    /// Whether an attribute can come out of these slots.
    pub(super) fn reads(&self, attribute: &str, slots: &[Option<usize>]) -> bool {
        self.rules.iter().filter(|(name, _)| name == attribute).any(|(_, rule)| match rule {
            Rule::Fields(fields) => fields.iter().any(|place| slots.contains(&Some(place.slot))),
            Rule::Present(_) => false,
        })
    }

    /// Whether a line so far had this attribute.
    pub(super) fn saw(&self, attribute: &str) -> bool {
        self.rules.iter().zip(&self.seen).any(|((name, _), seen)| *seen && name == attribute)
    }

    /// The fields that stood for the one that this attribute is, in requests so far.
    pub(super) fn substitutes(&self, attribute: &str) -> Vec<Substitute<'_>> {
        let rule = self.rules.iter().find(|(name, _)| name == attribute);
        let Some((_, Rule::Fields(places))) = rule else { return Vec::new() };
        let Some(meant) = places.iter().rfind(|place| !place.field.is_substitute) else {
            return Vec::new();
        };
        let used = places.iter().filter(|place| place.field.is_substitute && place.used > 0);
        used.map(|Place { field, used, .. }| Substitute {
            meant: &meant.field.name,
            field,
            requests: *used,
        })
        .collect()
    }

    /// The request of a line.
    ///
    /// # Errors
    /// What is missing, or which attribute cannot be what its field says.
    pub(super) fn entry(&mut self, values: &Values) -> Result<Entry, String> {
        let (mut at, mut cost, mut lasted) = (None, None, None);
        let mut attributes = AttributesBuilder::new();
        for ((name, rule), seen) in self.rules.iter_mut().zip(&mut self.seen) {
            let value = match rule {
                Rule::Present(of) => Some(if attributes.has(of) { "true" } else { "false" }),
                Rule::Fields(places) => places.iter_mut().find_map(|place| {
                    let value = pick(values.get(place.slot)?, place.field.from_right);
                    let is_there = !value.is_empty() && (value != "-" || !self.dash_is_absent);
                    place.used += u64::from(is_there);
                    is_there.then_some(value)
                }),
            };
            let Some(value) = value else { continue };
            *seen = true;
            match name.as_str() {
                AT => at = Some(instant::parse(value).map_err(|e| format!("`at` is {e}"))?),
                COST => cost = Some(tokens(value)?),
                DURATION => lasted = Some(duration(value)?),
                _ => set(&mut attributes, name, value, self.stand_ins)?,
            }
        }
        let at = at.ok_or("it has no time")?;
        Ok(Entry { at, attributes: attributes.finish_for(&self.paths), cost, lasted })
    }
}

impl Values {
    /// Forgets the last line.
    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(String::clear);
    }

    pub(super) fn get(&self, slot: usize) -> Option<&str> {
        self.0.get(slot).map(String::as_str)
    }

    /// Sets the value of a slot.
    pub(super) fn set(&mut self, slot: usize, value: impl fmt::Display) {
        if slot >= self.0.len() {
            self.0.resize(slot + 1, String::new());
        }
        if let Some(text) = self.0.get_mut(slot) {
            text.clear();
            // Writing to a string cannot fail.
            let _ = write!(text, "{value}");
        }
    }
}

/// The nth of a list from the right, the first where there are fewer; the whole for 0.
fn pick(value: &str, from_right: u8) -> &str {
    match usize::from(from_right).checked_sub(1) {
        None => value.trim_ascii(),
        Some(skip) => {
            let mut from_right = value.rsplit(',');
            let first = value.split(',').next().unwrap_or_default();
            from_right.nth(skip).unwrap_or(first).trim_ascii()
        }
    }
}

fn tokens(text: &str) -> Result<Tokens, String> {
    units::cost(text).ok_or_else(|| "`cost` is no number".to_owned())
}

fn duration(text: &str) -> Result<Micros, String> {
    let micros = text.parse().ok().and_then(|ms: u64| ms.checked_mul(1_000));
    micros
        .map(Micros::new)
        .ok_or_else(|| "the duration is no whole number of milliseconds".to_owned())
}

fn set(
    attributes: &mut AttributesBuilder,
    name: &str,
    value: &str,
    stand_ins: bool,
) -> Result<(), String> {
    // A path in its place that is none is what the record shows instead of it.
    if stand_ins && name == "path" && !value.starts_with('/') {
        return attributes.set_stand_in(name, value).map(drop).map_err(|error| error.to_string());
    }
    match attributes.set(name, value) {
        Err(InvalidAttribute::BadValue { .. }) if stand_ins && STOOD_FOR.contains(&name) => {
            attributes.set_stand_in(name, value).map(drop)
        }
        other => other.map(drop),
    }
    .map_err(|error| error.to_string())
}

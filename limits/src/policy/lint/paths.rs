//! Paths in a policy that the settings never deliver, and paths that an upstream may route in
//! another case.

use super::{Finding, LimitPlaces, Lint, Service, code};
use crate::attributes::{AttributesBuilder, PathFault, PathSetting};
use crate::matching::sample;
use crate::policy::Limit;
use crate::policy::condition::{Condition, Is, Test};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::problem::shown;

/// What literals may have that the settings decide about.
const UNSURE: [(&str, PathSetting); 3] = [
    ("%2F", PathSetting::EncodedSlash),
    ("%5C", PathSetting::EncodedSlash),
    (";", PathSetting::MatrixParams),
];

impl Lint<'_> {
    /// Patterns and conditions on paths that no request has, as the settings say to read them.
    pub(super) fn undelivered(&mut self, service: Option<&Service>) {
        if service.is_none() {
            return;
        }
        let policy = self.policy;
        for (position, limit) in policy.limits.iter().enumerate() {
            for (at, pattern) in limit.patterns.iter().enumerate() {
                let Some(setting) = self.undelivered_by(pattern, &limit.patterns) else { continue };
                let (message, help) = self.undelivered_words(&pattern.to_string(), setting);
                let place =
                    |places: &LimitPlaces| places.patterns.get(at).copied().unwrap_or(places.name);
                self.about(position, place, code::UNDELIVERED_PATH, message, &help);
            }
            let tests = limit.condition.iter().flat_map(Condition::tests);
            let texts: Vec<&str> = tests.flat_map(path_texts).collect();
            for text in texts {
                let Some(setting) = self.unsure(text) else { continue };
                let (message, help) = self.undelivered_words(text, setting);
                self.about(position, |places| places.when, code::UNDELIVERED_PATH, message, &help);
            }
        }
        for (entry, spot) in policy.endpoint_costs.iter().zip(&self.places.endpoint_costs) {
            let own = std::slice::from_ref(&entry.pattern);
            let Some(setting) = self.undelivered_by(&entry.pattern, own) else { continue };
            let (message, help) = self.undelivered_words(&entry.text, setting);
            let (spot, code) = (spot.clone(), code::UNDELIVERED_PATH);
            self.found.push(Finding { spot, code, message, help });
        }
    }

    /// Policies with letters in their paths, where nobody says whether their case matters.
    pub(super) fn unsaid_case(&mut self, service: Option<&Service>) {
        if service.is_none() || self.policy.paths().case.is_some() {
            return;
        }
        let has_letters = |limit: &Limit| {
            let texts = limit.condition.iter().flat_map(Condition::tests).flat_map(path_texts);
            let literals = limit.patterns.iter().flat_map(literals).chain(texts);
            literals.into_iter().any(|text| text.bytes().any(|byte| byte.is_ascii_alphabetic()))
        };
        let message = "paths are compared with their case, and the settings do not say whether \
                       the upstream does so: Express and ASP.NET ignore it"
            .to_owned();
        let help = "`paths: { case: insensitive }`, or `sensitive` where `/A` is not `/a`";
        let mut limits = self.limits().map(|(position, limit)| (position, has_letters(limit)));
        if let Some((position, _)) = limits.find(|(_, has_letters)| *has_letters) {
            drop(limits);
            let place =
                |places: &LimitPlaces| places.patterns.first().copied().unwrap_or(places.when);
            return self.about(position, place, code::UNSAID_CASE, message, help);
        }
        drop(limits);
        let costs = self.policy.endpoint_costs.iter().zip(&self.places.endpoint_costs);
        let mut named = costs.filter(|(entry, _)| literals(&entry.pattern).next().is_some());
        if let Some((_, spot)) = named.next() {
            let (spot, code, help) = (spot.clone(), code::UNSAID_CASE, help.to_owned());
            self.found.push(Finding { spot, code, message, help });
        }
    }

    /// The setting by which no request has the path of a pattern; one that is refused in another
    /// reading has it where all readings are matched by the same limit.
    fn undelivered_by(&self, pattern: &Pattern, all: &[Pattern]) -> Option<PathSetting> {
        let text = literals(pattern).find(|text| self.unsure(text).is_some())?;
        let mut facts = AttributesBuilder::new();
        facts.set("path", &sample(pattern)).ok()?;
        let facts = facts.finish_for(self.policy.paths());
        let matched = |by: &[Pattern], path: &str| {
            by.iter().any(|one| one.matches_route(one.method(), Some(path)))
        };
        let own = std::slice::from_ref(pattern);
        let delivered = facts.get("path").is_some_and(|path| matched(own, path))
            && facts.readings().iter().all(|reading| matched(all, &reading.path));
        if delivered { None } else { self.unsure(text) }
    }

    /// The setting that keeps a path with this text from being read as it stands.
    fn unsure(&self, text: &str) -> Option<PathSetting> {
        let paths = self.policy.paths();
        let as_it_stands = |setting| matches!(paths.value(setting), Some("data" | "keep"));
        let has_bytes = text.contains('%') && has_bytes(text);
        let bytes = has_bytes.then_some(PathSetting::NonUtf8);
        let found = UNSURE.iter().filter(|(part, _)| text.contains(part)).map(|(_, s)| *s);
        found.chain(bytes).find(|setting| !as_it_stands(*setting))
    }

    fn undelivered_words(&self, text: &str, setting: PathSetting) -> (String, String) {
        let value = self.policy.paths().value(setting).unwrap_or_default();
        let message = format!("no request has `{}`: `{setting}` is `{value}`", shown(text));
        let known = if setting == PathSetting::MatrixParams { "keep" } else { "data" };
        let help = format!("set it to `{known}` if the upstream reads it so, or leave it out");
        (message, help)
    }
}

/// The fixed segments of a pattern.
fn literals(pattern: &Pattern) -> impl Iterator<Item = &str> {
    pattern.segments().iter().filter_map(|segment| match segment {
        Segment::Literal(literal) => Some(&**literal),
        Segment::Param(_) | Segment::Any | Segment::Rest => None,
    })
}

/// The texts that a test compares a path with.
fn path_texts(test: &Test) -> Vec<&str> {
    if *test.attribute != *"path" {
        return Vec::new();
    }
    match &test.is {
        Is::Text { among, .. } => among.iter().map(|text| &**text).collect(),
        Is::Prefix { text, .. } | Is::Suffix { text, .. } => vec![&**text],
        Is::There(_) | Is::Flag(_) | Is::Number { .. } | Is::Numbers { .. } => Vec::new(),
    }
}

/// Whether a segment as requests spell it has bytes that are not UTF-8.
fn has_bytes(text: &str) -> bool {
    let mut facts = AttributesBuilder::new();
    let set = facts.set("path", &format!("/{}", text.trim_start_matches('/')));
    let facts = set.is_ok().then(|| facts.finish());
    let fault = PathFault::Ambiguous(PathSetting::NonUtf8);
    facts.is_some_and(|facts| facts.readings().iter().any(|reading| reading.fault == fault))
}

//! Which spellings of a policy's own paths are refused, since their readings do not count alike.

use std::collections::BTreeSet;

use super::PathIndex;
use super::index::Found;
use crate::attributes::{Attributes, AttributesBuilder, PathFault};
use crate::policy::condition::{Condition, Is};
use crate::policy::pattern::{Pattern, Segment};
use crate::policy::{CostRule, Limit, Mode, Policy};

/// The most paths of a policy that are respelt.
const MAX_PATHS: usize = 5_000;
/// What stands for a segment that may be any.
const ANY: &str = "x";

/// A request that may be read in different ways: method and target.
pub(crate) type Probe = (String, String);

/// What routes come to, whoever asks: limits by their `match` alone.
pub(crate) struct Routes<'p> {
    policy: &'p Policy,
    index: PathIndex,
}

/// What one reading of a path comes to.
#[derive(PartialEq, Eq)]
struct Route<'p> {
    limits: Found,
    /// What the endpoint costs and is called, where a limit asks for it.
    cost: Option<u64>,
    endpoint: Option<&'p str>,
    /// The path, where a limit asks for it.
    path: Option<String>,
}

impl<'p> Routes<'p> {
    pub(crate) fn new(policy: &'p Policy) -> Self {
        let index = PathIndex::new(policy.limits().iter().map(|limit| &*limit.patterns));
        Self { policy, index }
    }

    /// Whether anything depends on a path.
    pub(crate) fn is_empty(&self) -> bool {
        let enabled = |limit: &&Limit| limit.mode != Mode::Disabled;
        let mut limits = self.policy.limits().iter().filter(enabled);
        let any = |pattern: &Pattern| pattern.is_any_path();
        let mut costs = self.policy.endpoint_costs.iter();
        costs.all(|entry| any(&entry.pattern))
            && limits.all(|limit| limit.patterns.iter().all(any) && !asks(limit, "path"))
    }

    /// Other spellings of every path that the policy names, each of which nobody knows how an
    /// upstream reads.
    pub(crate) fn probes(&self) -> BTreeSet<Probe> {
        let policy = self.policy;
        let enabled = policy.limits().iter().filter(|limit| limit.mode != Mode::Disabled);
        let of_limits = enabled.clone().flat_map(|limit| &limit.patterns);
        let of_costs = policy.endpoint_costs.iter().map(|entry| &entry.pattern);
        let patterns = of_limits
            .chain(of_costs)
            .map(|pattern| (pattern.method().unwrap_or("GET").to_owned(), sample(pattern)));
        let asked = enabled.filter(|limit| asks(limit, "path")).flat_map(|limit| {
            let texts = limit.condition.iter().flat_map(Condition::tests).flat_map(texts);
            texts.chain([format!("/{ANY}")]).map(|path| ("GET".to_owned(), path))
        });
        let paths: BTreeSet<Probe> = patterns.chain(asked).take(MAX_PATHS).collect();
        let respelt = |(method, path): &Probe| {
            respelt(path).map(|target| (method.clone(), target)).into_iter()
        };
        paths.iter().flat_map(respelt).collect()
    }

    /// Why a request is refused, if the limits that match are asked at all.
    pub(crate) fn fault(&self, (method, target): &Probe) -> Option<PathFault> {
        let facts = self.facts(method, target)?;
        if let Some(fault) = facts.path_fault() {
            return Some(fault);
        }
        let first = self.route(method, facts.get("path")?);
        let differs =
            facts.readings().iter().find(|other| self.route(method, &other.path) != first);
        differs.map(|reading| reading.fault)
    }

    /// A request as the policy's upstream reads it.
    pub(crate) fn facts(&self, method: &str, target: &str) -> Option<Attributes> {
        let mut facts = AttributesBuilder::new();
        facts.set("method", method).ok()?.set("path", target).ok()?;
        Some(facts.finish_for(self.policy.paths()))
    }

    fn route(&self, method: &str, path: &str) -> Route<'p> {
        let mut limits = Found::new();
        self.index.find(Some(method), Some(path), &mut limits);
        limits.sort_unstable();
        limits.dedup();
        let limit = |at: u32| self.policy.limits.get(at as usize);
        limits.retain(|at| {
            limit(*at).is_some_and(|limit| {
                let mut patterns = limit.patterns.iter();
                let matches = |p: &Pattern| p.matches_route(Some(method), Some(path));
                limit.mode != Mode::Disabled && (limit.patterns.is_empty() || patterns.any(matches))
            })
        });
        let some = |is: &dyn Fn(&Limit) -> bool| limits.iter().filter_map(|at| limit(*at)).any(is);
        let entry = self.policy.endpoint(Some(method), Some(path));
        let cost = || entry.map_or(1, |entry| entry.cost.get());
        Route {
            cost: some(&|limit| limit.cost == CostRule::Endpoint).then(cost),
            endpoint: entry.map(|entry| &*entry.text).filter(|_| some(&|l| asks(l, "endpoint"))),
            path: some(&|limit| asks(limit, "path")).then(|| path.to_owned()),
            limits,
        }
    }
}

/// Whether a limit's key or condition asks for an attribute.
pub(crate) fn asks(limit: &Limit, name: &str) -> bool {
    let condition = limit.condition.iter().flat_map(Condition::attributes);
    limit.key.iter().map(String::as_str).chain(condition).any(|asked| asked == name)
}

/// A path that a pattern means.
pub(crate) fn sample(pattern: &Pattern) -> String {
    let mut path = String::new();
    for segment in pattern.segments() {
        path.push('/');
        match segment {
            Segment::Literal(literal) => path.push_str(literal),
            Segment::Param(_) | Segment::Any | Segment::Rest => path.push_str(ANY),
        }
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// The paths that a test compares with, as far as it knows them whole.
fn texts(test: &crate::policy::condition::Test) -> Vec<String> {
    match &test.is {
        Is::Text { among, .. } if *test.attribute == *"path" => {
            among.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}

/// One spelling of a path for each thing that servers read in different ways.
fn respelt(path: &str) -> [String; 6] {
    let escaped = match path.rsplit_once('/') {
        Some((before, last)) if !before.is_empty() => format!("{before}%2F{last}"),
        _ => format!("{path}%2F"),
    };
    [
        escaped,
        format!("/{ANY}/..{path}"),
        format!("{path};{ANY}"),
        format!("/{path}"),
        format!("{}/", path.trim_end_matches('/')),
        format!("{path}%E9"),
    ]
}

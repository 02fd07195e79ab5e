//! Source files to a policy: every rule that needs more than one value, every problem at once.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::calendar::Calendar;
use super::lint::{LimitPlaces, Places, Spot};
use super::pattern::Pattern;
use super::problem::{At, Problem, Problems, code, nearest, shown};
use super::read::Spanned;
use super::source::{self, RawCost, RawLimit, RawQuota, RawWas, is_reason};
use super::tenants::{self, Tenants};
use super::units::{DEFAULT_HOLD, window_text};
use super::{
    Algorithm, Compiled, CostRule, DEFAULT_MAX_KEYS, EndpointCost, IpPrefix, Limit, Numbers,
    Period, Place, Policy, SourceFile, Was, canonical, condition, rate,
};
use crate::attributes::{Paths, canonical_name};
use crate::matching::{LimitIndex, PathIndex};
use crate::time::{Micros, Tokens};

/// The attributes that every request may have.
pub const KNOWN_ATTRIBUTES: &[&str] = &[
    "tenant_id",
    "user_id",
    "client_id",
    "on_behalf_of",
    "ip_address",
    "method",
    "path",
    "endpoint",
    "host",
    "grpc_method",
    "authenticated",
    "country",
    "region",
    "plan",
    "cost",
    "request_size",
    "traffic_class",
];
/// Where whole families of attributes begin.
pub const ATTRIBUTE_FAMILIES: &[&str] = &["headers.", "claims.", "descriptors."];

/// The policy as far as it was read.
#[derive(Default)]
struct Draft {
    /// How paths in it are read.
    paths: Paths,
    limits: Vec<Limit>,
    endpoint_costs: Vec<EndpointCost>,
    /// Where each limit and endpoint stands, to name both places when one is repeated.
    limit_places: HashMap<String, String>,
    counter_places: HashMap<String, String>,
    endpoint_places: HashMap<String, String>,
    places: Places,
    /// Plans and tenants may name limits of files that come later.
    tenants: tenants::Written,
    has_limits: bool,
}

impl Policy {
    /// Compiles limits files to a policy, for an upstream of which nobody says how it reads paths.
    /// Files are read in the order of their names.
    ///
    /// # Errors
    /// Every problem of every file, warnings included, if at least one of them is an error.
    pub fn compile(files: &[SourceFile]) -> Result<Compiled, Vec<Problem>> {
        Self::compile_for(files, Paths::default())
    }

    /// Compiles limits files to a policy for an upstream that reads paths so: its paths are read as
    /// those of requests. Files are read in the order of their names.
    ///
    /// # Errors
    /// Every problem of every file, warnings included, if at least one of them is an error.
    pub fn compile_for(files: &[SourceFile], paths: Paths) -> Result<Compiled, Vec<Problem>> {
        let mut draft = Draft { paths, ..Draft::default() };
        let mut problems = Problems::default();
        let mut files: Vec<_> = files.iter().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        if files.is_empty() {
            let message = "there is no limits file".to_owned();
            problems.error(At::START, code::EMPTY, message, "name a .yaml file");
        }
        draft.places.first_file = files.first().map(|file| file.name.clone()).unwrap_or_default();
        for file in &files {
            problems.begin(&file.name);
            draft.read(file, &mut problems);
        }
        if let (Some(first), false, 0) = (files.first(), draft.has_limits, problems.errors()) {
            problems.begin(&first.name);
            source::nothing(At::START, "no file has `rate_limits`", &mut problems);
        }
        let written = std::mem::take(&mut draft.tenants);
        let tenants = written.resolve(&draft.limits, &mut problems);
        if problems.errors() > 0 {
            return Err(problems.finish());
        }
        let places = std::mem::take(&mut draft.places);
        Ok(Compiled { policy: draft.finish(tenants), warnings: problems.finish(), places })
    }
}

impl Draft {
    fn read(&mut self, file: &SourceFile, problems: &mut Problems) {
        let source = source::read(&file.text, problems);
        for (pattern, cost) in source.endpoint_costs {
            self.endpoint(&file.name, pattern, cost, problems);
        }
        self.has_limits |= source.limits.is_some();
        for raw in source.limits.into_iter().flatten() {
            self.limit(file, raw, problems);
        }
        self.tenants.add(&file.name, source.names, source.plans, source.tenants);
    }

    fn endpoint(&mut self, file: &str, text: Spanned<String>, cost: u64, problems: &mut Problems) {
        let Some(pattern) = pattern(&text, &self.paths, problems) else { return };
        let here = place(file, text.at);
        // Parameter names do not matter: these match the same requests, and neither wins.
        let shape = pattern.shape();
        if let Some(other) = self.endpoint_places.get(&shape) {
            let message = format!("`{}` matches the same as the entry at {other}", text.value);
            problems.error(text.at, code::REPEATED_ENDPOINT, message, "keep one of them");
            return;
        }
        self.endpoint_places.insert(shape, here);
        let cost = Tokens::new(cost);
        self.places.endpoint_costs.push(Spot { file: file.to_owned(), at: text.at });
        self.endpoint_costs.push(EndpointCost { text: pattern.to_string(), pattern, cost });
    }

    fn limit(&mut self, file: &SourceFile, raw: RawLimit, problems: &mut Problems) {
        let here = place(&file.name, raw.name.at);
        if let Some(other) = self.limit_places.get(&raw.name.value) {
            let message = format!("limit `{}` stands at {other} too", raw.name.value);
            problems.error(raw.name.at, code::REPEATED_LIMIT, message, "rename one of them");
        } else {
            self.limit_places.insert(raw.name.value.clone(), here);
        }
        self.places.limits.push(LimitPlaces::of(&raw));
        let patterns = raw.patterns.iter();
        let patterns = patterns.filter_map(|text| pattern(text, &self.paths, problems)).collect();
        let key = key(&raw.key, problems);
        let was = raw.was.as_ref().map(|raw| was(raw, &key, problems));
        self.counter(&file.name, &raw, problems);
        let reason = raw.reason.as_ref().map(|reason| reason_word(reason, problems));
        let window = window(&raw);
        let numbers = numbers(raw.algorithm, window, &raw.limit, raw.burst.as_ref(), problems);
        let when = raw.when.as_ref();
        let condition =
            when.and_then(|when| condition::read(when, &file.text, &self.paths, problems));
        let cost = cost(raw.cost, problems);
        if raw.limit.value == 0 {
            let message = format!("limit `{}` denies every request", raw.name.value);
            let help = "that is what `limit: 0` means; `mode: disabled` turns a limit off";
            problems.warning(raw.limit.at, code::DENIES_ALL, message, help);
        }
        self.limits.push(Limit {
            id: id(was.as_ref().map_or(&raw.name.value, |was| &was.name)),
            place: Place { file: file.name.clone(), line: raw.name.at.line },
            name: raw.name.value.into(),
            description: raw.description,
            key,
            missing_key: raw.missing_key,
            algorithm: raw.algorithm,
            numbers,
            window,
            calendar: calendar(&raw.quota),
            hold: raw.hold.unwrap_or(DEFAULT_HOLD),
            alert_at: raw.quota.alert_at,
            penalty: raw.penalty,
            was,
            accuracy: raw.accuracy,
            mode: raw.mode,
            on_store_failure: raw.on_store_failure,
            max_keys: raw.max_keys.unwrap_or(DEFAULT_MAX_KEYS),
            reason,
            cost,
            condition,
            patterns,
        });
    }

    /// No two limits may count on the same counters.
    fn counter(&mut self, file: &str, raw: &RawLimit, problems: &mut Problems) {
        let name = raw.was.as_ref().map_or(&raw.name, |was| &was.name);
        let here = place(file, name.at);
        let Some(other) = self.counter_places.get(&name.value) else {
            self.counter_places.insert(name.value.clone(), here);
            return;
        };
        // Two limits of one name were reported as that.
        if self.limit_places.get(&raw.name.value).is_some_and(|place| place == other) {
            return;
        }
        let message = format!("the counters `{}` are those of the limit at {other}", name.value);
        let help = "remove one `was`; the limit of that name can have no other counters";
        problems.error(name.at, code::REPEATED_COUNTER, message, help);
    }

    fn finish(self, tenants: Tenants) -> Policy {
        let Self { paths, limits, endpoint_costs, .. } = self;
        let ip_prefix = IpPrefix::default();
        Policy {
            revision: canonical::revision(&limits, &endpoint_costs, &tenants, ip_prefix, &paths),
            paths,
            ip_prefix,
            by_id: (0..).zip(&limits).map(|(at, limit)| (limit.id, at)).collect(),
            limit_index: LimitIndex::new(&limits),
            endpoint_index: PathIndex::new(
                endpoint_costs.iter().map(|entry| std::slice::from_ref(&entry.pattern)),
            ),
            limits,
            endpoint_costs,
            tenants,
        }
    }
}

impl LimitPlaces {
    fn of(raw: &RawLimit) -> Self {
        let name = raw.name.at;
        let key = raw.key.first().map_or(name, |attribute| attribute.at);
        let cost = raw.cost.as_ref().map_or(name, |cost| cost.at);
        let when = raw.when.as_ref().map_or(name, |when| when.at);
        let patterns = raw.patterns.iter().map(|text| text.at).collect();
        Self { name, key, cost, when, patterns }
    }
}

fn pattern(text: &Spanned<String>, paths: &Paths, problems: &mut Problems) -> Option<Pattern> {
    Pattern::parse_for(&text.value, paths)
        .map_err(|invalid| {
            let message = format!("not a pattern: {}", shown(&invalid.to_string()));
            let help = "a method or `*`, a space, a path: \"POST /v1/reports/{id}\"";
            problems.error(text.at, code::BAD_PATTERN, message, help);
        })
        .ok()
}

fn key(raw: &[Spanned<String>], problems: &mut Problems) -> Vec<String> {
    let mut key: Vec<String> = Vec::with_capacity(raw.len());
    for attribute in raw {
        let Some(name) = attribute_name(attribute.at, &attribute.value, problems) else { continue };
        if key.contains(&name) {
            let message = format!("`{name}` stands twice in `key`");
            problems.error(attribute.at, code::REPEATED_KEY, message, "keep one of them");
        }
        key.push(name);
    }
    key
}

/// An attribute's name in canonical form. Warns of what no door brings by itself.
fn attribute_name(at: At, text: &str, problems: &mut Problems) -> Option<String> {
    let Ok(name) = canonical_name(text) else {
        let message = format!("`{}` is not an attribute", shown(text));
        problems.error(at, code::BAD_NAME, message, "1 to 128 of A-Z a-z 0-9 _ . -");
        return None;
    };
    if let Some((message, help)) = unmapped(&name) {
        problems.warning(at, code::UNMAPPED_ATTRIBUTE, message, &help);
    }
    Some(name.into_owned())
}

/// What to warn of where no door brings an attribute by itself.
pub(super) fn unmapped(name: &str) -> Option<(String, String)> {
    let family = ATTRIBUTE_FAMILIES.iter().any(|family| name.starts_with(family));
    if family || KNOWN_ATTRIBUTES.contains(&name) {
        return None;
    }
    let message = format!("the attribute `{name}` must be mapped by the settings");
    let root = name.split_once('.').map(|(root, _)| root);
    let families = || ATTRIBUTE_FAMILIES.iter().map(|family| family.trim_end_matches('.'));
    let known = match root {
        Some(root) => nearest(root, families()).map(|family| format!("{family}.…")),
        None => nearest(name, KNOWN_ATTRIBUTES.iter().copied()).map(ToOwned::to_owned),
    };
    let help = match known {
        Some(known) => format!("did you mean `{known}`?"),
        None => "else no request has it".to_owned(),
    };
    Some((message, help))
}

fn reason_word(reason: &Spanned<String>, problems: &mut Problems) -> String {
    if !is_reason(&reason.value) {
        let message = format!("`{}` is not a reason", shown(&reason.value));
        problems.error(reason.at, code::BAD_NAME, message, "1 to 64 of a-z 0-9 _");
    }
    reason.value.clone()
}

/// The length of the window that a limit is known by.
fn window(raw: &RawLimit) -> Micros {
    match raw.algorithm {
        Algorithm::SlidingWindow | Algorithm::TokenBucket | Algorithm::FixedWindow => raw.window,
        Algorithm::Calendar => raw.quota.period.map(Period::longest),
        Algorithm::Concurrency => raw.hold,
    }
    // Each algorithm's own key was found to be there.
    .unwrap_or(Micros::SECOND)
}

/// The periods of a quota.
fn calendar(raw: &RawQuota) -> Option<Calendar> {
    let zone = raw.zone.clone().unwrap_or(TimeZone::UTC);
    raw.period.map(|period| Calendar::new(period, zone, raw.starts_on))
}

/// What a limit was called. Each attribute of the former key is where it was.
fn was(raw: &RawWas, key: &[String], problems: &mut Problems) -> Was {
    let former = raw.key.as_ref().map(|former| {
        let names: Vec<String> =
            former.value.iter().filter_map(|a| attribute_name(a.at, &a.value, problems)).collect();
        let count = former.value.len();
        if count != key.len() {
            let message = format!("a key of {} attributes was one of {count}", key.len());
            let help = "the key may only change name by name; else the counters begin anew";
            problems.error(former.at, code::BAD_WAS, message, help);
        }
        let moved = |name: &&String| {
            let places = |list: &[String]| list.iter().position(|other| other == *name);
            key.contains(name) && places(key) != places(&names)
        };
        if let Some(name) = names.iter().find(moved) {
            let message = format!("`{name}` was at another place of the key");
            let help = "an attribute of both keys has to stand at the same place";
            problems.error(former.at, code::BAD_WAS, message, help);
        }
        names
    });
    Was { name: raw.name.value.as_str().into(), key: former }
}

/// How many tokens pass, after the checks that the arithmetic of a token bucket needs.
pub(super) fn numbers(
    algorithm: Algorithm,
    window: Micros,
    limit: &Spanned<u64>,
    burst: Option<&Spanned<u64>>,
    problems: &mut Problems,
) -> Numbers {
    let rate = rate::rate(limit.value, window);
    let numbers = |burst| Numbers {
        limit: Tokens::new(limit.value),
        burst,
        rate: rate.unwrap_or_else(|| rate::largest_fit(limit.value, window).1),
    };
    if algorithm != Algorithm::TokenBucket {
        return numbers(None);
    }
    let burst = burst.unwrap_or(limit);
    if limit.value == 0 && burst.value == 0 {
        return numbers(Some(Tokens::ZERO));
    }
    if rate.is_none() {
        let window_text = window_text(window);
        let message = format!("{} tokens in {window_text} cannot be counted exactly", limit.value);
        let nearest = rate::nearest_fit(limit.value, window);
        let help = format!("the nearest limit that can is {nearest}");
        problems.error(limit.at, code::INEXACT_RATE, message, &help);
    }
    if !rate::refills_in_time(limit.value, burst.value, window) {
        let message = format!("a burst of {} takes more than 100 years to come back", burst.value);
        problems.error(burst.at, code::SLOW_REFILL, message, "raise `limit` or lower `burst`");
    }
    numbers(Some(Tokens::new(burst.value)))
}

fn cost(raw: Option<Spanned<RawCost>>, problems: &mut Problems) -> CostRule {
    match raw {
        None => CostRule::Endpoint,
        Some(Spanned { value: RawCost::Endpoint, .. }) => CostRule::Endpoint,
        Some(Spanned { at, value: RawCost::Number(tokens) }) => {
            if tokens == 0 {
                let message = "a cost of 0 looks at the limit and never takes a token".to_owned();
                problems.warning(at, code::TAKES_NOTHING, message, "");
            }
            CostRule::Number(Tokens::new(tokens))
        }
        Some(Spanned { at, value: RawCost::Attribute { of, missing } }) => {
            let name = attribute_name(of.at, &of.value, problems).unwrap_or(of.value);
            unknown_size(at, &name, missing.is_some(), problems);
            let missing = missing.map_or(Tokens::ONE, |missing| Tokens::new(missing.value));
            CostRule::Attribute { of: name, missing }
        }
    }
}

/// Warns of bytes that are counted where they are known and next to free where they are not.
fn unknown_size(at: At, of: &str, has_missing: bool, problems: &mut Problems) {
    if of == "request_size" && !has_missing {
        let message = "a request of unknown size, as a chunked one, costs 1".to_owned();
        let help = "say what counts then: `cost: { of: request_size, missing: 1_048_576 }`";
        problems.warning(at, code::UNKNOWN_SIZE, message, help);
    }
}

/// What the embedded store counts the keys of a limit by.
fn id(name: &str) -> u64 {
    Sha256::digest(name).first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn place(file: &str, at: At) -> String {
    format!("{file}:{}:{}", at.line, at.column)
}

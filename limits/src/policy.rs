//! The limits as they are in force: compiled from YAML files, immutable, never wrong.

pub mod assumptions;
pub mod calendar;
mod canonical;
mod compile;
pub mod condition;
mod ip_prefix;
pub mod keys;
mod kinds;
pub mod lint;
mod numbers;
pub mod pattern;
pub mod problem;
mod rate;
pub(crate) mod read;
pub mod source;
pub(crate) mod tenants;
pub mod units;
pub mod yaml;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::attributes::Paths;
use crate::matching::{LimitIndex, PathIndex};
use crate::time::{Micros, Timestamp, Tokens};
use calendar::Calendar;
use condition::Condition;
use pattern::Pattern;
use tenants::Tenants;

pub use compile::{ATTRIBUTE_FAMILIES, KNOWN_ATTRIBUTES};
pub use ip_prefix::IpPrefix;
pub use kinds::{
    Accuracy, Algorithm, CostRule, MissingKey, Mode, OnStoreFailure, Penalty, Period, Was,
};
pub use numbers::Numbers;
pub use problem::{Problem, Severity};
pub use tenants::Layer;

/// The name of the limit that holds for requests that nobody proved an identity for.
pub const UNAUTHENTICATED: &str = "unauthenticated";
/// The name of the limit that holds for every request with its key.
pub const DEFAULT: &str = "default";
/// How many counters of one limit the embedded store keeps unless the limit says otherwise.
pub const DEFAULT_MAX_KEYS: u64 = 1_000_000;

/// The text of one limits file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// How problems and places name it: its path.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// A policy, and what is likely not meant in it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What is in force.
    pub policy: Policy,
    /// What the compiler found that does not stop it; [`Compiled::lints`] tells more.
    pub warnings: Vec<Problem>,
    /// Where everything stands.
    pub(crate) places: lint::Places,
}

/// Where a limit is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named to `compile`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name, unique in the policy.
    pub name: Arc<str>,
    /// A hash of the name of its counters: what the embedded store counts its keys by.
    pub id: u64,
    /// What people wrote about it.
    pub description: Option<String>,
    /// The attributes whose values name a counter; none: one counter for all requests.
    pub key: Vec<String>,
    /// What it makes of a request without an attribute of its key.
    pub missing_key: MissingKey,
    /// How it counts.
    pub algorithm: Algorithm,
    /// How many tokens pass, unless the request's plan or tenant has its own numbers.
    pub numbers: Numbers,
    /// The length of the window; of a calendar the longest period to the nearest day (hour: an
    /// hour), of concurrency the longest hold.
    pub window: Micros,
    /// The periods of a quota; `Some` with [`Algorithm::Calendar`] and only then.
    pub calendar: Option<Calendar>,
    /// The longest that tokens of it are held.
    pub hold: Micros,
    /// The parts of a period's limit, in percent and ascending, that are told when they are used.
    pub alert_at: Vec<u8>,
    /// What denials lead to.
    pub penalty: Option<Penalty>,
    /// What names its counters instead of its name and key.
    pub was: Option<Was>,
    /// How near to the limit a replica may count by itself.
    pub accuracy: Accuracy,
    /// What a denial does.
    pub mode: Mode,
    /// What it answers while the store does not; `None` leaves it to the request's traffic class.
    pub on_store_failure: Option<OnStoreFailure>,
    /// How many counters of it the embedded store keeps.
    pub max_keys: u64,
    /// What its denials say instead of `limit_exceeded`.
    pub reason: Option<String>,
    /// Where it is written.
    pub place: Place,
    /// What a request costs.
    pub cost: CostRule,
    /// What else has to hold of a request: `when`.
    pub condition: Option<Condition>,
    /// Which requests it is about; none: every request.
    pub(crate) patterns: Vec<Pattern>,
}

/// A limits language compiled: what is in force.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How its paths are read.
    paths: Paths,
    pub(crate) limits: Vec<Limit>,
    /// The positions of the limits, by their ids.
    pub(crate) by_id: HashMap<u64, u32>,
    pub(crate) endpoint_costs: Vec<EndpointCost>,
    pub(crate) tenants: Tenants,
    pub(crate) ip_prefix: IpPrefix,
    pub(crate) limit_index: LimitIndex,
    pub(crate) endpoint_index: PathIndex,
    revision: String,
}

/// What requests to one endpoint cost.
#[derive(Clone, Debug)]
pub(crate) struct EndpointCost {
    pub(crate) pattern: Pattern,
    /// The pattern as it was written: the value of the attribute `endpoint`.
    pub(crate) text: String,
    pub(crate) cost: Tokens,
}

impl SourceFile {
    /// A file out of its bytes.
    ///
    /// # Errors
    /// A file larger than [`yaml::MAX_FILE_BYTES`], or bytes that are not UTF-8, with the place.
    pub fn from_bytes(name: String, bytes: Vec<u8>) -> Result<Self, Problem> {
        if bytes.len() > yaml::MAX_FILE_BYTES {
            let message = format!("the file has {} bytes", bytes.len());
            let help = "at most 8 MiB: split it into files";
            return Err(Problem::about_file(problem::code::TOO_LARGE, &name, message, help));
        }
        String::from_utf8(bytes).map(|text| Self { name: name.clone(), text }).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            let begin = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let text = String::from_utf8_lossy(before.get(begin..).unwrap_or_default());
            let message = "a byte that is not UTF-8".to_owned();
            let help = "save the file as UTF-8";
            let problem = Problem::about_file(problem::code::NOT_TEXT, &name, message, help);
            let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Problem { line: place(line), column: place(text.chars().count() + 1), ..problem }
        })
    }
}

impl Limit {
    /// What its counters are named by: the name and the key attributes, those of `was` first.
    pub(crate) fn counter(&self) -> (&str, &[String]) {
        match &self.was {
            None => (&self.name, &self.key),
            Some(was) => (&was.name, was.key.as_ref().unwrap_or(&self.key)),
        }
    }
}

impl Policy {
    /// The revision: the first 16 hex digits of the SHA-256 of what the limits mean. Comments,
    /// formatting, descriptions, file names and the order of keys do not change it.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The same limits, which count so much of an address as one. It names counters, so it is part
    /// of the revision.
    #[must_use]
    pub fn with_ip_prefix(self, ip_prefix: IpPrefix) -> Self {
        let Self { limits, endpoint_costs, tenants, paths, .. } = &self;
        let revision = canonical::revision(limits, endpoint_costs, tenants, ip_prefix, paths);
        Self { ip_prefix, revision, ..self }
    }

    /// How the upstream reads paths, as it was compiled for; requests have to be read so too.
    #[must_use]
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A warning for each exception of a tenant whose `until` is past at this instant.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Vec<Problem> {
        self.tenants.expired(&self.limits, now)
    }

    /// The limit of this id, if the policy has it.
    #[must_use]
    pub fn limit(&self, id: u64) -> Option<&Limit> {
        self.limits.get(usize::try_from(*self.by_id.get(&id)?).ok()?)
    }

    /// The limits in the order of the files; files by name.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The attributes that its limits speak of, repeated where several do.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().flat_map(|limit| {
            let cost = match &limit.cost {
                CostRule::Attribute { of, .. } => Some(of),
                CostRule::Endpoint | CostRule::Number(_) => None,
            };
            let when = limit.condition.iter().flat_map(Condition::attributes);
            limit.key.iter().chain(cost).map(String::as_str).chain(when)
        })
    }
}

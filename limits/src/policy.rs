//! The limits as they are in force: compiled from YAML files, immutable, never wrong.

mod canonical;
mod compile;
pub mod pattern;
pub mod problem;
mod rate;
mod read;
pub mod source;
pub mod units;
pub mod yaml;

use std::sync::Arc;

use serde::Serialize;

use crate::counter::{Rate, Terms};
use crate::matching::Index;
use crate::time::{Micros, Timestamp, Tokens};
use pattern::Pattern;

pub use compile::{ATTRIBUTE_FAMILIES, KNOWN_ATTRIBUTES};
pub use problem::{Problem, Severity};

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
    /// Problems that do not stop it.
    pub warnings: Vec<Problem>,
}

/// Where a limit is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it was named to `compile`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The words that files write, and what they mean.
            pub const WORDS: [(&'static str, Self); [$($word),*].len()] =
                [$(($word, Self::$variant)),*];

            /// The word that files write.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// What a denial by a limit does.
    Mode {
        /// It denies the request.
        #[default]
        Enforce = "enforce",
        /// It is reported, and the request passes.
        Shadow = "shadow",
        /// The limit is not looked at.
        Disabled = "disabled",
    }
}

words! {
    /// What a limit answers while the store does not.
    OnStoreFailure {
        /// Each replica counts its share alone.
        #[default]
        Local = "local",
        /// Everything passes.
        Allow = "allow",
        /// Nothing passes.
        Deny = "deny",
    }
}

words! {
    /// How a limit counts.
    Algorithm {
        /// No interval as long as the window passes more than the limit, wherever it starts.
        #[default]
        SlidingWindow = "sliding_window",
        /// Tokens come back at a steady rate, up to the burst.
        TokenBucket = "token_bucket",
        /// The limit between one multiple of the window since 1970 and the next.
        FixedWindow = "fixed_window",
    }
}

/// How many tokens a request costs a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CostRule {
    /// The cost that the request states, else that of its endpoint, else 1.
    Endpoint,
    /// Always this many.
    Number(Tokens),
    /// The number in this attribute; 1 where it is missing or not a number.
    Attribute(String),
}

/// One limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name, unique in the policy.
    pub name: Arc<str>,
    /// A hash of the name: what the embedded store counts its keys by.
    pub id: u64,
    /// What people wrote about it.
    pub description: Option<String>,
    /// The attributes whose values name a counter; none: one counter for all requests.
    pub key: Vec<String>,
    /// How it counts.
    pub algorithm: Algorithm,
    /// How many tokens pass, unless the request's plan or tenant has its own numbers.
    pub numbers: Numbers,
    /// The length of the window.
    pub window: Micros,
    /// What a denial does.
    pub mode: Mode,
    /// What it answers while the store does not.
    pub on_store_failure: OnStoreFailure,
    /// How many counters of it the embedded store keeps.
    pub max_keys: u64,
    /// What its denials say instead of `limit_exceeded`.
    pub reason: Option<String>,
    /// Where it is written.
    pub place: Place,
    /// What a request costs.
    pub cost: CostRule,
    /// Which requests it is about; none: every request.
    pub(crate) patterns: Vec<Pattern>,
}

/// How many tokens pass a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Tokens that pass in one window.
    pub limit: Tokens,
    /// The most that a token bucket passes at once; `None` for other algorithms.
    pub burst: Option<Tokens>,
    /// The rate of a token bucket, computed once.
    pub(crate) rate: Rate,
}

/// A limits language compiled: what is in force.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) limits: Vec<Limit>,
    pub(crate) endpoint_costs: Vec<EndpointCost>,
    pub(crate) limit_index: Index,
    pub(crate) endpoint_index: Index,
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
    /// The arithmetic of this limit with these numbers at an instant.
    #[must_use]
    pub fn terms(&self, numbers: &Numbers, now: Timestamp) -> Terms {
        let (window, capacity) = (self.window, numbers.capacity());
        match self.algorithm {
            Algorithm::SlidingWindow => Terms::SlidingWindow { limit: capacity, window },
            Algorithm::TokenBucket => Terms::TokenBucket { rate: numbers.rate, burst: capacity },
            Algorithm::FixedWindow => {
                let into = now.get().checked_rem(window.get()).unwrap_or(0);
                let start = now.before(Micros::new(into));
                let edges = [start, start.after(window), start.after(window).after(window)];
                Terms::AlignedWindow { limit: capacity, edges }
            }
        }
    }

    /// This replica's part of the limit for one key, while the store does not answer (G14): the
    /// parts of all ranks sum to the limit. Without a rank, the limit divided and rounded down.
    /// A part of 0 denies everything.
    #[must_use]
    pub fn share(
        &self,
        numbers: &Numbers,
        hash: &[u8; 16],
        rank: Option<u32>,
        replicas: u32,
        now: Timestamp,
    ) -> Terms {
        let replicas = u64::from(replicas.max(1));
        // Which replicas get the remainder differs from key to key.
        let turn = rank.map_or(0, |rank| {
            let first = hash.first_chunk().copied().map_or(0, u64::from_le_bytes);
            (first % replicas + u64::from(rank) % replicas) % replicas
        });
        let part = |whole: Tokens| (whole.get() + turn) / replicas;
        let limit = part(numbers.limit);
        let capacity = if limit == 0 { 0 } else { part(numbers.capacity()) };
        // A part may not be countable exactly where the whole is: then less, never more.
        let (_, rate) = rate::largest_fit(limit, self.window);
        let burst = numbers.burst.map(|_| Tokens::new(capacity));
        self.terms(&Numbers { limit: Tokens::new(limit), burst, rate }, now)
    }
}

impl Numbers {
    /// The most tokens that can pass at once: the burst of a token bucket, else the limit.
    #[must_use]
    pub fn capacity(&self) -> Tokens {
        self.burst.unwrap_or(self.limit)
    }
}

impl Policy {
    /// The revision: the first 16 hex digits of the SHA-256 of what the limits mean. Comments,
    /// formatting, descriptions, file names and the order of keys do not change it.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The limits in the order of the files; files by name.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }
}

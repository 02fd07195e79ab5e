//! What is wrong with limits files: each problem with its place, a code and a hint.

use std::fmt;

/// The most errors, and the most warnings, that are listed; the rest is counted.
pub(crate) const MAX_PROBLEMS: usize = 1_000;

/// Whether a problem stops the policy from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but likely does not do what was meant.
    Warning,
}

impl Severity {
    /// The word that reports show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a limits file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the policy from being used.
    pub severity: Severity,
    /// A stable word for programs; [`Problem::CODES`] lists them all.
    pub code: &'static str,
    /// What is wrong, as a lowercase fragment that names the input.
    pub message: String,
    /// The file, as it was named to `compile`.
    pub file: String,
    /// The line, from 1; 1 where the whole file is meant.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

/// A place in the file that is being read: line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Collects the problems of all files.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// The file that is being read.
    file: String,
    found: Vec<Problem>,
    errors: usize,
    warnings: usize,
}

macro_rules! codes {
    ($($name:ident = $word:literal : $doc:literal,)*) => {
        /// The codes of problems, one constant each.
        pub mod code {
            $(#[doc = $doc] pub const $name: &str = $word;)*
        }

        impl Problem {
            /// Every code with what it means: the one table that the documents repeat.
            pub const CODES: &'static [(&'static str, &'static str)] = &[$(($word, $doc),)*];
        }
    };
}

codes! {
    UNREADABLE = "unreadable": "the file or its folder cannot be opened or read",
    TOO_MANY_FILES = "too_many_files": "a folder has more limits files than are accepted",
    SYNTAX = "syntax": "the file is not YAML, or is cut off",
    NOT_TEXT = "not_text": "the file is not UTF-8 text",
    TOO_LARGE = "too_large": "the file is larger, deeper or has more values than is accepted",
    EMPTY = "empty": "there is nothing to limit: no file, an empty file, or no `rate_limits`",
    UNSUPPORTED_YAML = "unsupported_yaml": "tags, merge keys, keys that are not text",
    WRONG_TYPE = "wrong_type": "a list, a map or a text stands where something else belongs",
    UNKNOWN_KEY = "unknown_key": "the language has no such key",
    REPEATED_KEY = "repeated_key": "the same key twice",
    MISSING_KEY = "missing_key": "a key that is needed is missing",
    NOT_AVAILABLE = "not_available": "a part of the language that this version does not have yet",
    MISPLACED_KEY = "misplaced_key": "a key that this algorithm, period or limit has no use for",
    BAD_NUMBER = "bad_number": "not a plain decimal number",
    BAD_WINDOW = "bad_window": "a time that is not an integer and a unit",
    BAD_WORD = "bad_word": "not one of the words that this key accepts",
    BAD_NAME = "bad_name": "a limit, reason or attribute with characters that names cannot have",
    BAD_TIMEZONE = "bad_timezone": "not a name of the time zone database",
    BAD_DAY = "bad_day": "not a month and a day",
    BAD_PERCENT = "bad_percent": "not a whole number of percent",
    BAD_WAS = "bad_was": "a former key that the key of the limit cannot have come from",
    BAD_PATTERN = "bad_pattern": "not a method and a path",
    BAD_CONDITION = "bad_condition": "not a condition, or a comparison that cannot be",
    OUT_OF_RANGE = "out_of_range": "a number, window or text beyond what is accepted",
    INEXACT_RATE = "inexact_rate": "a token bucket's rate that cannot be counted exactly",
    SLOW_REFILL = "slow_refill": "a burst that takes more than 100 years to come back",
    REPEATED_LIMIT = "repeated_limit": "two limits of one name",
    REPEATED_COUNTER = "repeated_counter": "two limits whose counters have one name",
    REPEATED_ENDPOINT = "repeated_endpoint": "two endpoint costs that match the same requests",
    BAD_INSTANT = "bad_instant": "not an instant in the form of RFC 3339",
    TIME_GOES_BACK = "time_goes_back": "a step of a case is before the one above it",
    REPEATED_CASE = "repeated_case": "two cases of one name in a file",
    UNKNOWN_LIMIT = "unknown_limit": "the policy has no limit of this name",
    UNKNOWN_HOLD = "unknown_hold": "no request of the case holds something under this name",
    UNKNOWN_ATTRIBUTE = "unknown_attribute": "an attribute of a case that no limit speaks of",
    BAD_ATTRIBUTE = "bad_attribute": "a value that the attribute cannot have",
    UNKNOWN_PLAN = "unknown_plan": "there is no plan of this name",
    NOT_BY_TENANT = "not_by_tenant": "numbers by tenant for a limit without `tenant_id` in its key",
    REPEATED_PLAN = "repeated_plan": "two plans of one name",
    REPEATED_TENANT = "repeated_tenant": "two entries for one tenant",
    MORE = "more": "there are more problems than are listed",
    DENIES_ALL = "denies_all": "warning: a limit of 0 denies every request that it applies to",
    EXPIRED = "expired": "warning: numbers of a tenant whose `until` is past",
    TAKES_NOTHING = "takes_nothing": "warning: a cost of 0 never takes a token",
    UNKNOWN_SIZE = "unknown_size": "warning: a request of unknown size costs next to nothing",
    UNMAPPED_ATTRIBUTE = "unmapped_attribute": "warning: an attribute that only settings can bring",
    NEVER_DENIES = "never_denies": "warning: a limit before which another one always denies",
    NEVER_APPLIES = "never_applies": "warning: a limit that no request has the key of",
    NEVER_PASSES = "never_passes": "warning: a request that costs more than passes at once",
    CONTRADICTION = "contradiction": "warning: parts of a condition that no value meets",
    UNKNOWN_ENDPOINT = "unknown_endpoint": "warning: a condition on an endpoint that no entry is",
    GET_ALONE = "get_alone": "warning: a condition on the method GET that leaves HEAD out",
    REPEATED_PATTERN = "repeated_pattern": "warning: a pattern that is a part of another one",
    UNUSED_COST = "unused_cost": "warning: an endpoint's cost that no limit asks for",
    OPEN_TO_ANYONE = "open_to_anyone": "warning: requests without an identity have no limit",
    CROWDED = "crowded": "warning: a request that more limits may charge than one may have",
    MAY_BE_MISSING = "may_be_missing": "warning: a limit that a client can get out of",
    CHOSEN_KEY = "chosen_key": "warning: a counter that the caller chooses",
    UNDELIVERED_PATH = "undelivered_path": "warning: a path that the settings never deliver",
    UNSAID_CASE = "unsaid_case": "warning: nobody says whether the upstream tells `/A` from `/a`",
    PROXIED_ADDRESS = "proxied_address": "warning: an address that may be that of a proxy",
}

impl Problem {
    /// An error about a file as a whole.
    #[must_use]
    pub fn about_file(code: &'static str, file: &str, message: String, help: &str) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message,
            file: file.to_owned(),
            line: 1,
            column: 1,
            help: Some(help.to_owned()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        write!(f, "  --> {}:{}:{}", self.file, self.line, self.column)?;
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl At {
    /// The start of a file.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl Problems {
    /// Turns to a file, perhaps again.
    pub(crate) fn begin(&mut self, file: &str) {
        file.clone_into(&mut self.file);
    }

    /// Reports an error.
    pub(crate) fn error(&mut self, at: At, code: &'static str, message: String, help: &str) {
        self.errors += 1;
        self.push(self.errors, Severity::Error, at, code, message, help);
    }

    /// Reports a warning.
    pub(crate) fn warning(&mut self, at: At, code: &'static str, message: String, help: &str) {
        self.warnings += 1;
        self.push(self.warnings, Severity::Warning, at, code, message, help);
    }

    /// How many errors there were, listed or not.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether the next problem would still be listed, be it an error or a warning.
    pub(crate) fn has_room(&self) -> bool {
        self.errors < MAX_PROBLEMS && self.warnings < MAX_PROBLEMS
    }

    /// The problems by file and place.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let place = |p: &Problem| (p.line, p.column);
        self.found.sort_by(|a, b| a.file.cmp(&b.file).then_with(|| place(a).cmp(&place(b))));
        let left_out = |n: usize| n.saturating_sub(MAX_PROBLEMS);
        let more = left_out(self.errors) + left_out(self.warnings);
        if more > 0 {
            let severity =
                if self.errors > MAX_PROBLEMS { Severity::Error } else { Severity::Warning };
            let message = format!("{more} more problems are not listed");
            self.push(0, severity, At::START, code::MORE, message, "mend the others first");
        }
        self.found
    }

    /// Lists the `nth` problem of its severity, unless there are too many already.
    fn push(
        &mut self,
        nth: usize,
        severity: Severity,
        at: At,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        if nth > MAX_PROBLEMS {
            return;
        }
        self.found.push(Problem {
            severity,
            code,
            message,
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            help: (!help.is_empty()).then(|| help.to_owned()),
        });
    }
}

/// The word of `words` that `word` was likely meant to be; `None` where none is near.
#[must_use]
pub fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    // A word longer than any of ours cannot be near, and the distance takes quadratic time.
    if length > 64 {
        return None;
    }
    let near = |known: &str| (length.max(known.len()) / 3).clamp(1, 3);
    words
        .map(|known| (strsim::osa_distance(word, known), known))
        .filter(|(distance, known)| *distance <= near(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Text from a file as a message may show it: cut. Who prints it escapes what a terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    const MOST_CHARS: usize = 80;
    let mut out: String = text.chars().take(MOST_CHARS).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let words = ["window", "limit", "key", "mode"];
        assert_eq!(nearest("windw", words.into_iter()), Some("window"));
        assert_eq!(nearest("limits", words.into_iter()), Some("limit"));
        assert_eq!(nearest("kye", words.into_iter()), Some("key"));
        assert_eq!(nearest("frobnicate", words.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(100_000), words.into_iter()), None);
    }

    #[test]
    fn a_problem_reads_like_a_compiler_error() {
        let mut problems = Problems::default();
        problems.begin("a.yaml");
        let at = At { line: 3, column: 7 };
        problems.error(
            at,
            code::UNKNOWN_KEY,
            "unknown key `windw`".into(),
            "did you mean `window`?",
        );
        let found = problems.finish();
        assert_eq!(
            found[0].to_string(),
            "error[unknown_key]: unknown key `windw`\n  --> a.yaml:3:7\n  \
             = help: did you mean `window`?"
        );
    }

    #[test]
    fn warnings_never_crowd_out_an_error() {
        let mut problems = Problems::default();
        problems.begin("a.yaml");
        for line in 1..=2_000 {
            problems.warning(At { line, column: 1 }, code::DENIES_ALL, String::new(), "");
        }
        problems.begin("b.yaml");
        problems.error(At::START, code::EMPTY, String::new(), "");
        assert_eq!(problems.errors(), 1);
        let found = problems.finish();
        assert_eq!(found.len(), MAX_PROBLEMS + 2);
        assert!(found.iter().any(|p| p.severity == Severity::Error && p.file == "b.yaml"));
        assert_eq!(found.last().map(|p| (p.code, p.severity)), Some(("more", Severity::Warning)));
    }
}

//! Tests of limits as files: requests at instants of virtual time, and what each must get.
//!
//! A case file names the limits that it is about. It is read like a limits file, every mistake
//! with its place; what it says of limits and attributes is checked against the policy.

mod coverage;
mod describe;
mod held;
mod keys;
mod read;
mod run;
mod step;

use crate::attributes::Attributes;
use crate::charge::{Ending, Intent};
use crate::policy::Place;
use crate::time::{Timestamp, Tokens};

pub use coverage::{LimitName, limit_names};
pub use keys::{CASE_FILE_KEYS, CASE_KEYS, STEP_KEYS};
pub use read::{LimitsPath, limits_of};
pub use run::{Failure, Passed};

/// When a case begins unless it says otherwise: 2026-01-01T00:00:00Z.
pub const DEFAULT_START: Timestamp = Timestamp::new(1_767_225_600_000_000);
/// How often one step may be repeated.
pub const MAX_TIMES: u64 = 1_000_000;
/// The most requests of one case file, repeated ones counted.
pub const MAX_REQUESTS: u64 = 10_000_000;

/// What one case file says.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its cases, in its order.
    pub cases: Vec<Case>,
}

/// Requests one after the other, on counters of their own.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows; unique in its file.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    steps: Vec<Step>,
}

/// A request at an instant, how often, and what it must get.
#[derive(Clone, Debug)]
struct Step {
    place: Place,
    at: Timestamp,
    /// The instant as the file writes it; empty where it writes none.
    at_text: String,
    times: u64,
    attributes: Attributes,
    cost: Option<Tokens>,
    action: Action,
    expect: Expect,
}

/// What a step does.
#[derive(Clone, Debug)]
enum Action {
    /// A request.
    Check,
    /// A request that holds something under a name, where it passes.
    Hold { name: String, intent: Intent },
    /// The end of what is held under a name, or another end.
    End { name: String, ending: Ending },
}

/// What a step must get; what is left out is not compared.
#[derive(Clone, Debug, Default)]
struct Expect {
    allowed: bool,
    /// On an allow, the limit whose `remaining` is compared; on a denial the one that binds.
    limit: Option<String>,
    reason: Option<String>,
    /// Tokens left after the last repetition.
    remaining: Option<u64>,
    /// Milliseconds, rounded up; `Some(None)` for never.
    retry_after_ms: Option<Option<u64>>,
    /// The limits that apply, in the order of the policy.
    applies: Option<Vec<String>>,
    /// The shadow limits that would deny, in the order of the policy.
    would_deny: Option<Vec<String>>,
}

/// Whether a file is a case file, by its name: `NAME.test.yaml` or `NAME.test.yml`. It stands
/// beside the limits that it is about and is not one of them.
#[must_use]
pub fn is_case_file(name: &str) -> bool {
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

impl Case {
    /// How many requests it makes, repeated ones counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.steps.iter().map(|step| step.times).sum()
    }
}

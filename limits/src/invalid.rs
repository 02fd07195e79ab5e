//! What a policy cannot decide: requests that are invalid, whatever is left of any limit.

use std::fmt;

use crate::attributes::{PathFault, PathSetting};
use crate::charge::MAX_CHARGES;

/// The names of causes in metrics.
const TOO_MANY_LIMITS: &str = "too_many_limits";
const COST_NOT_A_NUMBER: &str = "cost_not_a_number";
const MISSING_KEY: &str = "missing_key";

/// Why a request is `invalid_request` by the policy. Names attributes, never their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// More than [`MAX_CHARGES`] limits apply.
    TooManyLimits,
    /// A limit counts the number in this attribute, and it is no number.
    CostNotANumber {
        /// The attribute.
        attribute: Box<str>,
    },
    /// A limit counts by this attribute, and the request does not have it.
    MissingKey {
        /// The attribute.
        attribute: Box<str>,
    },
    /// Its path cannot be read, or in several ways that differ in what they cost.
    Path(PathFault),
}

impl InvalidRequest {
    /// Its name in metrics.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::TooManyLimits => TOO_MANY_LIMITS,
            Self::CostNotANumber { .. } => COST_NOT_A_NUMBER,
            Self::MissingKey { .. } => MISSING_KEY,
            Self::Path(fault) => fault.cause(),
        }
    }

    /// Every name in metrics.
    pub fn causes() -> impl Iterator<Item = &'static str> {
        let settings = PathSetting::ALL.iter().map(|setting| PathFault::Ambiguous(*setting));
        let paths = PathFault::PLAIN.iter().copied().chain(settings).map(PathFault::cause);
        [TOO_MANY_LIMITS, COST_NOT_A_NUMBER, MISSING_KEY].into_iter().chain(paths)
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLimits => write!(
                f,
                "more than {MAX_CHARGES} limits apply to this request, the most that one may have"
            ),
            Self::CostNotANumber { attribute } => write!(
                f,
                "attribute {attribute} is what the request costs, and no number; expected digits \
                 with at most one point"
            ),
            Self::MissingKey { attribute } => {
                write!(f, "attribute {attribute} is missing, and the request is counted by it")
            }
            Self::Path(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for InvalidRequest {}

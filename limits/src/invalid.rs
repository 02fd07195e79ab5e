//! What a policy cannot decide: requests that are invalid, whatever is left of any limit.

use std::fmt;

use crate::charge::MAX_CHARGES;

/// Why a request is `invalid_request` by the policy. Names attributes, never their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidRequest {
    /// More than [`MAX_CHARGES`] limits apply.
    TooManyLimits,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLimits => write!(
                f,
                "more than {MAX_CHARGES} limits apply to this request, the most that one may have"
            ),
        }
    }
}

impl std::error::Error for InvalidRequest {}

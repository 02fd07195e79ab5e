//! What a policy cannot decide: requests that are invalid, whatever is left of any limit.

use std::fmt;

use crate::charge::MAX_CHARGES;

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
        }
    }
}

impl std::error::Error for InvalidRequest {}

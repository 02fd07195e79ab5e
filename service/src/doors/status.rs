//! The HTTP status of a refusal, and of our answers: the one table.

use http::StatusCode;
use sluicegate_limits::verdict::Reason;

use crate::call::Door;

/// The answer of HTTP to a refusal: the one table.
pub(super) const fn of(reason: Reason) -> StatusCode {
    match reason {
        Reason::LimitExceeded
        | Reason::QuotaExhausted
        | Reason::ConcurrencyExceeded
        | Reason::CostExceedsCapacity
        | Reason::Blocked => StatusCode::TOO_MANY_REQUESTS,
        Reason::HoldExpired => StatusCode::GONE,
        Reason::StoreUnavailable | Reason::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Reason::TenantBoundary | Reason::UntrustedCaller | Reason::NoLimitApplies => {
            StatusCode::FORBIDDEN
        }
        Reason::InvalidRequest => StatusCode::BAD_REQUEST,
    }
}

/// The HTTP status of our answer: native answers and decisions in JSON are answers, whatever they
/// say.
pub(crate) const fn answered(door: Door, reason: Option<Reason>) -> StatusCode {
    match (door, reason) {
        (Door::ExtAuthz, Some(reason)) => of(reason),
        (
            Door::Http,
            Some(reason @ (Reason::InvalidRequest | Reason::UntrustedCaller | Reason::Overloaded)),
        ) => of(reason),
        _ => StatusCode::OK,
    }
}

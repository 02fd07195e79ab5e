//! What the service answers.

use sluicegate_limits::counter::Wait;
use sluicegate_limits::policy::Mode;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason as KnownReason;
use sluicegate_proto::v1;

use crate::error::CheckError;

/// The answer for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request may pass.
    pub allowed: bool,
    /// Why it was denied; `None` where it is allowed.
    pub reason: Option<Reason>,
    /// The limit that bound the decision; `None` where no enforcing limit applies.
    pub limit_name: Option<String>,
    /// Tokens which that limit has left.
    pub remaining: Option<Tokens>,
    /// When the same request would pass. `None` also where it was denied by no limit.
    pub retry_after: Wait,
    /// Until all tokens of that limit are back, if nobody takes.
    pub reset: Option<Micros>,
    /// Names this answer in the service's records and traces: a UUIDv7.
    pub decision_id: String,
    /// The revision of the limits that decided.
    pub policy_revision: String,
    /// Whether a limit answered without the shared store.
    pub degraded: bool,
    /// Every limit that applies, in the order of the files.
    pub limits: Vec<LimitVerdict>,
}

/// Why a request was denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// One of the service's own reasons.
    Known(KnownReason),
    /// The limit's own reason, as its `reason` in the limits file says, or one that this client is
    /// too old to know.
    Other(String),
}

/// What one limit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitVerdict {
    /// The limit.
    pub name: String,
    /// Whether it denies, or only says that it would.
    pub mode: Mode,
    /// Whether this limit alone would let the request pass.
    pub allowed: bool,
    /// The most tokens that pass at once.
    pub limit: Tokens,
    /// The length of its window.
    pub window: Micros,
    /// Tokens left after this request.
    pub remaining: Tokens,
    /// When this limit would let the same request pass.
    pub retry_after: Wait,
    /// Whether this limit answered without the shared store.
    pub degraded: bool,
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Other(text) => text,
        }
    }

    /// Nothing is held any more.
    pub(crate) const fn expired() -> Self {
        Self::Known(KnownReason::HoldExpired)
    }

    /// The reason of an answer that has one where it is a refusal; the word is empty otherwise.
    pub(crate) fn unless(done: bool, text: String) -> Result<Option<Self>, CheckError> {
        match (done, text.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Self::of(text))),
            (true, false) => Err(bad("an allowed request has a reason")),
            (false, true) => Err(bad("a denial has no reason")),
        }
    }

    fn of(text: String) -> Self {
        let known = KnownReason::ALL.into_iter().find(|known| known.as_str() == text);
        known.map_or(Self::Other(text), Self::Known)
    }
}

impl TryFrom<v1::CheckResponse> for Verdict {
    type Error = CheckError;

    fn try_from(response: v1::CheckResponse) -> Result<Self, CheckError> {
        let reason = Reason::unless(response.allowed, response.reason)?;
        let limits = response.limits.into_iter().map(LimitVerdict::try_from);
        let limits = limits.collect::<Result<_, _>>()?;
        Ok(Self {
            allowed: response.allowed,
            reason,
            limit_name: response.limit_name,
            remaining: response.remaining.map(Tokens::new),
            retry_after: wait(response.retry_after)?,
            reset: response.reset.map(micros).transpose()?,
            decision_id: response.decision_id,
            policy_revision: response.policy_revision,
            degraded: response.degraded,
            limits,
        })
    }
}

impl TryFrom<v1::LimitVerdict> for LimitVerdict {
    type Error = CheckError;

    fn try_from(limit: v1::LimitVerdict) -> Result<Self, CheckError> {
        let mode = match limit.mode() {
            v1::Mode::Enforce => Mode::Enforce,
            v1::Mode::Shadow => Mode::Shadow,
            v1::Mode::Unspecified => return Err(bad("a limit has no mode that is known")),
        };
        Ok(Self {
            name: limit.name,
            mode,
            allowed: limit.allowed,
            limit: Tokens::new(limit.limit),
            window: limit.window.map_or(Ok(Micros::ZERO), micros)?,
            remaining: Tokens::new(limit.remaining),
            retry_after: wait(limit.retry_after)?,
            degraded: limit.degraded,
        })
    }
}

fn wait(retry: Option<v1::RetryAfter>) -> Result<Wait, CheckError> {
    use v1::retry_after::Wait::{After, Never};
    match retry.map(|retry| retry.wait) {
        None => Ok(Wait::None),
        Some(Some(After(after))) => Ok(Wait::For(micros(after)?)),
        Some(Some(Never(true))) => Ok(Wait::Never),
        Some(Some(Never(false)) | None) => Err(bad("a wait is neither a time nor never")),
    }
}

/// Whole microseconds, rounded up: a wait must not end early.
fn micros(duration: prost_types::Duration) -> Result<Micros, CheckError> {
    let seconds = u64::try_from(duration.seconds);
    let nanos = u64::try_from(duration.nanos);
    let (Ok(seconds), Ok(nanos)) = (seconds, nanos) else {
        return Err(bad("a duration is negative"));
    };
    Ok(Micros::new(seconds.saturating_mul(1_000_000).saturating_add(nanos.div_ceil(1_000))))
}

/// An answer that is none.
pub(crate) fn bad(message: &str) -> CheckError {
    CheckError::BadAnswer { message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial() -> v1::CheckResponse {
        v1::CheckResponse {
            reason: "limit_exceeded".to_owned(),
            limit_name: Some("default".to_owned()),
            remaining: Some(0),
            retry_after: Some(v1::RetryAfter {
                wait: Some(v1::retry_after::Wait::After(prost_types::Duration {
                    seconds: 1,
                    nanos: 1_001,
                })),
            }),
            ..v1::CheckResponse::default()
        }
    }

    fn message(response: v1::CheckResponse) -> String {
        Verdict::try_from(response).unwrap_err().to_string()
    }

    #[test]
    fn a_wait_is_rounded_up_to_a_microsecond() {
        let verdict = Verdict::try_from(denial()).unwrap();
        assert_eq!(verdict.retry_after, Wait::For(Micros::new(1_000_002)));
        assert_eq!(verdict.reason, Some(Reason::Known(KnownReason::LimitExceeded)));
        assert_eq!(verdict.remaining, Some(Tokens::ZERO));
    }

    #[test]
    fn never_is_not_a_wait_of_nothing() {
        let never = v1::RetryAfter { wait: Some(v1::retry_after::Wait::Never(true)) };
        let response = v1::CheckResponse { retry_after: Some(never), ..denial() };
        assert_eq!(Verdict::try_from(response).unwrap().retry_after, Wait::Never);
        let empty = Some(v1::RetryAfter::default());
        assert!(message(v1::CheckResponse { retry_after: empty, ..denial() }).contains("never"));
    }

    #[test]
    fn every_reason_of_the_table_is_known_and_another_is_kept() {
        for known in KnownReason::ALL {
            assert_eq!(Reason::of(known.as_str().to_owned()), Reason::Known(known));
        }
        let own = Reason::of("search_quota_exceeded".to_owned());
        assert_eq!(own, Reason::Other("search_quota_exceeded".to_owned()));
        assert_eq!(own.as_str(), "search_quota_exceeded");
    }

    #[test]
    fn what_contradicts_itself_is_no_verdict() {
        assert!(message(v1::CheckResponse { allowed: true, ..denial() }).contains("allowed"));
        assert!(message(v1::CheckResponse::default()).contains("no reason"));
        let reset = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        assert!(message(v1::CheckResponse { reset, ..denial() }).contains("negative"));
        let limits = vec![v1::LimitVerdict::default()];
        assert!(message(v1::CheckResponse { limits, ..denial() }).contains("mode"));
    }
}

//! A decision as the response of `sluicegate.v1`.

use prost_types::Duration;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::policy;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::LimitVerdict;
use sluicegate_proto::v1::{self, CheckResponse, Mode, RetryAfter, retry_after};

use crate::call::Decision;

/// Writes the answer; `detail` says what is wrong with the request where that is why.
pub(super) fn response(decision: &Decision, detail: String) -> CheckResponse {
    let verdict = &decision.verdict;
    CheckResponse {
        allowed: verdict.allowed,
        reason: verdict.reason_text.clone(),
        limit_name: verdict.limit_name().map(str::to_owned),
        remaining: verdict.remaining().map(Tokens::get),
        retry_after: verdict.retry_after().map(retry_after),
        reset: verdict.reset().map(duration),
        decision_id: decision.id.to_string(),
        policy_revision: decision.policy.revision().to_owned(),
        degraded: verdict.degraded,
        limits: verdict.limits.iter().map(limit).collect(),
        detail,
    }
}

fn limit(limit: &LimitVerdict) -> v1::LimitVerdict {
    let mode = match limit.mode {
        policy::Mode::Enforce => Mode::Enforce,
        policy::Mode::Shadow => Mode::Shadow,
        // A disabled limit is not charged, so it has no verdict.
        policy::Mode::Disabled => Mode::Unspecified,
    };
    v1::LimitVerdict {
        name: limit.name.to_string(),
        mode: mode.into(),
        allowed: limit.allowed,
        limit: limit.limit.get(),
        window: Some(duration(limit.window)),
        remaining: limit.remaining.get(),
        retry_after: (!limit.allowed).then(|| retry_after(limit.wait)),
        degraded: limit.degraded,
    }
}

fn retry_after(wait: Wait) -> RetryAfter {
    let wait = match wait {
        Wait::None => retry_after::Wait::After(Duration::default()),
        Wait::For(wait) => retry_after::Wait::After(duration(wait)),
        Wait::Never => retry_after::Wait::Never(true),
    };
    RetryAfter { wait: Some(wait) }
}

fn duration(micros: Micros) -> Duration {
    // Both parts of a quantity below 2^53 µs fit.
    let seconds = i64::try_from(micros.get() / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(micros.get() % 1_000_000 * 1_000).unwrap_or(0);
    Duration { seconds, nanos }
}

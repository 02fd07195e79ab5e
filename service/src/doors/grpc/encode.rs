//! A decision as the response of `sluicegate.v1`.

use std::borrow::Cow;

use prost::Message;
use prost_types::Duration;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::explain::LimitExplanation;
use sluicegate_limits::policy;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::LimitVerdict;
use sluicegate_proto::v1::{self, CheckResponse, ExplainedLimit, Mode, RetryAfter, retry_after};

use crate::reveal::Revealed;

/// The most bytes that explained limits have in one answer.
const MAX_EXPLAINED_BYTES: usize = 256 * 1_024;

/// Writes the answer.
pub(super) fn response(decision: Revealed<'_>) -> CheckResponse {
    CheckResponse {
        allowed: decision.allowed(),
        reason: decision.reason_text().to_owned(),
        limit_name: decision.limit_name().map(str::to_owned),
        remaining: decision.remaining().map(Tokens::get),
        retry_after: decision.retry_after().map(retry_after),
        reset: decision.reset().map(duration),
        decision_id: decision.id().to_string(),
        policy_revision: decision.policy_revision().to_owned(),
        degraded: decision.degraded(),
        limits: decision.limits().map(limit).collect(),
        detail: decision.detail().to_owned(),
        explained: Vec::new(),
        explained_left_out: 0,
    }
}

/// Writes explained limits, those that apply before the others where not all find room.
pub(super) fn explained(limits: Vec<LimitExplanation>) -> Vec<ExplainedLimit> {
    let limits: Vec<_> = limits.into_iter().map(explained_limit).collect();
    let mut room = MAX_EXPLAINED_BYTES;
    let mut keep = vec![false; limits.len()];
    for applies in [true, false] {
        for (limit, keep) in limits.iter().zip(&mut keep).filter(|(l, _)| l.applies == applies) {
            if let Some(left) = room.checked_sub(limit.encoded_len()) {
                (room, *keep) = (left, true);
            }
        }
    }
    limits.into_iter().zip(keep).filter_map(|(limit, keep)| keep.then_some(limit)).collect()
}

fn explained_limit(limit: LimitExplanation) -> ExplainedLimit {
    ExplainedLimit {
        name: limit.name,
        applies: limit.applies,
        why: limit.why,
        key: limit.key,
        limit: limit.limit,
        layer: limit.layer.into_owned(),
        plan: limit.plan,
        until: limit.until,
        layer_why: limit.layer_why,
        refill: limit.refill,
        period: limit.period,
        window: Some(duration(Micros::new(limit.window_ms.saturating_mul(1_000)))),
        algorithm: limit.algorithm.into_owned(),
        mode: limit.mode.into_owned(),
        on_store_failure: limit.on_store_failure.map(Cow::into_owned),
        cost: limit.cost,
        cost_from: limit.cost_from,
        used: limit.used,
        remaining: limit.remaining,
        file: limit.source.file,
        line: limit.source.line,
    }
}

/// Writes what one limit says.
pub(super) fn limit(limit: &LimitVerdict) -> v1::LimitVerdict {
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

/// Writes a length of time, exactly.
pub(super) fn duration(micros: Micros) -> Duration {
    // Both parts of a quantity below 2^53 µs fit.
    let seconds = i64::try_from(micros.get() / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(micros.get() % 1_000_000 * 1_000).unwrap_or(0);
    Duration { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use sluicegate_limits::attributes::Attributes;
    use sluicegate_limits::explain::explain;
    use sluicegate_limits::policy::{Policy, SourceFile};
    use sluicegate_limits::time::Timestamp;

    use super::*;

    #[test]
    fn where_not_all_find_room_those_that_apply_do() {
        let text = "rate_limits: {a: {key: x, limit: 1, window: 1s}, b: {limit: 1, window: 1s},
            c: {key: x, limit: 1, window: 1s}, d: {limit: 1, window: 1s}}";
        let file = SourceFile { name: "a".to_owned(), text: text.to_owned() };
        let policy = Policy::compile(&[file]).unwrap().policy;
        let limits = explain(&policy, &Attributes::default(), None, Timestamp::ZERO).limits;
        let names = |bytes: [usize; 4]| {
            let mut limits = limits.clone();
            for (limit, bytes) in limits.iter_mut().zip(bytes) {
                limit.why = "y".repeat(bytes);
            }
            let kept = explained(limits);
            assert!(kept.iter().map(Message::encoded_len).sum::<usize>() <= MAX_EXPLAINED_BYTES);
            kept.into_iter().map(|limit| limit.name).collect::<String>()
        };
        assert_eq!(names([1; 4]), "abcd");
        assert_eq!(names([150_000, 150_000, 1, 1]), "bcd");
        assert_eq!(names([MAX_EXPLAINED_BYTES, 1, 1, MAX_EXPLAINED_BYTES]), "bc");
    }
}

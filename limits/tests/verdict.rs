//! Which limit binds, and what the verdict says, against a brute-force reading of the rule.

#![cfg(test)]

use sluicegate_limits::charge::Charge;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::decide::{Key, Reply};
use sluicegate_limits::policy::{Layer, Limit, Mode, Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::{Reason, Verdict};

/// Three limits of capacity 2, 3 and 4, the last a bucket with a reason of its own, and two
/// more that are as large as can be.
const LIMITS: &str = "rate_limits:
  two: {limit: 2, window: 1m}
  three: {limit: 3, window: 1h, algorithm: fixed_window}
  four: {limit: 2, burst: 4, window: 10s, algorithm: token_bucket, reason: search_quota_exceeded}
  large: {limit: 1_000_000_000_000_000, window: 1d}
  larger: {limit: 999_999_999_999_999, window: 1d}
";

const NEVER: Reply = reply(false, 0, Wait::Never);

const fn reply(allowed: bool, left: u64, wait: Wait) -> Reply {
    let full_in = Micros::new(7_000_000);
    Reply { full_in, ..Reply::bare(allowed, Tokens::new(left), wait) }
}

const fn denied(wait_us: u64) -> Reply {
    reply(false, 0, Wait::For(Micros::new(wait_us)))
}

const fn passes(left: u64) -> Reply {
    reply(true, left, Wait::None)
}

fn limits() -> Vec<Limit> {
    let file = SourceFile { name: "limits.yaml".into(), text: LIMITS.into() };
    Policy::compile(&[file]).unwrap().policy.limits().to_vec()
}

fn charge(limit: &Limit) -> Charge<'_> {
    let (key, terms) =
        (Key { partition: 0, hash: [0; 16] }, limit.terms(&limit.numbers, Timestamp::ZERO));
    let (numbers, layer, tokens) = (limit.numbers, Layer::Limit, Tokens::ONE);
    Charge { limit, key, penalty_key: None, numbers, layer, terms, tokens, cost_is_stated: true }
}

fn verdict(limits: &[Limit], replies: &[Reply]) -> Verdict {
    Verdict::of(&limits.iter().map(charge).collect::<Vec<_>>(), replies)
}

/// The rule of the design, word by word, over shares in twelfths.
fn expected(limits: &[Limit], replies: &[Reply]) -> (bool, Option<usize>) {
    let enforced: Vec<usize> =
        (0..limits.len()).filter(|at| limits[*at].mode == Mode::Enforce).collect();
    let wait = |at: usize| match replies[at].wait {
        Wait::Never => u64::MAX,
        Wait::For(wait) => wait.get(),
        Wait::None => 0,
    };
    let share = |at: usize| replies[at].left.get() * 12 / limits[at].numbers.capacity().get();
    let denying: Vec<usize> = enforced.iter().copied().filter(|at| !replies[*at].allowed).collect();
    let longest = denying.iter().map(|at| wait(*at)).max();
    let smallest = enforced.iter().map(|at| share(*at)).min();
    let binding = match longest {
        Some(longest) => denying.iter().copied().find(|at| wait(*at) == longest),
        None => enforced.iter().copied().find(|at| Some(share(*at)) == smallest),
    };
    (denying.is_empty(), binding)
}

fn in_mode(limit: &Limit, mode: Mode) -> Limit {
    let mut limit = limit.clone();
    limit.mode = mode;
    limit
}

/// Every mode and reply of one limit.
fn states(limit: &Limit) -> Vec<(Limit, Reply)> {
    let mut states = Vec::new();
    for mode in [Mode::Enforce, Mode::Shadow] {
        let allowed = (0..=limit.numbers.capacity().get()).map(passes);
        for reply in [NEVER, denied(1), denied(2)].into_iter().chain(allowed) {
            states.push((in_mode(limit, mode), reply));
        }
    }
    states
}

#[test]
fn the_binding_limit_is_the_one_of_the_rule() {
    let all = limits();
    let mut checked = 0;
    for one in states(&all[0]) {
        for two in states(&all[1]) {
            for three in states(&all[2]) {
                let (limits, replies): (Vec<_>, Vec<_>) =
                    [one.clone(), two.clone(), three].into_iter().unzip();
                let verdict = verdict(&limits, &replies);
                let (allowed, binding) = expected(&limits, &replies);
                assert_eq!((verdict.allowed, verdict.binding), (allowed, binding), "{replies:?}");
                assert_eq!(verdict.reason.is_none(), allowed);
                assert_eq!(verdict.reason_text.is_empty(), allowed);
                assert_eq!(verdict.retry_after().is_none(), allowed);
                assert_eq!(verdict.limit_name(), binding.map(|at| &*limits[at].name));
                assert_eq!(verdict.remaining(), binding.map(|at| replies[at].left));
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 12 * 14 * 16);
}

#[test]
fn shares_of_large_limits_are_compared_exactly() {
    let [.., large, larger] = &limits()[..] else { panic!("five limits") };
    let pair = [large.clone(), larger.clone()];
    let quadrillion = 1_000_000_000_000_000;
    // 1 - 1/10^15 is less than 1; one token of the smaller limit is the larger share.
    assert_eq!(
        verdict(&pair, &[passes(quadrillion - 1), passes(quadrillion - 1)]).binding,
        Some(0)
    );
    assert_eq!(verdict(&pair, &[passes(quadrillion), passes(quadrillion - 2)]).binding, Some(1));
    assert_eq!(verdict(&pair, &[passes(1), passes(1)]).binding, Some(0));
    assert_eq!(verdict(&pair, &[passes(0), passes(0)]).binding, Some(0));
}

#[test]
fn a_limit_of_nothing_has_the_smallest_share() {
    let all = limits();
    let mut none = all[1].clone();
    none.numbers.limit = Tokens::ZERO;
    let order = [all[0].clone(), none, all[2].clone()];
    assert_eq!(verdict(&order, &[passes(1), passes(0), passes(1)]).binding, Some(1));
}

#[test]
fn the_reason_is_the_binding_limits() {
    let all = limits();
    let of = |replies: &[Reply]| {
        let verdict = verdict(&all[..3], replies);
        (verdict.reason, verdict.reason_text.clone(), verdict.retry_after())
    };
    let wait = |us| Some(Wait::For(Micros::new(us)));
    assert_eq!(of(&[passes(1), passes(1), passes(1)]), (None, String::new(), None));
    let exceeded = Some(Reason::LimitExceeded);
    let other = (exceeded, "limit_exceeded".to_owned(), wait(2));
    assert_eq!(of(&[denied(2), passes(1), denied(1)]), other);
    let own = (exceeded, "search_quota_exceeded".to_owned(), wait(3));
    assert_eq!(of(&[denied(2), passes(1), denied(3)]), own);
    // That waiting does not help is said whatever the limit says otherwise.
    let never = (Some(Reason::CostExceedsCapacity), "cost_exceeds_capacity".to_owned());
    let (reason, text, wait) = of(&[denied(2), passes(1), NEVER]);
    assert_eq!(((reason, text), wait), (never, Some(Wait::Never)));
}

#[test]
fn without_enforcing_limits_nothing_binds() {
    let shadow = in_mode(&limits()[0], Mode::Shadow);
    for replies in [[NEVER], [passes(1)]] {
        let verdict = verdict(std::slice::from_ref(&shadow), &replies);
        assert!(verdict.allowed && verdict.binding.is_none());
        assert_eq!(
            (verdict.remaining(), verdict.reset(), verdict.limit_name()),
            (None, None, None)
        );
        assert_eq!(verdict.limits[0].allowed, replies[0].allowed);
    }
    assert!(verdict(&[], &[]).allowed);
}

#[test]
fn what_a_limit_says_is_in_the_verdict() {
    let verdict = verdict(&limits()[..3], &[passes(2), passes(3), passes(0)]);
    let bucket = verdict.binding_limit().unwrap();
    assert_eq!((&*bucket.name, bucket.limit.get(), bucket.remaining.get()), ("four", 4, 0));
    // Two tokens come back in 10 s, so a burst of four does in 20 s.
    assert_eq!((bucket.window, bucket.refill), (Micros::new(10_000_000), Micros::new(20_000_000)));
    assert_eq!(verdict.limits[1].refill, Micros::HOUR);
    assert_eq!(verdict.reset(), Some(Micros::new(7_000_000)));
}

#[test]
fn a_charge_without_a_reply_denies() {
    let verdict = verdict(&limits()[..2], &[passes(1)]);
    assert!(!verdict.allowed);
    assert_eq!(verdict.retry_after(), Some(Wait::For(Micros::HOUR)));
}

#[test]
fn a_closed_limit_gives_its_reason_only_where_it_binds() {
    let all = limits();
    let mut closed = verdict(&all[..2], &[denied(2), denied(1)]);
    closed.close(Reason::StoreUnavailable, |at| at == 1);
    assert_eq!(closed.reason, Some(Reason::LimitExceeded));
    closed.close(Reason::StoreUnavailable, |at| at == 0);
    assert_eq!(closed.reason, Some(Reason::StoreUnavailable));
    assert_eq!(closed.reason_text, "store_unavailable");
    let mut open = verdict(&all[..2], &[passes(2), passes(1)]);
    open.close(Reason::StoreUnavailable, |_| true);
    assert_eq!((open.allowed, open.reason), (true, None));
}

#[test]
fn a_refusal_names_its_reason_and_no_limit() {
    for reason in Reason::ALL {
        let refused = Verdict::refused(reason);
        assert_eq!((refused.allowed, refused.reason), (false, Some(reason)));
        assert_eq!(refused.reason_text, reason.to_string());
        assert_eq!((refused.retry_after(), refused.limit_name()), (None, None));
    }
    let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
    assert_eq!(words.len(), Reason::ALL.len(), "each has its own");
}

#[test]
fn each_way_of_counting_has_its_reason_and_a_block_another() {
    let text = "rate_limits:
  window: {limit: 2, window: 1m}
  quota: {limit: 2, algorithm: calendar, period: month}
  running: {limit: 2, algorithm: concurrency, hold: 90s}
  named: {limit: 2, algorithm: concurrency, hold: 90s, reason: busy}
";
    let file = SourceFile { name: "limits.yaml".into(), text: text.into() };
    let limits = Policy::compile(&[file]).unwrap().policy.limits().to_vec();
    let blocked = Reply { blocked: true, ..denied(9) };
    let never = Reply { blocked: true, ..NEVER };
    let capacity = (Reason::CostExceedsCapacity, "cost_exceeds_capacity");
    for (at, reply, expected) in [
        (0, denied(9), (Reason::LimitExceeded, "limit_exceeded")),
        (1, denied(9), (Reason::QuotaExhausted, "quota_exhausted")),
        (2, denied(9), (Reason::ConcurrencyExceeded, "concurrency_exceeded")),
        (3, denied(9), (Reason::ConcurrencyExceeded, "busy")),
        (1, blocked, (Reason::Blocked, "blocked")),
        (3, blocked, (Reason::Blocked, "blocked")),
        (1, NEVER, capacity),
        (3, NEVER, capacity),
        (0, never, capacity),
    ] {
        let verdict = verdict(&limits[at..=at], &[reply]);
        assert_eq!((verdict.reason.unwrap(), verdict.reason_text.as_str()), expected);
    }
    let verdict = verdict(&limits, &[passes(1); 4]);
    let windows: Vec<u64> = verdict.limits.iter().map(|l| l.window.to_seconds_up()).collect();
    // January 1970.
    assert_eq!(windows, [60, 31 * 86_400, 90, 90]);
    assert!(verdict.limits.iter().all(|limit| limit.refill == limit.window));
}

//! A trial decides as a store does, forgets only what equals a fresh counter, and never goes back.

#![cfg(test)]

use std::collections::HashMap;

use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::charge::{KeySecret, MAX_CHARGES};
use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Key, decide};
use sluicegate_limits::invalid::InvalidRequest;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::trial::{TimeWentBack, Trial};
use sluicegate_limits::verdict::{Reason, Verdict};

const POLICY: &str = "
rate_limits:
  window: { key: user_id, limit: 3, window: 1s }
  bucket: { key: user_id, algorithm: token_bucket, limit: 2, window: 1s, burst: 4 }
  fixed: { key: user_id, algorithm: fixed_window, limit: 5, window: 2s, mode: shadow }
";

fn policy() -> Policy {
    let file = SourceFile { name: "a.yaml".into(), text: POLICY.into() };
    Policy::compile(&[file]).unwrap().policy
}

fn user(number: u64) -> Attributes {
    let mut attributes = AttributesBuilder::new();
    attributes.set("user_id", &number.to_string()).unwrap();
    attributes.finish()
}

/// The verdict of a store that forgets nothing.
fn decided(
    policy: &Policy,
    counters: &mut HashMap<Key, Counter>,
    at: Timestamp,
    attributes: &Attributes,
    cost: Option<Tokens>,
) -> Verdict {
    let secret = KeySecret::new(&[7; 32]).unwrap();
    let charges = policy.charges(attributes, cost, &secret, at).unwrap();
    let check = charges.iter().map(|charge| charge.ask(Op::Take)).collect();
    Verdict::of(&charges, &decide(counters, &check, at).unwrap().replies)
}

#[test]
fn millions_of_users_leave_few_counters_and_the_verdicts_of_a_store() {
    let policy = policy();
    let (mut trial, mut counters) = (Trial::new(&policy), HashMap::new());
    let mut random = fastrand::Rng::with_seed(5);
    let (mut at, mut denied, mut most) = (Timestamp::new(1_000_000_000), 0, 0);
    for _ in 0..100_000 {
        at = at.after(Micros::new(random.u64(0..2_000)));
        // Half of the requests come from few users, the others from users who come once.
        let users = if random.bool() { 50 } else { u64::MAX };
        let attributes = user(random.u64(0..users));
        let cost = random.bool().then(|| Tokens::new(random.u64(0..3)));
        let verdict = trial.check(at, &attributes, cost).unwrap();
        assert_eq!(verdict, decided(&policy, &mut counters, at, &attributes, cost));
        denied += u64::from(!verdict.allowed);
        most = most.max(trial.counters());
    }
    assert!(denied > 1_000, "{denied} denials");
    assert!(counters.len() > 100_000 && most < 20_000, "{most} of {} counters", counters.len());
    assert_eq!(trial.now(), at);
}

#[test]
fn time_never_goes_back() {
    let policy = policy();
    let mut trial = Trial::new(&policy);
    let at = Timestamp::new;
    for _ in 0..3 {
        assert!(trial.check(at(5_000_000), &user(1), None).unwrap().allowed);
    }
    let back = TimeWentBack { at: at(4_999_999), now: at(5_000_000) };
    assert_eq!(trial.check(back.at, &user(1), None), Err(back));
    assert!(back.to_string().contains("1 µs before"), "{back}");
    // The one that was refused has taken nothing and changed nothing.
    assert!(!trial.check(at(5_999_999), &user(1), None).unwrap().allowed);
    assert!(trial.check(at(6_000_000), &user(1), None).unwrap().allowed);
}

#[test]
fn a_request_that_more_limits_are_about_than_may_charge_it_is_refused() {
    let limits = |count: usize| {
        let limit = |n| format!("\n  l{n}: {{ limit: 5, window: 1m }}");
        let text = "rate_limits:".to_owned() + &(0..count).map(limit).collect::<String>();
        let file = SourceFile { name: "a.yaml".into(), text };
        Policy::compile(&[file]).unwrap().policy
    };
    let (attributes, secret) = (Attributes::default(), KeySecret::new(&[1; 32]).unwrap());
    let now = Timestamp::new(1_700_000_000_000_000);
    let too_many = Err(InvalidRequest::TooManyLimits);
    for (count, charged) in [(MAX_CHARGES, Ok(MAX_CHARGES)), (MAX_CHARGES + 1, too_many)] {
        let policy = limits(count);
        let owed = policy.charges(&attributes, None, &secret, now);
        assert_eq!(owed.map(|charges| charges.len()), charged);
        let verdict = Trial::new(&policy).check(now, &attributes, None).unwrap();
        let reason = charged.as_ref().err().map(|_| Reason::InvalidRequest);
        assert_eq!((verdict.allowed, verdict.reason), (reason.is_none(), reason));
        let detail = charged.err().map(|invalid| invalid.to_string()).unwrap_or_default();
        assert_eq!(verdict.detail, detail);
    }
}

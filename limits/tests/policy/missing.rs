//! What limits make of requests without an attribute of their key, and of costs that are no number.

use std::collections::HashSet;

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::charge::Intent;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::decide::Key;
use sluicegate_limits::explain::explain;
use sluicegate_limits::invalid::InvalidRequest;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::policy::units::MAX_COST;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::trial::Trial;
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::{policy, request, secret};

const NOW: Timestamp = Timestamp::new(1_700_000_123_456_789);

/// One limit by two attributes, three in a minute.
fn limit(text: &str) -> Policy {
    policy(&format!(
        "rate_limits: {{ a: {{ key: [tenant_id, client_id], limit: 3, window: 1m, {text} }} }}"
    ))
}

/// The counter of the one limit; `None` where it does not apply.
fn counter(policy: &Policy, pairs: &[(&str, &str)]) -> Option<Key> {
    let charges = policy.charges(&request(pairs), None, &secret(), NOW).unwrap();
    charges.first().map(|charge| charge.key)
}

fn check(trial: &mut Trial<'_>, attributes: &Attributes) -> Verdict {
    trial.check(NOW, attributes, None).unwrap()
}

fn missing(attribute: &str) -> InvalidRequest {
    InvalidRequest::MissingKey { attribute: attribute.into() }
}

#[test]
fn skipped_is_what_nothing_is_said_of() {
    let said = limit("missing_key: skip");
    for policy in [&limit(""), &said] {
        assert_eq!(counter(policy, &[("tenant_id", "acme")]), None);
        assert_eq!(counter(policy, &[("client_id", "web")]), None);
        assert!(counter(policy, &[("tenant_id", "acme"), ("client_id", "web")]).is_some());
    }
    assert_eq!(limit("").revision(), said.revision());
    assert_ne!(limit("missing_key: deny").revision(), limit("missing_key: together").revision());
}

#[test]
fn what_is_missing_counts_as_one_value_unlike_any_text() {
    let (policy, both) = (limit("missing_key: together"), limit(""));
    let of_acme = counter(&policy, &[("tenant_id", "acme")]).unwrap();
    let others = [("method", "GET"), ("user_id", "ana"), ("ip_address", "192.0.2.1")];
    for other in others {
        assert_eq!(counter(&policy, &[("tenant_id", "acme"), other]), Some(of_acme));
    }
    let mut seen = HashSet::from([of_acme.hash]);
    assert!(seen.insert(counter(&policy, &[("tenant_id", "other")]).unwrap().hash));
    assert!(seen.insert(counter(&policy, &[("client_id", "acme")]).unwrap().hash));
    let long = "x".repeat(300);
    for text in ["missing", "null", "~", "-", " ", "\0", "None", &long] {
        let pairs = [("tenant_id", "acme"), ("client_id", text)];
        let with = counter(&policy, &pairs).unwrap();
        assert!(seen.insert(with.hash), "{text:?}");
        assert_eq!(Some(with), counter(&both, &pairs), "a whole key names what it always did");
        assert_eq!(with.partition, of_acme.partition, "the same first key attribute");
    }
    assert_eq!(counter(&policy, &[("user_id", "ana")]), None, "none of the key is there");
    assert_eq!(counter(&policy, &[]), None);
}

#[test]
fn the_requests_without_an_attribute_share_what_one_of_its_values_has() {
    let policy = limit("missing_key: together");
    let mut trial = Trial::new(&policy);
    let (without, with) = ([("tenant_id", "acme")], [("tenant_id", "acme"), ("client_id", "web")]);
    for left in [2, 1, 0] {
        let verdict = check(&mut trial, &request(&without));
        assert_eq!(verdict.remaining().map(Tokens::get), Some(left));
    }
    assert_eq!(check(&mut trial, &request(&without)).reason, Some(Reason::LimitExceeded));
    assert!(check(&mut trial, &request(&with)).allowed);
}

#[test]
fn a_request_without_what_it_is_counted_by_is_invalid() {
    let policy = limit("missing_key: deny");
    let charges = |pairs: &[(&str, &str)]| {
        policy.charges(&request(pairs), None, &secret(), NOW).map(|charges| charges.len())
    };
    assert_eq!(charges(&[("tenant_id", "acme"), ("client_id", "web")]), Ok(1));
    assert_eq!(charges(&[("tenant_id", "acme")]), Err(missing("client_id")));
    assert_eq!(charges(&[("client_id", "web")]), Err(missing("tenant_id")));
    assert_eq!(charges(&[]), Err(missing("tenant_id")));
    let detail = missing("client_id").to_string();
    assert!(detail.contains("client_id") && !detail.contains("limit"), "{detail}");
}

#[test]
fn a_denial_for_a_missing_key_takes_nothing_and_is_no_strike() {
    let policy = policy(
        "rate_limits:
  all: { limit: 5, window: 1m }
  a: { key: client_id, missing_key: deny, limit: 5, window: 1m,
       penalty: { after: 1, within: 1m, block: 1h } }",
    );
    let mut trial = Trial::new(&policy);
    let verdict = check(&mut trial, &request(&[]));
    assert_eq!((verdict.allowed, verdict.reason), (false, Some(Reason::InvalidRequest)));
    assert_eq!(verdict.detail, missing("client_id").to_string());
    assert_eq!((verdict.limits.len(), trial.counters()), (0, 0));
    let verdict = check(&mut trial, &request(&[("client_id", "web")]));
    assert_eq!(verdict.remaining().map(Tokens::get), Some(4));
}

/// Limits in shadow of which the one cannot tell the counter and the other not the cost.
const SHADOWS: &str = "
rate_limits:
  all: { limit: 5, window: 1m }
  by_client: { key: client_id, missing_key: deny, mode: shadow, limit: LIMIT, window: 1m,
               penalty: { after: 1, within: 1m, block: 1h } }
  by_size: { cost: request_size, mode: shadow, algorithm: ALGORITHM }";

#[test]
fn a_shadow_limit_would_deny_what_is_invalid_and_takes_nothing() {
    let algorithms = [
        "sliding_window, limit: LIMIT, window: 1m",
        "fixed_window, limit: LIMIT, window: 1m",
        "token_bucket, limit: LIMIT, window: 1m",
        "calendar, limit: LIMIT, period: day",
        "concurrency, limit: LIMIT, hold: 1m",
    ];
    let lasting = Micros::MINUTE;
    let intents =
        [Intent::Check, Intent::Look, Intent::Hold { lasting }, Intent::Reserve { lasting }];
    for (algorithm, limit) in
        algorithms.iter().flat_map(|a| ["3", "1_000_000_000_000_000"].map(|l| (a, l)))
    {
        let text = SHADOWS.replace("ALGORITHM", algorithm).replace("LIMIT", limit);
        let policy = policy(&text);
        for intent in intents {
            let mut trial = Trial::new(&policy);
            let facts = request(&[("request_size", "1.2.3")]);
            let (verdict, _) = trial.ask(NOW, &facts, None, intent).unwrap();
            assert!(verdict.allowed, "{text} {intent:?}");
            let would_deny: Vec<_> = verdict.would_deny().map(|l| (&*l.name, l.wait)).collect();
            assert_eq!(would_deny, [("by_client", Wait::Never), ("by_size", Wait::Never)]);
            let full = policy.limits()[1].numbers.limit;
            assert!(verdict.limits[1..].iter().all(|limit| limit.remaining == full), "{verdict:?}");
            let takes = intent != Intent::Look;
            assert_eq!(trial.counters(), usize::from(takes), "only `all` has a counter");
        }
        // Nothing that came before counts for one that is whole.
        let mut trial = Trial::new(&policy);
        check(&mut trial, &request(&[("request_size", "?")]));
        let whole = request(&[("client_id", "web"), ("request_size", "2")]);
        let verdict = check(&mut trial, &whole);
        assert_eq!(verdict.would_deny().count(), 0, "{text}");
        let full = policy.limits()[1].numbers.limit.get();
        let left: Vec<_> = verdict.limits.iter().map(|limit| limit.remaining.get()).collect();
        assert_eq!(left, [3, full - 1, full - 2]);
    }
}

#[test]
fn a_cost_that_is_no_number_is_invalid_only_where_it_is_read() {
    let policy = policy(
        "rate_limits:
  small: { match: 'GET /**', key: tenant_id, limit: 9, window: 1m }
  sized: { match: 'POST /**', key: tenant_id, limit: 9, window: 1m, cost: request_size }
  off: { mode: disabled, limit: 9, window: 1m, cost: claims.weight }",
    );
    let ask = |method: &str, more: &[(&str, &str)]| {
        let facts =
            [&[("method", method), ("path", "/a"), ("request_size", "many")], more].concat();
        Trial::new(&policy).check(NOW, &request(&facts), None).unwrap()
    };
    let tenant = [("tenant_id", "acme"), ("claims.weight", "heavy")];
    assert!(ask("GET", &tenant).allowed, "no limit that applies reads it");
    assert!(ask("POST", &[]).allowed, "the one that does is for tenants");
    let refused = ask("POST", &tenant);
    assert_eq!(refused.reason, Some(Reason::InvalidRequest));
    let said = InvalidRequest::CostNotANumber { attribute: "request_size".into() }.to_string();
    assert_eq!(refused.detail, said);
    assert!(!said.contains("many") && !said.contains("sized"), "{said}");
}

#[test]
fn the_largest_cost_counts_in_full_and_a_larger_one_never_passes() {
    for algorithm in ["sliding_window", "fixed_window", "token_bucket"] {
        let policy = policy(&format!(
            "rate_limits: {{ a: {{ key: tenant_id, limit: 1_000_000_000_000_000, window: 1h, \
             algorithm: {algorithm}, cost: request_size }} }}"
        ));
        let mut trial = Trial::new(&policy);
        let mut ask = |size: u64| {
            let facts = request(&[("tenant_id", "acme"), ("request_size", &size.to_string())]);
            let verdict = check(&mut trial, &facts);
            (verdict.reason, verdict.remaining().map(Tokens::get))
        };
        let never = Some(Reason::CostExceedsCapacity);
        assert_eq!(ask(MAX_COST + 1), (never, Some(MAX_COST)), "{algorithm}");
        assert_eq!(ask(u64::MAX), (never, Some(MAX_COST)), "{algorithm}");
        assert_eq!(ask(50_000_000_000), (None, Some(MAX_COST - 50_000_000_000)), "{algorithm}");
        assert_eq!(ask(MAX_COST).0, Some(Reason::LimitExceeded), "{algorithm}");
        assert_eq!(ask(MAX_COST - 50_000_000_000), (None, Some(0)), "{algorithm}");
    }
}

#[test]
fn an_explanation_says_what_is_missing() {
    let why = |text: &str, pairs: &[(&str, &str)]| {
        let shown = explain(&limit(text), &request(pairs), None, NOW);
        (shown.allowed, shown.detail.clone(), shown.limits[0].clone(), shown.to_string())
    };
    let acme = [("tenant_id", "acme")];
    let (_, _, skipped, _) = why("", &acme);
    assert_eq!((skipped.applies, &*skipped.why), (false, "the request has no `client_id`"));
    let (allowed, detail, together, _) = why("missing_key: together", &acme);
    assert!(allowed && detail.is_none() && together.applies);
    let says = "the request has `tenant_id`; the request has no `client_id`, which counts as one \
                value: `missing_key` is together";
    assert!(together.why.ends_with(says), "{}", together.why);
    let (allowed, detail, denies, tree) = why("missing_key: deny", &acme);
    assert!(!allowed && denies.applies, "{tree}");
    assert_eq!(detail, Some(missing("client_id").to_string()));
    assert!(tree.contains(&missing("client_id").to_string()), "{tree}");
    assert!(denies.why.ends_with("which it must have: `missing_key` is deny"), "{}", denies.why);

    let sized = [("tenant_id", "acme"), ("client_id", "web"), ("request_size", "many")];
    let (allowed, _, sized, tree) = why("cost: request_size", &sized);
    assert_eq!((allowed, sized.cost), (false, None));
    assert!(tree.contains("cost    unknown: the attribute `request_size` is no number"), "{tree}");
}

#[test]
fn requests_without_a_tenant_have_the_limits_own_numbers() {
    let policy = policy(
        "plans: { large: { limits: { a: { limit: 900 } } } }
tenants: { acme: { limits: { a: { limit: 700 } } } }
rate_limits: { a: { key: [tenant_id, client_id], missing_key: together, limit: 3, window: 1m } }",
    );
    let limit = |pairs: &[(&str, &str)]| {
        let charges = policy.charges(&request(pairs), None, &secret(), NOW).unwrap();
        charges[0].numbers.limit.get()
    };
    assert_eq!(limit(&[("tenant_id", "acme"), ("plan", "large")]), 700);
    assert_eq!(limit(&[("tenant_id", "globex"), ("plan", "large")]), 900);
    assert_eq!(limit(&[("client_id", "web"), ("plan", "large")]), 3, "one counter for all of them");
}

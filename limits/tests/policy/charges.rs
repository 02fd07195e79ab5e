//! What a request owes: which limits apply, on which counter, at which cost.

use std::collections::HashMap;

use sluicegate_limits::attributes::Attributes;
use sluicegate_limits::charge::{Charges, InvalidSecret, KeySecret};
use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::invalid::InvalidRequest;
use sluicegate_limits::policy::Policy;
use sluicegate_limits::policy::units::MAX_COST;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::{policy, request, secret};

const QUICKSTART: &str = include_str!("../../examples/quickstart.yaml");
const NOW: Timestamp = Timestamp::new(1_700_000_123_456_789);

fn charges<'p>(policy: &'p Policy, pairs: &[(&str, &str)]) -> Charges<'p> {
    policy.charges(&request(pairs), None, &secret(), NOW).unwrap()
}

fn names<'p>(policy: &'p Policy, pairs: &[(&str, &str)]) -> Vec<&'p str> {
    charges(policy, pairs).iter().map(|charge| &*charge.limit.name).collect()
}

/// The cost for the one limit that applies.
fn cost(policy: &Policy, pairs: &[(&str, &str)], stated: Option<u64>) -> u64 {
    let charges = policy.charges(&request(pairs), stated.map(Tokens::new), &secret(), NOW).unwrap();
    assert_eq!(charges.len(), 1);
    charges[0].tokens.get()
}

/// Why a request is invalid.
fn invalid(policy: &Policy, pairs: &[(&str, &str)]) -> InvalidRequest {
    policy.charges(&request(pairs), None, &secret(), NOW).unwrap_err()
}

fn not_a_number(attribute: &str) -> InvalidRequest {
    InvalidRequest::CostNotANumber { attribute: attribute.into() }
}

#[test]
fn the_missions_file_charges_what_it_says() {
    let policy = policy(QUICKSTART);
    let anonymous = [("ip_address", "192.0.2.1"), ("method", "GET"), ("path", "/")];
    assert_eq!(names(&policy, &anonymous), ["unauthenticated"]);
    let tenant = [("tenant_id", "acme"), ("authenticated", "true"), ("ip_address", "192.0.2.1")];
    assert_eq!(names(&policy, &tenant), ["default"]);
    let export =
        [&tenant[..], &[("method", "POST"), ("path", "/v1//reports/export/?x=1")]].concat();
    let export = charges(&policy, &export);
    assert_eq!(export.len(), 2);
    assert_eq!(&*export[1].limit.name, "expensive_exports");
    assert_eq!(export[1].tokens, Tokens::ONE);
    assert_ne!(export[0].key.hash, export[1].key.hash);
    assert_eq!(export[0].key.partition, export[1].key.partition, "the same first key attribute");
    assert_eq!(
        export[1].terms,
        Terms::SlidingWindow { limit: Tokens::new(20), window: Micros::HOUR }
    );
}

#[test]
fn disabled_limits_and_absent_key_attributes_owe_nothing() {
    let policy = policy(
        "rate_limits:
           off: { mode: disabled, limit: 1, window: 1s }
           two: { key: [tenant_id, user_id], limit: 1, window: 1s }
           all: { limit: 1, window: 1s }",
    );
    assert_eq!(names(&policy, &[]), ["all"]);
    assert_eq!(names(&policy, &[("tenant_id", "a")]), ["all"]);
    assert_eq!(names(&policy, &[("tenant_id", "a"), ("user_id", "")]), ["all"], "empty is absent");
    assert_eq!(names(&policy, &[("tenant_id", "a"), ("user_id", "b")]), ["two", "all"]);
}

#[test]
fn the_cost_is_the_stated_one_then_the_endpoints_then_one() {
    let policy = policy(
        "endpoint_costs:
  '* /**': 2
  'GET /**': 3
  'GET /v1/*': 4
  'GET /v1/{id}': 5
  'GET /v1/search': 6
  'GET /free': 0
rate_limits:
  all: { limit: 100, window: 1s }",
    );
    let of = |method, path| cost(&policy, &[("method", method), ("path", path)], None);
    assert_eq!(of("POST", "/v1/search"), 2);
    assert_eq!(of("GET", "/v2/search/x"), 3);
    assert_eq!(of("GET", "/v1/other"), 5);
    assert_eq!(of("GET", "/v1/search"), 6);
    assert_eq!(of("GET", "/free"), 0);
    assert_eq!(of("HEAD", "/v1/search"), 6, "servers answer HEAD by what handles GET");
    assert_eq!(cost(&policy, &[("user_id", "no path")], None), 1);
    let search = [("method", "GET"), ("path", "/v1/search")];
    assert_eq!(cost(&policy, &search, Some(7)), 7);
    assert_eq!(cost(&policy, &search, Some(0)), 0, "a stated 0 only looks");
    assert_eq!(cost(&policy, &search, Some(MAX_COST)), MAX_COST);
    assert_eq!(cost(&policy, &search, Some(u64::MAX)), MAX_COST + 1);
    let mapped = [&search[..], &[("cost", "8")]].concat();
    assert_eq!(cost(&policy, &mapped, None), 8);
    assert_eq!(cost(&policy, &mapped, Some(7)), 7);
    let many = [&search[..], &[("cost", "many")]].concat();
    assert_eq!(cost(&policy, &many, Some(7)), 7, "what is stated comes first");
    assert_eq!(invalid(&policy, &many), not_a_number("cost"));
}

#[test]
fn a_limits_own_cost_is_a_number_or_an_attribute() {
    let fixed = policy("rate_limits: { a: { cost: 3, limit: 100, window: 1s } }");
    assert_eq!(cost(&fixed, &[], Some(9)), 3);
    let sized = policy("rate_limits: { a: { cost: request_size, limit: 100, window: 1s } }");
    for (value, expected) in [
        ("17", 17),
        ("0", 0),
        ("", 1),
        ("1.5", 2),
        ("4294967297", 4_294_967_297),
        ("1000000000000000", MAX_COST),
        ("99999999999999999999999999", MAX_COST + 1),
    ] {
        assert_eq!(cost(&sized, &[("request_size", value)], Some(9)), expected, "{value}");
    }
    for bad in ["-5", "+2", "1e3", "many", "1,5"] {
        assert_eq!(
            invalid(&sized, &[("request_size", bad)]),
            not_a_number("request_size"),
            "{bad}"
        );
    }
    assert_eq!(cost(&sized, &[], None), 1);
    let missing = "{ of: request_size, missing: 1_048_576 }";
    let sized =
        policy(&format!("rate_limits: {{ a: {{ cost: {missing}, limit: 9, window: 1s }} }}"));
    assert_eq!(cost(&sized, &[], None), 1_048_576);
    assert_eq!(cost(&sized, &[("request_size", "3")], None), 3);
    let stated = policy("rate_limits: { a: { cost: cost, limit: 100, window: 1s } }");
    assert_eq!(cost(&stated, &[("cost", "3")], Some(9)), 9, "as conditions see it");
}

#[test]
fn the_endpoint_is_what_the_policy_says_whatever_the_caller_states() {
    let policy = policy(
        "endpoint_costs: { 'GET /v1/{id}': 1 }
rate_limits:
  each: { key: endpoint, limit: 1, window: 1s }",
    );
    let key = |pairs: &[(&str, &str)]| charges(&policy, pairs).first().map(|c| c.key.hash);
    let one = key(&[("method", "GET"), ("path", "/v1/1")]);
    assert!(one.is_some());
    assert_eq!(one, key(&[("method", "GET"), ("path", "/v1/2"), ("endpoint", "forged")]));
    assert_eq!(key(&[("method", "GET"), ("path", "/"), ("endpoint", "GET /v1/{id}")]), None);
}

#[test]
fn the_order_is_the_files_whatever_the_index_finds_first() {
    let policy = policy(
        "rate_limits:
  deep: { match: 'GET /a/b/c/d/e/f', limit: 1, window: 1s }
  any: { limit: 1, window: 1s }
  twice: { match: ['GET /a/**', '* /a/b/c/**', 'GET /a/b/c/d/e/f'], limit: 1, window: 1s }
  wild: { match: 'GET /*/b/**', limit: 1, window: 1s }
  no: { match: 'GET /a/b/c/d/e', limit: 1, window: 1s }
  root: { match: 'GET /', limit: 1, window: 1s }
  rest: { match: '* /**', limit: 1, window: 1s }",
    );
    let deep = [("method", "GET"), ("path", "/a/b/c/d/e/f")];
    assert_eq!(names(&policy, &deep), ["deep", "any", "twice", "wild", "rest"]);
    assert_eq!(names(&policy, &[("method", "GET"), ("path", "/")]), ["any", "root", "rest"]);
    assert_eq!(names(&policy, &[("path", "/a")]), ["any", "rest"]);
    assert_eq!(names(&policy, &[]), ["any"]);
}

#[test]
fn fixed_windows_have_edges_at_multiples_since_1970() {
    let policy = policy("rate_limits: { a: { algorithm: fixed_window, limit: 5, window: 1h } }");
    let hour = Micros::HOUR.get();
    let start = NOW.get() / hour * hour;
    let edges = [start, start + hour, start + 2 * hour].map(Timestamp::new);
    assert_eq!(
        charges(&policy, &[])[0].terms,
        Terms::AlignedWindow { limit: Tokens::new(5), edges }
    );
    let at_edge = policy.limits()[0].terms(&policy.limits()[0].numbers, Timestamp::new(start));
    assert_eq!(at_edge, Terms::AlignedWindow { limit: Tokens::new(5), edges });
}

/// Requests that a careless encoding would mix up have different counters.
#[test]
fn keys_are_encoded_so_that_no_two_counters_collide() {
    let policy = policy(
        "rate_limits:
  a: { key: [descriptors.a, descriptors.b], limit: 1, window: 1s }
  ab: { key: [descriptors.a, descriptors.b], limit: 1, window: 1s }
  a.b: { key: [descriptors.b, descriptors.a], limit: 1, window: 1s }
  one: { key: [descriptors.a], limit: 1, window: 1s }
  on: { key: [descriptors.a], limit: 1, window: 1s }
  none: { limit: 1, window: 1s }",
    );
    let long = "x".repeat(257);
    let values = [
        "a",
        "b",
        "c",
        "ab",
        "bc",
        "abc",
        "_",
        "a_b",
        "a|b",
        "a:b",
        "a\0b",
        "\0",
        "a,b",
        "a=b",
        "\u{1}\0\0\0\0\0\0\0a",
        &"x".repeat(255),
        &"x".repeat(256),
        &long,
        &"x".repeat(258),
        // Without lengths, (a, descriptors.bb) and (adescriptors.b, b) would be one text.
        "descriptors.b",
        "descriptors.bb",
        "adescriptors.b",
    ];
    let mut seen: HashMap<[u8; 16], String> = HashMap::new();
    for one in values {
        for two in values {
            for charge in charges(&policy, &[("descriptors.a", one), ("descriptors.b", two)]) {
                let parts = match charge.limit.key.len() {
                    0 => vec![],
                    1 => vec![one],
                    _ => vec![one, two],
                };
                let what = format!("{} {parts:?}", charge.limit.name);
                if let Some(other) = seen.insert(charge.key.hash, what.clone()) {
                    assert_eq!(other, what, "two counters of one hash");
                }
            }
        }
    }
    assert_eq!(seen.len(), 3 * values.len().pow(2) + 2 * values.len() + 1);
}

#[test]
fn a_key_depends_on_the_secret_and_on_nothing_else_that_changes() {
    let policy = policy("rate_limits: { a: { key: tenant_id, limit: 1, window: 1s } }");
    let facts = request(&[("tenant_id", "acme"), ("user_id", "u")]);
    let key = |byte: u8, facts: &Attributes| {
        let secret = KeySecret::new(&[byte; 32]).unwrap();
        policy.charges(facts, None, &secret, NOW).unwrap()[0].key
    };
    assert_eq!(key(1, &facts), key(1, &request(&[("tenant_id", "acme")])));
    assert_ne!(key(1, &facts).hash, key(2, &facts).hash);
    // The encoding is what stored counters are found by: it may not change unnoticed.
    let hex: String = key(7, &facts).hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((key(7, &facts).partition, hex.as_str()), (PINNED_PARTITION, PINNED_HASH));
}

const PINNED_PARTITION: u8 = 60;
const PINNED_HASH: &str = "e2f09a41b80892e3b03319cbd1dcb2cd";

#[test]
fn a_secret_has_32_bytes_and_is_never_shown() {
    assert_eq!(KeySecret::new(&[1; 31]).err(), Some(InvalidSecret::TooShort(31)));
    let shown = format!("{:?}", KeySecret::new(b"0123456789abcdef0123456789abcdef").unwrap());
    assert_eq!(shown, "KeySecret(..)");
}

#[test]
fn a_charge_asks_the_store_for_its_counter() {
    let policy = policy("rate_limits: { a: { mode: shadow, max_keys: 9, limit: 1, window: 1s } }");
    let charges = charges(&policy, &[]);
    let ask = charges[0].ask(Op::Take);
    assert!(ask.shadow);
    assert_eq!((ask.max_keys, ask.tokens, ask.op), (9, Tokens::ONE, Op::Take));
    assert_eq!((ask.key, ask.terms), (charges[0].key, charges[0].terms));
    assert_eq!(ask.limit_id, policy.limits()[0].id);
}

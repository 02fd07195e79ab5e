//! What changes in meaning: each field by itself, and what several come to.

#![cfg(test)]

use sluicegate_limits::diff::{Difference, Effect, Kind, What, diff};
use sluicegate_limits::policy::{Policy, SourceFile};

fn policy(text: &str) -> Policy {
    let file = SourceFile { name: "a.yaml".into(), text: text.to_owned() };
    match Policy::compile(&[file]) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{text}: {problems:#?}"),
    }
}

fn difference(old: &str, new: &str) -> Difference {
    diff(&policy(old), &policy(new))
}

/// What changes as lines: what, name, how, and each field with its effect.
fn lines(old: &str, new: &str) -> Vec<String> {
    let difference = difference(old, new);
    assert_eq!(difference.equal, difference.changes.is_empty(), "{difference:#?}");
    let line = |change: &sluicegate_limits::diff::Change| {
        let fields: Vec<_> = change
            .details
            .iter()
            .map(|detail| format!("{} {:?}", detail.field, detail.effect))
            .collect();
        let fields = fields.join(", ");
        format!("{:?} {} {:?}: {fields}", change.what, change.name, change.change)
    };
    difference.changes.iter().map(line).collect()
}

const LIMIT: &str =
    "match: [\"GET /a\", \"GET /b\"], key: [tenant_id, user_id], limit: 60, window: 1m";

#[test]
fn every_field_is_seen_with_what_it_does() {
    // How the limit is changed, and what has to be said of it.
    let cases = [
        ("limit: 60", "limit: 50", "Tightened: limit Stricter"),
        ("limit: 60", "limit: 70", "Loosened: limit Looser"),
        ("limit: 60, window: 1m", "limit: 2, window: 1s", "Changed: limit Neither"),
        ("window: 1m", "window: 2m", "Tightened: limit Stricter"),
        ("window: 1m", "window: 1m, algorithm: fixed_window", "Loosened: limit Looser"),
        ("window: 1m", "window: 1m, algorithm: token_bucket", "Loosened: limit Looser"),
        ("match: [\"GET /a\", \"GET /b\"]", "match: \"GET /a\"", "Loosened: match Looser"),
        ("match: [\"GET /a\", \"GET /b\"],", "", "Tightened: match Stricter"),
        ("\"GET /b\"]", "\"GET /c\"]", "Changed: match Neither"),
        ("key: [tenant_id, user_id]", "key: tenant_id", "Tightened: key Stricter, counters None"),
        ("window: 1m", "window: 1m, cost: 2", "Changed: cost Neither"),
        ("window: 1m", "window: 1m, mode: shadow", "Loosened: mode Looser"),
        ("window: 1m", "window: 1m, on_store_failure: deny", "Changed: on_store_failure Neither"),
        ("window: 1m", "window: 1m, max_keys: 5", "Changed: max_keys None"),
        ("window: 1m", "window: 1m, reason: slow_down", "Changed: reason None"),
        ("window: 1m", "window: 1m, accuracy: exact", "Changed: accuracy None"),
        ("window: 1m", "window: 1m, hold: 1m", "Changed: hold None"),
        ("window: 1m", "window: 1m, when: 'country == \"DE\"'", "Loosened: when Looser"),
        (
            "window: 1m",
            "window: 1m, penalty: { after: 3, within: 1m, block: 1m }",
            "Tightened: penalty Stricter",
        ),
        (
            "limit: 60, window: 1m",
            "limit: 50, window: 1m, mode: shadow",
            "Loosened: limit Stricter, mode Looser",
        ),
        (
            "limit: 60, window: 1m",
            "limit: 50, window: 1m, cost: 1",
            "Changed: limit Stricter, cost Neither",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(LIMIT.contains(from), "{from}");
        let file = |limit: &str| format!("rate_limits: {{a: {{{limit}}}}}");
        let (old, new) = (file(LIMIT), file(&LIMIT.replacen(from, to, 1)));
        let found = lines(&old, &new);
        assert_eq!(found, [format!("Limit a {expected}")], "{from} to {to}");
    }
}

#[test]
fn what_only_looks_different_is_no_change() {
    let old = "rate_limits: {a: {match: [\"GET /a\", \"GET /b/\"], limit: 1_000, window: 60s}}";
    let new = "
# The same.
version: 1
rate_limits:
  a:
    description: in other words
    window: 1m
    limit: 1000
    mode: enforce
    match: [GET /b, GET /a]
";
    let difference = difference(old, new);
    assert!(difference.equal && difference.changes.is_empty());
    assert_eq!(difference.old_revision, difference.new_revision);
}

#[test]
fn limits_come_go_and_are_renamed() {
    let old = "rate_limits: {a: {limit: 1, window: 1m}, \
               gone: {limit: 5, window: 1m, mode: shadow}, \
               old: {key: tenant_id, limit: 9, window: 1h}}";
    let new = "rate_limits: {new: {key: tenant_id, limit: 10, window: 1h, was: old}, \
               a: {limit: 1, window: 1m}, \
               b: {match: \"GET /b\", key: user_id, limit: 1_500, window: 1m}}";
    let difference = difference(old, new);
    let changes = &difference.changes;
    assert_eq!(changes.len(), 4, "{changes:#?}");
    assert_eq!((&*changes[0].name, changes[0].was.as_deref()), ("new", Some("old")));
    assert_eq!((changes[0].change, changes[0].details.len()), (Kind::Loosened, 1));
    assert_eq!((&*changes[1].name, changes[1].change), ("b", Kind::Added));
    let said = changes[1].details[0].after.as_deref();
    assert_eq!(said, Some("1_500 per 1m by user_id, for GET /b"));
    assert_eq!((&*changes[2].name, changes[2].change), ("gone", Kind::Removed));
    assert_eq!(changes[2].details[0].effect, Effect::None, "it denied nothing");
    assert_eq!((changes[3].what, &*changes[3].name), (What::Order, "old, a"));
}

#[test]
fn a_rename_alone_changes_nothing_of_what_can_pass() {
    let found = lines(
        "rate_limits: {a: {key: tenant_id, limit: 9, window: 1h}}",
        "rate_limits: {b: {key: tenant_id, limit: 9, window: 1h, was: a}}",
    );
    assert_eq!(found, ["Limit b Changed: "]);
}

#[test]
fn costs_of_endpoints_are_compared_by_pattern() {
    let limit = "rate_limits: {a: {limit: 9, window: 1h}}";
    let found = lines(
        &format!("endpoint_costs: {{\"GET /a\": 2, \"GET /b\": 2, \"GET /c\": 2}}\n{limit}"),
        &format!("endpoint_costs: {{\"GET /d\": 2, \"GET /b\": 1, \"GET /c\": 3}}\n{limit}"),
    );
    let expected = [
        "EndpointCost GET /a Removed: cost Neither",
        "EndpointCost GET /b Loosened: cost Looser",
        "EndpointCost GET /c Tightened: cost Stricter",
        "EndpointCost GET /d Added: cost Neither",
    ];
    assert_eq!(found, expected);
}

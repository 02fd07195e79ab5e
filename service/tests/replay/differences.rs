//! `sluicegate diff`: the words for people, the form for programs, the exit codes.

use serde_json::{Value, json};

use crate::world::World;

#[test]
fn the_words_say_what_gets_stricter_and_what_looser() {
    let world = World::new("diff");
    world.file(
        "old.yaml",
        "endpoint_costs: {\"POST /v1/search\": 5}\n\
         rate_limits: {a: {key: tenant_id, limit: 1200, window: 1m}, \
         b: {limit: 5, window: 1s}, c: {key: user_id, limit: 5, window: 1s}}",
    );
    world.file(
        "new.yaml",
        "endpoint_costs: {\"POST /v1/search\": 4}\n\
         rate_limits: {a: {key: tenant_id, limit: 1_000, window: 1m, mode: shadow}, \
         c: {key: [user_id, host], limit: 4, window: 1s}}",
    );
    let (code, out, err) = world.run(&["diff", "old.yaml", "new.yaml"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let (head, rest) = out.split_once('\n').unwrap();
    assert!(head.starts_with("policy revision ") && head.contains(" to "), "{head}");
    let expected = "
~ limit a: loosened
    limit: 1_200 per 1m -> 1_000 per 1m  (stricter)
    mode: enforce -> shadow  (looser)

~ limit c: changed
    limit: 5 per 1s -> 4 per 1s  (stricter)
    key: user_id -> user_id, host  (looser)
    counters: c by user_id -> c by user_id, host  (every key begins anew)

- limit b: removed
    limit: 5 per 1s  (looser)

~ endpoint cost POST /v1/search: loosened
    cost: 5 -> 4  (looser)
";
    assert_eq!(rest, expected);
}

#[test]
fn equal_meaning_is_yes_and_programs_get_every_change() {
    let world = World::new("diff-json");
    world.file("old.yaml", "rate_limits: {a: {key: tenant_id, limit: 60, window: 1m}}");
    world.file(
        "same.yaml",
        "# The same.\nrate_limits: {a: {window: 60s, limit: 60, key: [tenant_id]}}",
    );
    world.file("new.yaml", "rate_limits: {a: {key: tenant_id, limit: 50, window: 1m}}");
    world.file("bad.yaml", "rate_limits: {a: {limit: 50}}");
    let (code, out, _) = world.run(&["diff", "old.yaml", "same.yaml"]);
    assert!(code == 0 && out.starts_with("no change in meaning: policy revision "), "{out}");
    let (code, out, _) = world.run(&["diff", "old.yaml", "new.yaml", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["equal"]), (1, &json!(false)));
    let detail = json!({"field": "limit", "before": "60 per 1m", "after": "50 per 1m",
                        "effect": "stricter"});
    let change = json!({"what": "limit", "name": "a", "change": "tightened", "details": [detail]});
    assert_eq!(report["changes"], json!([change]));
    assert_eq!(world.run(&["diff", "old.yaml", "bad.yaml"]).0, 78);
    assert_eq!(world.run(&["diff", "old.yaml"]).0, 2);
}

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

#[test]
fn many_tenants_are_told_in_few_words() {
    let world = World::new("diff-tenants");
    let file = |plan: &str, own: u32| {
        let mut file = "rate_limits: {a: {key: tenant_id, limit: 60, window: 1m}}\n\
            plans: {free: {limits: {a: {limit: 5}}}, pro: {limits: {a: {limit: 500}}}}\n\
            tenants:\n"
            .to_owned();
        (0..4_711).for_each(|n| file += &format!("  t{n}: {{plan: {plan}}}\n"));
        // Each in a way of its own.
        (0..30).for_each(|n| {
            file += &format!("  u{n:02}: {{limits: {{a: {{limit: {}}}}}}}\n", own + n);
        });
        file
    };
    world.file("old.yaml", file("free", 100)).file("new.yaml", file("pro", 101));
    let (code, out, err) = world.run(&["diff", "old.yaml", "new.yaml"]);
    assert_eq!((code, err.as_str()), (1, ""));
    let expected = "
~ 4,711 tenants (t0, t1, t10 and 4,708 more): loosened
    plan: free -> pro  (looser)
    a: 5 per 1m, of plan free -> 500 per 1m, of plan pro  (looser)

~ tenant u00: loosened
    a: 100 per 1m, its own -> 101 per 1m, its own  (looser)
";
    assert!(out.contains(expected), "{out}");
    assert!(out.ends_with("\n11 tenants change in 11 more ways: -o json tells them\n"), "{out}");
    assert_eq!(out.lines().count(), 1 + 4 + 19 * 3 + 2);
    let (_, out, _) = world.run(&["diff", "old.yaml", "new.yaml", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["changes"].as_array().unwrap().len(), 31);
    assert_eq!(report["changes"][0]["tenants"].as_array().unwrap().len(), 4_711);
    let detail = json!({"field": "numbers", "limit": "a", "before": "100 per 1m, its own",
                        "after": "101 per 1m, its own", "effect": "looser"});
    let change = json!({"what": "tenants", "name": "u00", "tenants": ["u00"],
                        "change": "loosened", "details": [detail]});
    assert_eq!(report["changes"][1], change);
}

#[test]
fn the_instant_decides_which_exceptions_count() {
    let world = World::new("diff-at");
    let file = |own: u32| {
        format!(
            "rate_limits: {{a: {{key: tenant_id, limit: 60, window: 1m}}}}\n\
             tenants: {{acme: {{limits: {{a: {{limit: {own}, until: 2026-07-01T00:00:00Z}}}}}}}}"
        )
    };
    world.file("old.yaml", file(100)).file("new.yaml", file(90));
    for (at, said) in [
        ("2026-06-30T23:59:59Z", "~ tenant acme: tightened\n"),
        ("2026-07-01T00:00:00Z", "~ tenant acme: changed\n"),
    ] {
        let (code, out, _) = world.run(&["diff", "old.yaml", "new.yaml", "--at", at]);
        assert!(code == 1 && out.contains(said), "{out}");
    }
    assert_eq!(world.run(&["diff", "old.yaml", "new.yaml", "--at", "soon"]).0, 2);
}

//! The answers, worked out by hand or by a plain rule over the whole log.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::world::{START, World};

const EXPORTS: &str = "
rate_limits:
  default: {key: tenant_id, limit: 3, window: 1m}
  exports:
    match: \"POST /v1/exports\"
    key: tenant_id
    limit: 1
    window: 1h
    reason: too_many_exports
  watched: {key: tenant_id, limit: 1, window: 1d, mode: shadow}
";

const LOG: &str = "\
at,tenant_id,method,path,cost
2026-01-01T00:00:00Z,acme,GET,/v1/a,
2026-01-01T00:00:10Z,acme,POST,/v1/exports,
2026-01-01T01:00:20+01:00,acme,POST,/v1/exports/,
1767225630.25,acme,GET,/v1/a,1
2026-01-01T00:00:40Z,acme,GET,/v1/a,
2026-01-01T00:00:40Z,globex,GET,/v1/a,5
2026-01-01T01:00:10Z,acme,POST,/v1/exports?x=1,
2026-01-01T01:00:11Z,,GET,/v1/a,
";

#[test]
fn every_decision_is_the_one_worked_out_by_hand() {
    let world = World::new("decisions");
    world.file("log", LOG).file("new.yaml", EXPORTS);
    world.replay(&["--decisions", "d"]);
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let number = |name: &str| row[name].to_string();
        assert_eq!(row.as_object().unwrap().len(), 6);
        let time = text("at").strip_prefix("2026-01-01T").unwrap().to_owned();
        let passed = if row["allowed"].as_bool().unwrap() { "passes" } else { "denied" };
        let (left, wait) = (number("remaining"), number("retry_after_ms"));
        format!("{time} {passed} {} {left} {} {wait}", text("limit_name"), text("reason"))
    };
    let found: Vec<_> = world.decisions().iter().map(row).collect();
    let expected = [
        "00:00:00.000000Z passes default 2 - null",
        // The share of `exports` is the smallest: nothing of 1 is left.
        "00:00:10.000000Z passes exports 0 - null",
        "00:00:20.000000Z denied exports 0 too_many_exports 3590000",
        // The denial took nothing: two of three were used.
        "00:00:30.250000Z passes default 0 - null",
        "00:00:40.000000Z denied default 0 limit_exceeded 20000",
        "00:00:40.000000Z denied default 3 cost_exceeds_capacity null",
        "01:00:10.000000Z passes exports 0 - null",
        "01:00:11.000000Z passes - null - null",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_sums_are_those_of_the_decisions() {
    let world = World::new("sums");
    world.file("log", LOG).file("new.yaml", EXPORTS);
    let report = world.replay(&[]);
    let policy = &report["policy"];
    assert_eq!((&policy["allowed"], &policy["denied"]), (&json!(5), &json!(3)));
    assert_eq!(policy["without_limit"], 1);
    assert_eq!(
        policy["reasons"],
        json!({"cost_exceeds_capacity": 1, "limit_exceeded": 1, "too_many_exports": 1})
    );
    assert_eq!(
        policy["limits"],
        json!([
            {"name": "default", "mode": "enforce", "applied": 7, "denied": 2, "exceeded": 2},
            {"name": "exports", "mode": "enforce", "applied": 3, "denied": 1, "exceeded": 1},
            {"name": "watched", "mode": "shadow", "applied": 7, "denied": 0, "exceeded": 6},
        ])
    );
    assert_eq!(
        policy["keys"],
        json!([
            {"limit": "exports", "key": {"tenant_id": "acme"}, "denied": 1, "excess": 0},
            {"limit": "default", "key": {"tenant_id": "acme"}, "denied": 1, "excess": 0},
            {"limit": "default", "key": {"tenant_id": "globex"}, "denied": 1, "excess": 0},
        ])
    );
    let log = &report["log"];
    assert_eq!(
        (&log["lines"], &log["requests"], &log["other_lines"]),
        (&json!(9), &json!(8), &json!(1))
    );
    assert_eq!(log["first_at"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(log["last_at"], "2026-01-01T01:00:11.000000Z");
    assert_eq!(report["over_time"]["bucket_ms"], 15_000);
    assert_eq!(
        report["over_time"]["buckets"][2],
        json!({"at": "2026-01-01T00:00:30.000000Z", "requests": 3, "denied": 2})
    );
}

#[test]
fn what_changes_against_another_policy_is_counted_by_the_limit_that_changes_it() {
    let world = World::new("against");
    let rows: String = (0..10)
        .map(|n| format!("{},{},GET,/a\n", START + n, if n < 6 { "acme" } else { "globex" }))
        .collect();
    world.file("log", format!("at,tenant_id,method,path\n{rows}"));
    world.file("new.yaml", "rate_limits: {n: {key: tenant_id, limit: 2, window: 1h}}");
    // Passes three of acme's six, and none of globex's.
    let old = "rate_limits: {o: {key: tenant_id, limit: 3, window: 1h}, \
               z: {key: host, limit: 0, window: 1h}, \
               g: {match: \"GET /b\", limit: 0, window: 1h}}";
    world.file("old.yaml", old);
    let report = world.replay(&["--against", "old.yaml"]);
    assert_eq!(report["policy"]["denied"], 6);
    assert_eq!(report["against"]["denied"], 4);
    let changes = &report["changes"];
    assert_eq!((&changes["newly_denied"], &changes["newly_allowed"]), (&json!(2), &json!(0)));
    assert_eq!(changes["newly_denied_by"], json!([{"limit": "n", "requests": 2}]));
    assert_eq!(changes["newly_allowed_by"], json!([]));
    assert_eq!(changes["newly_denied_keys"][0]["key"], json!({"tenant_id": "acme"}));
    let buckets = report["over_time"]["buckets"].as_array().unwrap();
    let sum = |name: &str| buckets.iter().map(|b| b[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("newly_denied"), sum("newly_allowed"), sum("denied")), (2, 0, 6));
    // The other way round, what was denied passes.
    let (code, out, _) =
        world.run(&["replay", "log", "--limits", "old.yaml", "--against", "new.yaml"]);
    assert_eq!(code, 0);
    assert!(out.contains("0 denied that passed before\n"), "{out}");
    assert!(out.contains("2 passed that were denied before: n 2\n"), "{out}");
    assert!(
        out.contains("note: limit `z` applied to nothing: no line has its key attribute `host`"),
        "{out}"
    );
}

#[test]
fn a_long_random_log_is_denied_as_the_plain_rule_says() {
    const LIMIT: u64 = 7;
    const WINDOW_MS: u64 = 10_000;
    let world = World::new("rule");
    let mut random = fastrand::Rng::with_seed(11);
    let mut now_ms = START * 1_000;
    let mut log = "tenant_id,cost,at\n".to_owned();
    let mut passed: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    let mut expected = Vec::new();
    for _ in 0..20_000 {
        now_ms += random.u64(0..400);
        let (tenant, cost) = (random.u64(0..20), random.u64(0..4));
        log += &format!("t{tenant},{cost},{}.{:03}\n", now_ms / 1_000, now_ms % 1_000);
        let taken = passed.entry(tenant).or_default();
        // At an instant a whole window later, what was taken is back.
        taken.retain(|(at, _)| now_ms < at + WINDOW_MS);
        let allowed = taken.iter().map(|(_, cost)| cost).sum::<u64>() + cost <= LIMIT;
        if allowed {
            taken.push((now_ms, cost));
        }
        expected.push(allowed);
    }
    world.file("log", log);
    world.file("new.yaml", "rate_limits: {a: {key: tenant_id, limit: 7, window: 10s}}");
    let report = world.replay(&["--decisions", "d"]);
    let found: Vec<bool> =
        world.decisions().iter().map(|row| row["allowed"].as_bool().unwrap()).collect();
    let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    assert_eq!((found.len(), first), (expected.len(), None));
    let denied = expected.iter().filter(|allowed| !**allowed).count();
    assert!(denied > 1_000, "{denied}");
    assert_eq!(report["policy"]["denied"], denied);
    assert!(report["over_time"]["buckets"].as_array().unwrap().len() <= 600);
}

#[test]
fn lines_out_of_order_are_decided_in_the_order_of_time_and_written_in_that_of_the_log() {
    let world = World::new("order");
    let rows = |other: u64, last: u64| {
        format!("at,tenant_id\n{},a\n{},b\n{},a\n", START + 20, START + other, START + last)
    };
    world.file("new.yaml", "rate_limits: {one: {key: tenant_id, limit: 1, window: 1h}}");
    // Where the other was not far ahead, the last line still comes first; else it comes too late.
    for (other, last, allowed, counted) in
        [(23, 18, [false, true, true], 0), (24, 5, [true, true, false], 1)]
    {
        world.file("log", rows(other, last));
        let report = world.replay(&["--decisions", "d", "--late-seconds", "4"]);
        let found: Vec<_> =
            world.decisions().iter().map(|row| row["allowed"].as_bool().unwrap()).collect();
        assert_eq!((found, &report["log"]["late"]), (allowed.to_vec(), &json!(counted)));
    }
    assert_eq!(world.decisions()[2]["at"], "2026-01-01T00:00:05.000000Z");
    assert_eq!(world.replay(&["--late-seconds", "60"])["log"]["late"], 0);
}

#[test]
fn the_setting_unmatched_denies_what_no_limit_is_about() {
    let world = World::new("unmatched");
    world.file("log", format!("at,tenant_id\n{START},a\n{START},\n"));
    world.file("new.yaml", "rate_limits: {one: {key: tenant_id, limit: 9, window: 1h}}");
    world.file("settings.yaml", "unmatched: deny\n");
    let report = world.replay(&["-c", "settings.yaml"]);
    assert_eq!(report["policy"]["reasons"], json!({"no_limit_applies": 1}));
    assert_eq!(report["policy"]["without_limit"], 1);
}

#[test]
fn a_log_in_which_nothing_can_be_read_is_a_negative_answer() {
    let world = World::new("nothing");
    world.file("new.yaml", "rate_limits: {one: {limit: 9, window: 1h}}");
    for log in ["", "at\n", "tenant_id\na\n", "at\nyesterday\n"] {
        world.file("log", log);
        let (code, _, err) = world.run(&["replay", "log", "--limits", "new.yaml"]);
        assert_eq!(code, 1, "{log}");
        assert!(err.contains("no line of the log could be replayed"), "{err}");
    }
    let (code, _, err) = world.run(&["replay", "none", "--limits", "new.yaml"]);
    assert!(code == 1 && err.starts_with("error: none: "), "{err}");
    world.file("log", format!("at\n{START}\n"));
    world.file("bad.yaml", "rate_limits: {one: {limit: 9}}");
    assert_eq!(world.run(&["replay", "log", "--limits", "bad.yaml"]).0, 78);
    assert_eq!(world.run(&["replay", "log"]).0, 2);
    assert_eq!(world.run(&["replay", "log", "--limits", "new.yaml", "--map", "x"]).0, 2);
}

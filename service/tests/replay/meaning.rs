//! What a replay means: the decisions of a trial and of a calendar, ends of requests, and what
//! happens beyond the bounds of memory and time.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Timestamp, Tokens};
use sluicegate_limits::trial::Trial;

use crate::world::{START, World};

/// A limit of each kind, numbers of all layers, a condition and costs.
const ALL: &str = "
endpoint_costs: { \"POST /b\": 3 }
rate_limits:
  sliding: { match: \"GET /a\", key: user_id, limit: 4, window: 20s }
  bucket: { key: tenant_id, algorithm: token_bucket, limit: 30, window: 10s, burst: 40 }
  fixed: { match: \"POST /b\", key: tenant_id, algorithm: fixed_window, limit: 14, window: 30s }
  quota: { key: tenant_id, algorithm: calendar, period: hour, limit: 900 }
  running: { key: user_id, algorithm: concurrency, limit: 3, hold: 7s }
  guarded:
    match: \"GET /c\"
    key: user_id
    limit: 2
    window: 10s
    penalty: { after: 3, within: 1m, block: 40s }
  abroad: { when: 'country != \"DE\"', key: country, limit: 14, window: 10s }
  watched: { limit: 5, window: 1s, mode: shadow }
plans:
  free: { limits: { bucket: { limit: 10, burst: 12 } } }
tenants:
  t1: { plan: free }
  t2:
    plan: free
    limits:
      quota: { limit: 50, until: 2026-01-01T00:30:00Z }
      fixed: { limit: 20 }
";

#[test]
fn a_replay_decides_as_a_trial_of_every_kind_of_limit() {
    let world = World::new("trial");
    let file = SourceFile { name: "new.yaml".into(), text: ALL.to_owned() };
    let policy = Policy::compile(&[file]).unwrap().policy;
    let mut trial = Trial::new(&policy);
    let mut random = fastrand::Rng::with_seed(3);
    let mut log = "at,tenant_id,user_id,method,path,country,cost\n".to_owned();
    let mut expected = Vec::new();
    let mut now_us = START * 1_000_000;
    for _ in 0..20_000 {
        now_us += random.u64(0..400_000);
        let (tenant, user) = (format!("t{}", random.u8(0..4)), format!("u{}", random.u8(0..12)));
        let (method, path) = [("GET", "/a"), ("POST", "/b"), ("GET", "/c")][random.usize(0..3)];
        let country = ["DE", "FR", ""][random.usize(0..3)];
        let cost = (random.u8(0..9) == 0).then(|| random.u64(0..6));
        let cost_text = cost.map(|cost| cost.to_string()).unwrap_or_default();
        let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
        let row = format!("{tenant},{user},{method},{path},{country},{cost_text}");
        writeln!(log, "{seconds}.{micros:06},{row}").unwrap();
        let mut facts = AttributesBuilder::new();
        facts.set("tenant_id", &tenant).unwrap().set("user_id", &user).unwrap();
        facts.set("method", method).unwrap().set("path", path).unwrap();
        if !country.is_empty() {
            facts.set("country", country).unwrap();
        }
        let (at, cost) = (Timestamp::new(now_us), cost.map(Tokens::new));
        let verdict = trial.check(at, &facts.finish(), cost).unwrap();
        expected.push(json!({
            "allowed": verdict.allowed,
            "limit_name": verdict.limit_name(),
            "reason": (!verdict.allowed).then_some(&verdict.reason_text),
            "retry_after_ms": verdict.retry_after().and_then(Wait::to_millis_up),
            "remaining": verdict.remaining().map(Tokens::get),
        }));
    }
    world.file("log", log).file("new.yaml", ALL);
    let report = world.replay(&["--decisions", "d"]);
    for ((mut found, expected), line) in world.decisions().into_iter().zip(&expected).zip(2..) {
        found.as_object_mut().unwrap().remove("at").unwrap();
        assert_eq!(found, *expected, "line {line}");
    }
    // Each kind has denied.
    for limit in report["policy"]["limits"].as_array().unwrap() {
        assert!(limit["exceeded"].as_u64().unwrap() > 20, "{limit}");
    }
    for reason in ["limit_exceeded", "quota_exhausted", "concurrency_exceeded", "blocked"] {
        let count = report["policy"]["reasons"][reason].as_u64();
        assert!(count > Some(20), "{reason}: {count:?}");
    }
}

#[test]
fn days_of_23_and_25_hours_are_those_of_the_clock_on_the_wall() {
    let world = World::new("calendar");
    let rows = [
        // Midnight in Berlin is 23:00 UTC before the night of 29 March, and 22:00 after it.
        ("2026-03-28T22:59:59Z", true),
        ("2026-03-28T23:00:00Z", true),
        ("2026-03-29T21:59:59Z", false),
        ("2026-03-29T22:00:00Z", true),
        // And the other way round around 25 October.
        ("2026-10-24T21:59:59Z", true),
        ("2026-10-24T22:00:00Z", true),
        ("2026-10-25T22:00:00Z", false),
        ("2026-10-25T23:00:00Z", true),
    ];
    let log: String = rows.iter().map(|(at, _)| format!("{at}\n")).collect();
    world.file("log", format!("at\n{log}"));
    world.file(
        "new.yaml",
        "rate_limits: {day: {algorithm: calendar, period: day, timezone: Europe/Berlin, limit: 1}}",
    );
    world.replay(&["--decisions", "d"]);
    let decisions = world.decisions();
    let found: Vec<_> = decisions.iter().map(|row| row["allowed"].as_bool().unwrap()).collect();
    assert_eq!(found, rows.map(|(_, allowed)| allowed));
    let waits = [2, 6].map(|row| decisions[row]["retry_after_ms"].clone());
    assert_eq!(waits, [json!(1_000), json!(3_600_000)]);
}

const RUNNING: &str =
    "rate_limits: {running: {key: user_id, algorithm: concurrency, limit: 1, hold: 1m}}";

/// Whether each request of a replay passed, and the warnings.
fn passed(world: &World, arguments: &[&str]) -> (Vec<bool>, String) {
    let report = world.replay(&[&["--decisions", "d"], arguments].concat());
    let decisions = world.decisions();
    let passed = decisions.iter().map(|row| row["allowed"].as_bool().unwrap()).collect();
    (passed, report["warnings"].to_string())
}

#[test]
fn a_request_whose_log_tells_how_long_it_ran_ends_then() {
    let world = World::new("ends");
    world.file("new.yaml", RUNNING);
    // The first runs until 5 s, the second comes meanwhile, the third at that instant.
    let times = [(0, 5_000), (4, 10), (5, 0), (5, 90_000), (64, 1), (69, 1)];
    let line = |(second, ms): (u64, u64)| {
        format!("{{\"start_time\": {}, \"user_id\": \"u\", \"duration\": {ms}}}\n", START + second)
    };
    world.file("log", times.map(line).concat());
    let (found, warnings) = passed(&world, &[]);
    // The longest hold, and what its end is rounded up by, are over before the 90 s.
    assert_eq!(found, [true, false, true, true, false, true]);
    assert!(!warnings.contains("how long"), "{warnings}");
    // The same as CSV, with a name of its own, and as text.
    let rows = times.map(|(second, ms)| format!("{},u,{ms}\n", START + second)).concat();
    world.file("log", format!("at,user_id,took\n{rows}"));
    assert_eq!(passed(&world, &["--map", "duration_ms=took"]).0, found);
    // Without it each counts for the whole hold, and the report says so.
    let (found, warnings) = passed(&world, &[]);
    assert_eq!(found, [true, false, false, false, true, false]);
    assert!(warnings.contains("limit `running` counts each for its whole `hold`"), "{warnings}");
    world.file("log", format!("at,user_id,duration_ms\n{START},u,soon\n{START},u,7\n"));
    let report = world.replay(&[]);
    let why = &report["log"]["unreadable"][0]["why"];
    assert_eq!(why, "the duration is no whole number of milliseconds");
}

#[test]
fn keys_beyond_the_bound_share_counters_and_are_counted() {
    let world = World::new("bound");
    let rows: String = (0..8_000).map(|n| format!("{},u{}\n", START + n, n % 4_000)).collect();
    world.file("log", format!("at,user_id\n{rows}"));
    world.file(
        "new.yaml",
        "rate_limits: {year: {key: user_id, algorithm: calendar, period: year, limit: 2}}",
    );
    let report = world.replay(&["--max-counters", "1000", "--against", "new.yaml"]);
    let shared = report["policy"]["shared_counters"].as_u64().unwrap();
    assert_eq!(shared, 6_000, "those of the first thousand keys are their own");
    assert!(report["policy"]["denied"].as_u64().unwrap() > 1_000, "stricter, never looser");
    assert_eq!(report["against"]["shared_counters"], shared);
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("--max-counters keeps more"), "{warnings:?}");
    let report = world.replay(&[]);
    assert_eq!(
        (&report["policy"]["shared_counters"], &report["warnings"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(report["policy"]["denied"], 0);
}

#[test]
fn a_clock_that_was_wrong_hides_nothing_of_the_rest() {
    let world = World::new("clock");
    world.file("new.yaml", "rate_limits: {one: {limit: 300, window: 1h}}");
    let rows = |second: u64| format!("{}\n", START + second);
    let mut log: Vec<String> = (0..600).map(rows).collect();
    log.insert(0, "1980-01-01T00:00:00Z\n".to_owned());
    log.insert(300, "2200-01-01T00:00:00Z\n".to_owned());
    // Out of order behind it, but not late.
    log.swap(303, 304);
    world.file("log", format!("at\n{}", log.concat()));
    let report = world.replay(&[]);
    let over_time = &report["over_time"];
    assert_eq!((&over_time["bucket_ms"], &over_time["elsewhere"]), (&json!(1_000), &json!(2)));
    let first: &Value = &over_time["buckets"][0];
    assert_eq!(first, &json!({"at": "2026-01-01T00:00:00.000000Z", "requests": 1, "denied": 0}));
    assert_eq!((&report["log"]["requests"], &report["log"]["late"]), (&json!(602), &json!(0)));
    assert_eq!(report["policy"]["denied"], 300);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the first at 1980-01-01T00:00:00"), "{warnings}");
}

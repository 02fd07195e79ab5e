//! Explanations: the stable JSON, the reasons, and the plain list.

use std::collections::HashMap;

use serde_json::{Value, json};
use sluicegate_limits::counter::Op;
use sluicegate_limits::decide::decide;
use sluicegate_limits::explain::{Explanation, explain, explain_verdict};
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Timestamp, Tokens};
use sluicegate_limits::verdict::Verdict;

use crate::{policy, request};

const NOW: Timestamp = Timestamp::new(1_700_000_000_000_000);

fn quickstart() -> Policy {
    let text = include_str!("../../examples/quickstart.yaml").to_owned();
    Policy::compile(&[SourceFile { name: "quickstart.yaml".into(), text }]).unwrap().policy
}

fn why<'e>(explanation: &'e Explanation, name: &str) -> &'e str {
    &explanation.limits.iter().find(|limit| limit.name == name).unwrap().why
}

#[test]
fn the_json_has_its_stable_form() {
    let policy = quickstart();
    let facts = request(&[
        ("tenant_id", "acme"),
        ("authenticated", "true"),
        ("method", "POST"),
        ("path", "/v1/reports/export"),
    ]);
    let shown: Value = serde_json::to_value(explain(&policy, &facts, None, NOW)).unwrap();
    let expected = json!({
        "allowed": true,
        "limit_name": "expensive_exports",
        "remaining": 19,
        "policy_revision": policy.revision(),
        "limits": [
            {
                "name": "default",
                "applies": true,
                "why": "`default` is for every request with its key; the request has `tenant_id`",
                "key": ["tenant_id"],
                "limit": 1200,
                "layer": "limit",
                "window_ms": 60_000,
                "algorithm": "sliding_window",
                "mode": "enforce",
                "cost": 1,
                "cost_from": "nothing says otherwise",
                "used": 0,
                "remaining": 1199,
                "source": { "file": "quickstart.yaml", "line": 5 },
            },
            {
                "name": "expensive_exports",
                "applies": true,
                "why": "its match holds: `POST /v1/reports/export`; the request has `tenant_id`",
                "key": ["tenant_id"],
                "limit": 20,
                "layer": "limit",
                "window_ms": 3_600_000,
                "algorithm": "sliding_window",
                "mode": "enforce",
                "cost": 1,
                "cost_from": "nothing says otherwise",
                "used": 0,
                "remaining": 19,
                "source": { "file": "quickstart.yaml", "line": 9 },
            },
            {
                "name": "unauthenticated",
                "applies": false,
                "why": "`unauthenticated` implies that authenticated is false, and it is true",
                "key": ["ip_address"],
                "limit": 60,
                "layer": "limit",
                "window_ms": 60_000,
                "algorithm": "sliding_window",
                "mode": "enforce",
                "cost": null,
                "cost_from": null,
                "used": 0,
                "remaining": null,
                "source": { "file": "quickstart.yaml", "line": 14 },
            },
        ],
    });
    assert_eq!(shown, expected);
}

#[test]
fn a_denial_says_why_and_when() {
    let policy = policy("rate_limits: { a: { limit: 5, window: 1m } }");
    let shown = explain(&policy, &request(&[]), Some(Tokens::new(6)), NOW);
    assert!(!shown.allowed);
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["reason"], "cost_exceeds_capacity");
    assert_eq!(json["limit_name"], "a");
    assert_eq!(json["remaining"], 5);
    assert!(json.as_object().unwrap().contains_key("retry_after_ms"));
    assert_eq!(json["retry_after_ms"], Value::Null);
    assert_eq!(json["limits"][0]["cost_from"], "the request states it");
}

#[test]
fn every_reason_not_to_apply_is_named() {
    let policy = policy(
        "rate_limits:
  off: { mode: disabled, limit: 1, window: 1s }
  other: { match: ['GET /a', 'GET /b/**'], limit: 1, window: 1s }
  pair: { key: [tenant_id, user_id], limit: 1, window: 1s }
  unauthenticated: { limit: 1, window: 1s }",
    );
    let shown = explain(&policy, &request(&[("tenant_id", "a")]), None, NOW);
    assert_eq!(why(&shown, "off"), "its mode is disabled");
    assert_eq!(why(&shown, "other"), "its match does not hold: `GET /a`, `GET /b/**`");
    assert_eq!(why(&shown, "pair"), "the request has no `user_id`");
    assert!(why(&shown, "unauthenticated").contains("authenticated is false, and it is"));
    assert_eq!(shown.limit_name.as_deref(), Some("unauthenticated"));
    let nothing = explain(&policy, &request(&[("authenticated", "true")]), None, NOW);
    assert!(nothing.allowed && nothing.limit_name.is_none() && nothing.remaining.is_none());
    assert!(nothing.to_string().starts_with("✓ allowed: no limit applies\npolicy "));
}

#[test]
fn costs_name_their_source() {
    let policy = policy(
        "endpoint_costs: { 'POST /v1/search': 5 }
rate_limits:
  a: { limit: 50, window: 1s }
  b: { limit: 50, window: 1s, cost: 3 }
  c: { limit: 50, window: 1s, cost: request_size }",
    );
    let facts = [("method", "POST"), ("path", "/v1/search")];
    let of = |facts: &[(&str, &str)], stated| {
        let shown = explain(&policy, &request(facts), stated, NOW);
        let limits = shown.limits.into_iter();
        limits.map(|l| (l.cost.unwrap(), l.cost_from.unwrap())).collect::<Vec<_>>()
    };
    let text = |cost: u64, from: &str| (cost, from.to_owned());
    assert_eq!(
        of(&facts, None),
        [
            text(5, "endpoint_costs `POST /v1/search`"),
            text(3, "the limit's own cost"),
            text(1, "what the limit says for requests without `request_size`"),
        ]
    );
    let sized = [&facts[..], &[("request_size", "9")]].concat();
    let sized = of(&sized, Some(Tokens::new(2)));
    assert_eq!(sized[0], text(2, "the request states it"));
    assert_eq!(sized[2], text(9, "the attribute `request_size`"));
}

#[test]
fn people_read_a_tree() {
    let policy = quickstart();
    let facts = request(&[("ip_address", "192.0.2.1"), ("method", "GET"), ("path", "/")]);
    let text = explain(&policy, &facts, None, NOW).to_string();
    let expected = format!(
        "✓ allowed: `unauthenticated` binds, 59 left after this request
policy {}, fresh counters
├─ applies (1)
│  └─ unauthenticated: 60 in 1m, sliding_window, enforce, binds
│     ▓░░░░░░░░░░░░░░░░░░░  59 of 60 left, 0 used before
│     cost    1: nothing says otherwise
│     why     `unauthenticated` implies that authenticated is false, and it is; the request has
│             `ip_address`
│     source  quickstart.yaml:14
└─ does not apply (2)
   ├─ default: the request has no `tenant_id`
   └─ expensive_exports: its match does not hold: `POST /v1/reports/export`",
        policy.revision()
    );
    assert_eq!(text, expected);
    assert!(!text.contains("192.0.2.1"), "no value of a request is shown");
}

#[test]
fn each_algorithm_is_said_in_their_own_words() {
    let zone = "timezone: Europe/Madrid, starts_on";
    let policy = policy(&format!(
        "rate_limits:
           month: {{ algorithm: calendar, limit: 10, period: month, {zone}: 15 }}
           year: {{ algorithm: calendar, limit: 10, period: year, {zone}: 04-01 }}
           week: {{ algorithm: calendar, limit: 10, period: week }}
           slots: {{ algorithm: concurrency, limit: 10, hold: 5m }}
           bucket: {{ algorithm: token_bucket, limit: 5, window: 1s, burst: 100 }}"
    ));
    let explanation = explain(&policy, &request(&[]), None, NOW);
    let periods: Vec<_> = explanation.limits.iter().map(|l| l.period.as_deref()).collect();
    let (month, year) = ("month from day 15 in Europe/Madrid", "year from 04-01 in Europe/Madrid");
    assert_eq!(periods, [Some(month), Some(year), Some("week in UTC"), None, None]);
    let text = explanation.to_string();
    for said in [&*format!("month: 10 per {month}, c"), "10 at a time", "5 in 1s, burst 100"] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[test]
fn a_verdict_is_explained_with_what_was_used_before_it() {
    let policy = policy(
        "rate_limits:
  off: { mode: disabled, limit: 1, window: 1s }
  a: { limit: 50, window: 1s }
  b: { limit: 5, window: 1s, cost: 3 }
  trial: { limit: 1, window: 1s, cost: 2, mode: shadow }",
    );
    let charges = policy.charges(&request(&[]), None, &crate::secret(), NOW).unwrap();
    let check = charges.iter().map(|charge| charge.ask(Op::Take)).collect();
    let mut counters = HashMap::new();
    let mut explained = |degraded: bool, most| {
        let replies = decide(&mut counters, &check, NOW).unwrap().replies;
        let mut verdict = Verdict::of(&charges, &replies);
        verdict.limits[0].degraded = degraded;
        let limits = explain_verdict(&policy, &request(&[]), None, &verdict, NOW, most);
        limits.into_iter().map(|l| (l.name, l.used, l.remaining)).collect::<Vec<_>>()
    };
    let said = |name: &str, used, remaining| (name.to_owned(), used, remaining);
    let off = said("off", None, None);
    let trial = said("trial", Some(0), Some(1));
    let first = [said("a", Some(0), Some(49)), said("b", Some(0), Some(2)), trial.clone()];
    assert_eq!(explained(false, 4), [&[off][..], &first].concat());
    // What is denied takes nothing, of a degraded answer nobody knows, and room is for what counts.
    assert_eq!(explained(true, 3), [said("a", None, Some(49)), said("b", Some(3), Some(2)), trial]);
}

/// The index may only leave out what does not apply: explanations ask every limit.
#[test]
fn charges_are_what_explanations_say_for_random_policies() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut applied = 0;
    for _ in 0..300 {
        let policy = policy(&random_policy(&mut rng));
        for _ in 0..30 {
            let method = pick(&mut rng, &["GET", "POST"]);
            let path = random_path(&mut rng, &["a", "b", "c", "d"]);
            let facts = request(&[("method", method), ("path", &path), ("tenant_id", "t")]);
            let charges = policy.charges(&facts, None, &crate::secret(), NOW).unwrap();
            let charged: Vec<_> =
                charges.iter().map(|c| (c.limit.name.to_string(), Some(c.tokens.get()))).collect();
            let explained: Vec<_> = explain(&policy, &facts, None, NOW)
                .limits
                .into_iter()
                .filter(|limit| limit.applies)
                .map(|limit| (limit.name, limit.cost))
                .collect();
            assert_eq!(charged, explained, "{method} {path}");
            applied += charged.len();
        }
    }
    assert!(applied > 1_000, "too few limits applied: {applied}");
}

fn random_policy(rng: &mut fastrand::Rng) -> String {
    let mut text = "rate_limits:\n".to_owned();
    for number in 0..rng.u32(1..12) {
        let patterns: Vec<_> = (0..rng.u32(0..4))
            .map(|_| {
                let method = pick(rng, &["GET", "POST", "*"]);
                let path = random_path(rng, &["a", "b", "c", "{x}", "*"]);
                let rest = if rng.bool() { "/**" } else { "" };
                format!("'{method} {path}{rest}'")
            })
            .collect();
        let matches = match patterns.len() {
            0 => String::new(),
            _ => format!("match: [{}], ", patterns.join(", ")),
        };
        text += &format!("  l{number}: {{ {matches}limit: 9, window: 1s }}\n");
    }
    text
}

fn random_path(rng: &mut fastrand::Rng, segments: &[&str]) -> String {
    (0..rng.u32(1..7)).map(|_| format!("/{}", pick(rng, segments))).collect()
}

fn pick<'w>(rng: &mut fastrand::Rng, words: &[&'w str]) -> &'w str {
    words[rng.usize(..words.len())]
}

//! What changes in meaning: each field by itself, and what several come to.

#![cfg(test)]

use sluicegate_limits::diff::{Change, Difference, Effect, Kind, What, diff};
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::Timestamp;

/// 2026-06-01, midnight UTC.
const NOW: Timestamp = Timestamp::new(1_780_272_000_000_000);

fn policy(text: &str) -> Policy {
    let file = SourceFile { name: "a.yaml".into(), text: text.to_owned() };
    match Policy::compile(&[file]) {
        Ok(compiled) => compiled.policy,
        Err(problems) => panic!("{text}: {problems:#?}"),
    }
}

fn difference(old: &str, new: &str) -> Difference {
    diff(&policy(old), &policy(new), NOW)
}

/// What changes as lines: what, name, how, and each field with its effect.
fn lines(old: &str, new: &str) -> Vec<String> {
    let difference = difference(old, new);
    assert_eq!(difference.equal, difference.changes.is_empty(), "{difference:#?}");
    let line = |change: &Change| {
        let fields: Vec<_> = change
            .details
            .iter()
            .map(|detail| format!("{} {:?}", detail.field, detail.effect))
            .collect();
        let fields = fields.join(", ");
        format!("{:?} {} {:?}: {fields}", change.what, change.name, change.change)
    };
    without_paths(&difference.changes).map(line).collect()
}

/// The changes but those of which paths are refused, which follow from what limits match.
fn without_paths(changes: &[Change]) -> impl Iterator<Item = &Change> {
    changes.iter().filter(|change| change.what != What::Paths)
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
        ("window: 1m", "window: 1m, cost: { of: claims.a, missing: 2 }", "Changed: cost Neither"),
        ("window: 1m", "window: 1m, missing_key: together", "Tightened: missing_key Stricter"),
        ("window: 1m", "window: 1m, missing_key: deny", "Tightened: missing_key Stricter"),
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
fn what_counts_where_something_is_missing_is_stricter_or_looser() {
    let change = |old: &str, new: &str| {
        let file = |text: &str| {
            format!("rate_limits: {{a: {{key: user_id, limit: 5, window: 1m, {text}}}}}")
        };
        lines(&file(old), &file(new))
    };
    for (less, more, field) in [
        ("missing_key: together", "missing_key: deny", "missing_key"),
        ("cost: { of: claims.a, missing: 2 }", "cost: { of: claims.a, missing: 3 }", "cost"),
        ("cost: claims.a", "cost: { of: claims.a, missing: 2 }", "cost"),
        ("cost: { of: claims.a, missing: 0 }", "cost: claims.a", "cost"),
    ] {
        assert_eq!(change(less, more), [format!("Limit a Tightened: {field} Stricter")], "{more}");
        assert_eq!(change(more, less), [format!("Limit a Loosened: {field} Looser")], "{less}");
    }
    let other = change("cost: claims.a", "cost: { of: claims.b, missing: 1 }");
    assert_eq!(other, ["Limit a Changed: cost Neither"]);
    for same in ["cost: { of: claims.a }", "cost: { of: claims.a, missing: 1 }"] {
        assert_eq!(change("cost: claims.a", same), [""; 0], "{same}");
    }
    assert_eq!(change("", "missing_key: skip"), [""; 0]);
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
    let changes: Vec<_> = without_paths(&difference.changes).collect();
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

const TENANTS: &str = "
rate_limits:
  api: { key: tenant_id, limit: 60, window: 1m }
  exports: { key: tenant_id, limit: 5, window: 1h }
plans:
  free: { limits: { api: { limit: 30 } } }
  pro: { limits: { api: { limit: 600 }, exports: { limit: 50 } } }
tenants:
  acme: { plan: pro }
  globex:
    plan: free
    limits: { exports: { limit: 20, until: 2026-07-01T00:00:00Z, why: pilot } }
  initech: { plan: free }
";

/// What changes where one text of [`TENANTS`] is another: each change, then its fields.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(TENANTS.contains(from), "{from}");
    let difference = difference(TENANTS, &TENANTS.replace(from, to));
    assert!(!difference.equal);
    let mut lines = Vec::new();
    for change in &difference.changes {
        let who = if change.tenants.is_empty() { &change.name } else { &change.tenants.join(" ") };
        lines.push(format!("{:?} {who} {:?}", change.what, change.change));
        for detail in &change.details {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let of = detail.limit.as_deref().unwrap_or(detail.field);
            let (before, after) = (text(&detail.before), text(&detail.after));
            lines.push(format!("{of}: {before} -> {after} {:?}", detail.effect));
        }
    }
    lines
}

#[test]
fn plans_and_their_numbers_are_told() {
    assert_eq!(
        told(
            "free: { limits: { api: { limit: 30 } } }",
            "free: { limits: { api: { limit: 20 }, exports: { limit: 9 } } }"
        ),
        [
            "Plan free Changed",
            "api: 30 per 1m, of plan free -> 20 per 1m, of plan free Stricter",
            "exports: 5 per 1h, the limit's own -> 9 per 1h, of plan free Looser",
        ]
    );
    assert_eq!(
        told(
            "pro: { limits: { api: { limit: 600 }, exports: { limit: 50 } } }",
            "pro: { limits: { api: { limit: 600 } } }"
        ),
        [
            "Plan pro Tightened",
            "exports: 50 per 1h, of plan pro -> 5 per 1h, the limit's own Stricter",
        ]
    );
    // The limit lets more pass with its own numbers, and less with those of its plans.
    assert_eq!(
        told("limit: 60, window: 1m", "limit: 6000, window: 1h"),
        [
            "Limit api Loosened",
            "limit: 60 per 1m -> 6_000 per 1h Looser",
            "Plan free Tightened",
            "api: 30 per 1m, of plan free -> 30 per 1h, of plan free Stricter",
            "Plan pro Tightened",
            "api: 600 per 1m, of plan pro -> 600 per 1h, of plan pro Stricter",
        ]
    );
    assert_eq!(
        told("plans:\n", "plans:\n  none: {}\n  trial: { limits: { api: { limit: 1 } } }\n"),
        [
            "Plan none Added",
            "Plan trial Added",
            "api: 60 per 1m, the limit's own -> 1 per 1m, of plan trial Stricter",
        ]
    );
}

#[test]
fn tenants_that_change_in_the_same_way_are_one_change() {
    assert_eq!(
        told("acme: { plan: pro }", "acme: { plan: free }"),
        [
            "Tenants acme Tightened",
            "plan: pro -> free Stricter",
            "api: 600 per 1m, of plan pro -> 30 per 1m, of plan free Stricter",
            "exports: 50 per 1h, of plan pro -> 5 per 1h, the limit's own Stricter",
        ]
    );
    let globex = "globex:\n    plan: free\n    limits: { exports: { limit: 20, \
                  until: 2026-07-01T00:00:00Z, why: pilot } }\n  initech: { plan: free }\n";
    assert_eq!(
        told(globex, "hooli: {}\n  initech: { plan: pro }\n  umbrella: {}\n"),
        [
            "Tenants hooli umbrella Added",
            "Tenants globex Removed",
            "plan: free -> - Neither",
            "api: 30 per 1m, of plan free -> 60 per 1m, the limit's own Looser",
            "exports: 20 per 1h, its own until 2026-07-01T00:00:00Z (pilot) -> \
             5 per 1h, the limit's own Stricter",
            "Tenants initech Loosened",
            "plan: free -> pro Looser",
            "api: 30 per 1m, of plan free -> 600 per 1m, of plan pro Looser",
            "exports: 5 per 1h, the limit's own -> 50 per 1h, of plan pro Looser",
        ]
    );
}

#[test]
fn an_exception_past_its_end_is_told_with_what_counts_instead() {
    let until = "until: 2026-07-01T00:00:00Z";
    assert_eq!(
        told(until, "until: 2026-06-01T00:00:00Z"),
        [
            "Tenants globex Tightened",
            "exports: 20 per 1h, its own until 2026-07-01T00:00:00Z (pilot) -> 5 per 1h, the \
             limit's own; its own 20 per 1h ended 2026-06-01T00:00:00Z (pilot) Stricter",
        ]
    );
    assert_eq!(
        told(until, "until: 2026-08-01T00:00:00Z"),
        [
            "Tenants globex Changed",
            "exports: 20 per 1h, its own until 2026-07-01T00:00:00Z (pilot) -> 20 per 1h, its \
             own until 2026-08-01T00:00:00Z (pilot) None",
        ]
    );
    // Why is a comment.
    let other = TENANTS.replace("pilot", "another reason");
    assert!(difference(TENANTS, &other).equal && difference(TENANTS, &other).changes.is_empty());
}

#[test]
fn a_hundred_thousand_tenants_that_move_are_one_change() {
    let file = |plan: &str| {
        let mut file = TENANTS.to_owned();
        (0..100_000).for_each(|n| file += &format!("  t{n}: {{ plan: {plan} }}\n"));
        file
    };
    let difference = difference(&file("free"), &file("pro"));
    let [change] = &*difference.changes else { panic!("{} changes", difference.changes.len()) };
    assert_eq!((change.tenants.len(), change.details.len()), (100_000, 3));
    assert!(change.tenants.is_sorted() && change.name == "t0");
}

// What random policies are made of.
const NUMBERS: [&str; 10] = [
    "limit: 5, window: 1m",
    "limit: 5, window: 1m",
    "limit: 6, window: 1m",
    "limit: 5, window: 60s",
    "algorithm: token_bucket, limit: 5, window: 1m, burst: 7",
    "algorithm: token_bucket, limit: 5, window: 1m, burst: 8",
    "algorithm: calendar, period: month, limit: 5, starts_on: 2",
    "algorithm: calendar, period: month, limit: 5, timezone: Europe/Berlin",
    "algorithm: concurrency, limit: 5, hold: 1m",
    "algorithm: concurrency, limit: 5, hold: 2m",
];
const MORE: [&str; 20] = [
    "",
    "",
    "",
    ", mode: shadow",
    ", hold: 7m",
    ", cost: 2",
    ", cost: claims.a",
    ", cost: { of: claims.a, missing: 1 }",
    ", cost: { of: claims.a, missing: 7 }",
    ", missing_key: deny",
    ", match: [GET /a, GET /b]",
    ", match: [GET /b, GET /a]",
    ", when: 'host == \"x\" || country == \"DE\"'",
    ", when: 'country == \"DE\" || host == \"x\"'",
    ", penalty: { after: 3, within: 1m, block: 1m }",
    ", max_keys: 7",
    ", was: old",
    ", reason: slow",
    ", on_store_failure: deny",
    ", description: words",
];
const OF_PLANS: [&str; 4] = [
    "{}",
    "{ limits: { aa: { limit: 5 } } }",
    "{ limits: { aa: { limit: 9 } } }",
    "{ limits: { aa: { limit: 5 }, bb: { limit: 1 } } }",
];
const PLANS: [&str; 3] = ["", "plan: p, ", "plan: q, "];
const OWN: [&str; 8] = [
    "",
    "",
    "aa: { limit: 5 }",
    "aa: { limit: 6 }, cc: { limit: 1 }",
    "bb: { limit: 5, until: 2026-05-01T00:00:00Z }",
    "bb: { limit: 5, until: 2026-05-02T00:00:00Z }",
    "bb: { limit: 5, until: 2026-07-01T00:00:00Z, why: x }",
    "bb: { limit: 5, until: 2026-07-01T00:00:00Z, why: y }",
];

/// A policy of a few limits, plans and tenants, written one way or another.
fn random_file(random: &mut fastrand::Rng) -> String {
    fn pick<'a>(random: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
        of[random.usize(0..of.len())]
    }
    let mut file = String::new();
    if random.u8(0..4) == 0 {
        file += &format!("endpoint_costs: {{\"GET /a\": {}}}\n", random.u8(1..3));
    }
    file += "rate_limits:\n";
    let mut names = vec!["a", "b", "c"];
    if random.u8(0..4) == 0 {
        names.swap(0, 1);
    }
    for name in names {
        let numbers = pick(random, &NUMBERS);
        let more = pick(random, &MORE);
        let more = if numbers.contains("hold") && more.contains("hold") { "" } else { more };
        file += &format!("  {name}{name}: {{ key: tenant_id, {numbers}{more} }}\n");
    }
    file += "plans:\n";
    for plan in ["p", "q", "r"] {
        let numbers = pick(random, &OF_PLANS);
        file += &format!("  {plan}: {numbers}\n");
    }
    file += "tenants:\n";
    for tenant in ["s", "t", "u"] {
        let plan = pick(random, &PLANS);
        let own = pick(random, &OWN);
        file += &format!("  {tenant}: {{ {plan}limits: {{ {own} }} }}\n");
    }
    file
}

#[test]
fn a_revision_differs_exactly_where_a_change_is_told() {
    let mut random = fastrand::Rng::with_seed(23);
    let mut equal = 0;
    let compile = |text: &str| {
        let file = SourceFile { name: "a.yaml".into(), text: text.to_owned() };
        Policy::compile(&[file]).ok().map(|compiled| compiled.policy)
    };
    let mut compared = 0;
    for _ in 0..3_000 {
        let old = random_file(&mut random);
        // Two files out of nothing are hardly ever equal, so most share all lines but one or two.
        let other = random_file(&mut random);
        let lines = other.lines().count().min(old.lines().count());
        let mut new: Vec<_> = old.lines().collect();
        for _ in 0..random.u8(0..3) {
            let at = random.usize(0..lines);
            let of_same_name = |a: &str, b: &str| a.split(':').next() == b.split(':').next();
            if let Some(line) = other.lines().find(|line| of_same_name(line, new[at])) {
                new[at] = line;
            }
        }
        let new = new.join("\n");
        let (Some(before), Some(after)) = (compile(&old), compile(&new)) else { continue };
        compared += 1;
        let difference = diff(&before, &after, NOW);
        let same = before.revision() == after.revision();
        assert_eq!(difference.equal, same);
        assert_eq!(difference.changes.is_empty(), same, "{old}\n{new}\n{difference:#?}");
        equal += u32::from(same);
    }
    assert!(compared > 2_000, "{compared} compared");
    assert!((300..1_700).contains(&equal), "{equal} of {compared} are equal");
}

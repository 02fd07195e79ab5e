//! Lints: each fires at its place, and not on what is near it.

mod callers;

use sluicegate_limits::policy::lint::{Service, Surroundings};
use sluicegate_limits::policy::{Policy, Problem, Severity, SourceFile};
use sluicegate_limits::time::Timestamp;

use crate::{examples, files};

/// 2026-11-24T12:00:00Z.
const NOW: Timestamp = Timestamp::new(1_795_521_600_000_000);

fn lints_in(texts: &[(&str, &str)], service: Option<Service>) -> Vec<Problem> {
    let compiled = Policy::compile(&files(texts)).unwrap_or_else(|p| panic!("{texts:?}\n{p:#?}"));
    let found = compiled.lints(&Surroundings { now: NOW, service });
    for problem in &found {
        assert_eq!(problem.severity, Severity::Warning, "{problem}");
        assert!(Problem::CODES.iter().any(|(code, _)| *code == problem.code), "{problem}");
    }
    found
}

/// The lints of limits, beside one for requests without an identity, as `line:column code`.
fn lints(limits: &str) -> Vec<String> {
    let text = format!(
        "rate_limits:\n{limits}\n  unauthenticated: {{ key: ip_address, limit: 1, window: 1m }}"
    );
    of_text(&text, None)
}

fn of_text(text: &str, service: Option<Service>) -> Vec<String> {
    let found = lints_in(&[("a.yaml", text)], service);
    found.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.code)).collect()
}

fn gateway(attributes: &[&str]) -> Service {
    let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
    Service { attributes, ..Service::default() }
}

#[test]
fn the_examples_have_none() {
    for (name, text) in examples() {
        let file = SourceFile { name: name.clone(), text };
        let compiled = Policy::compile(&[file]).unwrap();
        let found = compiled.lints(&Surroundings { now: NOW, service: None });
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn all_are_told_at_once_by_file_and_place_and_with_those_of_the_compiler() {
    let found = lints_in(
        &[
            ("b.yaml", "rate_limits:\n  b: { limit: 0, window: 1s, key: headers.a }\n"),
            ("a.yaml", "rate_limits:\n  a: { limit: 5, window: 1s, cost: 6, key: headers.a }\n"),
        ],
        None,
    );
    let found: Vec<_> =
        found.iter().map(|p| format!("{}:{}:{} {}", p.file, p.line, p.column, p.code)).collect();
    assert_eq!(
        found,
        [
            "a.yaml:1:1 open_to_anyone",
            "a.yaml:2:36 never_passes",
            "a.yaml:2:44 chosen_key",
            "b.yaml:2:15 denies_all",
            "b.yaml:2:35 chosen_key",
        ]
    );
}

#[test]
fn a_limit_behind_a_tighter_one_never_denies() {
    let tight = "  tight: { key: tenant_id, limit: 10, window: 1m }";
    for loose in [
        "{ key: tenant_id, limit: 10, window: 1m }",
        "{ key: tenant_id, limit: 60, window: 1m }",
        "{ key: tenant_id, limit: 1_000, window: 1m }",
        "{ key: tenant_id, limit: 60, window: 1s }",
        "{ key: [user_id, tenant_id], limit: 11, window: 1m }",
        "{ match: 'GET /v1/search', key: tenant_id, limit: 11, window: 1m }",
    ] {
        let found = lints(&format!("{tight}\n  loose: {loose}"));
        assert_eq!(found, ["3:3 never_denies"], "{loose}");
        // The order does not matter, unless both are alike.
        let found = lints(&format!("  loose: {loose}\n{tight}"));
        let line = if loose.contains("limit: 10, window") { "3:3" } else { "2:3" };
        assert_eq!(found, [format!("{line} never_denies")], "{loose}");
    }
    let message = &lints_in(
        &[
            ("a.yaml", "rate_limits:\n  everyone: { limit: 5, window: 1m }"),
            ("b.yaml", "rate_limits:\n  b: { limit: 6, window: 1m }"),
        ],
        None,
    )[0];
    assert!(message.message.contains("`everyone` at a.yaml:2"), "{message}");
    for near in [
        "{ key: tenant_id, limit: 60, window: 1h }",
        "{ key: tenant_id, limit: 19, window: 61s }",
        "{ key: user_id, limit: 60, window: 1m }",
        "{ limit: 60, window: 1m }",
        "{ key: tenant_id, limit: 60, window: 1m, cost: 2 }",
        "{ key: tenant_id, limit: 60, window: 1m, mode: shadow }",
        "{ key: tenant_id, limit: 60, window: 1m, mode: disabled }",
        "{ key: tenant_id, limit: 60, window: 1m, on_store_failure: deny }",
        "{ key: tenant_id, limit: 60, window: 1m, algorithm: fixed_window }",
        "{ key: tenant_id, limit: 60, window: 1m, algorithm: token_bucket }",
    ] {
        assert_eq!(lints(&format!("{tight}\n  near: {near}")), [""; 0], "{near}");
    }
    for tight in [
        "{ key: tenant_id, limit: 10, window: 1m, mode: shadow }",
        "{ key: tenant_id, limit: 10, window: 1m, match: 'GET /v1/a' }",
    ] {
        let near = format!("  tight: {tight}\n  near: {{ key: tenant_id, limit: 60, window: 1m }}");
        assert_eq!(lints(&near), [""; 0], "{tight}");
    }
}

#[test]
fn numbers_of_plans_and_tenants_leave_it_open_which_limit_is_tighter() {
    let limits = "rate_limits:\n  tight: { key: tenant_id, limit: 5, window: 1m }\n  \
                  loose: { key: tenant_id, limit: 9, window: 1m }\n  \
                  unauthenticated: { key: ip_address, limit: 1, window: 1m }\n";
    assert_eq!(of_text(limits, None), ["3:3 never_denies"]);
    for more in [
        "plans: { large: { limits: { tight: { limit: 50 } } } }",
        "plans: { free: { limits: { loose: { limit: 1 } } } }",
        "tenants: { acme: { limits: { tight: { limit: 50 } } } }",
    ] {
        assert_eq!(of_text(&format!("{limits}{more}"), None), [""; 0], "{more}");
    }
    let other = "plans: { free: { limits: {} } }\ntenants: { acme: { plan: free } }";
    assert_eq!(of_text(&format!("{limits}{other}"), None), ["3:3 never_denies"]);
}

#[test]
fn patterns_that_are_wider_or_narrower_are_told_apart() {
    let two = |tight: &str, loose: &str| {
        let limit = |name, patterns: &str, limit| {
            format!(
                "  {name}: {{ match: [{patterns}], key: tenant_id, limit: {limit}, window: 1m }}"
            )
        };
        lints(&format!("{}\n{}", limit("tight", tight, 5), limit("loose", loose, 6)))
    };
    for (tight, loose) in [
        ("'* /v1/**'", "'GET /v1/a', 'POST /v1/b/{c}'"),
        ("'GET /v1/{x}', 'GET /v2/a/b/c/d/e/f'", "'GET /v2/a/b/c/d/e/f', 'GET /v1/a'"),
        ("'GET /**'", "'GET /v1/a/b/c/d/e'"),
    ] {
        assert_eq!(two(tight, loose), ["3:3 never_denies"], "{tight} {loose}");
        assert_eq!(two(loose, tight), [""; 0], "{tight} {loose}");
    }
    assert_eq!(two("'GET /v1/a', 'GET /v1/b'", "'GET /v1/{x}'"), [""; 0]);
}

#[test]
fn each_algorithm_has_its_own_tightness() {
    for (kind, same, tight, loose, near) in [
        (
            "token_bucket",
            "window: 1m",
            "limit: 5, burst: 9",
            "limit: 6, burst: 9",
            "limit: 4, burst: 10",
        ),
        ("fixed_window", "limit: 5", "window: 1h", "window: 1m", "window: 35m"),
        (
            "calendar",
            "timezone: UTC",
            "limit: 5, period: day",
            "limit: 6, period: day",
            "limit: 6, period: hour",
        ),
        (
            "concurrency",
            "max_keys: 9",
            "limit: 5, hold: 5m",
            "limit: 5, hold: 4m",
            "limit: 6, hold: 6m",
        ),
    ] {
        let limits = |other: &str| {
            let limit = |name, keys: &str| {
                format!("  {name}: {{ algorithm: {kind}, key: tenant_id, {same}, {keys} }}")
            };
            lints(&format!("{}\n{}", limit("tight", tight), limit("other", other)))
        };
        assert_eq!(limits(loose), ["3:3 never_denies"], "{kind}");
        assert_eq!(limits(near), [""; 0], "{kind}");
    }
    let told = "  a: { algorithm: calendar, period: day, key: tenant_id, limit: 5 }\n  \
                b: { algorithm: calendar, period: day, key: tenant_id, limit: 6, alert_at: 80% }";
    assert_eq!(lints(told), [""; 0], "a quota may be there to tell of its use");
}

#[test]
fn conditions_are_looked_at() {
    let two = |tight: &str, loose: &str| {
        let limit = |name, when: &str, limit| {
            format!("  {name}: {{ key: tenant_id, limit: {limit}, window: 1m{when} }}")
        };
        lints(&format!("{}\n{}", limit("tight", tight, 5), limit("loose", loose, 6)))
    };
    let (test, other) = (", when: country == 'ES'", ", when: country == 'PT'");
    assert_eq!(two("", test), ["3:3 never_denies"]);
    assert_eq!(two(test, test), ["3:3 never_denies"]);
    assert_eq!(two(test, ""), [""; 0]);
    assert_eq!(two(test, other), [""; 0]);
    let when = |when: &str| {
        lints(&format!("  a: {{ key: tenant_id, limit: 5, window: 1m, when: '{when}' }}"))
    };
    for (contradiction, help) in [
        (r#"country == "ES" && country == "PT""#, "without `country`"),
        (r#"country in ["ES", "PT"] && !(country in ["PT", "ES", "FR"])"#, "without `country`"),
        (r#"host == "a.example" && user_id == "u" && host.endsWith(".test")"#, "without `host`"),
        (r#"host.startsWith("b") && host == "a.example""#, "without `host`"),
        ("authenticated && !authenticated", "without `authenticated`"),
        ("has(user_id) && !has(user_id)", "never applies"),
    ] {
        assert_eq!(when(contradiction), ["2:52 contradiction"], "{contradiction}");
        let text =
            format!("rate_limits: {{ a: {{ limit: 5, window: 1m, when: '{contradiction}' }} }}");
        let found = lints_in(&[("a.yaml", &text)], None);
        let said = found.iter().find(|p| p.code == "contradiction").unwrap();
        assert!(said.help.clone().unwrap_or_default().contains(help), "{said}");
    }
    for near in [
        r#"country == "ES" || country == "PT""#,
        r#"country == "ES" && region == "PT""#,
        r#"country in ["ES", "PT"] && country != "PT""#,
        r#"host == "a.example" && host.endsWith(".example")"#,
        r#"country != "ES" && country != "PT""#,
        "has(user_id) && has(tenant_id)",
    ] {
        assert_eq!(when(near), [""; 0], "{near}");
    }
}

#[test]
fn a_condition_on_get_says_what_it_means_for_head() {
    let of = |when: &str| {
        lints(&format!("  a: {{ key: tenant_id, limit: 5, window: 1m, when: '{when}' }}"))
    };
    assert_eq!(of(r#"method == "GET""#), ["2:52 get_alone"]);
    assert_eq!(of(r#"has(user_id) || method in ["GET", "POST"]"#), ["2:52 get_alone"]);
    for sound in [
        r#"method in ["GET", "HEAD"]"#,
        r#"method == "GET" && method != "HEAD""#,
        r#"method != "GET""#,
        r#"method == "POST""#,
    ] {
        assert_eq!(of(sound), [""; 0], "{sound}");
    }
}

/// A crowd is told where it may stand at one request, and not where something sets it apart.
#[test]
fn more_limits_than_may_charge_one_request_are_told() {
    let many = |form: &dyn Fn(usize) -> String, count: usize| {
        let limits: String = (0..count).map(|n| format!("  l{n}: {{ {} }}\n", form(n))).collect();
        let all = of_text(&format!("rate_limits:\n{limits}"), None);
        all.into_iter().filter(|lint| lint.ends_with(" crowded")).collect::<Vec<_>>()
    };
    let sized = |n: usize, rest: &str| format!("limit: {}, window: 1m{rest}", n + 1);
    let alike = |n| sized(n, "");
    assert_eq!(many(&alike, 256), [""; 0]);
    assert_eq!(many(&alike, 257), ["258:3 crowded"]);
    assert_eq!(many(&alike, 300), ["258:3 crowded"]);
    let disabled = |n| sized(n, if n < 50 { ", mode: disabled" } else { "" });
    assert_eq!(many(&disabled, 306), [""; 0]);
    let on_paths = |n| sized(n, &format!(", match: 'GET /v1/{n}'"));
    assert_eq!(many(&on_paths, 1_000), [""; 0]);
    let below = |n: usize| sized(n, &format!(", match: 'GET /{}**'", "a/".repeat(n % 5)));
    assert_eq!(many(&below, 300), ["258:3 crowded"], "one path is below them all");
    let odd = |n| sized(n, &format!(", match: '{} /a'", ["GET", "POST"][n % 2]));
    assert_eq!(many(&odd, 500), [""; 0]);
    let heads = |n| sized(n, &format!(", match: '{} /a'", ["GET", "HEAD"][n % 2]));
    assert_eq!(many(&heads, 300), ["258:3 crowded"], "a HEAD meets both");
    let when = |text: String| {
        move |n| sized(n, &format!(", when: '{}'", text.replace('N', &format!("{n}"))))
    };
    let tenant = when(r#"tenant_id == "tN""#.to_owned());
    assert_eq!(many(&tenant, 300), ["258:3 crowded"], "who has no tenant meets them all");
    assert_eq!(many(&when(r#"has(tenant_id) && tenant_id == "tN""#.to_owned()), 1_000), [""; 0]);
    assert_eq!(many(&when(r#"claims.level == N && has(claims.level)"#.to_owned()), 300), [""; 0]);
    assert_eq!(many(&when(r#"host == "hN.test""#.to_owned()), 300), [""; 0]);
    let keyed = |n| format!("key: tenant_id, {}", tenant(n));
    assert_eq!(many(&keyed, 300), [""; 0]);
    let country = |n: usize| {
        sized(n, &format!(", key: country, when: 'country == \"{}\"'", ["ES", "PT"][n % 2]))
    };
    assert_eq!(many(&country, 512), [""; 0]);
    assert_eq!(many(&country, 514), ["514:3 crowded"], "257 of them for one country");
}

#[test]
fn a_pattern_that_is_part_of_another_is_too_many() {
    let of = |patterns: &str| {
        lints(&format!("  a: {{ key: tenant_id, limit: 5, window: 1m, match: [{patterns}] }}"))
    };
    assert_eq!(of("'GET /a', 'GET /{x}'"), ["2:54 repeated_pattern"]);
    assert_eq!(of("'GET /a', 'GET /a'"), ["2:64 repeated_pattern"]);
    assert_eq!(of("'GET /{x}', 'GET /*'"), ["2:66 repeated_pattern"]);
    assert_eq!(of("'GET /a', 'POST /a', 'GET /a/**', 'GET /b'"), ["2:54 repeated_pattern"]);
    assert_eq!(of("'GET /a', 'POST /a', 'GET /a/{b}', 'GET /b'"), [""; 0]);
}

#[test]
fn a_condition_on_an_endpoint_needs_its_entry() {
    let of = |when: &str| {
        let text = format!(
            "endpoint_costs: {{ 'GET /a': 2 }}\nrate_limits:\n  a: {{ limit: 50, window: 1m, \
             when: '{when}' }}\n  b: {{ limit: 60, window: 1m }}"
        );
        of_text(&text, None)
    };
    assert_eq!(of("endpoint == \"GET /b\""), ["3:37 unknown_endpoint"]);
    assert_eq!(of("has(user_id) || endpoint in [\"GET /a\", \"GET /b\"]").len(), 1);
    assert_eq!(of("endpoint == \"GET /a\""), [""; 0]);
    assert_eq!(of("tenant_id == \"GET /b\" && endpoint.startsWith(\"GET\")"), [""; 0]);
}

#[test]
fn a_key_that_needs_an_endpoint_needs_its_cost() {
    let of = |costs: &str, pattern: &str| {
        let text = format!(
            "endpoint_costs: {{ {costs} }}\nrate_limits:\n  a: {{ key: endpoint, limit: 50, \
             window: 1m, match: '{pattern}' }}\n  b: {{ limit: 60, window: 1m }}"
        );
        of_text(&text, None)
    };
    assert_eq!(of("", "GET /v1/a"), ["3:13 never_applies"]);
    assert_eq!(of("'GET /v1/b': 2", "GET /v1/a"), ["3:13 never_applies"]);
    assert_eq!(of("'GET /v1/{x}': 2", "GET /v1/a"), [""; 0]);
    assert_eq!(of("'GET /v1/b': 2", "* /v1/**"), [""; 0]);
}

#[test]
fn a_cost_above_what_passes_at_once_never_passes() {
    let of = |limit: &str| {
        let text = format!(
            "endpoint_costs:\n  'POST /v1/ai/**': 20\n  'POST /v1/ai/small': 3\nrate_limits:\n  \
             a: {{ key: tenant_id, window: 1m, {limit} }}\n  b: {{ limit: 100, window: 1m }}"
        );
        of_text(&text, None)
    };
    assert_eq!(of("limit: 19"), ["5:3 never_passes"]);
    assert_eq!(of("limit: 20"), [""; 0]);
    assert_eq!(of("limit: 19, mode: shadow"), ["5:3 never_passes"]);
    assert_eq!(of("limit: 19, mode: disabled"), [""; 0]);
    assert_eq!(of("limit: 5, match: 'POST /v1/{x}/large'"), ["5:3 never_passes"]);
    assert_eq!(of("limit: 5, match: 'POST /v1/ai/small'"), [""; 0], "it costs 3");
    assert_eq!(of("limit: 2, match: 'POST /v1/ai/small'"), ["5:3 never_passes"]);
    assert_eq!(of("limit: 5, match: 'GET /v1/ai/large'"), [""; 0]);
    assert_eq!(of("limit: 5, algorithm: token_bucket, burst: 20"), [""; 0]);
    assert_eq!(of("limit: 30, algorithm: token_bucket, burst: 19"), ["5:3 never_passes"]);
    assert_eq!(of("limit: 5, cost: 6"), ["5:52 never_passes"]);
    assert_eq!(of("limit: 5, cost: 5"), [""; 0]);
    assert_eq!(of("limit: 5, cost: request_size"), ["5:52 unknown_size"]);
    assert_eq!(of("limit: 5, cost: { of: request_size }"), ["5:52 unknown_size"]);
    assert_eq!(of("limit: 5, cost: { of: request_size, missing: 9 }"), [""; 0]);
    assert_eq!(of("limit: 0, cost: 6"), ["5:43 denies_all"], "one warning is enough");
    let found =
        lints_in(&[("a.yaml", "rate_limits: { a: { limit: 5, window: 1m, cost: 6 } }")], None);
    assert!(found[0].help.clone().unwrap_or_default().contains("`limit` to 6"), "{}", found[0]);
}

#[test]
fn a_cost_that_no_limit_asks_for_is_told() {
    let of = |limits: &str| {
        of_text(&format!("endpoint_costs: {{ 'GET /a': 2 }}\nrate_limits: {{ {limits} }}"), None)
    };
    assert_eq!(of("a: { limit: 5, window: 1m, cost: 1 }"), ["1:19 unused_cost"]);
    assert_eq!(
        of("a: { limit: 5, window: 1m, cost: 1 }, b: { limit: 5, window: 1m, match: 'GET /b' }"),
        ["1:19 unused_cost"]
    );
    assert_eq!(of("a: { limit: 5, window: 1m }"), [""; 0]);
    assert_eq!(
        of("a: { limit: 5, window: 1m, cost: 1 }, b: { limit: 5, window: 1m, match: 'GET /a' }"),
        [""; 0]
    );
    assert_eq!(
        of("a: { limit: 9, window: 1m, cost: 1 }, b: { limit: 5, window: 1m, key: endpoint, \
            cost: 2 }"),
        [""; 0]
    );
}

#[test]
fn settings_tell_which_attributes_there_are() {
    let text = "rate_limits: { a: { key: shoe_size, limit: 5, window: 1m }, \
                b: { limit: 50, window: 1m } }";
    assert_eq!(of_text(text, None), ["1:26 unmapped_attribute"]);
    assert_eq!(of_text(text, Some(gateway(&["shoe"]))), ["1:26 unmapped_attribute"]);
    assert_eq!(of_text(text, Some(gateway(&["shoe_size"]))), [""; 0]);
}

/// A policy that is as large as one may be does not take for ever.
#[test]
fn many_limits_that_are_alike_are_compared_within_a_bound() {
    let limit = |n| format!("  l{n}: {{ key: tenant_id, limit: {}, window: 1m }}\n", 30_000 - n);
    let limits: String = (0..20_000).map(limit).collect();
    let costs: String = (0..2_000).map(|n| format!("  'GET /{{x}}/{n}': 5\n")).collect();
    let text = format!("endpoint_costs:\n{costs}rate_limits:\n{limits}");
    let found = of_text(&text, None);
    assert!(found.iter().filter(|found| found.contains("never_denies")).count() >= 500);
}

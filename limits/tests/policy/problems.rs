//! Every mistake is an error with its place and a hint, all of them at once.

use sluicegate_limits::policy::{Policy, Problem, Severity, SourceFile};

use crate::{compile, examples, files, policy};

/// The problems of one file, as `line:column code`.
fn places(text: &str) -> Vec<String> {
    let problems = match compile(text) {
        Ok(compiled) => compiled.warnings,
        Err(problems) => problems,
    };
    problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.code)).collect()
}

/// The one problem of a limit with these lines in it, beside what every limit needs.
fn of_limit(line: &str) -> Problem {
    let key = line.split(':').next().unwrap();
    let needed = ["limit: 5", "window: 1m"].iter().filter(|n| !n.starts_with(&format!("{key}:")));
    let rest: String = needed.map(|n| format!("    {n}\n")).collect();
    let text = format!("rate_limits:\n  a:\n    {line}\n{rest}");
    let mut problems = compile(&text).err().unwrap_or_else(|| panic!("this is good: {text}"));
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.remove(0)
}

#[test]
fn the_examples_compile_without_a_problem() {
    for (name, text) in examples() {
        match Policy::compile(&[SourceFile { name: name.clone(), text }]) {
            Ok(compiled) => assert!(compiled.warnings.is_empty(), "{:#?}", compiled.warnings),
            Err(problems) => panic!("{name}: {problems:#?}"),
        }
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_the_right_word() {
    let problems = compile("rate_limits: {a: {key: tenant_id, limit: 5, windw: 1m}}").unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(
        problems[0].to_string(),
        "error[unknown_key]: unknown key `windw` in limit `a`\n  --> a.yaml:1:45\n  \
         = help: did you mean `window`?"
    );
}

#[test]
fn all_problems_of_all_files_come_at_once_in_the_order_of_files_and_places() {
    let bad = files(&[
        ("b.yaml", "rate_limits:\n  b: { limit: 0x10, window: 1m, wat: 1 }\n"),
        (
            "a.yaml",
            "versoin: 1\nrate_limits:\n  a:\n    limit: 5\n  bad name: { limit: 1, window: 1s }\n  \
             c: { limit: -5, window: 60, match: nowhere, key: [user_id, user_id] }\n",
        ),
    ]);
    let problems = Policy::compile(&bad).unwrap_err();
    let found: Vec<_> =
        problems.iter().map(|p| format!("{}:{} {}", p.file, p.line, p.code)).collect();
    assert_eq!(
        found,
        [
            "a.yaml:1 unknown_key",
            "a.yaml:3 missing_key",
            "a.yaml:5 bad_name",
            "a.yaml:6 bad_number",
            "a.yaml:6 bad_window",
            "b.yaml:2 bad_number",
            "b.yaml:2 unknown_key",
        ]
    );
    // Rules over values are looked at as soon as the values can be read.
    assert_eq!(
        places("rate_limits: { c: { limit: 5, window: 1s, match: nowhere, key: [a b, a b] } }"),
        ["1:50 bad_pattern", "1:65 bad_name", "1:70 bad_name"]
    );
}

#[test]
fn numbers_have_one_spelling() {
    for (text, code) in [
        ("0x10", "bad_number"),
        ("0o17", "bad_number"),
        ("010", "bad_number"),
        ("+5", "bad_number"),
        ("-5", "bad_number"),
        ("1.5", "bad_number"),
        ("1e3", "bad_number"),
        ("'7'", "bad_number"),
        ("\"7\"", "bad_number"),
        ("1__0", "bad_number"),
        ("many", "bad_number"),
        ("true", "bad_number"),
        ("", "wrong_type"),
        ("~", "wrong_type"),
        ("[5]", "wrong_type"),
        ("{ a: 5 }", "wrong_type"),
        ("1_000_000_000_000_001", "out_of_range"),
        ("99999999999999999999999", "out_of_range"),
    ] {
        let problem = of_limit(&format!("limit: {text}"));
        assert_eq!(problem.code, code, "{text}: {problem}");
        assert_eq!(problem.line, 3, "{text}");
    }
    let good = policy("rate_limits: { a: { limit: 1_000_000_000_000_000, window: 1d } }");
    assert_eq!(good.limits()[0].numbers.limit.get(), 1_000_000_000_000_000);
}

#[test]
fn every_key_checks_its_value() {
    for (line, code, help) in [
        ("window: 60", "bad_window", "did you mean `60s`?"),
        ("window: 1h30m", "bad_window", "an integer"),
        ("window: 367d", "out_of_range", "1ms to 366d"),
        ("window: 0s", "out_of_range", "1ms to 366d"),
        ("algorithm: token_buckt", "bad_word", "did you mean `token_bucket`?"),
        ("algorithm: [fixed_window]", "wrong_type", ""),
        ("mode: dry_run", "bad_word", "`enforce`, `shadow`, `disabled`"),
        ("on_store_failure: open", "bad_word", "`local`, `allow`, `deny`"),
        ("max_keys: 0", "out_of_range", "1 to"),
        ("reason: Too_Many", "bad_name", "a-z"),
        ("burst: 5", "misplaced_key", "token_bucket"),
        ("cost: -1", "bad_number", ""),
        ("cost: 1_000_000_000_000_001", "out_of_range", "1000000000000000"),
        ("cost: { of: request_size, missing: 1_000_000_000_000_001 }", "out_of_range", "1000000"),
        ("cost: { of: request_size, missing: -1 }", "bad_number", ""),
        ("cost: { missing: 5 }", "missing_key", "of"),
        ("cost: { of: endpoint }", "bad_name", "cost: endpoint"),
        ("cost: { of: [a] }", "wrong_type", ""),
        ("cost: { off: request_size }", "unknown_key", "did you mean `of`?"),
        ("missing_key: skip", "misplaced_key", "by which attributes"),
        ("key: user_id\n    missing_key: denies", "bad_word", "`skip`, `together`, `deny`"),
        ("cost: '5'", "bad_number", "quotes"),
        ("cost: a b", "bad_name", ""),
        ("key: []", "out_of_range", "leave the key out"),
        ("key: [user_id, tenant_id, user_id]", "repeated_key", ""),
        ("key: { a: b }", "wrong_type", ""),
        ("key: [[a]]", "wrong_type", ""),
        ("key:", "wrong_type", ""),
        ("match: GET", "bad_pattern", "a method"),
        ("match: 'get /a'", "bad_pattern", ""),
        ("match: 'GET /a/../b'", "bad_pattern", ""),
        ("description: [a]", "wrong_type", ""),
        ("? [a]\n    : 1", "unsupported_yaml", "texts"),
    ] {
        let problem = of_limit(line);
        assert_eq!(problem.code, code, "{line}: {problem}");
        assert_eq!(problem.severity, Severity::Error);
        assert!(problem.help.clone().unwrap_or_default().contains(help), "{line}: {problem}");
    }
}

#[test]
fn lists_and_texts_are_bounded() {
    let list =
        |entry: &dyn Fn(usize) -> String, n| (0..n).map(entry).collect::<Vec<_>>().join(", ");
    let patterns = |n| format!("match: [{}]", list(&|i| format!("'GET /{i}'"), n));
    let key = |n| format!("key: [{}]", list(&|i| format!("claims.c{i}"), n));
    let description = |n| format!("description: {}", "x".repeat(n));
    let reason = |n| format!("reason: {}", "x".repeat(n));
    for (good, bad, code) in [
        (patterns(64), patterns(65), "out_of_range"),
        (key(8), key(9), "out_of_range"),
        (description(4_096), description(4_097), "out_of_range"),
        (reason(64), reason(65), "bad_name"),
    ] {
        let good = format!("rate_limits:\n  a:\n    limit: 5\n    window: 1m\n    {good}");
        assert!(compile(&good).is_ok(), "{good}");
        assert_eq!(of_limit(&bad).code, code);
    }
    let named = |n| format!("rate_limits: {{ {}: {{ limit: 5, window: 1m }} }}", "x".repeat(n));
    assert!(compile(&named(128)).is_ok());
    assert_eq!(places(&named(129)), ["1:16 bad_name"]);
}

#[test]
fn what_comes_later_says_so() {
    let problem = of_limit("accuracy: leased");
    assert_eq!(problem.code, "not_available", "{problem}");
    assert!(problem.message.contains("leased") && problem.message.contains("this version"));
}

#[test]
fn broken_files_are_errors_with_a_place() {
    for (text, expected) in [
        ("", "1:1 empty"),
        ("\n# only a comment\n", "1:1 empty"),
        ("~", "1:1 empty"),
        ("version: 1\n", "1:1 empty"),
        ("version: 1\nrate_limits:\n", "2:12 empty"),
        ("- a\n", "1:1 wrong_type"),
        ("rate_limits", "1:1 wrong_type"),
        ("rate_limits: []", "1:14 wrong_type"),
        ("rate_limits: { a: 5 }", "1:19 wrong_type"),
        ("rate_limits: { a: }", "1:17 wrong_type"),
        ("version: 2\nrate_limits: {}", "1:10 out_of_range"),
        ("rate_limits: {}\n---\nrate_limits: {}\n", "2:1 syntax"),
        ("rate_limits:\n\ta: 1\n", "2:2 syntax"),
        ("rate_limits: { a: { limit: 5, ", "1:19 syntax"),
        ("rate_limits: !!map {}", "1:20 unsupported_yaml"),
        ("rate_limits: *nowhere", "1:14 syntax"),
        ("endpoint_costs: { 'GET /a': x }\nrate_limits: {}", "1:29 bad_number"),
        ("endpoint_costs: []\nrate_limits: {}", "1:17 wrong_type"),
        ("rate_limits: {}\nrate_limits: {}", "2:1 repeated_key"),
    ] {
        assert_eq!(places(text), [expected], "{text}");
    }
    let tab = compile("rate_limits:\n\ta: 1\n").unwrap_err();
    assert!(tab[0].help.clone().unwrap_or_default().contains("spaces"), "{}", tab[0]);
    assert_eq!(Policy::compile(&[]).unwrap_err()[0].code, "empty");
    assert!(compile("rate_limits: {}").is_ok(), "nothing on purpose");
    assert!(compile("\u{feff}rate_limits: {}").is_ok(), "a byte order mark");
}

#[test]
fn bytes_that_are_not_text_are_refused_with_their_place() {
    let problem = SourceFile::from_bytes("b.yaml".into(), b"a: 1\nb: \xff\n".to_vec()).unwrap_err();
    assert_eq!((problem.code, problem.line, problem.column), ("not_text", 2, 4));
    let huge = SourceFile::from_bytes("b.yaml".into(), vec![b'#'; (8 << 20) + 1]).unwrap_err();
    assert_eq!(huge.code, "too_large");
    let text = "#".repeat((8 << 20) + 1);
    assert_eq!(places(&text), ["1:1 too_large"]);
}

#[test]
fn repeated_names_and_endpoints_name_both_places() {
    let two = files(&[
        ("a.yaml", "rate_limits:\n  x: { limit: 1, window: 1s }\n"),
        ("b.yaml", "rate_limits:\n  y: { limit: 1, window: 1s }\n  x: { limit: 1, window: 1s }\n"),
    ]);
    let problems = Policy::compile(&two).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    assert_eq!(
        (problem.code, problem.file.as_str(), problem.line),
        ("repeated_limit", "b.yaml", 3)
    );
    assert!(problem.message.contains("a.yaml:2:3"), "{problem}");
    let text = "rate_limits:\n  x: { limit: 1, window: 1s }\n  x: { limit: 1, window: 1s }\n";
    assert_eq!(places(text), ["3:3 repeated_limit"]);
    let costs = "endpoint_costs:\n  'GET /a/{x}': 1\n  'GET /a/{y}': 2\nrate_limits: {}\n";
    assert_eq!(places(costs), ["3:3 repeated_endpoint"]);
    assert!(compile("endpoint_costs: {'GET /a/{x}': 1, 'GET /a/*': 2}\nrate_limits: {}").is_ok());
}

#[test]
fn rates_that_cannot_be_counted_name_the_nearest_that_can() {
    let limit = |limit, burst| {
        format!(
            "rate_limits: {{ a: {{ algorithm: token_bucket, window: 366d, limit: {limit}, \
             burst: {burst} }} }}"
        )
    };
    let problems = compile(&limit(1_000_000_007, 1)).unwrap_err();
    assert_eq!(problems[0].code, "inexact_rate");
    let help = problems[0].help.clone().unwrap_or_default();
    let nearest: u64 = help.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(nearest.abs_diff(1_000_000_007) < 100, "{help}");
    assert!(compile(&limit(nearest, 1)).is_ok(), "{help}");
    assert_eq!(compile(&limit(1, 101)).unwrap_err()[0].code, "slow_refill");
    let never = compile(&limit(0, 1)).unwrap_err();
    assert!(never.iter().any(|problem| problem.code == "slow_refill"), "{never:#?}");
}

#[test]
fn warnings_are_few_and_sure() {
    assert_eq!(
        places("rate_limits: { a: { limit: 0, window: 1s, key: shoe_size, cost: 0 } }"),
        ["1:28 denies_all", "1:48 unmapped_attribute", "1:65 takes_nothing"]
    );
    for key in ["tenant_id", "headers.X-Team", "claims.sub", "descriptors.a", "endpoint"] {
        let text = format!("rate_limits: {{ a: {{ limit: 1, window: 1s, key: {key} }} }}");
        assert_eq!(places(&text), [""; 0], "{key}");
    }
}

/// 9^8 values out of a few lines, and depth beyond any need.
#[test]
fn bombs_are_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 9].join(",");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let problems = compile(&bomb).unwrap_err();
    assert_eq!((problems.len(), problems[0].code), (1, "too_large"), "{problems:#?}");
    let long = "x".repeat(1 << 20);
    let texts = format!("a: &a \"{long}\\n\"\nb: [{}]", ["*a"; 1_000].join(","));
    assert_eq!(compile(&texts).unwrap_err()[0].code, "too_large");
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let deep = format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
        let problems = compile(&deep).unwrap_err();
        assert!(matches!(problems[0].code, "too_large" | "syntax"), "{}", problems[0]);
    }
    let inside = compile("rate_limits: &a { a: *a }").unwrap_err();
    assert!(matches!(inside[0].code, "unsupported_yaml" | "syntax"), "{}", inside[0]);
}

#[test]
fn aliases_stand_for_what_they_name() {
    let shared =
        policy("rate_limits:\n  a: &same { key: tenant_id, limit: 5, window: 1s }\n  b: *same\n");
    assert_eq!(shared.limits()[1].numbers.limit.get(), 5);
}

#[test]
fn ten_thousand_limits_load() {
    let mut text = "rate_limits:\n".to_owned();
    for n in 0..10_000 {
        text += &format!(
            "  limit_{n}:\n    description: the limit of tenant {n}\n    \
             match: [\"GET /v1/t{n}/**\", \"POST /v1/t{n}/{{id}}\"]\n    \
             key: [tenant_id, user_id]\n    algorithm: token_bucket\n    limit: {}\n    \
             window: 1m\n    burst: 100\n    mode: enforce\n",
            n + 1
        );
    }
    let policy = policy(&text);
    assert_eq!(policy.limits().len(), 10_000);
    assert_eq!(policy.limits()[9_999].place.line, 2 + 9 * 9_999);
}

#[test]
fn too_many_problems_are_counted_not_listed() {
    let limits: String = (0..5_000).map(|n| format!("  l{n}: 5\n")).collect();
    let problems = compile(&format!("rate_limits:\n{limits}")).unwrap_err();
    assert_eq!(problems.len(), 1_001);
    let last = problems.last().unwrap();
    assert_eq!((last.code, last.message.as_str()), ("more", "4000 more problems are not listed"));
}

#[test]
fn the_revision_follows_the_meaning_alone() {
    let revision = |text: &str| policy(text).revision().to_owned();
    let one = revision(
        "rate_limits:\n  \
         a: { key: tenant_id, limit: 1_000, window: 60s, match: ['GET /a', 'GET /b'] }\n  \
         b: { limit: 5, window: 1h }\n",
    );
    assert_eq!(one.len(), 16);
    assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
    let same = [
        "version: 1\n# a comment\nrate_limits:\n  a:\n    description: nothing\n    \
         window: 1m\n    match: [GET /b, GET /a/]\n    \
         limit: 1000\n    key: [tenant_id]\n    mode: enforce\n  \
         b: { window: 60m, limit: 5, algorithm: sliding_window }\n",
        "endpoint_costs: {}\nrate_limits:\n  a: { key: tenant_id, limit: 1000, window: 1m, match: \
         ['GET /a', 'GET /b'] }\n  b: { limit: 5, window: 1h, max_keys: 1000000 }\n",
    ];
    for text in same {
        assert_eq!(revision(text), one, "{text}");
    }
    let other = [
        "rate_limits:\n  \
         a: { key: tenant_id, limit: 1001, window: 60s, match: ['GET /a', 'GET /b'] }\n  \
         b: { limit: 5, window: 1h }\n",
        "rate_limits:\n  b: { limit: 5, window: 1h }\n  \
         a: { key: tenant_id, limit: 1000, window: 60s, match: ['GET /a', 'GET /b'] }\n",
        "endpoint_costs: { 'GET /a': 2 }\nrate_limits:\n  \
         a: { key: tenant_id, limit: 1000, window: 60s, match: ['GET /a', 'GET /b'] }\n  \
         b: { limit: 5, window: 1h }\n",
    ];
    for text in other {
        assert_ne!(revision(text), one, "{text}");
    }
}

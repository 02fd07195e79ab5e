//! Case files: those of this crate and of its examples pass, a mistake is told with its place, and
//! what a step got instead of what it expected is told in words.

#![cfg(test)]

use std::path::{Path, PathBuf};

use sluicegate_limits::cases::{Case, Failure, Suite, limit_names, limits_of};
use sluicegate_limits::policy::{Policy, Problem, SourceFile};

const LIMITS: &str = "
rate_limits:
  default: { key: tenant_id, limit: 3, window: 1m }
  exports: { match: 'POST /v1/export', key: [tenant_id, shop], limit: 1, window: 1h }
  trial: { key: tenant_id, limit: 2, window: 1m, mode: shadow }
  off: { limit: 0, window: 1m, mode: disabled }
";

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

fn policy() -> Policy {
    Policy::compile(&[file("a.yaml", LIMITS)]).unwrap().policy
}

/// One case about the policy above, of these steps.
fn case(steps: &str) -> String {
    // A step may go on in a second line.
    let step = |line: &str| match line.trim() {
        begun if begun.starts_with('{') => format!("  - {begun}\n"),
        more => format!("    {more}\n"),
    };
    let steps: String = steps.lines().map(step).collect();
    let head = "limits: a.yaml\ncases:\n- name: one\n  given: { tenant_id: a }\n  steps:\n";
    format!("{head}{steps}")
}

fn problems(text: &str) -> Vec<Problem> {
    Suite::read(&file("a.test.yaml", text), Some(&policy())).expect_err(text)
}

fn run(steps: &str) -> Result<Vec<String>, Box<Failure>> {
    let policy = policy();
    let suite = match Suite::read(&file("a.test.yaml", &case(steps)), Some(&policy)) {
        Ok(suite) => suite,
        Err(problems) => panic!("{problems:#?}"),
    };
    let passed = suite.cases[0].run(&policy, &mut |_| {})?;
    let mut tested: Vec<_> = passed.tested.iter().map(|name| name.to_string()).collect();
    tested.sort();
    Ok(tested)
}

/// All case files of a folder, with the policy that they are about.
fn suites(folder: &str) -> Vec<(String, Policy, Vec<Case>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read =
        |path: &Path| file(&path.display().to_string(), &std::fs::read_to_string(path).unwrap());
    let suite = |path: PathBuf| {
        let file = read(&path);
        let limits = limits_of(&file).into_iter().map(|limits| read(&folder.join(limits.path)));
        let policy = match Policy::compile(&limits.collect::<Vec<_>>()) {
            Ok(compiled) => compiled.policy,
            Err(problems) => panic!("{problems:#?}"),
        };
        match Suite::read(&file, Some(&policy)) {
            Ok(suite) => (file.name, policy, suite.cases),
            Err(problems) => panic!("{problems:#?}"),
        }
    };
    let is_case_file = |path: &PathBuf| path.display().to_string().ends_with(".test.yaml");
    files.into_iter().filter(is_case_file).map(suite).collect()
}

#[test]
fn every_case_file_passes() {
    let mut cases = 0;
    for (file, policy, suite) in
        ["tests/cases/verdicts", "examples"].map(suites).into_iter().flatten()
    {
        for case in suite {
            let name = format!("{file}: {}", case.name);
            let mut requests = 0;
            if let Err(failure) = case.run(&policy, &mut |done| requests += done) {
                panic!(
                    "{name}: step {}: {} and not {}",
                    failure.step, failure.got, failure.expected
                );
            }
            assert_eq!(requests, case.requests(), "{name}");
            cases += 1;
        }
    }
    assert!(cases >= 11, "cases are missing");
}

#[test]
fn an_attribute_that_only_a_condition_speaks_of_may_be_given() {
    let limits = "rate_limits: { a: { limit: 1, window: 1m, when: 'team == \"web\"' } }";
    let policy = Policy::compile(&[file("a.yaml", limits)]).unwrap().policy;
    let steps = "{ with: { team: ops }, expect: allow, applies: [] }
                 { with: { team: web }, expect: allow, applies: [a] }";
    let suite = Suite::read(&file("a.test.yaml", &case(steps)), Some(&policy)).unwrap();
    assert!(suite.cases[0].run(&policy, &mut |_| {}).is_ok());
}

#[test]
fn what_holds_nothing_ends_as_it_does_at_a_service() {
    let steps = "{ reserve: idle, cost: 0, expect: allow, limit: default, remaining: 3 }
                 { at: 1s, settle: idle, actual: 2, expect: allow }
                 { at: 1s, expect: allow, limit: default, remaining: 0 }
                 { hold: free, with: { tenant_id: ~ }, expect: allow, applies: [] }
                 { at: 2s, extend: free, expect: allow }
                 { at: 2s, release: free, expect: allow }";
    assert!(run(steps).is_ok(), "{:#?}", run(steps));
}

#[test]
fn what_is_expected_is_compared() {
    let good = [
        "{ at: 0s, times: 3, expect: allow, remaining: 0 }
         { at: 59999ms, expect: deny, limit: default, retry_after: 1ms, reason: limit_exceeded }
         { at: 2026-01-01T00:01:00Z, expect: allow, limit: default, remaining: 2 }",
        "{ with: { method: POST, path: /v1/export, shop: s }, applies: [trial, default, exports],
           expect: allow }
         { with: { tenant_id: ~ }, expect: allow, applies: [] }
         { cost: 4, expect: deny, reason: cost_exceeds_capacity, remaining: 2,
           retry_after: never }",
        "{ times: 2, expect: allow, would_deny: [] }
         { at: 1s, expect: allow, would_deny: [trial], limit: trial, remaining: 0 }",
    ];
    for steps in good {
        assert!(run(steps).is_ok(), "{:#?}", run(steps));
    }
    for (steps, expected, got) in [
        ("{ expect: deny }", "deny", "allow, 2 of `default` left"),
        (
            "{ cost: 4, expect: allow }",
            "allow",
            "deny by `default`, reason cost_exceeds_capacity, retry never, 3 left",
        ),
        ("{ expect: allow, remaining: 1 }", "allow, 1 left", "allow, 2 of `default` left"),
        (
            "{ expect: allow, limit: trial, remaining: 2 }",
            "allow, 2 of `trial` left",
            "allow, 1 of `trial` left",
        ),
        (
            "{ expect: allow, limit: exports }",
            "allow, `exports` applies",
            "allow, 2 of `default` left",
        ),
        (
            "{ times: 2, expect: allow, remaining: 2 }",
            "allow, 2 left",
            "allow, 1 of `default` left",
        ),
        (
            "{ cost: 4, expect: deny, limit: trial, reason: x, retry_after: 1s, remaining: 0 }",
            "deny by `trial`, reason x, retry after 1s, 0 left",
            "deny by `default`, reason cost_exceeds_capacity, retry never, 3 left",
        ),
        (
            "{ expect: allow, applies: [exports], would_deny: [trial] }",
            "allow, of the limits apply `exports`, in shadow would deny `trial`",
            "allow, 2 of `default` left, of the limits apply `default`, `trial`, \
             in shadow would deny none",
        ),
        ("{ with: { tenant_id: ~ }, expect: deny }", "deny", "allow, no limit applies"),
    ] {
        let failure = run(steps).expect_err(steps);
        assert_eq!((failure.expected.as_str(), failure.got.as_str()), (expected, got));
    }
}

/// A policy of what can be held, and the outcome of these steps on it.
fn hold(steps: &str) -> Result<(), (String, String)> {
    let limits = "
rate_limits:
  running: { key: tenant_id, algorithm: concurrency, limit: 2, hold: 5m, cost: 1 }
  tokens: { key: tenant_id, limit: 100, window: 1h }
  calls: { key: tenant_id, limit: 5, window: 1h, cost: 1 }
";
    let policy = Policy::compile(&[file("a.yaml", limits)]).unwrap().policy;
    let suite = match Suite::read(&file("a.test.yaml", &case(steps)), Some(&policy)) {
        Ok(suite) => suite,
        Err(problems) => panic!("{problems:#?}"),
    };
    let ran = suite.cases[0].run(&policy, &mut |_| {});
    ran.map(drop).map_err(|failure| (failure.expected, failure.got))
}

#[test]
fn what_is_held_is_given_back_and_what_is_reserved_is_settled() {
    for steps in [
        "{ hold: a, expect: allow, limit: running, remaining: 1 }
         { at: 1s, hold: b, lasting: 10s, expect: allow, limit: running, remaining: 0 }
         { at: 2s, expect: deny, limit: running, reason: concurrency_exceeded }
         { at: 3s, release: a, expect: allow, limit: running, remaining: 1 }
         { at: 3s, expect: allow, limit: running, remaining: 0 }
         { at: 9s, extend: b, lasting: 4m, expect: allow }
         { at: 60s, expect: deny, limit: running }
         { at: 6m, expect: allow, limit: running, remaining: 1 }
         { at: 20m, release: b, expect: deny }",
        "{ reserve: r, cost: 80, lasting: 1m, expect: allow, limit: tokens, remaining: 20 }
         { at: 1s, cost: 21, expect: deny, limit: tokens }
         { at: 2s, settle: r, actual: 30, expect: allow, limit: tokens, remaining: 70 }
         { at: 3s, settle: r, actual: 90, expect: allow, limit: tokens, remaining: 70 }
         { at: 3s, cost: 0, expect: allow, limit: tokens, remaining: 70 }
         { at: 3s, extend: r, expect: deny }",
        "{ reserve: r, cost: 80, lasting: 10s, expect: allow, limit: running, remaining: 1 }
         { at: 1s, settle: r, actual: 0, expect: allow, limit: tokens, remaining: 100 }
         { at: 1s, cost: 0, expect: allow, limit: running, remaining: 1 }",
        "{ cost: 101, reserve: r, expect: deny, reason: cost_exceeds_capacity }
         { settle: r, actual: 1, expect: deny }",
        // A reservation that nobody settles counts in full.
        "{ reserve: r, cost: 80, lasting: 10s, expect: allow }
         { at: 10m, cost: 0, expect: allow, limit: tokens, remaining: 20 }",
    ] {
        assert_eq!(hold(steps), Ok(()), "{steps}");
    }
    let late = "{ hold: a, lasting: 1s, expect: allow }\n{ at: 1h, release: a, expect: allow }";
    let (expected, got) = hold(late).unwrap_err();
    assert!(expected == "allow" && got.starts_with("deny, reason"), "{got}");
}

#[test]
fn mistakes_about_holds_are_told() {
    for (steps, line, code, help) in [
        ("{ release: a, expect: allow }", 6, "unknown_hold", "a hold is released"),
        (
            "{ hold: abc, expect: allow }\n{ release: abd, expect: allow }",
            7,
            "unknown_hold",
            "did you mean `abc`?",
        ),
        (
            "{ hold: a, expect: allow }\n{ settle: a, actual: 1, expect: allow }",
            7,
            "unknown_hold",
            "a hold is released",
        ),
        (
            "{ reserve: a, expect: allow }\n{ settle: a, expect: allow }",
            7,
            "missing_key",
            "`actual: 100`",
        ),
        ("{ hold: a, times: 2, expect: allow }", 6, "misplaced_key", "remove it"),
        ("{ lasting: 1m, expect: allow }", 6, "misplaced_key", "remove it"),
        ("{ actual: 1, expect: allow }", 6, "misplaced_key", "remove it"),
        ("{ hold: a, reserve: a, expect: allow }", 6, "misplaced_key", "two steps"),
        (
            "{ hold: a, expect: allow }\n{ release: a, cost: 1, expect: allow }",
            7,
            "misplaced_key",
            "remove it",
        ),
        ("{ hold: a, lasting: 2h, expect: allow }", 6, "out_of_range", "1ms to 1h"),
    ] {
        let found = problems(&case(steps));
        assert_eq!((found[0].line, found[0].code), (line, code), "{steps}: {found:#?}");
        assert!(found[0].help.as_deref().unwrap_or("").contains(help), "{found:#?}");
    }
}

#[test]
fn a_failure_names_its_step_and_explains() {
    let failure =
        run("{ at: 0s, expect: allow }\n{ at: 5s, times: 9, expect: allow }").unwrap_err();
    assert_eq!((failure.place.file.as_str(), failure.place.line), ("a.test.yaml", 7));
    assert_eq!((failure.step, failure.time, failure.times), (2, 3, 9));
    assert_eq!(failure.at, "5s");
    let explanation = failure.explanation;
    assert_eq!((explanation.allowed, explanation.limit_name.as_deref()), (false, Some("default")));
    let used: Vec<_> = explanation.limits.iter().map(|limit| (&*limit.name, limit.used)).collect();
    assert_eq!(used, [("default", Some(3)), ("exports", None), ("trial", Some(2)), ("off", None)]);
}

#[test]
fn a_limit_is_tested_where_it_is_named_or_denies_what_shall_be_denied() {
    let tested = |steps| run(steps).unwrap();
    assert!(tested("{ times: 3, expect: allow, applies: [default, trial] }").is_empty());
    assert_eq!(tested("{ expect: allow, limit: trial, remaining: 1 }"), ["trial"]);
    assert_eq!(tested("{ times: 3, expect: allow }\n{ expect: deny }"), ["default"]);
    assert_eq!(
        tested("{ times: 2, expect: allow }\n{ expect: allow, would_deny: [trial] }"),
        ["trial"]
    );
    // What is named and does not apply is not tested.
    assert!(tested("{ with: { tenant_id: ~ }, expect: allow, would_deny: [] }").is_empty());
}

#[test]
fn limits_that_are_disabled_are_not_there_to_test() {
    let names: Vec<_> = limit_names(&file("a.yaml", LIMITS));
    let names: Vec<_> = names.iter().map(|limit| (&*limit.name, limit.place.line)).collect();
    assert_eq!(names, [("default", 3), ("exports", 4), ("trial", 5)]);
    assert!(limit_names(&file("a.yaml", "rate_limits: [")).is_empty());
}

#[test]
fn the_limits_of_a_case_file_are_named_with_their_places() {
    let named = |text| -> Vec<(String, u32, u32)> {
        let paths = limits_of(&file("a.test.yaml", text)).into_iter();
        paths.map(|limits| (limits.path, limits.line, limits.column)).collect()
    };
    assert_eq!(named("limits: a.yaml\ncases: 7"), [("a.yaml".to_owned(), 1, 9)]);
    let two = [("a.yaml".to_owned(), 2, 10), ("b.yaml".to_owned(), 2, 18)];
    assert_eq!(named("cases: []\nlimits: [a.yaml, b.yaml]"), two);
    assert!(named("limits: [").is_empty() && named("").is_empty());
}

#[test]
fn every_mistake_of_a_step_is_told_with_its_place() {
    for (step, column, code, help) in [
        ("{ exepct: allow }", 7, "unknown_key", "did you mean `expect`?"),
        ("{ at: 0s }", 5, "missing_key", "`expect: allow`"),
        ("{ expect: alow }", 15, "bad_word", "did you mean `allow`?"),
        ("{ expect: allow, limit: defalt }", 29, "unknown_limit", "did you mean `default`?"),
        ("{ expect: allow, applies: [off, trail] }", 37, "unknown_limit", "did you mean `trial`?"),
        ("{ expect: allow, would_deny: trial }", 34, "wrong_type", "`[]` where it is no limit"),
        ("{ expect: allow, reason: x }", 30, "misplaced_key", "remove it, or `expect: deny`"),
        ("{ expect: allow, retry_after: 1s }", 35, "misplaced_key", "remove it, or `expect: deny`"),
        ("{ expect: deny, retry_after: 10 }", 34, "bad_window", "did you mean `10s`?"),
        ("{ expect: allow, remaining: '1' }", 33, "bad_number", "remove the quotes"),
        ("{ expect: allow, times: 0 }", 29, "out_of_range", "1 to 1000000"),
        ("{ expect: allow, cost: -1 }", 28, "bad_number", ""),
        ("{ expect: allow, at: soon }", 26, "bad_window", "an integer and one of ms"),
        ("{ expect: allow, at: 2026-01-01 }", 26, "bad_instant", "2026-03-14T22:59:59Z"),
        ("{ expect: allow, at: 2025-12-31T23:59:59Z }", 26, "time_goes_back", "in order"),
        ("{ expect: allow, with: { tenat_id: b } }", 30, "unknown_attribute", "`tenant_id`?"),
        ("{ expect: allow, with: { shap: b } }", 30, "unknown_attribute", "did you mean `shop`?"),
        ("{ expect: allow, with: { ip_address: x } }", 42, "bad_attribute", ""),
        ("{ expect: allow, with: { shop: [b] } }", 36, "wrong_type", "`~` for none"),
        ("{ expect: allow, with: { shop: a, shop: b } }", 39, "repeated_key", ""),
    ] {
        let found = problems(&case(step));
        let first = &found[0];
        assert_eq!((first.line, first.column, first.code), (6, column, code), "{step}: {found:#?}");
        assert!(first.help.as_deref().unwrap_or("").contains(help), "{found:#?}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let text = "
limit: a.yaml
cases:
- name: one
  start: yesterday
  given: { authenticated: maybe, shop: s }
  steps:
  - { at: 1m, expect: allow }
  - { at: 1s, expect: deny }
- name: one
  steps: []
- steps: [{ expect: allow }]
";
    let found = problems(text);
    let codes: Vec<_> = found.iter().map(|problem| (problem.line, problem.code)).collect();
    assert_eq!(
        codes,
        [
            (2, "unknown_key"),
            (5, "bad_instant"),
            (6, "bad_attribute"),
            (9, "time_goes_back"),
            (10, "repeated_case"),
            (11, "out_of_range"),
            (12, "missing_key"),
        ]
    );
    // `limit` was meant to be `limits`, which is not missing then.
    assert_eq!(found[0].help.as_deref(), Some("did you mean `limits`?"));
    assert_eq!(problems("")[0].code, "empty");
    assert_eq!(problems("limits: a.yaml")[0].code, "missing_key");
    let many = "{ times: 1000000, expect: allow }\n".repeat(11);
    assert_eq!(problems(&case(&many))[0].code, "out_of_range");
    // Without the policy, what names its limits is not checked.
    let unknown = case("{ expect: deny, limit: unknown, with: { unknown: a } }");
    assert!(Suite::read(&file("a.test.yaml", &unknown), None).is_ok());
}

//! `paths:` of the settings, in every command that takes them by `-c`.

use serde_json::{Value, json};

use crate::world::World;

const LIMITS: &str = "
endpoint_costs: {\"GET /v1/status\": 0}
rate_limits:
  exports: { match: \"GET /v1/export\", limit: 1, window: 1h }
  all: { match: \"* /v1/**\", limit: 100, window: 1h }
";
const READS: &str = "paths: { encoded_slash: separator, matrix_params: strip, case: insensitive, \
                     dot_segments: resolve }";

fn world(name: &str) -> World {
    let world = World::new(name);
    world.file("new.yaml", LIMITS).file("plain.yaml", "paths: {}\n").file("reads.yaml", READS);
    world
}

fn json(world: &World, arguments: &[&str]) -> (i32, Value) {
    let (code, out, err) = world.run(&[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

#[test]
fn explain_reads_the_path_as_the_settings_say() {
    let world = world("paths-explain");
    let explain = |request: &str, config: &str| {
        json(&world, &["explain", request, "--limits", "new.yaml", "-c", config])
    };
    let (code, refused) = explain("GET /v1%2Fexport;x", "plain.yaml");
    assert_eq!((code, &refused["reason"]), (1, &json!("invalid_request")));
    let (code, read) = explain("GET /V1%2Fexport;x", "reads.yaml");
    assert_eq!((code, &read["limit_name"]), (0, &json!("exports")), "{read}");
    // What people see names the setting too.
    let request = ["explain", "GET /v1%2Fexport", "--limits", "new.yaml"];
    let (_, text, _) = world.run(&request);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("set `paths.encoded_slash` to `data` or `separator`"), "{text}");
}

#[test]
fn tests_of_limits_run_with_the_settings() {
    let world = world("paths-test");
    let case = |path: &str, expect: &str| {
        format!(
            "limits: new.yaml\ncases:\n- name: one\n  steps:\n  - {{ with: {{ method: GET, path: \
             \"{path}\" }}, expect: {expect} }}\n"
        )
    };
    world.file("read.test.yaml", case("/V1/x/..%2Fexport", "allow, applies: [exports, all]"));
    assert_eq!(world.run(&["test", "read.test.yaml", "-c", "reads.yaml"]).0, 0);
    assert_eq!(world.run(&["test", "read.test.yaml"]).0, 1);
    world.file("plain.test.yaml", case("/v1;x/export", "deny, reason: invalid_request"));
    assert_eq!(world.run(&["test", "plain.test.yaml"]).0, 0);
    let (code, out, _) = world.run(&["test", "plain.test.yaml", "-c", "reads.yaml"]);
    assert!(code == 1 && out.contains("allow"), "{out}");
}

#[test]
fn a_replay_reads_logged_paths_as_the_settings_say() {
    let world = world("paths-replay");
    world.file(
        "log",
        "at,method,path\n1767225600,GET,/v1/export\n1767225601,GET,/V1/export;x\n\
         1767225602,GET,/v1/a/../export\n1767225603,GET,/v1/%2e%2e/b\n",
    );
    let plain = world.replay(&[]);
    // The second is another path however it is read, where case matters.
    let reasons = json!({"invalid_request": 2});
    assert_eq!(plain["policy"]["reasons"], reasons, "{plain}");
    let read = world.replay(&["-c", "reads.yaml"]);
    assert_eq!(read["policy"]["reasons"], json!({"limit_exceeded": 2}), "{read}");
    assert_eq!(
        (&read["policy"]["allowed"], &read["log"]["unreadable_lines"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn check_says_what_is_taken_for_granted_and_what_is_refused() {
    let world = world("paths-check");
    let (code, report) = json(&world, &["check", "new.yaml", "-c", "plain.yaml"]);
    assert_eq!(code, 0);
    let codes: Vec<_> =
        report["warnings"].as_array().unwrap().iter().map(|w| w["code"].clone()).collect();
    assert!(codes.contains(&json!("unsaid_case")), "{report}");
    let notes = |report: &Value| {
        let notes = report["notes"].as_array().unwrap().iter();
        notes.map(|note| note.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
    };
    let text = notes(&report);
    for said in [
        "paths.encoded_slash is refuse: ",
        "count alike, as GET /v1%2Fexport",
        "paths.empty_segments is merge: taken for granted: `//` is `/`",
        "paths.case is not set: ",
        "x-http-method-override",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    let (_, report) = json(&world, &["check", "new.yaml", "-c", "reads.yaml"]);
    let text = notes(&report);
    assert!(text.contains("UNESCAPE_AND_FORWARD") && !text.contains("%2Fexport"), "{text}");
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "open_to_anyone alone: {report}");
    // Nothing is taken for granted where no limit asks for a path, or nobody says how it is read.
    world.file("one.yaml", "rate_limits: {a: {limit: 5, window: 1s}}");
    let (_, report) = json(&world, &["check", "one.yaml", "-c", "plain.yaml"]);
    assert!(!notes(&report).contains("granted"), "{report}");
    let (_, report) = json(&world, &["check", "new.yaml"]);
    assert_eq!(report["notes"], json!([]));
}

#[test]
fn a_diff_says_what_begins_to_be_refused() {
    let world = world("paths-diff");
    world.file("old.yaml", "rate_limits: {all: {limit: 100, window: 1h}}");
    let (code, text, _) = world.run(&["diff", "old.yaml", "new.yaml"]);
    assert_eq!(code, 1);
    assert!(text.contains("~ reading of paths paths.encoded_slash: tightened"), "{text}");
    assert!(text.contains("    begins to refuse: GET /v1%2Fexport"), "{text}");
    let (_, back, _) = world.run(&["diff", "new.yaml", "old.yaml"]);
    assert!(back.contains("    no longer refuses: GET /v1%2Fexport"), "{back}");
    // With settings that say it all nothing is.
    let (_, known, _) = world.run(&["diff", "old.yaml", "new.yaml", "-c", "reads.yaml"]);
    assert!(!known.contains("refuse"), "{known}");
    // Settings alone may change what is.
    let both = ["diff", "new.yaml", "new.yaml", "-c", "plain.yaml", "--old-config", "reads.yaml"];
    let (code, report) = json(&world, &both);
    assert_eq!((code, &report["equal"]), (1, &json!(false)), "{report}");
    let changes = report["changes"].as_array().unwrap();
    let of = |name: &str| changes.iter().find(|change| change["name"] == name).unwrap();
    let slash = of("paths.encoded_slash");
    assert_eq!((&slash["what"], &slash["change"]), (&json!("paths"), &json!("changed")));
    let details = slash["details"].as_array().unwrap();
    assert_eq!(details[0]["before"], json!("separator"));
    assert_eq!(
        (&details[1]["field"], &details[1]["effect"]),
        (&json!("refuses"), &json!("stricter"))
    );
    assert_eq!(world.run(&["diff", "new.yaml", "new.yaml", "-c", "plain.yaml"]).0, 0);
}

#[test]
fn patterns_that_the_settings_never_deliver_are_told_at_their_place() {
    let world = world("paths-undelivered");
    world.file(
        "new.yaml",
        "endpoint_costs: {\"GET /a;x\": 2}\nrate_limits:\n  a: { match: \"GET /@a%2Fb\", limit: 5, \
         window: 1s }\n  b: { when: 'path.startsWith(\"/c;x\")', limit: 5, window: 1s }\n",
    );
    let found = |config: &str| {
        let (_, report) = json(&world, &["check", "new.yaml", "-c", config]);
        let warnings = report["warnings"].as_array().unwrap().clone();
        let told = warnings.into_iter().filter(|w| w["code"] == "undelivered_path");
        told.map(|w| format!("{}:{} {}", w["line"], w["column"], w["message"])).collect::<Vec<_>>()
    };
    let none = found("reads.yaml");
    assert_eq!(none.len(), 3, "{none:?}");
    assert!(none[0].starts_with("1:18 \"no request has `GET /a;x`: `paths.matrix_params` is"));
    assert!(none[1].starts_with("3:15 \"no request has `GET /@a%2Fb`: `paths.encoded_slash` is"));
    assert!(none[2].starts_with("4:14 \"no request has `/c;x`: "), "{none:?}");
    world.file("data.yaml", "paths: { encoded_slash: data, matrix_params: keep }");
    assert_eq!(found("data.yaml"), [""; 0]);
}

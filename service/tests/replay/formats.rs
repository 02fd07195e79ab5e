//! Each format of logs, and which of its fields are which attributes.

use serde_json::{Value, json};

use crate::world::{START, World};

const LIMITS: &str = "
rate_limits:
  user: {key: user_id, limit: 1, window: 1h}
  address: {match: \"GET /v1/**\", key: [ip_address, host], limit: 1, window: 1h}
  unauthenticated: {key: ip_address, limit: 0, window: 1h}
";

/// How often each of the limits applied.
fn applied(report: &Value) -> Vec<u64> {
    let limits = report["policy"]["limits"].as_array().unwrap();
    limits.iter().map(|limit| limit["applied"].as_u64().unwrap()).collect()
}

#[test]
fn json_access_logs_of_envoy_and_istio_are_read() {
    let world = World::new("envoy-json");
    let line = |at: &str, user: &str, path: &str| {
        format!(
            r#"{{"start_time":"{at}","method":"GET","path":"{path}","response_code":200,
            "authority":"api.example.org:443","downstream_remote_address":"203.0.113.7:5678",
            "x_forwarded_for":"1.1.1.1,203.0.113.7","upstream":{{"time":[1,2]}},
            "headers":{{"x-user":"{user}"}},"request_id":null}}"#
        )
        .replace('\n', "")
    };
    let log = [
        line("2026-01-01T00:00:00.100Z", "ada", "/v1/a?b=c"),
        line("2026-01-01T00:00:01.100Z", "bob", "//v1/./a"),
        line("2026-01-01T00:00:02.100Z", "-", "/other"),
        "[2026-01-01 00:00:03.000][1][info][main] a line of Envoy itself".to_owned(),
        r#"{"start_time":"soon"}"#.to_owned(),
    ];
    world.file("log", log.join("\n")).file("new.yaml", LIMITS);
    let map = ["--map", "user_id=headers.x-user", "--map", "authenticated=present:user_id"];
    let report = world.replay(&map);
    assert_eq!(report["log"]["format"], "envoy-json");
    assert_eq!((applied(&report), &report["log"]["requests"]), (vec![2, 2, 1], &json!(3)));
    let key = json!({"ip_address": "203.0.113.7", "host": "api.example.org"});
    assert_eq!(report["policy"]["keys"][0]["key"], key);
    assert_eq!(report["log"]["unreadable_lines"], 2);
    assert_eq!(report["log"]["unreadable"][0]["line"], 4);
    let why = report["log"]["unreadable"][1]["why"].as_str().unwrap();
    assert!(why.starts_with("`at` is not RFC 3339"), "{why}");
    // The same by the settings that the service reads.
    world.file(
        "settings.yaml",
        "attributes: {user_id: {header: x-user}, authenticated: {present: user_id}}\n",
    );
    assert_eq!(applied(&world.replay(&["-c", "settings.yaml"])), [2, 2, 1]);
    // Without either, nobody is known, and the report says so.
    let report = world.replay(&[]);
    assert_eq!(applied(&report), [0, 2, 3]);
    assert!(report["warnings"].to_string().contains("--map authenticated=present:user_id"));
}

#[test]
fn what_a_condition_or_a_cost_speaks_of_is_read_and_a_missing_part_is_told() {
    let world = World::new("conditions");
    let line = |second: u32, team: &str| {
        format!(
            r#"{{"start_time":"2026-01-01T00:00:{second:02}Z","tenant_id":"a","team":"{team}",
            "claims":{{"risk":1}},"rows":3}}"#
        )
        .replace('\n', "")
    };
    // A mark that some programs begin their files with is no part of the first line.
    let log = format!("\u{feff}{}\n{}\n{}\n", line(0, "web"), line(1, "web"), line(2, "ops"));
    world.file("log", log).file(
        "new.yaml",
        "rate_limits:\n  web: {key: tenant_id, limit: 4, window: 1h, cost: rows, \
         when: 'team == \"web\"'}\n  \
         risky: {key: tenant_id, limit: 1, window: 1h, when: 'claims.risk > 5'}\n  \
         small: {key: tenant_id, limit: 9, window: 1h, when: 'request_size < 5'}\n",
    );
    let report = world.replay(&[]);
    assert_eq!(report["log"]["format"], "envoy-json");
    assert_eq!(applied(&report), [2, 0, 3]);
    assert_eq!(report["policy"]["denied"], 1, "the second one costs three more of four");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("limit `small` has a condition on `request_size`"), "{warnings}");
    assert!(!warnings.contains("`web`") && !warnings.contains("`risky`"), "{warnings}");
}

#[test]
fn what_a_log_does_not_tell_is_counted_as_missing_and_told() {
    let world = World::new("missing");
    let line = |second: u32, rows: &str| {
        format!(
            r#"{{"start_time":"2026-01-01T00:00:{second:02}Z","tenant_id":"a","rows":"{rows}"}}"#
        )
    };
    let log: Vec<_> = ["2", "0.5", "many"].iter().zip(0..).map(|(r, n)| line(n, r)).collect();
    let limit = |more: &str| format!("{{key: tenant_id, limit: 9, window: 1h, {more}}}\n");
    world.file("log", log.join("\n")).file(
        "new.yaml",
        format!(
            "rate_limits:\n  sized: {}  rows: {}  together: {}",
            limit("cost: { of: request_size, missing: 4 }"),
            limit("cost: rows, mode: shadow"),
            "{key: [tenant_id, client_id], missing_key: together, limit: 1, window: 1h}\n",
        ),
    );
    let report = world.replay(&[]);
    assert_eq!(report["policy"]["denied"], 2, "one of a counter for all without a client");
    let exceeded: Vec<_> = report["policy"]["limits"].as_array().unwrap().iter().collect();
    assert_eq!(exceeded[1]["exceeded"], 1, "in shadow what is no number would be denied: {report}");
    let keys = report["policy"]["keys"].to_string();
    assert!(keys.contains(r#""client_id":"""#), "{keys}");
    let warnings = report["warnings"].to_string();
    for told in [
        "no line has `request_size`: limit `sized` counts each request as 4",
        "no line has `client_id`: limit `together` counts all requests as those without it",
    ] {
        assert!(warnings.contains(told), "{told} in {warnings}");
    }
    world.file(
        "new.yaml",
        "rate_limits:\n  asks: {key: client_id, missing_key: deny, limit: 9, window: 1h}\n  \
         rows: {limit: 9, window: 1h, cost: rows, match: 'GET /rows'}\n",
    );
    let report = world.replay(&[]);
    assert_eq!(report["policy"]["reasons"]["invalid_request"], 3, "{report}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("limit `asks` refuses every request"), "{warnings}");
}

#[test]
fn the_text_format_of_envoy_is_read() {
    let world = World::new("envoy-text");
    let line = |second: u8, path: &str| {
        format!(
            "[2026-01-01T00:00:0{second}.310Z] \"GET {path} HTTP/2\" 204 - 154 0 226 100 \
             \"198.51.100.1, 203.0.113.7\" \"nsq2http\" \"cc21d9b0\" \"API.example.org\" \
             \"tcp://10.0.2.1:80\""
        )
    };
    let log = [line(0, "/v1/a"), line(1, "/v1/b?c"), "[junk".to_owned(), line(2, "-")];
    world.file("log", log.join("\r\n")).file("new.yaml", LIMITS);
    let report =
        world.replay(&["--map", "user_id=user-agent", "--map", "authenticated=present:user_id"]);
    assert_eq!((&report["log"]["format"], applied(&report)), (&json!("envoy-text"), vec![3, 2, 0]));
    let keys = report["policy"]["keys"].to_string();
    assert!(keys.contains("nsq2http"), "{keys}");
    assert_eq!(report["log"]["unreadable_lines"], 1);
}

#[test]
fn columns_of_csv_are_attributes_and_may_be_mapped_or_quoted() {
    let world = World::new("csv");
    let log = format!(
        "\u{feff}when,Team,\"claims.sub\",note to self,cost\n\
         {START},\"a, \"\"b\"\"\",s,x,2\n\
         {START},\"a, \"\"b\"\"\",s,x,\n\
         {START},c\n\
         {START},\"open,s,x,1\n\
         {START},d,s,x,many\n"
    );
    world.file("log", log);
    world
        .file("new.yaml", "rate_limits: {a: {key: [tenant_id, claims.sub], limit: 2, window: 1h}}");
    let report = world.replay(&["--map", "at=when", "--map", "tenant_id=Team"]);
    assert_eq!(report["log"]["format"], "csv");
    assert_eq!((&report["policy"]["allowed"], &report["policy"]["denied"]), (&json!(1), &json!(1)));
    assert_eq!(
        report["policy"]["keys"][0]["key"],
        json!({"tenant_id": "a, \"b\"", "claims.sub": "s"})
    );
    let why: Vec<_> = report["log"]["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unreadable| {
            (unreadable["line"].as_u64().unwrap(), unreadable["why"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        why,
        [
            (4, "it has 2 of 5 fields"),
            (5, "a quote is not closed on its line"),
            (6, "`cost` is no number"),
        ]
    );
}

#[test]
fn decision_records_are_picked_out_of_the_log_of_the_service() {
    let world = World::new("records");
    let record = |second: u8, more: &str| {
        format!(
            r#"{{"target":"sluicegate::decision","time":"2026-01-01T00:00:0{second}.000000Z",
            "door":"http","authenticated":"true","ip_address":"hash:00ff","method":"GET",
            "user_id":"hash:1234",{more}}}"#
        )
        .replace('\n', "")
    };
    let log = [
        "2026-01-01T00:00:00Z INFO sluicegate: serving".to_owned(),
        r#"{"target":"sluicegate::reload","message":"of sluicegate::decision nothing"}"#.to_owned(),
        record(0, r#""path":"/v1/a","allowed":true,"sampled_share":0.25,"host":"a.example""#),
        record(
            1,
            r#""path":"hash:77","allowed":false,"reason":"limit_exceeded","host":"a","left_out":5"#,
        ),
        record(2, r#""path":"/v1/a","allowed":false,"reason":"invalid_request""#),
        record(3, r#""path":"/v1/a","allowed":false,"reason":"my_own","cost":3,"left_out":2"#),
    ];
    world.file("log", log.join("\n")).file("new.yaml", LIMITS);
    let report = world.replay(&["--decisions", "d"]);
    let log = &report["log"];
    assert_eq!((&log["format"], &log["requests"]), (&json!("records"), &json!(3)));
    assert_eq!((&log["other_lines"], &log["unreadable_lines"]), (&json!(3), &json!(0)));
    // The second has no path that could be matched, the last no host.
    assert_eq!(applied(&report), [3, 1, 0]);
    assert_eq!(report["policy"]["keys"][0]["key"], json!({"user_id": "hash:1234"}));
    assert!(report["warnings"][0].as_str().unwrap().contains("a share of 0.25"));
    assert!(report["warnings"][1].as_str().unwrap().starts_with("7 denials are not among"));
    assert_eq!(world.decisions()[2]["reason"], "cost_exceeds_capacity");
}

#[test]
fn standard_input_and_a_format_that_is_told_are_read() {
    let world = World::new("told");
    world.file("log", format!("{{\"at\": {START}.5, \"user_id\": 7}}\n"));
    world.file("new.yaml", LIMITS);
    let report = world.replay(&["--format", "envoy-json", "--map", "at=at"]);
    assert_eq!(report["log"]["first_at"], "2026-01-01T00:00:00.500000Z");
    assert_eq!(applied(&report), [1, 0, 0]);
}

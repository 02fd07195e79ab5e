//! The binary as operators use it: exit codes, the lines it prints, reload, records, and the end.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/service.rs"]
mod service;

use process::folder;
use service::{Service, run, run_in};

const GOOD: &str = "rate_limits: {a: {key: tenant_id, limit: 5, window: 1m}}";

fn quickstart() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../limits/examples/quickstart.yaml");
    path.canonicalize().unwrap().display().to_string()
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn check_names_the_place_the_key_and_the_right_word() {
    let folder = folder("check");
    file(&folder, "bad.yaml", "rate_limits: {a: {key: tenant_id, limit: 5, windw: 1m}}");
    let (code, out, err) = run_in(&folder, &["check", "bad.yaml"]);
    assert_eq!((code, out.as_str()), (78, ""));
    for part in ["bad.yaml:1:45", "`windw`", "`window`", "error[unknown_key]"] {
        assert!(err.contains(part), "{part} in\n{err}");
    }
    let caret = err.lines().find(|l| l.trim_end().ends_with('^')).expect("a caret");
    let source = err.lines().find(|l| l.contains("rate_limits:")).expect("the source line");
    assert_eq!(caret.find('^'), source.find("windw"), "{err}");
    assert!(!err.contains('\x1b'), "colours without a terminal");
    // A caret stands below its place also where what is before it is shown longer than it is.
    let odd = "a: {}\nrate_limits: {a: {key:\t'\u{202e}\u{1f600}', windw: 1m}}";
    file(&folder, "odd.yaml", odd);
    let (_, _, err) = run_in(&folder, &["check", "odd.yaml"]);
    let caret = err.lines().rfind(|l| l.trim_end().ends_with('^')).expect("a caret");
    let source = err.lines().find(|l| l.contains("rate_limits:")).expect("the source line");
    assert!(source.contains("\\t'\\u{202e}"), "{source}");
    let column = |line: &str, word: &str| line.split(word).next().unwrap().chars().count();
    assert_eq!(column(caret, "^"), column(source, "windw"), "{err}");
    let (code, out, _) = run_in(&folder, &["check", "bad.yaml", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (78, &false.into()));
    assert_eq!(report["errors"][0]["column"], 45);
    let (code, out, err) = run(&["check", &quickstart()]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("expensive_exports") && out.contains("policy revision"), "{out}");
}

#[test]
fn check_warns_and_looks_at_the_settings() {
    let folder = folder("lints");
    file(&folder, "limits.yaml", GOOD);
    let codes = |more: &[&str]| {
        let arguments = [&["check", "-o", "json"], more].concat();
        let (exit, out, err) = run_in(&folder, &arguments);
        let report: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        let code = |warning: &serde_json::Value| warning["code"].as_str().unwrap().to_owned();
        let warnings = report["warnings"].as_array().unwrap();
        (exit, report["ok"].as_bool().unwrap(), warnings.iter().map(code).collect::<Vec<_>>())
    };
    let open = vec!["open_to_anyone".to_owned()];
    assert_eq!(codes(&["limits.yaml"]), (0, true, open.clone()));
    assert_eq!(codes(&["limits.yaml", "--deny-warnings"]), (1, false, open));
    // Settings name the limits, and a secret that is not on this machine.
    let settings = "unmatched: deny\nlimits: [limits.yaml]\n\
                    attributes: { tenant_id: { header: x-t } }\n\
                    store: { url: 'valkey://v.example:6379', key_secret_file: /nowhere/secret }";
    file(&folder, "closed.yaml", settings);
    assert_eq!(codes(&["-c", "closed.yaml", "--deny-warnings"]), (0, true, vec![]));
    file(&folder, "by_address.yaml", "rate_limits: {a: {key: ip_address, limit: 5, window: 1m}}");
    let proxied = vec!["proxied_address".to_owned()];
    assert_eq!(codes(&["-c", "closed.yaml", "by_address.yaml"]), (0, true, proxied));
    // What a verified token says cannot be left out, a header can.
    let gap = "rate_limits: {a: {key: [tenant_id, client_id], limit: 5, window: 1m}, \
               b: {key: ip_address, limit: 5, window: 1m, when: '!authenticated'}}";
    file(&folder, "gap.yaml", gap);
    let missing = vec!["may_be_missing".to_owned()];
    for (source, codes_of_it) in [("header: x-c", missing.clone()), ("claim: azp", vec![])] {
        let settings = format!(
            "attributes: {{ client_id: {{ {source} }}, tenant_id: {{ header: x-t }}, \
             authenticated: {{ present: tenant_id }}, ip_address: peer }}"
        );
        file(&folder, "gap_settings.yaml", &settings);
        assert_eq!(codes(&["-c", "gap_settings.yaml", "gap.yaml"]), (0, true, codes_of_it));
    }
    assert_eq!(codes(&["gap.yaml"]), (0, true, missing));
    file(&folder, "bad.yaml", "unmatched: perhaps");
    let (exit, _, err) = run_in(&folder, &["check", "-c", "bad.yaml"]);
    assert!(exit == 78 && err.contains("unmatched"), "{exit} {err}");
    assert_eq!(run_in(&folder, &["check"]).0, 2);
}

#[test]
fn check_says_how_many_headers_a_gateway_may_take_of_a_client() {
    let folder = folder("headers");
    file(&folder, "limits.yaml", GOOD);
    let lines = [
        ("limits: [limits.yaml]", "max_request_headers_kb may be at most 1016,"),
        (
            "limits: [limits.yaml]\nlisteners: { grpc: { max_header_list_bytes: 131072 } }",
            "max_request_headers_kb may be at most 120,",
        ),
    ];
    for (settings, says) in lines {
        file(&folder, "settings.yaml", settings);
        let (code, out, _) = run_in(&folder, &["check", "-c", "settings.yaml"]);
        assert!(code == 0 && out.contains(says), "{code} {out}");
        let (_, out, _) = run_in(&folder, &["check", "-c", "settings.yaml", "-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(report["notes"][0].as_str().unwrap().contains(says), "{report}");
    }
}

#[test]
fn check_with_settings_says_what_they_take_for_granted() {
    let folder = folder("notes");
    file(&folder, "limits.yaml", "rate_limits: {a: {key: ip_address, limit: 5, window: 1m}}");
    let notes = |settings: &str| {
        file(&folder, "settings.yaml", settings);
        let check = ["check", "-c", "settings.yaml", "limits.yaml", "--deny-warnings", "-o"];
        let (exit, out, _) = run_in(&folder, &[&check[..], &["json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, &report["warnings"]), (0, &serde_json::json!([])), "{settings}");
        let (_, out, _) = run_in(&folder, &[&check[..], &["text"]].concat());
        let notes = report["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        let notes: Vec<_> = notes.filter(|note| note.starts_with("attributes.")).collect();
        notes.iter().for_each(|note| assert!(out.contains(&format!("note: {note}\n")), "{out}"));
        notes
    };
    assert_eq!(notes("{}"), [""; 0], "no gateway");
    // Each header that is a source, once, also that of the address.
    let all = notes(
        "attributes:
           tenant_id: {header: X-Tenant-Id}
           headers.tenant: {header: x-tenant-id}
           user_id: {claim: sub}
           client_id: {header: x-client-id}
           request_size: {transfer_encoding: X-Te}
           ip_address: {header: x-envoy-external-address}",
    );
    let removed = |name: &str, header: &str| {
        let what = "the gateway must remove a client's own";
        let found = all.iter().filter(|note| note.contains(&format!("{what} `{header}`")));
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{header} in {all:?}");
        assert!(found[0].starts_with(&format!("attributes.{name}: ")), "{all:?}");
    };
    removed("ip_address", "x-envoy-external-address");
    removed("client_id", "x-client-id");
    removed("headers.tenant", "x-tenant-id");
    removed("request_size", "x-te");
    assert_eq!(all.len(), 6, "{all:?}");
    let copied =
        "attributes.request_size: the gateway writes a request's Transfer-Encoding to `x-te`";
    assert!(all.iter().any(|note| note.starts_with(copied)), "{all:?}");
    for (source, what) in [
        ("peer", "clients connect to the gateway themselves"),
        ("{trusted_hops: 2}", "through 2 proxies in front of the gateway"),
        ("{trusted_proxies: [10.0.0.0/8]}", "no client is in them"),
    ] {
        let [note] = &notes(&format!("attributes: {{ip_address: {source}}}"))[..] else {
            panic!("{source}")
        };
        assert!(note.starts_with("attributes.ip_address: ") && note.contains(what), "{note}");
    }
}

/// What counts as one address is part of the revision that replicas show.
#[test]
fn the_commands_count_addresses_as_the_settings_say() {
    let folder = folder("prefix");
    let limits = "rate_limits: {a: {key: ip_address, limit: 1, window: 1h}}";
    file(&folder, "limits.yaml", limits);
    file(&folder, "settings.yaml", "ip_prefix: {ipv6: 48}\nlimits: [limits.yaml]");
    let cases = "limits: limits.yaml\ncases: [{name: two of a /48, steps: [
        {expect: allow, with: {ip_address: '2001:db8:0:1::1'}},
        {expect: deny, with: {ip_address: '2001:db8:0:2::1'}}]}]";
    file(&folder, "a.test.yaml", cases);
    assert_eq!(run_in(&folder, &["test"]).0, 1, "two of a /64 by default");
    assert_eq!(run_in(&folder, &["test", "-c", "settings.yaml"]).0, 0);
    let revision = |arguments: &[&str]| {
        let explain = ["explain", "GET /", "--limits", "limits.yaml", "-o", "json"];
        let (_, out, err) = run_in(&folder, &[&explain[..], arguments].concat());
        let answer: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        answer["policy_revision"].as_str().unwrap().to_owned()
    };
    let (wide, usual) = (revision(&["-c", "settings.yaml"]), revision(&[]));
    assert_ne!(wide, usual);
    let checked = |arguments: &[&str]| run_in(&folder, arguments).1;
    assert!(checked(&["check", "-c", "settings.yaml"]).contains(&format!("revision {wide}\n")));
    assert!(checked(&["check", "limits.yaml"]).contains(&format!("revision {usual}\n")));
    // A running replica shows the same, also after its limits changed.
    let path = folder.join("limits.yaml").display().to_string();
    let service = Service::start(&["--limits", &path], &[("SLUICEGATE__IP_PREFIX__IPV6", "48")]);
    let asked = service.check(r#"{"attributes": {"ip_address": "2001:db8:0:1::1"}}"#, "");
    assert_eq!(
        (&asked["allowed"], &asked["policy_revision"]),
        (&true.into(), &wide.as_str().into())
    );
    let denied = service.check(r#"{"attributes": {"ip_address": "2001:db8:0:2::1"}}"#, "");
    assert_eq!(denied["allowed"], false, "{denied}");
    file(&folder, "limits.yaml", &limits.replace("limit: 1", "limit: 2"));
    let next = revision(&["-c", "settings.yaml"]);
    assert_ne!(next, wide);
    service.signal("HUP");
    service.until("/metrics", |_, page| page.contains(&format!("revision=\"{next}\"")));
}

#[test]
fn explain_answers_with_its_exit_code() {
    let limits = quickstart();
    let explain = |fact: &str, output: &str| {
        let request = "POST /v1/reports/export";
        run(&["explain", request, "tenant_id=acme", fact, "--limits", &limits, "-o", output])
    };
    let (code, out, _) = explain("authenticated=true", "json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["limit_name"]), (0, &"expensive_exports".into()));
    assert_eq!(answer["limits"].as_array().unwrap().len(), 3);
    let (code, out, _) = explain("cost=21", "text");
    assert!(code == 1 && out.contains("expensive_exports"), "{code} {out}");
    assert_eq!(explain("authenticated=maybe", "text").0, 2);
    assert_eq!(explain("no-equals-sign", "text").0, 2);
}

#[test]
fn a_running_service_explains_in_the_form_of_the_offline_command() {
    let service = Service::start(&["--limits", &quickstart()], &[]);
    let taken = service.check(
        r#"{"attributes": {"tenant_id": "acme", "authenticated": true, "method": "POST",
            "path": "/v1/reports/export"}, "cost": 5}"#,
        "",
    );
    assert_eq!(taken["allowed"], true, "{taken}");
    let explain = |from: [&str; 2], output: &str| {
        let request = ["explain", "POST /v1/reports/export", "tenant_id=acme"];
        let more = ["authenticated=true", from[0], from[1], "-o", output];
        let (code, out, err) = run(&[&request[..], &more].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(!out.contains("acme"), "no value of a request is shown: {out}");
        out
    };
    let limits = quickstart();
    let (online, offline) = (["--server", &service.grpc], ["--limits", &limits]);
    let json = |from| serde_json::from_str::<serde_json::Value>(&explain(from, "json")).unwrap();
    let (mut live, fresh) = (json(online), json(offline));
    assert_eq!(
        (&live["limit_name"], &live["remaining"]),
        (&"expensive_exports".into(), &14.into())
    );
    let numbers = |limit: &serde_json::Value| (limit["used"].as_u64(), limit["remaining"].as_u64());
    let each: Vec<_> = live["limits"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(each, [(Some(5), Some(1194)), (Some(5), Some(14)), (None, None)]);
    // All but the numbers is what the offline command says, and what only the settings decide.
    live["remaining"] = fresh["remaining"].clone();
    for at in 0..3 {
        for number in ["used", "remaining"] {
            live["limits"][at][number] = fresh["limits"][at][number].clone();
        }
        let rule = live["limits"][at].as_object_mut().unwrap().remove("on_store_failure");
        assert_eq!(rule, Some("local".into()));
    }
    assert_eq!(live, fresh);
    let text = |from| -> Vec<String> {
        let text = explain(from, "text").replace(", fresh counters", "");
        let changes = |line: &str| line.contains(" left") || line.contains(" failure ");
        let lines = text.lines().filter(|line| !changes(line));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(text(online), text(offline));
}

#[test]
fn each_kind_of_trouble_has_its_exit_code() {
    let folder = folder("codes");
    let bad = file(&folder, "bad.yaml", "rate_limits: {a: 1}").display().to_string();
    let settings = file(
        &folder,
        "other.yaml",
        "limits: [bad.yaml]\nstore: {url: 'valkey://10.0.0.1', key_secret_file: key-secret}",
    );
    let settings = settings.display().to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = free.to_string();
    for (code, arguments, says) in [
        (0, vec!["--help"], ""),
        (2, vec!["chekc"], "check"),
        (2, vec!["check"], "PATH"),
        (69, vec!["explain", "GET /", "--server", nobody.as_str()], "cannot connect"),
        (78, vec!["explain", "GET /", "--limits", bad.as_str()], "bad.yaml:1:"),
        (78, vec!["serve", "--limits", bad.as_str()], "bad.yaml:1:"),
        (78, vec!["serve", "--limits", bad.as_str(), "--store", "memroy"], "store.url"),
        (78, vec!["serve", "-c", settings.as_str()], "head -c 32 /dev/urandom | base64 > "),
        (78, vec!["serve", "--store", "valkey://127.0.0.1:1"], "store.key_secret_file: is missing"),
        (78, vec!["serve", "--store", "redis://localhost"], "head -c 32 /dev/urandom | base64 > "),
        (78, vec!["serve"], "no limits"),
    ] {
        let (real, _, err) = run_in(&folder, &arguments);
        assert_eq!(real, code, "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[test]
fn the_three_lines_show_a_pass_a_denial_and_an_explanation() {
    let service = Service::start(&["--limits", &quickstart()], &[]);
    let lines: Vec<String> =
        service.printed().iter().filter(|l| !l.starts_with('#')).cloned().collect();
    let [pass, deny, explain] = &lines[lines.len() - 3..] else { panic!("{lines:?}") };
    let body = |line: &str| line.rsplit_once("-d '").unwrap().1.trim_end_matches('\'').to_owned();
    assert!(pass.starts_with("curl ") && deny.starts_with("curl "), "{lines:?}");
    let passed = service.check(&body(pass), "");
    assert_eq!(passed["allowed"], true, "{passed}");
    let denied = service.check(&body(deny), "");
    assert_eq!(denied["allowed"], false, "{denied}");
    assert_eq!(denied["reason"], "limit_exceeded");
    let shell = std::process::Command::new("sh").args(["-c", explain]).output().unwrap();
    let text = String::from_utf8(shell.stdout).unwrap();
    assert!(text.contains("─ unauthenticated: 60 in 1m"), "{text}");
    // The denial left a record, without the address; the pass was not sampled or is like it.
    let record = service.record(denied["decision_id"].as_str().unwrap());
    assert_eq!(record["limit"], "unauthenticated");
    assert_eq!(record["response_code"], 200);
    assert!(!record.to_string().contains("203.0.113.7"), "{record}");
    assert!(record["ip_address"].as_str().unwrap().starts_with("hash:"));
    let facts = ["authenticated=false", "ip_address=203.0.113.7", "--server", &service.grpc];
    let (code, out, _) = run(&[&["explain", "GET /v1/items"][..], &facts[..]].concat());
    assert!(code == 1 && out.contains("0 of 60 left"), "{code} {out}");
}

#[test]
fn a_bad_change_is_named_and_sighup_takes_a_good_one() {
    let folder = folder("reload");
    let limits = file(&folder, "a.yaml", GOOD);
    let service = Service::start(&["--limits", &folder.display().to_string()], &[]);
    let (status, first) = service.get("/readyz");
    assert_eq!((status, first.contains("\"rejected_files\":[]")), (200, true), "{first}");
    fs::write(&limits, "rate_limits: [").unwrap();
    service.wait_for_log("the limits files were rejected");
    service.until("/readyz", |status, body| status == 200 && body.contains("a.yaml"));
    let (_, metrics) = service.get("/metrics");
    assert!(
        metrics.contains("sluicegate_policy_reloads_total{result=\"rejected\"} 1"),
        "{metrics}"
    );
    fs::write(&limits, GOOD.replace("limit: 5", "limit: 6")).unwrap();
    service.signal("HUP");
    service.wait_for_log("the limits files were taken");
    service.until("/readyz", |_, body| body.contains("\"rejected_files\":[]") && body != first);
}

#[test]
fn sigterm_says_so_at_once_and_a_second_one_hurries() {
    let hours = [("SLUICEGATE__DRAIN__DELAY_MS", "60000")];
    let mut service = Service::start(&["--limits", &quickstart()], &hours);
    assert_eq!(service.get("/livez").0, 200);
    service.signal("TERM");
    service.wait_for_log("draining");
    service.until("/readyz", |status, body| status == 503 && body.contains("draining"));
    let allowed = service.check(r#"{"attributes": {"tenant_id": "acme"}}"#, "");
    assert_eq!(allowed["allowed"], true, "requests are still answered");
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

#[test]
fn sigterm_takes_no_answer_from_a_request() {
    // The others are bounds for a machine that is busy.
    let at_once = [
        ("SLUICEGATE__DRAIN__DELAY_MS", "0"),
        ("SLUICEGATE__DRAIN__TIMEOUT_MS", "60000"),
        ("SLUICEGATE__LISTENERS__HTTP__HANDSHAKE_TIMEOUT_MS", "60000"),
    ];
    let mut service = Service::start(&["--limits", &quickstart()], &at_once);
    let mut connections: Vec<_> = (0..100).map(|_| service.connect()).collect();
    // Half of them have been used.
    for connection in connections.iter_mut().step_by(2) {
        assert!(!connection.ask().contains("connection: close"));
    }
    service.signal("TERM");
    for connection in &mut connections {
        // On the way to the end an answer may still come before it says so.
        while !connection.ask().contains("connection: close") {}
    }
    assert_eq!(service.exit_code(), 0);
}

#[test]
fn an_unreachable_store_starts_ready_and_degraded() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("valkey://{free}");
    let known = [("SLUICEGATE__DEVELOPMENT", "true")];
    let service = Service::start(&["--limits", &quickstart(), "--store", &store], &known);
    service.wait_for_log("development is true");
    assert_eq!(service.get("/readyz").0, 200);
    let attributes = r#"{"attributes": {"tenant_id": "acme", "authenticated": true}}"#;
    let answer = service.check(attributes, "");
    assert_eq!((&answer["allowed"], &answer["degraded"]), (&true.into(), &true.into()));
}

#[test]
fn spans_that_no_collector_takes_are_told_in_the_log() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let collector = format!("http://{free}");
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let service = Service::start(&["--limits", &quickstart()], &environment);
    service.check(r#"{"attributes": {"tenant_id": "acme", "authenticated": true}}"#, "");
    service.wait_for_log("BatchSpanProcessor.ExportError");
}

#[test]
fn the_soft_limit_of_files_is_raised_and_a_hard_one_that_is_too_low_is_told() {
    let limits = ["--limits", &quickstart()];
    let open_files = |service: &Service| {
        let limits = service.limits();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let words = line.unwrap().split_whitespace().map(str::to_owned);
        words.take(2).collect::<Vec<_>>()
    };
    let service = Service::start_under("ulimit -Sn 64 && ulimit -Hn 700", &limits);
    assert_eq!(open_files(&service), ["700", "700"]);
    let warning = service.wait_for_log("the system allows 700 open files");
    assert!(warning.contains("max_connections") && warning.contains("5504"), "{warning}");
}

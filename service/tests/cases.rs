//! Limits as code, as people use it: tests of limits, and shells that complete the command line.

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
use service::{run, run_in};

const LIMITS: &str = "
rate_limits:
  default: { key: tenant_id, limit: 3, window: 1m }
  exports: { match: 'POST /v1/export', key: tenant_id, limit: 2, window: 1h }
  off: { limit: 1, window: 1m, mode: disabled }
";

const CASES: &str = "
limits: api.yaml
cases:
  - name: the third <export> of the hour waits
    given: { tenant_id: acme, method: POST, path: /v1/export }
    steps:
      - { times: 2, expect: allow }
      - { at: 10m, expect: deny, limit: exports, retry_after: 50m }
  - name: others pass
    steps: [{ with: { tenant_id: other }, expect: allow }]
";

/// A folder with limits and their tests.
fn tested(name: &str, cases: &str) -> PathBuf {
    let folder = folder(name);
    fs::write(folder.join("api.yaml"), LIMITS).unwrap();
    fs::write(folder.join("api.test.yaml"), cases).unwrap();
    folder
}

fn json(folder: &Path, arguments: &[&str]) -> (i32, serde_json::Value) {
    let (code, out, _) = run_in(folder, &[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&out).unwrap())
}

#[test]
fn cases_pass_and_coverage_is_counted() {
    let folder = tested("test-pass", CASES);
    let (code, report) = json(&folder, &["test"]);
    assert_eq!((code, &report["passed"], &report["failed"]), (0, &2.into(), &0.into()));
    let first = &report["cases"][0];
    assert_eq!(first["name"], "the third <export> of the hour waits");
    assert_eq!((&first["ok"], &first["expected"]), (&true.into(), &serde_json::Value::Null));
    let coverage = &report["coverage"];
    assert_eq!((&coverage["limits_total"], &coverage["limits_tested"]), (&2.into(), &1.into()));
    assert_eq!(coverage["untested"][0]["name"], "default");
    for (least, code) in [("50", 0), ("51", 1), ("100", 1)] {
        let (real, out, _) = run_in(&folder, &["test", ".", "--coverage-threshold", least]);
        assert_eq!(real, code, "{least}: {out}");
        assert!(out.contains("default  api.yaml:3") && out.contains("(50 %)"), "{out}");
    }
    // A file that is named is a case file, and the only one that is looked at.
    fs::write(folder.join("bad.test.yaml"), "cases: []").unwrap();
    assert_eq!(run_in(&folder, &["test", "api.test.yaml"]).0, 0);
    assert_eq!(run_in(&folder, &["test"]).0, 78);
}

#[test]
fn a_failure_says_where_what_and_why() {
    let folder = tested("test-fail", &CASES.replace("times: 2", "times: 3"));
    let (code, out, err) = run_in(&folder, &["test", "--junit", "junit.xml"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for part in [
        "FAILED  api.test.yaml: 1 of 2 cases",
        "--> api.test.yaml:7, step 1, time 3 of 3",
        "expected  allow",
        "got       deny by `exports`, reason limit_exceeded, retry after 1h, 0 left",
        "its match holds: `POST /v1/export`",
        "1 passed, 1 failed",
    ] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
    let (_, report) = json(&folder, &["test"]);
    assert_eq!(report["cases"][0]["ok"], false);
    assert_eq!(report["cases"][0]["expected"], "allow");
    assert!(report["cases"][0]["got"].as_str().unwrap().starts_with("deny by `exports`"));
    let xml = fs::read_to_string(folder.join("junit.xml")).unwrap();
    let mut tags: Vec<(String, Vec<String>)> = Vec::new();
    let mut reader = quick_xml::Reader::from_str(&xml);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                let attributes = tag.attributes().map(|attribute| attribute.unwrap().value.into());
                let name: String = tag.name().as_ref().to_owned();
                tags.push((name, attributes.collect()));
            }
            _ => {}
        }
    }
    let names: Vec<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["testsuites", "testsuite", "testcase", "failure", "testcase"]);
    assert_eq!(tags[1].1, ["api.test.yaml", "2", "1"]);
    assert_eq!(tags[2].1[0], "the third &lt;export&gt; of the hour waits");
}

#[test]
fn mistakes_in_cases_limits_and_paths_are_told_at_once() {
    let folder = tested("test-bad", &CASES.replace("limit: exports", "limit: exprots"));
    let wrong = "limits: [apy.yaml, wrong.yaml]\ncases: [{ steps: [{ expect: alow }] }]";
    fs::write(folder.join("wrong.test.yaml"), wrong).unwrap();
    let limits = "rate_limits: {a: {limit: 1, windw: 1m}}";
    fs::write(folder.join("c.test.yaml"), "limits: wrong.yaml\ncases: []").unwrap();
    fs::write(folder.join("wrong.yaml"), limits).unwrap();
    let (code, out, err) = run_in(&folder, &["test"]);
    assert_eq!((code, out.as_str()), (78, ""));
    for part in [
        "api.test.yaml:8:41",
        "did you mean `exports`?",
        "wrong.test.yaml:1:10",
        "there is no file `apy.yaml`",
        "wrong.test.yaml:2:9",
        "did you mean `allow`?",
        "c.test.yaml:2:8",
        "wrong.yaml:1:29",
        "did you mean `window`?",
    ] {
        assert!(err.contains(part), "{part} in\n{err}");
    }
    let (code, report) = json(&folder, &["test"]);
    assert_eq!((code, &report["passed"]), (78, &0.into()));
    assert_eq!(report["errors"].as_array().unwrap().len(), 6, "{report}");
}

#[test]
fn tests_beside_the_limits_are_no_limits() {
    let folder = tested("test-beside", CASES);
    let (code, out, err) = run_in(&folder, &["check", "."]);
    assert!(code == 0 && !err.contains("test.yaml"), "{code} {out} {err}");
    assert_eq!(run_in(&folder, &["check", "api.yaml", "api.test.yaml"]).0, 0);
    let (code, _, err) = run_in(&folder, &["check", "api.test.yaml"]);
    assert!(code == 78 && err.contains("there is no limits file here"), "{code} {err}");
    // A folder without tests has none to pass.
    fs::remove_file(folder.join("api.test.yaml")).unwrap();
    let (code, _, err) = run_in(&folder, &["test"]);
    assert!(code == 78 && err.contains("there is no case file here"), "{code} {err}");
}

#[test]
fn fmt_names_what_differs_and_writes_it_once() {
    let folder = folder("fmt");
    fs::write(folder.join("a.yaml"), "rate_limits:\n    a: {limit: 5,window: 1m}   # why\n")
        .unwrap();
    fs::write(folder.join("good.yaml"), "rate_limits: {}\n").unwrap();
    fs::write(folder.join("a.test.yaml"), "limits:   a.yaml\n").unwrap();
    std::os::unix::fs::symlink("a.yaml", folder.join("link.yaml")).unwrap();
    let before = run_in(&folder, &["check", "a.yaml"]).1;
    let (code, out, _) = run_in(&folder, &["fmt", "--check", "."]);
    assert_eq!((code, out.as_str()), (1, "a.test.yaml\na.yaml\nlink.yaml\n"));
    let (code, out, _) = run_in(&folder, &["fmt", "--check", "-o", "json", "a.yaml"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({"ok": false, "differing": ["a.yaml"], "errors": []});
    assert_eq!((code, told), (1, expected));
    assert_eq!(run_in(&folder, &["fmt", "."]).0, 0);
    let text = fs::read_to_string(folder.join("a.yaml")).unwrap();
    assert_eq!(text, "rate_limits:\n  a: { limit: 5, window: 1m } # why\n");
    assert!(fs::symlink_metadata(folder.join("link.yaml")).unwrap().is_symlink());
    assert_eq!(run_in(&folder, &["fmt", "--check", "."]), (0, String::new(), String::new()));
    assert_eq!(run_in(&folder, &["check", "a.yaml"]).1, before, "the revision is the same");
    let names = fs::read_dir(&folder).unwrap().count();
    assert_eq!(names, 4, "nothing is left over");
    // A file that is no YAML stays as it is, and the others are written all the same.
    fs::write(folder.join("bad.yaml"), "rate_limits: [").unwrap();
    fs::write(folder.join("good.yaml"), "rate_limits:   {}\n").unwrap();
    let (code, _, err) = run_in(&folder, &["fmt", "."]);
    assert!(code == 78 && err.contains("bad.yaml"), "{code} {err}");
    assert_eq!(fs::read_to_string(folder.join("good.yaml")).unwrap(), "rate_limits: {}\n");
}

#[test]
fn the_examples_are_tested_whole_without_a_warning_and_in_layout() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../limits");
    let arguments = ["test", "examples", "--coverage-threshold", "100"];
    let (code, out, err) = run_in(&folder, &arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let nothing = (0, String::new(), String::new());
    assert_eq!(run_in(&folder, &["fmt", "--check", "examples", "tests/cases/verdicts"]), nothing);
    for entry in fs::read_dir(folder.join("examples")).unwrap() {
        let path = entry.unwrap().path().display().to_string();
        if !path.ends_with(".test.yaml") {
            let (code, _, err) = run(&["check", &path]);
            assert_eq!((code, err.as_str()), (0, ""), "{path}");
        }
    }
}

#[test]
fn the_schemas_are_the_checked_in_ones_and_every_example_names_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for kind in ["limits", "cases"] {
        let (code, out, _) = run(&["schema", kind]);
        let file = root.join(format!("docs/{kind}.schema.json"));
        assert_eq!((code, out), (0, fs::read_to_string(file).unwrap()), "sluicegate schema {kind}");
    }
    for entry in fs::read_dir(root.join("limits/examples")).unwrap() {
        let path = entry.unwrap().path().display().to_string();
        let kind = if path.ends_with(".test.yaml") { "cases" } else { "limits" };
        let line = format!("\n# yaml-language-server: $schema=../../docs/{kind}.schema.json\n");
        assert!(fs::read_to_string(&path).unwrap().contains(&line), "{path}");
    }
}

#[test]
fn each_shell_has_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        assert!(out.contains("explain") && out.contains("coverage-threshold"), "{shell}: {out}");
    }
    assert_eq!(run(&["completions", "tcsh"]).0, 2);
}

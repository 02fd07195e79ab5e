//! Whatever names, files, logs and servers say, a terminal that shows it neither obeys nor is
//! deceived: every command, with hostile words wherever words of others can be.

#![cfg(test)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sluicegate_proto::v1 as proto;
use sluicegate_proto::v1::sluicegate_server::{Sluicegate, SluicegateServer};
use tonic::{Request, Response, Status};

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/service.rs"]
mod service;

use process::folder;
use service::{Service, run_in};

/// Clears the screen, forges a line, turns the direction, hides, and colours by one character.
const EVIL: &str = "\u{1b}[2J\r\nFORGED\u{202e}\u{200b}\u{9b}31m\u{7f}\u{2028}";
/// The same as YAML and JSON write it between quotes.
const QUOTED: &str = r"\u001b[2J\r\nFORGED\u202e\u200b\u009b31m\u007f\u2028";

/// What was printed, line by line.
fn assert_clean(what: &str, printed: &str) {
    for line in printed.split('\n') {
        let obeyed = |c: char| {
            c.is_control()
                || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
                || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        };
        assert!(!line.contains(obeyed), "{what}: {line:?}");
        assert!(!line.starts_with("FORGED"), "{what}: {printed:?}");
    }
}

/// A folder whose name, files and their contents are hostile.
fn world(name: &str) -> PathBuf {
    let folder = folder(name).join(EVIL);
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    let limits = |limit: u32| {
        format!(
            "plans: {{ p: {{ limits: {{ a: {{ limit: {limit} }} }} }} }}
tenants:
  \"{QUOTED}\":
    plan: p
    limits: {{ b: {{ limit: {limit}, until: 2099-01-01T00:00:00Z, why: \"{QUOTED}\" }} }}
rate_limits:
  a: {{ key: tenant_id, limit: 5, window: 1m, description: \"{QUOTED}\" }}
  b: {{ key: tenant_id, limit: 5, window: 1m, when: 'user_id != \"{QUOTED}\"' }}
"
        )
    };
    file(&format!("{EVIL}.yaml"), limits(0));
    fs::create_dir_all(folder.join("new")).unwrap();
    file(&format!("new/{EVIL}.yaml"), limits(9));
    let case = format!(
        "limits: \"{QUOTED}.yaml\"\ncases:\n  - name: \"{QUOTED}\"\n    \
         given: {{ tenant_id: \"{QUOTED}\" }}\n    steps: [{{ expect: allow }}]\n"
    );
    file(&format!("{EVIL}.test.yaml"), case.clone());
    fs::create_dir_all(folder.join("lost")).unwrap();
    file("lost/a.test.yaml", case.replace("limits: \"", "limits: \"lost"));
    fs::create_dir_all(folder.join("bad")).unwrap();
    let bad = format!("rate_limits: {{ a: {{ \"{QUOTED}\": 1, match: \"\u{202e}\u{200b}\" }} }}");
    file(&format!("bad/{EVIL}.yaml"), bad);
    file("bad/raw.yaml", format!("rate_limits: [{EVIL}"));
    file("settings.yaml", format!("\"{QUOTED}\": 1\nunmatched: \"{QUOTED}\"\n"));
    let entry = format!(
        "{{\"ts\":\"2026-01-01T00:00:00Z\",\"method\":\"GET\",\"tenant_id\":\"{QUOTED}\",\
         \"path\":\"/a\",\"{QUOTED}\":\"{QUOTED}\"}}\n"
    );
    file(EVIL, format!("{}{EVIL}\n{{\"ts\":\"{QUOTED}\"}}\n", entry.repeat(3)));
    folder
}

#[test]
fn no_command_prints_what_a_terminal_obeys() {
    let folder = world("hostile");
    let limits = format!("{EVIL}.yaml");
    let request = format!("GET /{EVIL}");
    let tenant = format!("tenant_id={EVIL}");
    let map = format!("tenant_id={EVIL}");
    let mut seen = 0;
    let commands: &[&[&str]] = &[
        &["check", "."],
        &["check", &limits],
        &["check", "bad"],
        &["check", EVIL],
        &["check", "-c", "settings.yaml"],
        &["check", "-c", EVIL],
        &["explain", &request, &tenant, "--limits", &limits],
        &["explain", &request, EVIL, "--limits", &limits],
        &["explain", &request, &tenant, "--limits", "bad"],
        &["explain", &request, &tenant, "--server", EVIL],
        &["diff", &limits, "new"],
        &["diff", "new", "bad"],
        &["replay", EVIL, "--limits", &limits],
        &["replay", EVIL, "--limits", &limits, "--against", "new", "--html", "page"],
        &["replay", EVIL, "--limits", &limits, "-c", "settings.yaml"],
        &["replay", EVIL, "--limits", &limits, "--map", EVIL],
        &["replay", EVIL, "--limits", &limits, "--map", &map, "--format", "jsonl"],
        &["replay", "new", "--limits", EVIL],
        &["test", "."],
        &["test", "lost"],
        &["test", EVIL, "--junit", "junit.xml"],
        &["fmt", "--check", "."],
        &["fmt", "."],
        &["fmt", "bad"],
        &["serve", "-c", "settings.yaml"],
        &["serve", "--limits", EVIL],
        &["serve", "--limits", "new", "--store", EVIL],
        &["serve", "--limits", "new", "--grpc-addr", EVIL],
        &["schema", EVIL],
        &["completions", EVIL],
        &[EVIL],
        &["check", "--", EVIL],
        &["diff", &limits, "new", "--at", EVIL],
        &["test", "--coverage-threshold", EVIL],
    ];
    for command in commands {
        let json = ["check", "explain", "diff", "replay", "test", "fmt"].contains(&command[0]);
        for output in if json { &["text", "json"][..] } else { &["text"] } {
            let more: &[&str] = if json { &["-o", output] } else { &[] };
            let all = [&command[..1], more, &command[1..]].concat();
            let (_, out, err) = run_in(&folder, &all);
            assert_clean(&format!("{all:?}, its output"), &out);
            assert_clean(&format!("{all:?}, its errors"), &err);
            let printed = out + &err;
            assert!(!printed.is_empty(), "{all:?} says nothing");
            seen += usize::from(printed.contains("FORGED"));
        }
    }
    assert!(seen > 40, "only {seen} commands showed what is hostile, escaped");
    let page = fs::read_to_string(folder.join("page")).unwrap();
    assert_clean("the page", &page);
}

/// Runs a command of the binary whose terminal Python plays: exit code, and what it shows.
fn on_a_terminal(folder: &Path, arguments: &[&str]) -> (i32, String) {
    const PLAY: &str = "import os, pty, sys\n\
                        sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut play = Command::new("python3");
    play.args(["-c", PLAY, env!("CARGO_BIN_EXE_sluicegate")]).args(arguments);
    play.current_dir(folder).env("SLUICEGATE__DEVELOPMENT", "true").stdin(Stdio::null());
    let done = play.output().expect("python3 runs");
    let shown = String::from_utf8(done.stdout).expect("text");
    // What a terminal makes of the end of a line.
    (done.status.code().expect("not by a signal"), shown.replace("\r\n", "\n"))
}

#[test]
fn on_a_terminal_only_our_own_colours_are_obeyed() {
    let folder = world("hostile-terminal");
    let limits = format!("{EVIL}.yaml");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let on_a_store = ["serve", "--limits", "new", "--store", "redis://127.0.0.1:1"];
    let commands: [(i32, &[&str]); 5] = [
        (78, &["check", "bad"]),
        (1, &["diff", &limits, "new"]),
        (2, &["diff", EVIL]),
        (0, &["--help"]),
        (78, &[&on_a_store[..], &["--grpc-addr", &taken]].concat()),
    ];
    let mut coloured = 0;
    for (exit, command) in commands {
        let (code, mut shown) = on_a_terminal(&folder, command);
        assert_eq!(code, exit, "{command:?}: {shown}");
        coloured += usize::from(shown.contains('\u{1b}'));
        for colour in ["0", "1", "4", "31", "32", "33", "34", "1;31", "1;33"] {
            shown = shown.replace(&format!("\u{1b}[{colour}m"), "");
        }
        assert_clean(&format!("{command:?} on a terminal"), &shown);
    }
    assert!(coloured >= 4, "{coloured} have colours");
}

#[test]
fn the_service_logs_and_records_nothing_that_a_terminal_obeys() {
    for format in ["text", "json"] {
        let folder = world(&format!("hostile-{format}"));
        let limits = folder.join("new");
        let environment = [("SLUICEGATE__LOG__FORMAT", format)];
        let service = Service::start(&["--limits", limits.to_str().unwrap()], &environment);
        let question = format!(
            "{{\"attributes\": {{\"tenant_id\": \"{QUOTED}\", \"method\": \"GET\",
                \"path\": \"/\u{202e}\u{200b}\u{9b}\", \"endpoint\": \"{QUOTED}\"}}, \"cost\": 99}}"
        );
        let denied = service.check(&question, "");
        assert_eq!(denied["allowed"], false, "{denied}");
        service.wait_for_log(denied["decision_id"].as_str().unwrap());
        fs::write(limits.join(format!("{EVIL}.yaml")), "rate_limits: [").unwrap();
        service.signal("HUP");
        service.wait_for_log("the limits files were rejected");
        service.until("/readyz", |_, ready| ready.contains("FORGED"));
        let printed = service.everything();
        assert_clean(&format!("the {format} log"), &printed);
        assert!(printed.contains("FORGED"), "{printed}");
    }
}

/// A server that says the same of everything.
struct Evil {
    fails: bool,
}

fn evil() -> String {
    EVIL.to_owned()
}

#[tonic::async_trait]
impl Sluicegate for Evil {
    async fn peek(
        &self,
        _: Request<proto::CheckRequest>,
    ) -> Result<Response<proto::CheckResponse>, Status> {
        if self.fails {
            return Err(Status::internal(EVIL));
        }
        let limit = proto::ExplainedLimit {
            name: evil(),
            applies: true,
            why: evil(),
            key: vec![evil()],
            algorithm: evil(),
            mode: evil(),
            cost: Some(1),
            cost_from: Some(evil()),
            remaining: Some(1),
            file: evil(),
            layer: "exception".to_owned(),
            plan: Some(evil()),
            until: Some(evil()),
            layer_why: Some(evil()),
            on_store_failure: Some(evil()),
            period: Some(evil()),
            ..proto::ExplainedLimit::default()
        };
        let other = proto::ExplainedLimit { applies: false, layer: evil(), ..limit.clone() };
        Ok(Response::new(proto::CheckResponse {
            reason: evil(),
            limit_name: Some(evil()),
            policy_revision: evil(),
            decision_id: evil(),
            detail: evil(),
            explained: vec![limit, other],
            explained_left_out: 3,
            ..proto::CheckResponse::default()
        }))
    }

    async fn check(
        &self,
        _: Request<proto::CheckRequest>,
    ) -> Result<Response<proto::CheckResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_batch(
        &self,
        _: Request<proto::CheckBatchRequest>,
    ) -> Result<Response<proto::CheckBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn reserve(
        &self,
        _: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn settle(
        &self,
        _: Request<proto::SettleRequest>,
    ) -> Result<Response<proto::SettleResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn hold(
        &self,
        _: Request<proto::HoldRequest>,
    ) -> Result<Response<proto::HoldResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn extend(
        &self,
        _: Request<proto::ExtendRequest>,
    ) -> Result<Response<proto::ExtendResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn release(
        &self,
        _: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn serve(fails: bool) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = SluicegateServer::new(Evil { fails });
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming),
    );
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_server_answers_is_shown_and_not_obeyed() {
    for (fails, exit) in [(false, 1), (true, 69)] {
        let server = serve(fails).await.to_string();
        for output in ["text", "json"] {
            let arguments = ["explain", "GET /", "--server", &server, "-o", output];
            let (code, out, err) = run_in(Path::new("."), &arguments);
            assert_eq!(code, exit, "{out}{err}");
            assert_clean("the answer", &out);
            assert_clean("the errors", &err);
            assert!((out + &err).contains("FORGED"));
        }
    }
}

//! Paths that servers read in different ways, through the real Envoy to an upstream that routes
//! them as they come, as Express does: what is charged is what runs, or nothing runs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::routing::any;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::MutexGuard;

use crate::alone;
use crate::envoy::PATIENT_MS;
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::http2::{DATA, Frame, Raw};
use crate::process::{PATIENCE, folder, repository};
use crate::valkey::Valkey;

/// What each handler of the upstream costs, and a limit that none of them else has.
const LIMITS: &str = "
endpoint_costs:
  \"GET /v1/status\": 0
  \"* /v1/ai/**\": 20
  \"GET /export\": 50
rate_limits:
  everybody: { limit: 100_000, window: 1h }
  exports: { match: \"GET /export\", limit: 2, window: 1h, cost: 1 }
  files: { match: \"GET /files/{name}\", key: path, limit: 9, window: 1h }
";
/// The handlers, and what they cost.
const COSTS: [(&str, u64); 6] =
    [("status", 0), ("ai", 20), ("item", 1), ("package", 1), ("export", 50), ("nothing", 1)];

struct World {
    gateway: Gateway,
    left: u64,
    _replicas: [Gate; 2],
    _store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

/// What a client got.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl World {
    /// The files of `deploy/envoy`, each with a change.
    async fn start(name: &str, settings: &[(&str, &str)], envoy: &[(&str, &str)]) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        std::fs::write(folder.join("limits.yaml"), LIMITS).unwrap();
        let file = std::fs::read_to_string(repository("deploy/envoy/sluicegate.yaml")).unwrap();
        std::fs::write(folder.join("sluicegate.yaml"), changed(file, settings)).unwrap();
        let one = Gate::start(serve(&folder), &store, PATIENT_MS).await;
        let replicas = [one, Gate::start(serve(&folder), &store, PATIENT_MS).await];
        let doors = [replicas[0].grpc, replicas[1].grpc];
        let change = |text| changed(text, envoy);
        let gateway = Gateway::start_with(&folder, upstream().await, doors, change).await;
        Self { gateway, left: 100_000, _replicas: replicas, _store: store, _alone: alone }
    }

    /// Asserts that this handler runs, and that the request was charged what it costs.
    async fn runs(&mut self, handler: &str, method: &str, target: &str) {
        let answer = ask(self.gateway.address, method, target).await;
        assert_eq!(answer.body, handler, "{method} {target}: {answer:?}");
        self.left -= COSTS.iter().find(|(name, _)| *name == handler).unwrap().1;
        let left = format!("\"everybody\";r={};", self.left);
        // A limit that has less left is the one that is told of.
        let told = answer.head.contains(&left) || answer.head.contains("\"exports\";");
        assert!(told, "{method} {target} leaves {left} {answer:?}");
    }

    /// Asserts that nothing runs and nothing is charged, for this reason.
    async fn is_refused(&mut self, why: &str, method: &str, target: &str) {
        let answer = ask(self.gateway.address, method, target).await;
        assert_eq!(answer.status, 400, "{method} {target}: {answer:?}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["reason"], "invalid_request", "{target}: {answer:?}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(why) && !detail.contains("status"), "{target}: {detail}");
        assert_eq!(problem["violated-policies"], serde_json::Value::Null, "{answer:?}");
        self.runs("status", "GET", "/v1/status").await;
    }
}

fn changed(mut text: String, changes: &[(&str, &str)]) -> String {
    for (old, new) in changes {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text
}

fn serve(folder: &Path) -> Command {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    serve.args(["serve", "-c"]).arg(folder.join("sluicegate.yaml"));
    serve.arg("--limits").arg(folder.join("limits.yaml"));
    serve
}

/// An upstream that neither resolves, merges nor decodes anything before it routes.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/v1/status", any(|| async { "status" }))
        .route("/v1/ai/{*rest}", any(|| async { "ai" }))
        .route("/v1/{id}", any(|| async { "item" }))
        .route("/registry/{name}", any(|| async { "package" }))
        .route("/export", any(|| async { "export" }))
        .fallback(|| async { "nothing" });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Sends a request with just this target, whatever it is.
async fn ask(to: SocketAddr, method: &str, target: &str) -> Answer {
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer)
    };
    let answer =
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[tokio::test]
async fn an_envoy_that_leaves_paths_alone_charges_what_runs() {
    let settings = [("  dot_segments: resolve\n", "")];
    let envoy = [("normalize_path: true", "normalize_path: false")];
    let envoy = [&envoy[..], &[("merge_slashes: true", "merge_slashes: false")]].concat();
    let mut world = World::start("paths-alone", &settings, &envoy).await;
    world.runs("ai", "GET", "/v1/ai/chat").await;
    world.runs("item", "GET", "/v1/1").await;
    // The AI handler ran, at the cost of the status.
    world.is_refused("paths.dot_segments", "GET", "/v1/ai/chat/../../status").await;
    world.is_refused("paths.dot_segments", "GET", "/v1/ai/chat/%2e%2e/.%2E/status").await;
    // The handler of items ran, at the cost of the status.
    world.is_refused("paths.matrix_params", "GET", "/v1/status;1").await;
    world.is_refused("paths.encoded_slash", "GET", "/v1%2fstatus").await;
    world.is_refused("paths.encoded_slash", "GET", "/v1/ai%5cchat").await;
    world.is_refused("a backslash", "GET", "/v1/ai\\..\\status").await;
    world.is_refused("parameters behind", "GET", "/v1/ai/..;/status").await;
    world.is_refused("behind two slashes", "GET", "/v1//../v1/status").await;
    world.is_refused("without two hexadecimal", "GET", "/v1/%zz").await;
    world.is_refused("overlong", "GET", "/v1/%c0%aestatus").await;
    world.is_refused("a control character", "GET", "/v1/%0astatus").await;
    // What makes no difference passes: it used up the exports, and a stranger's 404 the most.
    world.runs("package", "GET", "/registry/@scope%2fname").await;
    world.runs("nothing", "GET", "/nothing%2fat;all").await;
    world.runs("nothing", "POST", "/nothing/../at/all").await;
    for _ in 0..2 {
        world.runs("export", "GET", "/export").await;
    }
    // Over HTTP/2 Envoy passes on bytes that are not UTF-8; as `!` they would be another file.
    let mut frame = Frame::get(1, "/files/caf~");
    frame.payload.iter_mut().filter(|byte| **byte == b'~').for_each(|byte| *byte = 0xe9);
    let mut raw = Raw::connect(world.gateway.address).await;
    raw.send([frame]).await;
    let body = raw.until(|frame| frame.kind == DATA).await.payload;
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("paths.non_utf8"), "{body}");
    let third = ask(world.gateway.address, "GET", "/export").await;
    assert_eq!(third.status, 429, "{third:?}");
}

#[tokio::test]
async fn the_shipped_files_read_paths_as_the_gateway_leaves_them() {
    let mut world = World::start("paths-shipped", &[], &[]).await;
    world.runs("status", "GET", "/v1/ai/chat/../../status").await;
    world.runs("status", "GET", "/v1/ai/%2e%2e/status").await;
    world.runs("status", "GET", "//v1//status").await;
    world.runs("status", "GET", "/v1/%73tatus?a=1").await;
    world.runs("ai", "GET", "/v1/status/../ai/status").await;
    // Envoy takes a backslash for a slash, and `..;` for a step.
    world.runs("status", "GET", "/v1\\ai\\..\\status").await;
    world.runs("status", "GET", "/v1/ai/..;/status").await;
    world.is_refused("paths.encoded_slash", "GET", "/v1/ai%2f..%2fstatus").await;
    world.is_refused("paths.matrix_params", "GET", "/v1/status;1").await;
    world.is_refused("without two hexadecimal", "GET", "/v1/%").await;
    world.runs("package", "GET", "/registry/@scope%2fname").await;
}

//! What a gateway cannot know of a request is never free: sizes of bodies that declare none, over
//! HTTP/1 and HTTP/2, and names that are no text. Through the real Envoy of `deploy/envoy`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::MutexGuard;

use crate::alone;
use crate::envoy::{PATIENT_MS, client, upstream};
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::process::{PATIENCE, folder, repository};
use crate::valkey::Valkey;

const LIMITS: &str = "
rate_limits:
  bytes:
    match: '* /files'
    key: ip_address
    limit: 20_000
    window: 1h
    cost: { of: request_size, missing: 9_000 }
  large:
    match: 'PUT /large'
    key: ip_address
    limit: 5_000_000_000
    window: 1h
    cost: { of: request_size, missing: 5_000_000_000 }
  by_client: { match: 'GET /client', key: client_id, missing_key: deny, limit: 1, window: 1h }
  by_team:
    match: 'GET /team'
    key: [ip_address, team]
    missing_key: together
    limit: 1
    window: 1h
";
/// What the settings of `deploy/envoy` leave out: the last section there is `attributes`.
const MORE_ATTRIBUTES: &str = "
  client_id: { header: x-client-id }
  team: { header: x-team }
";
/// A gateway that reads bodies, whole or not at all, before it asks.
const READS_BODIES: &str = "with_request_body: { max_request_bytes: 8192 }
                      encode_raw_headers: true";
/// A body of this many bytes.
const BODY: usize = 600;
const CHUNKED: &[u8] = b"transfer-encoding: chunked";

struct World {
    gateway: Gateway,
    _replicas: [Gate; 2],
    _store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

/// What came back of one request.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// The field `ratelimit`.
    left: String,
    body: String,
}

/// A body without a length.
type Body = BoxBody<Bytes, Infallible>;

impl World {
    async fn start(name: &str, reads_bodies: bool) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let settings = std::fs::read_to_string(repository("deploy/envoy/sluicegate.yaml")).unwrap();
        let settings = format!("{}{MORE_ATTRIBUTES}", settings.trim_end());
        std::fs::write(folder.join("sluicegate.yaml"), settings).unwrap();
        std::fs::write(folder.join("limits.yaml"), LIMITS).unwrap();
        let one = Gate::start(serve(&folder), &store, PATIENT_MS).await;
        let replicas = [one, Gate::start(serve(&folder), &store, PATIENT_MS).await];
        let doors = [replicas[0].grpc, replicas[1].grpc];
        let change = |text: String| {
            let raw = "encode_raw_headers: true";
            assert_eq!(text.matches(raw).count(), 1);
            if reads_bodies { text.replace(raw, READS_BODIES) } else { text }
        };
        let gateway = Gateway::start_with(&folder, upstream().await, doors, change).await;
        Self { gateway, _replicas: replicas, _store: store, _alone: alone }
    }

    /// Asks over HTTP/1 by `METHOD /path`, with lines of header fields, and these bytes after them.
    async fn http1(&self, host: u8, ask: &str, fields: &[&[u8]], body: &[u8]) -> Answer {
        let mut stream = connect(client(host), self.gateway.address).await;
        let mut lines = vec![format!("{ask} HTTP/1.1").into_bytes()];
        lines.extend([&b"host: api.test"[..], b"connection: close"].map(<[u8]>::to_vec));
        lines.extend(fields.iter().map(|field| field.to_vec()));
        let request = [&lines.join(&b"\r\n"[..]), &b"\r\n\r\n"[..], body].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let field = |line: &str| line.strip_prefix("ratelimit: ").map(str::to_owned);
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            left: head.lines().find_map(field).unwrap_or_default(),
            body: body.to_owned(),
        }
    }

    /// Asks over HTTP/2, without TLS, as a client that knows that the gateway speaks it.
    async fn http2(&self, host: u8, request: Request<Body>) -> Answer {
        let stream = TokioIo::new(connect(client(host), self.gateway.address).await);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let (head, body) = answer.expect("an answer in time").unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let left = head.headers.get("ratelimit").map_or("", |value| value.to_str().unwrap());
        Answer {
            status: head.status.as_u16(),
            left: left.to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

impl Answer {
    /// Asserts that it passed and took so many bytes of the quota, which was full before.
    fn took(&self, bytes: u64, case: &str) {
        let left = format!("\"bytes\";r={};", 20_000 - bytes);
        assert!(self.status == 200 && self.left.starts_with(&left), "{case}: {self:?}");
    }

    fn reason(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        problem["reason"].as_str().unwrap().to_owned()
    }
}

fn serve(folder: &Path) -> Command {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    serve.args(["serve", "-c"]).arg(folder.join("sluicegate.yaml"));
    serve.arg("--limits").arg(folder.join("limits.yaml"));
    serve
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).version(http::Version::HTTP_2);
    request.uri(format!("http://api.test{path}")).body(body).unwrap()
}

fn without_length() -> Body {
    let frame = Frame::data(Bytes::from(vec![b'x'; BODY]));
    BodyExt::boxed(StreamBody::new(tokio_stream::iter([Ok(frame)])))
}

fn with_length() -> Body {
    BodyExt::boxed(Full::from(vec![b'x'; BODY]))
}

fn nothing() -> Body {
    BodyExt::boxed(Empty::new())
}

/// A body in chunks.
fn chunked() -> Vec<u8> {
    format!("{BODY:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(BODY)).into_bytes()
}

#[tokio::test]
async fn the_size_of_a_body_over_http_1() {
    let world = World::start("unknown-http1", false).await;
    let length = format!("content-length: {BODY}");
    let (none, whole, chunks) = (&b""[..], vec![b'x'; BODY], chunked());
    for (host, ask, fields, body, bytes) in [
        (2, "GET /files", &[][..], none, 0),
        (3, "HEAD /files", &[], none, 0),
        (4, "POST /files", &[], none, 0),
        (5, "DELETE /files", &[], none, 0),
        (6, "POST /files", &[&b"content-length: 0"[..]], none, 0),
        (7, "POST /files", &[length.as_bytes()], &whole, 600),
        (8, "POST /files", &[CHUNKED], &chunks, 9_000),
        (9, "GET /files", &[CHUNKED], &chunks, 9_000),
        // What a client says of the copy that the gateway makes is not believed.
        (10, "POST /files", &[b"x-transfer-encoding: chunked"], none, 0),
        (11, "POST /files", &[CHUNKED, b"x-transfer-encoding: "], &chunks, 9_000),
        (12, "POST /files", &[CHUNKED, b"x-envoy-auth-partial-body: false"], &chunks, 9_000),
    ] {
        world.http1(host, ask, fields, body).await.took(bytes, &format!("{host}: {ask}"));
    }
    // Uploads that do not say how large they are use the quota up.
    for taken in [9_000, 18_000] {
        world.http1(13, "PUT /files", &[CHUNKED], &chunks).await.took(taken, "an upload");
    }
    let denied = world.http1(13, "PUT /files", &[CHUNKED], &chunks).await;
    assert_eq!((denied.status, &*denied.reason()), (429, "limit_exceeded"), "{denied:?}");
    // What is declared is counted in full, however much it is, before a byte of it comes.
    for size in [&b"content-length: 50000000000"[..], b"content-length: 5000000001"] {
        let denied = world.http1(14, "PUT /large", &[size], none).await;
        assert_eq!(
            (denied.status, &*denied.reason()),
            (429, "cost_exceeds_capacity"),
            "{denied:?}"
        );
    }
}

#[tokio::test]
async fn the_size_of_a_body_over_http_2() {
    let world = World::start("unknown-http2", false).await;
    let cases = [
        (2, request("GET", "/files", nothing()), 0),
        (3, request("OPTIONS", "/files", nothing()), 0),
        (4, request("POST", "/files", with_length()), 600),
        (5, request("POST", "/files", without_length()), 9_000),
        (6, request("PUT", "/files", without_length()), 9_000),
        // Without reading it nobody sees the body of a GET: docs/attributes.md says so.
        (7, request("GET", "/files", without_length()), 0),
        (8, request("GET", "/files", with_length()), 600),
    ];
    for (host, request, bytes) in cases {
        let case = format!("{} {:?}", request.method(), request.headers());
        world.http2(host, request).await.took(bytes, &case);
    }
}

#[tokio::test]
async fn a_gateway_that_reads_bodies_knows_their_size() {
    let world = World::start("unknown-read", true).await;
    for (host, ask) in [(2, "POST /files"), (3, "GET /files")] {
        world.http1(host, ask, &[CHUNKED], &chunked()).await.took(600, ask);
    }
    world.http1(4, "POST /files", &[], b"").await.took(0, "no body");
    for (host, method) in [(5, "GET"), (6, "POST"), (7, "PUT")] {
        world.http2(host, request(method, "/files", without_length())).await.took(600, method);
    }
}

#[tokio::test]
async fn a_name_that_is_no_text_is_refused_and_one_that_is_missing_is_not_free() {
    let world = World::start("unknown-names", false).await;
    let ask = |field: Vec<u8>| {
        let world = &world;
        async move { world.http1(2, "GET /client", &[&field], b"").await }
    };
    // Each of these would be `!`s without raw headers, two of them the same ones.
    for bytes in [&b"\xff\xfe"[..], b"\xfe\xff", b"caf\xe9"] {
        let refused = ask([b"x-client-id: ", bytes].concat()).await;
        assert_eq!((refused.status, &*refused.reason()), (400, "invalid_request"), "{refused:?}");
        assert!(refused.body.contains("x-client-id"), "{refused:?}");
        let mut asked = request("GET", "/client", nothing());
        asked.headers_mut().insert("x-client-id", HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(world.http2(2, asked).await.status, 400, "{bytes:?}");
    }
    for name in ["caf\u{e9}", "!!", "a,b"] {
        let passed = ask(format!("x-client-id: {name}").into_bytes()).await;
        assert_eq!(passed.status, 200, "{name} has a counter of its own: {passed:?}");
    }
    let missing = ask(b"x-other: 1".to_vec()).await;
    assert_eq!((missing.status, &*missing.reason()), (400, "invalid_request"), "{missing:?}");
    assert!(missing.body.contains("client_id") && !missing.body.contains("by_client"));
    // Who leaves the header out shares one counter with everybody who does.
    for (host, fields, status) in [
        (3, &[][..], 200),
        (3, &[], 429),
        (3, &[&b"x-team: "[..]], 429),
        (3, &[b"x-team: red"], 200),
        (4, &[], 200),
    ] {
        let answer = world.http1(host, "GET /team", fields, b"").await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
}

//! The server that is fuzzed, and how messages get to its doors.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, HoldRequest, ReserveRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::alone;
use crate::calls::{call, until};
use crate::generate::Generator;
use crate::process::{PATIENCE, Process, folder, free_address, repository};

/// Limits of every algorithm, with keys that the messages have.
const LIMITS: &str = "\
version: 1
endpoint_costs:
  \"POST /v1/reports/**\": 3
  \"GET /v1/{thing}\": 2
rate_limits:
  default: { key: tenant_id, limit: 1000, window: 1m }
  users:
    key: [tenant_id, user_id]
    algorithm: token_bucket
    limit: 100
    window: 1s
    burst: 500
    cost: endpoint
    max_keys: 5_000
  exports: { match: \"POST /v1/reports/export\", algorithm: fixed_window, limit: 20, window: 1h }
  unauthenticated: { key: ip_address, limit: 60, window: 1m, mode: shadow }
  running: { key: tenant_id, algorithm: concurrency, limit: 50, hold: 1s, cost: 1 }
";
/// The smallest embedded store, so that it is full early; every kind of source; connections that
/// come of age while they are used.
const SETTINGS: &str = "\
listeners:
  grpc: { max_connection_age_seconds: 1 }
  http: { max_connection_age_seconds: 1 }
limits: [limits/]
store: memory
memory: { max_counters: 10000 }
log: { level: error }
attributes:
  tenant_id: { header: x-tenant-id }
  user_id: { claim: sub }
  traffic_class: { context: traffic_class }
  authenticated: { present: tenant_id }
  ip_address: { trusted_proxies: [\"127.0.0.0/8\", \"10.0.0.0/8\"] }
ip_prefix: { ipv4: 24, ipv6: 56 }
";
/// One message in this many is the raw bytes of a connection of its own.
const RAW: u32 = 16;
/// Connections that send at the same time.
const SENDERS: usize = 4;

/// The examples that people copy, and the limits of the server.
pub(crate) fn examples() -> Vec<String> {
    let files = std::fs::read_dir(repository("limits/examples")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    // The same seed makes the same files, whatever order the folder lists.
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.chain([LIMITS.to_owned()]).collect()
}

/// The server under fire.
pub(crate) struct Server {
    process: Process,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    limits: PathBuf,
    /// Of reservations and holds that it granted before anything was sent.
    tokens: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

/// Where messages go.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    Native,
    ExtAuthz,
    Http,
}

impl Server {
    /// Starts the real binary on free ports and waits until it is ready.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_trusting(name, "127.0.0.0/8").await
    }

    /// The same, where only this network is trusted.
    pub(crate) async fn start_trusting(name: &str, network: &str) -> Self {
        let alone = alone().await;
        let folder = folder(&format!("fuzz-{name}"));
        let limits = folder.join("limits");
        std::fs::create_dir(&limits).unwrap();
        std::fs::write(limits.join("limits.yaml"), LIMITS).unwrap();
        std::fs::write(folder.join("sluicegate.yaml"), SETTINGS).unwrap();
        let (grpc, http) = (free_address(), free_address());
        let mut serve = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
        serve.args(["serve", "-c", "sluicegate.yaml"]).current_dir(&folder);
        serve.args(["--grpc-addr", &grpc.to_string(), "--http-addr", &http.to_string()]);
        serve.env("SLUICEGATE__LISTENERS__GRPC__TRUST", network);
        serve.env("SLUICEGATE__LISTENERS__HTTP__TRUST", network);
        let process = Process::start("sluicegate", &mut serve);
        let tokens = Vec::new();
        let mut server = Self { process, grpc, http, limits, tokens, _alone: alone };
        until("ready server", || async { server.is_ready().await.then_some(()) }).await;
        server.tokens = server.grant().await;
        server
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Replaces its limits as an editor would, by a rename.
    pub(crate) fn replace_limits(&self, text: &str) {
        let new = self.limits.join(".limits.yaml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.limits.join("limits.yaml")).unwrap();
    }

    /// Fails unless it still answers and has never panicked.
    pub(crate) async fn is_well(&self) {
        assert!(self.is_ready().await, "the server answers no more");
        let printed = self.process.printed();
        assert!(!printed.contains("panicked"), "{printed}");
    }

    /// Asks for reservations and holds of a few tenants.
    async fn grant(&self) -> Vec<String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let mut client = SluicegateClient::new(endpoint.connect().await.unwrap());
        let mut tokens = Vec::new();
        for tenant in 0..8 {
            let value = Some(Value::Text(format!("tenant-{tenant}")));
            let attributes = vec![Attribute { name: "tenant_id".to_owned(), value }];
            let (estimate, cost, lasting) = (Some(3), None, None);
            let reserve = ReserveRequest { attributes: attributes.clone(), estimate, lasting };
            tokens.push(client.reserve(reserve).await.unwrap().into_inner().reservation);
            let hold = HoldRequest { attributes, cost, lasting };
            tokens.push(client.hold(hold).await.unwrap().into_inner().hold);
        }
        assert!(tokens.iter().all(|token| !token.is_empty()));
        tokens
    }

    async fn is_ready(&self) -> bool {
        let from = Ipv4Addr::LOCALHOST.into();
        call(from, self.http, "GET", "/readyz", &[]).await.is_ok_and(|a| a.status == 200)
    }
}

impl Door {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::ExtAuthz => "ext_authz",
            Self::Http => "http",
        }
    }

    /// Sends `count` messages over a few connections at once.
    pub(crate) async fn send(self, server: &Server, seed: u64, count: usize) {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let seed = seed.wrapping_mul(31).wrapping_add(sender as u64);
            let generator = Generator::with_tokens(seed, server.tokens.clone());
            let share = count / SENDERS + usize::from(sender < count % SENDERS);
            let to = if let Self::Http = self { server.http } else { server.grpc };
            senders.spawn(self.send_some(to, generator, share));
        }
        senders.join_all().await;
    }

    async fn send_some(self, to: SocketAddr, mut generator: Generator, count: usize) {
        let mut connection = None;
        for _ in 0..count {
            if generator.one_in(RAW) {
                let raw = match self {
                    Self::Http => generator.raw_http1(),
                    Self::Native | Self::ExtAuthz => generator.raw_http2(),
                };
                send_raw(to, &raw).await;
                continue;
            }
            let (request, must_be_answered) = self.request(&mut generator);
            let open = match connection.take() {
                Some(open) => open,
                None => Connection::open(self, to).await,
            };
            let (mut kept, mut answer) = open.send(request.clone()).await;
            // A connection that came of age was closed before the message went out: as a gateway
            // does, it goes over another one.
            if answer.as_ref().is_err_and(|error| error.is_closed() || error.is_canceled()) {
                (kept, answer) = Connection::open(self, to).await.send(request).await;
            }
            connection = kept;
            if must_be_answered {
                let answer = answer.unwrap_or_else(|e| panic!("no answer to a good message: {e}"));
                assert_eq!(answer.0, 200, "{answer:?}");
                assert_eq!(answer.1.get("grpc-status").unwrap(), "0", "{answer:?}");
            }
        }
    }

    /// A request, and whether it must be answered without an error: Envoy's messages must,
    /// whatever a client wrote into them.
    fn request(self, generator: &mut Generator) -> (Request<Full<Bytes>>, bool) {
        let held = generator.one_in(2);
        let (path, kind, (message, whole)) = match self {
            Self::Native if held => {
                let (method, message) = generator.native_held();
                (format!("/sluicegate.v1.Sluicegate/{method}"), "grpc", (message, false))
            }
            Self::Http if held => {
                let (path, body) = generator.json_held();
                (path.to_owned(), "json", (body, false))
            }
            Self::Native => {
                ("/sluicegate.v1.Sluicegate/Check".to_owned(), "grpc", generator.native())
            }
            Self::ExtAuthz => {
                let path = "/envoy.service.auth.v3.Authorization/Check".to_owned();
                (path, "grpc", generator.ext_authz())
            }
            Self::Http => ("/v1/check".to_owned(), "json", (generator.json(), false)),
        };
        let body = if kind == "grpc" { framed(&message) } else { message };
        let request = Request::post(format!("http://gate.test{path}"))
            .header("content-type", format!("application/{kind}"))
            .header("te", "trailers");
        let must = whole && matches!(self, Self::ExtAuthz) && body.len() < 60_000;
        (request.body(Full::from(body)).unwrap(), must)
    }
}

/// A client's connection.
enum Connection {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// The status, and headers and trailers together.
type Answer = (u16, HeaderMap);

impl Connection {
    async fn open(door: Door, to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        // Otherwise each message waits 40 ms for an acknowledgement between its frames.
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        if let Door::Http = door {
            let (sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            return Self::One(sender);
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Self::Two(sender)
    }

    /// Sends and waits for the answer; gives the connection back unless it was closed.
    async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> (Option<Self>, hyper::Result<Answer>) {
        let work = async {
            let response = match &mut self {
                Self::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Self::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            read(response).await
        };
        let answer = timeout(PATIENCE, work).await.expect("neither answered nor closed");
        (answer.is_ok().then_some(self), answer)
    }
}

async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let mut headers = head.headers;
    headers.extend(body.trailers().cloned().unwrap_or_default());
    Ok((head.status.as_u16(), headers))
}

/// Writes the bytes, says that nothing more comes, and waits until the server has closed.
async fn send_raw(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let work = async {
        // A server that closes early makes these fail, which is an answer too.
        drop(stream.write_all(bytes).await);
        drop(stream.shutdown().await);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    };
    timeout(PATIENCE, work).await.expect("the connection was neither answered nor closed");
}

/// A gRPC message: not compressed, its length, its bytes.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    body
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

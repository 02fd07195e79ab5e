//! Every thing that a request can be limited by, through the real Envoy: the limits of
//! `limits/examples/dimensions.yaml`, with the settings of `deploy/envoy` and what they lack.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use http::Request;
use http_body_util::Full;
use tokio::sync::MutexGuard;

use crate::alone;
use crate::envoy::{ACME, GLOBEX, HEAD, PATIENT_MS, client, upstream};
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::http_client::{HttpAnswer, send};
use crate::mmdb::mmdb;
use crate::process::{folder, repository};
use crate::valkey::Valkey;

/// What the settings of `deploy/envoy` leave out: the last section there is `attributes`.
const MORE_ATTRIBUTES: &str = "
  client_id: { header: x-client-id }
  on_behalf_of: { header: x-on-behalf-of }
  headers.x-environment: { header: x-environment }
  claims.sub: { claim: sub }
geography: { file: places.mmdb }
";
/// A route whose traffic is that of partners, before the one for everybody.
const PARTNERS: &str = "routes:
                        - match: { path: /v1/orders }
                          route: { cluster: upstream }
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              \"@type\": type.googleapis.com/envoy.extensions.filters.http.\
ext_authz.v3.ExtAuthzPerRoute
                              check_settings: { context_extensions: { traffic_class: partner } }
";

struct World {
    gateway: Gateway,
    _replicas: [Gate; 2],
    _store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

/// One request of a client.
#[derive(Clone)]
struct Ask {
    from: IpAddr,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    bytes: usize,
}

impl Ask {
    fn new(host: u8, method: &'static str, path: &'static str) -> Self {
        Self { from: client(host), method, path, headers: Vec::new(), bytes: 0 }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With the token of a tenant: ana of acme, ben of globex.
    fn by(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {HEAD}.{token}"))
    }

    fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl World {
    async fn start(name: &str) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let places = [("127.0.0.20/32", "FR", None), ("127.0.0.21/32", "PT", Some("11"))];
        let home = [("127.0.0.22/32", "ES", Some("MD")), ("127.0.0.23/32", "ES", Some("CT"))];
        let places = mmdb(4, &[places, home].concat(), 1);
        std::fs::write(folder.join("places.mmdb"), places).unwrap();
        let settings = std::fs::read_to_string(repository("deploy/envoy/sluicegate.yaml")).unwrap();
        let settings = format!("{}{MORE_ATTRIBUTES}", settings.trim_end());
        std::fs::write(folder.join("sluicegate.yaml"), settings).unwrap();
        let one = Gate::start(serve(&folder), &store, PATIENT_MS).await;
        let replicas = [one, Gate::start(serve(&folder), &store, PATIENT_MS).await];
        let doors = [replicas[0].grpc, replicas[1].grpc];
        let routes = |text: String| {
            assert_eq!(text.matches("routes:\n").count(), 1);
            text.replace("routes:\n", PARTNERS)
        };
        let gateway = Gateway::start_with(&folder, upstream().await, doors, routes).await;
        Self { gateway, _replicas: replicas, _store: store, _alone: alone }
    }

    async fn answer(&self, ask: &Ask) -> HttpAnswer {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        request = request.header("host", "api.test");
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let body = Full::from(vec![b'x'; ask.bytes]);
        send(ask.from, self.gateway.address, request.body(body).unwrap()).await.unwrap()
    }

    /// Asserts that the limit bound the answer and lets the request pass.
    async fn passes(&self, limit: &str, ask: &Ask) {
        let answer = self.answer(ask).await;
        assert_eq!(answer.status, 200, "{limit}: {answer:?}");
        let binds = answer.header("ratelimit").starts_with(&format!("\"{limit}\";"));
        assert!(binds, "{limit} binds: {answer:?}");
    }

    /// Asserts that the limit denies the request, and for this reason.
    async fn denies(&self, limit: &str, reason: &str, ask: &Ask) {
        let answer = self.answer(ask).await;
        assert_eq!(answer.status, 429, "{limit}: {answer:?}");
        let body = answer.json();
        assert_eq!((&body["limit_name"], &body["reason"]), (&limit.into(), &reason.into()));
    }

    /// Asserts that `count` requests pass and the next one is denied.
    async fn is_limited(&self, limit: &str, count: usize, ask: &Ask) {
        for _ in 0..count {
            self.passes(limit, ask).await;
        }
        self.denies(limit, "limit_exceeded", ask).await;
    }
}

fn serve(folder: &Path) -> Command {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    serve.args(["serve", "-c"]).arg(folder.join("sluicegate.yaml"));
    serve.arg("--limits").arg(repository("limits/examples/dimensions.yaml"));
    serve
}

#[tokio::test]
async fn who_a_request_is_from() {
    let world = World::start("dimensions-who").await;
    let ask = |token, path| Ask::new(2, "GET", path).by(token);
    world.is_limited("tenant", 3, &ask(ACME, "/v1/reports")).await;
    world.is_limited("tenant", 3, &ask(GLOBEX, "/v1/reports")).await;
    world.is_limited("user", 2, &ask(ACME, "/v1/me")).await;
    world.is_limited("user", 2, &ask(GLOBEX, "/v1/me")).await;
    for program in ["ios", "web"] {
        let ask = ask(ACME, "/v1/feed").with("x-client-id", program);
        world.is_limited("application", 2, &ask).await;
    }
    // Programs that do not say which they are count as one.
    world.is_limited("application", 2, &ask(ACME, "/v1/feed")).await;
    for person in ["carol", "dave"] {
        let ask = Ask::new(2, "POST", "/v1/messages").by(ACME);
        let ask = ask.with("x-client-id", "assistant").with("x-on-behalf-of", person);
        world.is_limited("delegation", 2, &ask).await;
    }
    for environment in ["test", "live"] {
        let ask = Ask::new(2, "POST", "/v1/builds").by(ACME);
        world.is_limited("environment", 1, &ask.with("x-environment", environment)).await;
    }
    world.is_limited("guests", 1, &ask(ACME, "/v1/archive")).await;
    let ben = world.answer(&ask(GLOBEX, "/v1/archive")).await;
    assert_eq!((ben.status.as_u16(), ben.header("ratelimit")), (200, ""), "no guest: {ben:?}");
}

#[tokio::test]
async fn where_a_request_comes_from() {
    let world = World::start("dimensions-where").await;
    let from = |host, method, path| Ask::new(host, method, path);
    world.is_limited("address", 2, &from(10, "GET", "/v1/public")).await;
    world.is_limited("address", 2, &from(11, "GET", "/v1/public")).await;
    world.is_limited("unauthenticated", 20, &from(12, "GET", "/v1/anything")).await;
    let known = from(12, "GET", "/v1/reports").by(ACME);
    world.passes("tenant", &known).await;

    world.is_limited("country", 2, &from(20, "POST", "/v1/accounts")).await;
    world.is_limited("country", 2, &from(21, "POST", "/v1/accounts")).await;
    for _ in 0..4 {
        world.passes("unauthenticated", &from(22, "POST", "/v1/accounts")).await;
    }
    world.is_limited("region", 1, &from(22, "GET", "/v1/tickets")).await;
    world.is_limited("region", 1, &from(23, "GET", "/v1/tickets")).await;
    world.passes("unauthenticated", &from(20, "GET", "/v1/tickets")).await;

    let order = from(2, "GET", "/v1/orders").by(ACME);
    world.is_limited("partner", 2, &order).await;
    let elsewhere = world.answer(&from(2, "GET", "/v1/orders/1").by(ACME)).await;
    assert_eq!(elsewhere.status, 200, "the route of everybody is no partner's: {elsewhere:?}");
}

#[tokio::test]
async fn what_a_request_does() {
    let world = World::start("dimensions-what").await;
    let search = Ask::new(2, "POST", "/v1/search").by(ACME);
    world.is_limited("endpoint", 2, &search).await;

    let upload = |bytes| Ask::new(2, "PUT", "/v1/files/a").by(ACME).bytes(bytes);
    let left = world.answer(&upload(3_000)).await;
    assert!(left.header("ratelimit").starts_with("\"upload_bytes\";r=17000;"), "{left:?}");
    world.passes("large_uploads", &upload(5_000)).await;
    world.denies("large_uploads", "limit_exceeded", &upload(4_001)).await;
    world.is_limited("upload_bytes", 3, &upload(4_000)).await;
    world.denies("upload_bytes", "cost_exceeds_capacity", &upload(20_001)).await;

    // Two logins a second pass; who goes on and is denied three times is out, the second over too.
    let login = Ask::new(30, "POST", "/v1/login");
    let mut denied = 0;
    let blocked = loop {
        let answer = world.answer(&login).await;
        if answer.status == 429 && answer.json()["reason"] == "blocked" {
            break answer;
        }
        denied += u32::from(answer.status == 429);
        assert!(denied <= 3, "{answer:?}");
    };
    let retry_after: u64 = blocked.header("retry-after").parse().unwrap();
    assert!((800..=1_000).contains(&retry_after), "for a quarter of an hour: {blocked:?}");
    world.passes("behaviour", &Ask::new(31, "POST", "/v1/login")).await;
}

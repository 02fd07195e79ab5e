//! Many clients of one gateway: a limit of 60 for each address, a crowd that is told no, and a
//! neighbour who must not notice.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use axum::{Json, Router};
use http::HeaderMap;
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, CheckRequest};
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use crate::calls::{call, until};
use crate::fleet::Fleet;
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::http_client::HttpAnswer;

/// What an address may ask; the window is longer than any test.
pub(crate) const LIMIT: usize = 60;
const LIMITS: &str = "rate_limits: {each: {key: ip_address, limit: 60, window: 1h}}";

/// A crowd on a busy machine does not reach it: an answer without the store would be a share.
const STORE_TIMEOUT_MS: u32 = 30_000;

/// Envoy with `deploy/envoy/envoy.yaml`, two replicas and their store, and what clients cannot
/// see.
pub(crate) struct World {
    fleet: Fleet,
    upstream: Arc<Upstream>,
}

/// An API that counts its requests by the client that Envoy says it has, and answers with the
/// headers of the request, as JSON.
#[derive(Default)]
struct Upstream(Mutex<HashMap<String, usize>>);

/// What clients were told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) passed: usize,
    /// Denied by Sluicegate, for whatever reason.
    pub(crate) denied: usize,
    /// Those of the denied that it had no room for.
    pub(crate) overloaded: usize,
    /// Anything else, the first of them.
    pub(crate) errors: Vec<String>,
}

/// A client that asks one request after the other, each from an address of its own, so that none
/// of them is over a limit.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Told>,
}

impl World {
    /// `allow` is Envoy's `failure_mode_allow`; `change` may change more of its configuration.
    pub(crate) async fn start(
        name: &str,
        allow: bool,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        Self::start_with(name, allow, change, &[]).await
    }

    /// The same with settings of the replicas, as environment.
    pub(crate) async fn start_with(
        name: &str,
        allow: bool,
        change: impl FnOnce(String) -> String,
        settings: &[(&str, &str)],
    ) -> Self {
        let mode = |text: String| {
            let (old, new) = ("failure_mode_allow: false", "failure_mode_allow: true");
            assert_eq!(text.matches(old).count(), 1);
            change(if allow { text.replace(old, new) } else { text })
        };
        let (upstream, address) = Upstream::start().await;
        let name = format!("{name}-{allow}");
        let fleet = Fleet::before(address, &name, LIMITS, STORE_TIMEOUT_MS, settings, mode).await;
        for replica in &fleet.replicas {
            until("answer of the store", || backed_by_the_store(replica)).await;
        }
        Self { fleet, upstream }
    }

    pub(crate) const fn gateway(&self) -> &Gateway {
        &self.fleet.gateway
    }

    /// Kills the second replica.
    pub(crate) fn kill_one(&mut self) {
        self.fleet.replicas[1].process.kill();
    }

    /// How many requests of a client got to the API.
    pub(crate) fn passed(&self, client: IpAddr) -> usize {
        self.upstream.0.lock().unwrap().get(&client.to_string()).copied().unwrap_or(0)
    }

    /// One request of a client.
    pub(crate) async fn get(&self, from: IpAddr, headers: &[(&str, &str)]) -> Told {
        Told::of(call(from, self.fleet.gateway.address, "GET", "/v1/reports", headers).await)
    }
}

impl Upstream {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(Self::default());
        let counting = Arc::clone(&upstream);
        let api = Router::new().fallback(move |headers: HeaderMap| {
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
            let pairs = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
            let headers: BTreeMap<String, String> = pairs.collect();
            let forwarded = headers.get("x-forwarded-for").map_or("", String::as_str);
            // The last one is what Envoy has added.
            let client = forwarded.rsplit(',').next().unwrap_or_default().trim().to_owned();
            *counting.0.lock().unwrap().entry(client).or_default() += 1;
            std::future::ready(Json(headers))
        });
        tokio::spawn(async move { axum::serve(listener, api).await });
        (upstream, address)
    }
}

impl World {
    /// Has the replicas stand still: connections are still made, nobody answers.
    pub(crate) fn stop(&self) {
        self.fleet.replicas.iter().for_each(|replica| replica.process.signal("STOP"));
    }

    /// Has them go on.
    pub(crate) fn go_on(&self) {
        self.fleet.replicas.iter().for_each(|replica| replica.process.signal("CONT"));
    }

    /// Waits until so many calls to the replicas wait for an answer at the same time.
    pub(crate) async fn until_asked(&self, count: usize) {
        until("calls to the replicas", || async {
            let asked = self.fleet.gateway.statistic("cluster.sluicegate.upstream_rq_active").await;
            (asked >= count as u64).then_some(())
        })
        .await;
    }
}

/// Answers once a replica has a connection to the store: before, it decides alone.
async fn backed_by_the_store(replica: &Gate) -> Option<()> {
    let endpoint = Endpoint::from_shared(format!("http://{}", replica.grpc)).unwrap();
    let mut client = SluicegateClient::new(endpoint.connect().await.unwrap());
    let value = Some(Value::Text("127.8.0.1".to_owned()));
    let attributes = vec![Attribute { name: "ip_address".to_owned(), value }];
    let answer = client.check(CheckRequest { attributes, cost: None }).await.unwrap();
    (!answer.into_inner().degraded).then_some(())
}

impl Told {
    /// What one answer says.
    pub(crate) fn of(answer: std::io::Result<HttpAnswer>) -> Self {
        match answer {
            Ok(answer) if answer.status == 200 => Self { passed: 1, ..Self::default() },
            Ok(answer) if answer.body.contains("\"decision_id\":") => {
                let overloaded = answer.body.contains("\"reason\":\"overloaded\"");
                Self { denied: 1, overloaded: usize::from(overloaded), ..Self::default() }
            }
            other => Self { errors: vec![format!("{other:?}")], ..Self::default() },
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.denied += other.denied;
        self.overloaded += other.overloaded;
        self.errors.extend(other.errors);
    }

    /// Fails where a request was not answered by a decision.
    pub(crate) fn no_error(&self) {
        let Self { passed, denied, errors, .. } = self;
        let first = errors.first();
        assert_eq!(first, None, "{} errors, {passed} passed, {denied} denied", errors.len());
    }

    /// Fails unless every request was answered by a decision, and just as many passed as may.
    pub(crate) fn within_the_limit(&self, asked: usize) {
        self.no_error();
        assert_eq!((self.passed, self.denied), (LIMIT.min(asked), asked.saturating_sub(LIMIT)));
    }
}

impl Neighbour {
    pub(crate) fn start(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, to) = (Arc::clone(&stop), world.fleet.gateway.address);
        let asking = tokio::spawn(async move {
            let mut told = Told::default();
            let addresses = (1..250_u8).flat_map(|a| (1..250).map(move |b| [127, 9, a, b]));
            for address in addresses {
                if stopped.load(Relaxed) {
                    break;
                }
                let from = Ipv4Addr::from(address).into();
                told.add(Told::of(call(from, to, "GET", "/v1/reports", &[]).await));
            }
            told
        });
        Self { stop, asking }
    }

    /// Stops it, and fails where it noticed anything: how often it asked.
    pub(crate) async fn noticed_nothing(self) -> usize {
        self.stop.store(true, Relaxed);
        let told = self.asking.await.unwrap();
        told.no_error();
        assert_eq!(told.denied, 0);
        assert!(told.passed > 0);
        told.passed
    }
}

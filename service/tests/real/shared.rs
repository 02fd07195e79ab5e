//! The gateway's connection is shared by all its clients: none of them may break it, and none gets
//! past a limit by trying.

use std::net::IpAddr;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sluicegate::settings::Listeners;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls::call;
use crate::crowd::{LIMIT, Neighbour, Told, World};
use crate::envoy::client;
use crate::http_client::HttpAnswer;
use crate::http2::connect_from;
use crate::process::repository;
use crate::tracers::{OPENTELEMETRY, traced};

#[tokio::test]
async fn a_tracestate_of_any_size_that_envoy_takes_is_no_way_around_a_limit() {
    const SIZES: [usize; 6] = [15_800, 16_384, 24_000, 32_768, 50_000, 60_000];
    for allow in [false, true] {
        let traced = |text: String| traced(&text, OPENTELEMETRY);
        let world = World::start("tracestate", allow, traced).await;
        let neighbour = Neighbour::start(&world);
        for (number, bytes) in SIZES.into_iter().enumerate() {
            let from = client(20 + u8::try_from(number).unwrap());
            let state = format!("a={}", "t".repeat(bytes));
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let mut told = Told::default();
            for _ in 0..LIMIT + 20 {
                let headers = [("traceparent", parent), ("tracestate", &*state)];
                told.add(world.get(from, &headers).await);
            }
            told.within_the_limit(LIMIT + 20);
        }
        neighbour.noticed_nothing().await;
        world.gateway().no_connection_broke().await;
    }
}

#[tokio::test]
async fn as_many_headers_as_the_documents_let_a_gateway_take_are_no_way_around_a_limit() {
    let ceiling = listeners().max_client_headers_kib();
    for allow in [false, true] {
        let wide = |text: String| {
            let (before, more) =
                ("                request_headers_timeout", "max_request_headers_kb");
            assert_eq!(text.matches(before).count(), 1);
            let wide =
                text.replace(before, &format!("                {more}: {ceiling}\n{before}"));
            traced(&wide, OPENTELEMETRY)
        };
        let world = World::start("ceiling", allow, wide).await;
        let neighbour = Neighbour::start(&world);
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for kib in [100, 500, ceiling as usize - 1] {
            let state = format!("a={}", "t".repeat(kib * 1024));
            let told =
                world.get(client(2), &[("traceparent", parent), ("tracestate", &state)]).await;
            told.no_error();
            assert_eq!((told.passed, told.denied), (0, 1), "its question is too large");
        }
        neighbour.noticed_nothing().await;
        world.gateway().no_connection_broke().await;
    }
}

#[tokio::test]
async fn the_shipped_gateway_removes_what_a_client_says_about_traces() {
    let world = World::start("traces", false, |text| text).await;
    let said = [("traceparent", "00-1"), ("tracestate", "a=b"), ("baggage", "c=d"), ("x-a", "e")];
    let to = world.gateway().address;
    let answer = call(client(2), to, "GET", "/v1/reports", &said).await.unwrap().json();
    for (name, value) in said {
        let expected = (name == "x-a").then(|| Value::from(value));
        assert_eq!(answer.get(name), expected.as_ref(), "{answer}");
    }
}

#[tokio::test]
async fn eight_hundred_clients_at_once_on_a_fresh_gateway_are_all_answered() {
    const CLIENTS: usize = 800;
    for allow in [false, true] {
        let world = World::start("at-once", allow, |text| text).await;
        let to = world.gateway().address;
        let mut asking = JoinSet::new();
        for _ in 0..CLIENTS {
            asking.spawn(async move { call(client(2), to, "GET", "/", &[]).await });
        }
        let mut told = Told::default();
        asking.join_all().await.into_iter().for_each(|answer| told.add(Told::of(answer)));
        told.within_the_limit(CLIENTS);
        world.gateway().no_connection_broke().await;
    }
}

#[tokio::test]
async fn what_a_replica_has_no_room_for_it_denies_itself() {
    const CLIENTS: usize = 400;
    for allow in [false, true] {
        let few = [("SLUICEGATE__LISTENERS__MAX_REQUESTS", "10")];
        let world = World::start_with("room", allow, patient, &few).await;
        let to = world.gateway().address;
        world.stop();
        let mut asking = JoinSet::new();
        for _ in 0..CLIENTS {
            asking.spawn(async move { call(client(2), to, "GET", "/", &[]).await });
        }
        world.until_asked(CLIENTS).await;
        world.go_on();
        let mut told = Told::default();
        asking.join_all().await.into_iter().for_each(|answer| told.add(Told::of(answer)));
        told.no_error();
        assert!(told.passed <= LIMIT && told.overloaded > 0, "{told:?}");
        world.gateway().no_connection_broke().await;
    }
}

#[tokio::test]
async fn a_replica_that_is_gone_is_no_error_for_a_crowd() {
    const CLIENTS: u8 = 200;
    let mut world = World::start("gone", false, |text| text).await;
    let to = world.gateway().address;
    // It has no connection of a client yet: what is on its way when a replica ends may be counted,
    // and is never sent again.
    world.kill_one();
    let mut asking = JoinSet::new();
    for host in 1..=CLIENTS {
        asking.spawn(async move { call(client(host), to, "GET", "/", &[]).await });
    }
    let mut told = Told::default();
    asking.join_all().await.into_iter().for_each(|answer| told.add(Told::of(answer)));
    told.no_error();
    assert_eq!(told.passed, usize::from(CLIENTS));
}

/// The configuration of a gateway where nothing gives up while the replicas stand still: no health
/// check and no connection.
fn patient(mut text: String) -> String {
    let changes = [
        ("unhealthy_threshold: 2", "unhealthy_threshold: 1000"),
        ("interval: 5s, timeout: 5s", "interval: 500s, timeout: 60s"),
    ];
    for (old, new) in changes {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text
}

/// A number of the shipped configuration.
fn shipped(key: &str) -> usize {
    let text = std::fs::read_to_string(repository("deploy/envoy/envoy.yaml")).unwrap();
    let after = text.split_once(&format!("{key}: ")).unwrap_or_else(|| panic!("{key}")).1;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn listeners() -> Listeners {
    let memory = Some("memory".to_owned());
    let environment = Some(std::iter::empty::<(String, String)>().collect());
    let overrides =
        sluicegate::settings::Overrides { store: memory, environment, ..<_>::default() };
    sluicegate::settings::load(&overrides).unwrap().listeners
}

/// A connection of HTTP/2 that knows how much it may ask at once.
pub(crate) async fn connection(
    from: IpAddr,
    to: std::net::SocketAddr,
) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(connect_from(from, to).await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_max_send_streams(1);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Asks one request over it.
pub(crate) async fn ask(
    mut sender: http2::SendRequest<Empty<Bytes>>,
) -> std::io::Result<HttpAnswer> {
    let request = Request::get("http://api.test/v1/reports").body(Empty::new()).unwrap();
    let other = std::io::Error::other::<hyper::Error>;
    let (head, body) = sender.send_request(request).await.map_err(other)?.into_parts();
    let body = body.collect().await.map_err(other)?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(HttpAnswer { status: head.status, headers: head.headers, body })
}

#[tokio::test]
async fn as_much_as_the_gateway_lets_in_at_once_is_answered_and_one_more_is_not_let_in() {
    let connections = shipped("max_active_downstream_connections");
    let streams = shipped("http2_protocol_options: { max_concurrent_streams");
    let bound = connections * streams;
    assert!(bound < shipped("max_requests") + shipped("max_pending_requests"));
    let listeners = listeners();
    assert_eq!(shipped("              max_concurrent_streams"), listeners.max_streams as usize);
    assert!(bound < listeners.max_streams as usize);
    drop(sluicegate::server::raise_limit(&listeners));
    for allow in [false, true] {
        let world = World::start("bound", allow, patient).await;
        let to = world.gateway().address;
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(connection(client(2), to).await);
        }
        let mut one_more = TcpStream::connect(to).await.unwrap();
        // Closed, or reset.
        assert_eq!(one_more.read(&mut [0; 1]).await.unwrap_or(0), 0);
        world.stop();
        let mut asking = JoinSet::new();
        for sender in open.iter().flat_map(|sender| std::iter::repeat_n(sender, streams)) {
            asking.spawn(ask(sender.clone()));
        }
        world.until_asked(bound).await;
        world.go_on();
        let mut told = Told::default();
        asking.join_all().await.into_iter().for_each(|answer| told.add(Told::of(answer)));
        told.within_the_limit(bound);
        world.gateway().no_connection_broke().await;
    }
}

//! Strangers, at whose connections nothing of the trusted peers depends.

use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;
use prost::Message;
use sluicegate::settings::Settings;
use sluicegate_proto::ext_authz::CheckResponse;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::v1;
use tokio::io::AsyncWriteExt;
use tonic_health::pb::HealthCheckResponse;

use crate::asking::{DOORS, Question};
use crate::bounds::read_to_end;
use crate::http_client::{HttpAnswer, send};
use crate::http2::{DATA, Frame, GOAWAY, PREFACE, RST_STREAM, Raw, SETTINGS, connect_from};
use crate::server::TestServer;

const LIMITS: &str = "rate_limits: {default: {limit: 1_000, window: 1h}}";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const ENHANCE_YOUR_CALM: u32 = 11;
/// The places of one address, and of all.
const PER_ADDRESS: u8 = 8;
const ALL: usize = 64;

/// 127.0.0.1 is trusted, the rest of loopback is not.
fn trusting_one(settings: &mut Settings) {
    settings.listeners.grpc.trust = vec!["127.0.0.1/32".parse().unwrap()];
    settings.listeners.http.trust.clone_from(&settings.listeners.grpc.trust);
}

fn stranger(host: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, host).into()
}

async fn get(server: &TestServer, from: IpAddr, path: &str) -> std::io::Result<HttpAnswer> {
    let request = http::Request::get(path).header("host", "gate.test").body(<_>::default());
    send(from, server.http, request.unwrap()).await
}

#[tokio::test]
async fn a_call_is_refused_at_its_head_in_its_own_form() {
    let server = TestServer::start(LIMITS, trusting_one);
    let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
    let mut stream = 1;
    // The bodies never come.
    let mut ask = async |path: &str| {
        raw.send([Frame::head(stream, path)]).await;
        let message = raw.message(stream).await.unwrap();
        stream += 2;
        message
    };
    let envoy = ask("/envoy.service.auth.v3.Authorization/Check").await;
    let envoy = CheckResponse::decode(&*envoy).unwrap().http_response;
    let Some(HttpResponse::DeniedResponse(denied)) = envoy else { panic!("{envoy:?}") };
    assert_eq!(denied.status.unwrap().code, 403);
    assert!(denied.body.contains("\"reason\":\"untrusted_caller\""), "{}", denied.body);
    for method in ["Check", "Peek"] {
        let answer = ask(&format!("/sluicegate.v1.Sluicegate/{method}")).await;
        assert_eq!(v1::CheckResponse::decode(&*answer).unwrap().reason, "untrusted_caller");
    }
    let reserve = ask("/sluicegate.v1.Sluicegate/Reserve").await;
    let reserve = v1::ReserveResponse::decode(&*reserve).unwrap().decision.unwrap();
    assert_eq!(reserve.reason, "untrusted_caller");
    let hold = ask("/sluicegate.v1.Sluicegate/Hold").await;
    let hold = v1::HoldResponse::decode(&*hold).unwrap().decision.unwrap();
    assert_eq!(hold.reason, "untrusted_caller");
    let settle = ask("/sluicegate.v1.Sluicegate/Settle").await;
    assert_eq!(v1::SettleResponse::decode(&*settle).unwrap().reason, "untrusted_caller");
    raw.send([Frame::head(stream, "/sluicegate.v1.Sluicegate/CheckBatch")]).await;
    raw.until(|frame| frame.stream == stream && frame.ends_stream()).await;
    let mut http = connect_from(stranger(1), server.http).await;
    let head = "POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 60000\r\nconnection: close\r\n\r\n{";
    http.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_to_end(&mut http).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("untrusted_caller"), "{answer}");
}

#[tokio::test]
async fn health_and_probes_are_for_everybody_and_metrics_are_not() {
    let server = TestServer::start(LIMITS, trusting_one);
    let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
    raw.send([Frame::head(1, HEALTH), Frame::empty_message(1)]).await;
    let answer = HealthCheckResponse::decode(&*raw.message(1).await.unwrap()).unwrap();
    assert_eq!(answer.status, 1, "SERVING");
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 403)] {
        assert_eq!(get(&server, stranger(1), path).await.unwrap().status, status, "{path}");
    }
    // More of a body than health needs.
    raw.send([Frame::head(3, HEALTH)]).await;
    let mut message = vec![0, 0, 0, 4, 0];
    message.resize(5 + 1024, 0);
    raw.send([Frame::new(DATA, 1, 3, message)]).await;
    assert_eq!(raw.until(|f| f.stream == 3 && f.ends_stream()).await.kind, 1, "a status alone");
}

#[tokio::test]
async fn those_who_only_sit_there_make_room_for_a_probe_and_take_nothing_of_the_trusted() {
    let server = TestServer::start(LIMITS, |settings| {
        trusting_one(settings);
        settings.listeners.grpc.max_connections = 2;
        settings.listeners.http.max_connections = 1;
    });
    let greeting = [PREFACE, &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]].concat();
    let mut sitting = Vec::new();
    for host in 1..=20 {
        for to in [server.grpc, server.http] {
            for _ in 0..PER_ADDRESS {
                let mut stream = connect_from(stranger(host), to).await;
                // Who is closed at once may see it here.
                let _ = stream.write_all(&greeting).await;
                sitting.push(stream);
            }
        }
        let livez = get(&server, stranger(100 + host), "/livez").await.unwrap();
        assert_eq!(livez.status, StatusCode::OK);
        let mut raw = Raw::connect_from(stranger(100 + host), server.grpc).await;
        raw.send([Frame::head(1, HEALTH), Frame::empty_message(1)]).await;
        raw.message(1).await.unwrap();
    }
    for metrics in [&server.metrics.grpc, &server.metrics.http] {
        let open = usize::try_from(metrics.strangers.open.get()).unwrap();
        assert!(open <= 2 * ALL, "{open}");
        assert_eq!(metrics.trusted.refused.get(), 0);
    }
    for door in DOORS {
        let answer = server.ask(door, &Question::get("/a")).await;
        assert!(answer.allowed, "{}", answer.whole);
    }
}

#[tokio::test]
async fn an_address_has_a_few_places() {
    let server = TestServer::start(LIMITS, trusting_one);
    let mut first = Raw::connect_from(stranger(1), server.grpc).await;
    first.settle().await;
    let mut others = Vec::new();
    for _ in 1..PER_ADDRESS {
        let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
        raw.settle().await;
        others.push(raw);
    }
    let mut surplus = connect_from(stranger(1), server.grpc).await;
    assert_eq!(read_to_end(&mut surplus).await, b"");
    assert_eq!(server.metrics.grpc.strangers.refused.get(), 1);
    first.settle().await;
}

#[tokio::test]
async fn floods_end_the_connection_of_a_stranger() {
    let server = TestServer::start(LIMITS, trusting_one);
    let settings = || Frame::new(SETTINGS, 0, 0, Vec::new());
    for frame in [Frame::ping, settings] {
        let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
        raw.send((0..50_000).map(|_| frame())).await;
        raw.closed().await;
    }
    let mut resets = Raw::connect_from(stranger(1), server.grpc).await;
    let pair = |stream| [Frame::head(stream, HEALTH), Frame::reset(stream)];
    resets.send((0..10_000).flat_map(|n| pair(2 * n + 1))).await;
    let goaway = resets.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(goaway.code(4), ENHANCE_YOUR_CALM);
    resets.closed().await;
}

#[tokio::test]
async fn a_stranger_has_a_few_streams_and_small_heads() {
    let server = TestServer::start(LIMITS, trusting_one);
    let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
    raw.send((0..9).map(|n| Frame::head(2 * n + 1, HEALTH))).await;
    assert_eq!(raw.until(|frame| frame.kind == RST_STREAM).await.stream, 17);
    let mut raw = Raw::connect_from(stranger(1), server.grpc).await;
    raw.send(Frame::heads(1, HEALTH, &[("x-large", &"h".repeat(8_192))])).await;
    assert_eq!(raw.message(1).await, None, "the head alone is answered, with 431");
    let large = "h".repeat(9_000);
    let request = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n");
    let mut stream = connect_from(stranger(1), server.http).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

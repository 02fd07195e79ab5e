//! What the connection of a trusted peer has to bear: all clients of a gateway share it, so nothing
//! that they can cause may end it.

use std::net::Ipv4Addr;

use prost::Message;
use sluicegate_proto::ext_authz::CheckResponse;
use sluicegate_proto::ext_authz::check_response::HttpResponse;

use crate::http2::{Frame, GOAWAY, RST_STREAM, Raw};
use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "rate_limits: {default: {limit: 1_000_000, window: 1h}}";
const AUTHORIZE: &str = "/envoy.service.auth.v3.Authorization/Check";
const REFUSED_STREAM: u32 = 7;

/// Asks as Envoy does, on a stream of its own, and fails unless the answer is a yes.
async fn passes(raw: &mut Raw, stream: u32, more: &[(&str, &str)]) {
    raw.send(Frame::heads(stream, AUTHORIZE, more)).await;
    raw.send([Frame::empty_message(stream)]).await;
    let message = raw.message(stream).await.expect("an answer");
    let response = CheckResponse::decode(&*message).unwrap();
    assert!(matches!(response.http_response, Some(HttpResponse::OkResponse(_))), "{response:?}");
}

#[tokio::test]
async fn what_is_above_the_bound_is_refused_and_nothing_ends() {
    const OPEN: u32 = 4_096;
    const SURPLUS: u32 = 4_000;
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.grpc.handshake_timeout = PATIENCE;
    });
    let mut raw = Raw::connect(server.grpc).await;
    // As a gateway does on a fresh connection: more than it is told, before it is told.
    raw.send((0..OPEN + SURPLUS).map(|n| Frame::check_head(2 * n + 1))).await;
    for surplus in 0..SURPLUS {
        let refused = raw.until(|frame| frame.kind == RST_STREAM).await;
        assert_eq!((refused.stream, refused.code(0)), (2 * (OPEN + surplus) + 1, REFUSED_STREAM));
    }
    raw.send((0..OPEN).map(|n| Frame::empty_message(2 * n + 1))).await;
    let mut answered = 0;
    while answered < OPEN {
        let frame = raw.until(|frame| frame.ends_stream() || frame.kind == GOAWAY).await;
        assert_ne!(frame.kind, GOAWAY);
        answered += 1;
    }
    passes(&mut raw, 2 * (OPEN + SURPLUS) + 1, &[]).await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_nothing() {
    const RESETS: u32 = 20_000;
    let server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect(server.grpc).await;
    let pair = |stream| [Frame::check_head(stream), Frame::reset(stream)];
    raw.send((0..RESETS).flat_map(|n| pair(2 * n + 1))).await;
    passes(&mut raw, 2 * RESETS + 1, &[]).await;
}

#[tokio::test]
async fn a_call_with_a_mebibyte_of_headers_is_answered() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect(server.grpc).await;
    // What the call has anyway, and 32 for each header, count too.
    for (stream, bytes) in [(1, 15_800), (3, 16_384), (5, 65_536), (7, (1 << 20) - 1_000)] {
        passes(&mut raw, stream, &[("tracestate", &"t".repeat(bytes))]).await;
    }
    let many: Vec<(String, String)> =
        (0..2_000).map(|n| (format!("baggage-{n}"), "b".repeat(400))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (&**n, &**v)).collect();
    passes(&mut raw, 9, &many).await;
    // Above it the call alone is refused.
    raw.send(Frame::heads(11, AUTHORIZE, &[("tracestate", &"t".repeat(1 << 20))])).await;
    raw.until(|frame| frame.stream == 11 && frame.ends_stream()).await;
    passes(&mut raw, 13, &[]).await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_nothing() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect_from(Ipv4Addr::new(127, 0, 0, 9).into(), server.grpc).await;
    for _ in 0..50 {
        raw.send((0..1_000).map(|_| Frame::ping())).await;
        for _ in 0..1_000 {
            raw.until(Frame::is_pong).await;
        }
    }
    passes(&mut raw, 1, &[]).await;
}

//! What no caller may do to a listener.

use std::time::Duration;

use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{Attribute, CheckBatchRequest, CheckRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::asking::Question;
use crate::http2::{Frame, GOAWAY, PREFACE, Raw, SETTINGS};
use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1, window: 1h}}";
const SHORT: Duration = Duration::from_millis(50);

fn impatient() -> TestServer {
    TestServer::start(LIMITS, |settings| {
        settings.listeners.grpc.handshake_timeout = SHORT;
        settings.listeners.http.handshake_timeout = SHORT;
    })
}

#[tokio::test]
async fn the_settings_of_a_connection_say_its_bounds() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut raw = Raw::connect(server.grpc).await;
    let frame = raw.until(|frame| frame.kind == SETTINGS).await;
    let settings: Vec<(u16, u32)> = frame
        .payload
        .chunks(6)
        .map(|one| {
            let name = u16::from_be_bytes([one[0], one[1]]);
            (name, u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
        })
        .collect();
    let (max_streams, max_frame, max_header_list) = (3, 5, 6);
    for bound in [(max_streams, 4_096), (max_frame, 16_384), (max_header_list, (1 << 20) + 1)] {
        assert!(settings.contains(&bound), "{bound:?} is not among {settings:?}");
    }
}

#[tokio::test]
async fn who_says_nothing_or_too_little_is_cut_and_who_greets_may_be_silent() {
    let server = impatient();
    let mut greeted = Raw::connect(server.grpc).await;
    greeted.settle().await;
    for said in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut silent = TcpStream::connect(server.grpc).await.unwrap();
        silent.write_all(said).await.unwrap();
        read_to_end(&mut silent).await;
    }
    greeted.settle().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let server = impatient();
    for said in ["", "GET /livez HTT", "GET /livez HTTP/1.1\r\nhost: a\r\nx: "] {
        let mut slow = TcpStream::connect(server.http).await.unwrap();
        slow.write_all(said.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_to_end(&mut slow).await).unwrap();
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = impatient();
    let mut raw = Raw::connect(server.grpc).await;
    raw.send([Frame::check_head(1)]).await;
    raw.until(|frame| frame.stream == 1 && frame.ends_stream()).await;
    let mut slow = TcpStream::connect(server.http).await.unwrap();
    let head = "POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 10\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_to_end(&mut slow).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_peek_explains_a_thousand_limits_those_that_apply_among_them() {
    let many: String = (0..1_100)
        .map(|n| format!("  l{n}: {{ match: GET /{n}, limit: 9, window: 1h }}\n"))
        .collect();
    let limits = format!("rate_limits:\n{many}  last: {{ limit: 5, window: 1h }}\n");
    let server = TestServer::start(&limits, |_| {});
    let mut client = SluicegateClient::new(server.channel().await);
    let checked = client.check(Question::get("/b").native()).await.unwrap().into_inner();
    assert!(checked.explained.is_empty() && checked.explained_left_out == 0, "{checked:?}");
    let peeked = client.peek(Question::get("/b").native()).await.unwrap().into_inner();
    assert_eq!((peeked.remaining, peeked.limits.len()), (Some(3), 1));
    assert_eq!((peeked.explained.len(), peeked.explained_left_out), (1_000, 101));
    let [first, .., last] = &peeked.explained[..] else { panic!("{peeked:?}") };
    assert_eq!((first.name.as_str(), first.applies, first.used), ("l0", false, None));
    assert_eq!((last.name.as_str(), last.applies), ("last", true));
    assert_eq!((last.used, last.remaining, last.cost), (Some(1), Some(3), Some(1)));
    assert!(!format!("{:?}", peeked.explained).contains("192.0.2.1"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = TestServer::start(LIMITS, |_| {});
    let large = "h".repeat(17_000);
    let request = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n");
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_to_end(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_no_message() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = SluicegateClient::new(server.channel().await);
    let value = Some(Value::Text("v".repeat(65_536)));
    let attributes = vec![Attribute { name: "a".to_owned(), value }];
    let status = client.check(CheckRequest { attributes, cost: None }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    let batch = CheckBatchRequest { checks: vec![CheckRequest::default(); 33] };
    let status = client.check_batch(batch).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn more_connections_than_places_are_closed_at_once() {
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.grpc.max_connections = 1;
    });
    let mut first = Raw::connect(server.grpc).await;
    first.settle().await;
    let mut second = TcpStream::connect(server.grpc).await.unwrap();
    assert_eq!(read_to_end(&mut second).await, b"");
    assert_eq!(server.metrics.grpc.trusted.refused.get(), 1);
    assert_eq!(server.metrics.grpc.trusted.open.get(), 1);
    first.settle().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_go() {
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.grpc.max_connection_age = SHORT;
    });
    let mut raw = Raw::connect(server.grpc).await;
    let goaway = raw.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(goaway.code(4), 0);
    raw.closed().await;
    assert_eq!(server.metrics.grpc.trusted.refused.get(), 0);
}

/// Reads until the other side closes the connection.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes it");
    bytes
}

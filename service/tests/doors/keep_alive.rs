//! Connections of the JSON door that are used more than once: no request goes without an answer.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sluicegate::lifecycle::Phase;
use sluicegate::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1000, window: 1h}}";
const SHORT: Duration = Duration::from_millis(50);
const CONNECTIONS: usize = 100;
const QUESTION: &str = r#"{"attributes":{"tenant_id":"acme"}}"#;

/// A client that keeps its connection as long as nobody says `connection: close`.
struct Client {
    stream: TcpStream,
}

/// The head of an answer; its body is read and dropped.
struct Answer {
    head: String,
}

impl Answer {
    fn is_last(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Client {
    async fn connect(to: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(to).await.unwrap() }
    }

    async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn ask(&mut self) -> Answer {
        self.send(&question(&format!("content-length: {}\r\n", QUESTION.len()), QUESTION)).await;
        self.answer().await
    }

    /// Reads one answer whole.
    async fn answer(&mut self) -> Answer {
        let read = timeout(PATIENCE, self.read()).await.expect("an answer in time");
        read.expect("an answer")
    }

    async fn read(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        self.stream.read_exact(&mut vec![0; length]).await?;
        Ok(Answer { head })
    }

    /// Reads to the end, which has to come: what is left of the connection.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end too.
        let read = self.stream.read_to_end(&mut rest);
        let _ = timeout(PATIENCE, read).await.expect("the server closes it");
        String::from_utf8(rest).unwrap()
    }
}

fn question(headers: &str, body: &str) -> String {
    let kind = "content-type: application/json\r\n";
    format!("POST /v1/check HTTP/1.1\r\nhost: a\r\n{kind}{headers}\r\n{body}")
}

async fn hundred(server: &TestServer) -> Vec<Client> {
    join_all((0..CONNECTIONS).map(|_| Client::connect(server.http))).await
}

/// A hundred connections that were used.
async fn asked(server: &TestServer) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(server.http).await;
        assert!(client.ask().await.head.starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
    clients
}

/// A head may take as long as a busy machine needs for all connections of a test.
fn patient(settings: &mut Settings) {
    settings.listeners.http.handshake_timeout = PATIENCE;
}

/// Waits for as long as the server waits for a head that does not come.
async fn for_as_long_as_a_head(server: &TestServer) {
    let mut silent = Client::connect(server.http).await;
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn idle_connections_are_kept_for_longer_than_a_head_may_take() {
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.http.handshake_timeout = Duration::from_secs(2);
    });
    let mut clients = asked(&server).await;
    for_as_long_as_a_head(&server).await;
    for answer in join_all(clients.iter_mut().map(Client::ask)).await {
        assert!(answer.head.starts_with("HTTP/1.1 200 ") && !answer.is_last());
    }
    // A head that begins on such a connection has the time of a head, not that of silence.
    let slow = clients.first_mut().unwrap();
    slow.send("POST /v1/che").await;
    assert!(!slow.rest().await.contains("200 OK"));
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed() {
    let server = TestServer::start(LIMITS, |settings| {
        settings.listeners.idle_timeout = SHORT;
    });
    let mut client = Client::connect(server.http).await;
    assert!(!client.ask().await.is_last());
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_connection_says_that_it_is_old_before_it_ends() {
    let server = TestServer::start(LIMITS, |settings| {
        patient(settings);
        settings.listeners.http.max_connection_age = SHORT;
    });
    // Every question has an answer, up to the one that says to go.
    let until_told = async |client: &mut Client| {
        while !client.ask().await.is_last() {}
        assert_eq!(client.rest().await, "");
    };
    let (mut idle, mut busy) = (hundred(&server).await, hundred(&server).await);
    join_all(busy.iter_mut().map(until_told)).await;
    // These became too old while nobody used them.
    join_all(idle.iter_mut().map(until_told)).await;
}

#[tokio::test]
async fn a_drain_answers_every_request_and_says_that_it_is_the_last() {
    let mut server = TestServer::start(LIMITS, patient);
    let told = async |client: &mut Client| {
        assert!(client.ask().await.is_last());
        assert_eq!(client.rest().await, "");
    };
    let (mut used, mut fresh) = (asked(&server).await, hundred(&server).await);
    server.lifecycle.advance(Phase::Draining);
    let first = used.iter_mut().chain(&mut fresh).step_by(2);
    join_all(first.map(told)).await;
    // The others are idle when the connections are asked to go.
    server.lifecycle.advance(Phase::Closing);
    let second = used.iter_mut().chain(&mut fresh).skip(1).step_by(2);
    join_all(second.map(told)).await;
    timeout(PATIENCE, server.running.closed()).await.expect("every thread ends");
}

#[tokio::test]
async fn connections_that_nobody_accepted_yet_are_answered_too() {
    for _ in 0..5 {
        let server = TestServer::start(LIMITS, patient);
        let mut clients = hundred(&server).await;
        server.lifecycle.advance(Phase::Closing);
        for answer in join_all(clients.iter_mut().map(Client::ask)).await {
            assert!(answer.is_last());
        }
    }
}

#[tokio::test]
async fn a_caller_that_has_said_all_is_answered() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = Client::connect(server.http).await;
    let asked = question(&format!("content-length: {}\r\n", QUESTION.len()), QUESTION);
    client.send(&asked).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.answer().await.head.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_body_with_two_lengths_is_refused_in_every_spelling() {
    let server = TestServer::start(LIMITS, |_| {});
    let chunked = format!("{:x}\r\n{QUESTION}\r\n0\r\n\r\n", QUESTION.len());
    let length = QUESTION.len();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("Transfer-Encoding: chunked\r\nx: y\r\nCONTENT-Length:{length}\r\n"),
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n".to_owned(),
        "transfer-encoding: chunked\r\ncontent-length: what\r\n".to_owned(),
        "content-length: 3\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n".to_owned(),
    ] {
        for before in [0, 2] {
            let mut client = Client::connect(server.http).await;
            for _ in 0..before {
                assert!(!client.ask().await.is_last());
            }
            // In pieces of every size, so that a line is torn wherever it can be.
            let whole = question(&headers, &chunked);
            for piece in whole.as_bytes().chunks(7 + before) {
                client.stream.write_all(piece).await.unwrap();
            }
            let answer = client.answer().await;
            assert!(answer.head.starts_with("HTTP/1.1 400 ") && answer.is_last(), "{headers}");
            assert_eq!(client.rest().await, "");
        }
    }
}

#[tokio::test]
async fn a_caller_that_is_still_sending_gets_its_answer() {
    let server = TestServer::start(LIMITS, |_| {});
    let long = "x".repeat(512 * 1024);
    for headers in [
        format!("content-encoding: gzip\r\ncontent-length: {}\r\n", long.len()),
        format!("content-length: {}\r\n", long.len()),
    ] {
        let mut client = Client::connect(server.http).await;
        client.send(&question(&headers, "")).await;
        for piece in long.as_bytes().chunks(16 * 1024) {
            client.stream.write_all(piece).await.expect("the server lets it");
        }
        let answer = client.answer().await.head;
        assert!(answer.starts_with("HTTP/1.1 41"), "{answer}");
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_one_of_its_own() {
    let server = TestServer::start(LIMITS, |_| {});
    let mut client = Client::connect(server.http).await;
    let chunked = format!("{:x}\r\n{QUESTION}\r\n0\r\n\r\n", QUESTION.len());
    for _ in 0..3 {
        assert!(client.ask().await.head.starts_with("HTTP/1.1 200 "));
        client.send(&question("transfer-encoding: chunked\r\n", &chunked)).await;
        let answer = client.answer().await;
        assert!(answer.head.starts_with("HTTP/1.1 200 ") && !answer.is_last());
    }
}

//! Whole header blocks through the real Envoy: what a client that is over its limit may write, and
//! the neighbour who must not notice.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crowd::{LIMIT, Neighbour, Told, World};
use crate::envoy::client;
use crate::generate::{Field, Generator};
use crate::http2::{Frame, GOAWAY, RST_STREAM, Raw, connect_from};
use crate::process::PATIENCE;
use crate::tracers::{Tracer, traced};

/// Connections that send at the same time: Envoy waits a second before it closes a broken one.
const SENDERS: u64 = 16;

/// Sends as many blocks over each version of HTTP, with either rule for failures, and fails where
/// one of them passed or somebody else was told of an error.
pub(crate) async fn fuzz(tracer: Tracer, seed: u64, count: u64) {
    for allow in [false, true] {
        let change = |text: String| traced(&text, tracer);
        let world = World::start(&format!("blocks-{}", tracer.0), allow, change).await;
        let (from, to) = (client(2), world.gateway().address);
        let mut told = Told::default();
        for _ in 0..LIMIT + 1 {
            told.add(world.get(from, &[]).await);
        }
        told.within_the_limit(LIMIT + 1);
        let neighbour = Neighbour::start(&world);
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let mut generator = Generator::new(seed.wrapping_mul(31).wrapping_add(sender));
            senders.spawn(async move {
                for _ in 0..count.div_ceil(SENDERS) {
                    over_http1(from, to, &generator.header_block()).await;
                    over_http2(from, to, &generator.header_block()).await;
                }
            });
        }
        senders.join_all().await;
        let asked = neighbour.noticed_nothing().await;
        println!("{}, allow {allow}: {count} blocks, {asked} of the neighbour passed", tracer.0);
        assert_eq!(world.passed(from), LIMIT, "what the upstream got of the client");
        world.gateway().no_connection_broke().await;
    }
}

/// Waits for the answer, or for the end of the connection. What Envoy itself refuses is no error.
async fn over_http1(from: IpAddr, to: SocketAddr, block: &[Field]) {
    let mut head = b"GET /v1/reports HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\n".to_vec();
    for (name, value) in block {
        head.extend([name, &b": "[..], value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    let mut stream = connect_from(from, to).await;
    let work = async {
        // One that closes early makes these fail, which is an answer too. Envoy does not wait for
        // a body that does not come: it denies at the head.
        drop(stream.write_all(&head).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        answer
    };
    let answer = timeout(PATIENCE, work).await.expect("an answer, or the end");
    let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
    let decided = contains(&answer, b"\"decision_id\":");
    assert!(refused || decided, "{}", String::from_utf8_lossy(&answer));
}

async fn over_http2(from: IpAddr, to: SocketAddr, block: &[Field]) {
    let mut raw = Raw::connect_from(from, to).await;
    raw.send(Frame::get_with(1, "/v1/reports", block)).await;
    while let Some(frame) = raw.next().await {
        let over = frame.stream == 1 && (frame.ends_stream() || frame.kind == RST_STREAM);
        if over || frame.kind == GOAWAY {
            break;
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

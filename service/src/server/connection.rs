//! The life of one connection, with every bound set: nothing here is left to a library's default.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tower::Service;

use super::accept::Accepted;
use super::arriving::Arriving;
use super::io_watch::{Greeted, Watched};
use super::{Peer, Protocol, Routers};
use crate::lifecycle::Phase;
use crate::settings::{Listener, Streams};

/// How long a connection that was asked to go may still finish what is in flight.
const GRACE: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 caller is asked whether it is there, and how long it may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 flow control: the most request bytes that a caller may send ahead.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// The most response bytes that wait for a caller that does not read.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The most headers of an HTTP/1.1 request.
const MAX_HEADERS: usize = 100;
/// The most bytes that are read ahead of an HTTP/1.1 request; its library refuses less than 8 KiB.
const MIN_READ_BUFFER_BYTES: usize = 8 * 1024;

/// Serves a connection until its caller leaves, it is too old, or the process ends.
pub(super) async fn serve(accepted: Accepted, routers: Routers, phase: watch::Receiver<Phase>) {
    let Accepted { stream, peer, entrance, place } = accepted;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection cannot be polled"),
    };
    let (stream, greeted) = Watched::new(stream);
    let io = TokioIo::new(stream);
    let peer = Peer(peer.ip().to_canonical());
    match entrance.protocol {
        Protocol::Grpc(streams) => {
            let answer = answering(routers.grpc, peer, &entrance.bounds);
            let connection = http2_bounds(&entrance.bounds, streams).serve_connection(io, answer);
            drive(connection, Some(greeted), &entrance.bounds, phase).await;
        }
        Protocol::Http => {
            let answer = answering(routers.http, peer, &entrance.bounds);
            let connection = http1_bounds(&entrance.bounds).serve_connection(io, answer);
            drive(connection, None, &entrance.bounds, phase).await;
        }
    }
    drop(place);
}

/// Runs the connection, asks it to go when it is time, and cuts it when it does not.
async fn drive<C: GracefulConnection>(
    connection: C,
    greeted: Option<Greeted>,
    bounds: &Listener,
    phase: watch::Receiver<Phase>,
) {
    let (mut closing, mut ending) = (phase.clone(), phase);
    let mut connection = pin!(connection);
    let leave = async {
        tokio::select! {
            () = sleep(with_jitter(bounds.max_connection_age)) => {}
            _ = closing.wait_for(|phase| *phase >= Phase::Closing) => {}
        }
    };
    let silent = async {
        match greeted {
            Some(greeted) => {
                sleep(bounds.handshake_timeout).await;
                if greeted.is_complete() {
                    std::future::pending().await
                }
            }
            None => std::future::pending().await,
        }
    };
    // Errors of a connection are its caller's: a reset, a broken frame, a header too long.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = silent => return,
        () = leave => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = sleep(GRACE) => {}
        _ = ending.wait_for(|phase| *phase >= Phase::Ending) => {}
    }
}

/// The service of one connection: the router, told who calls.
fn answering(
    router: axum::Router,
    peer: Peer,
    bounds: &Listener,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ use<> {
    let at_most = bounds.handshake_timeout;
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request.map(|body| Body::new(Arriving::new(body, at_most))))
    })
}

fn http2_bounds(bounds: &Listener, streams: Streams) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams.max_open)
        .max_pending_accept_reset_streams(streams.max_reset)
        .max_local_error_reset_streams(streams.max_reset)
        .max_header_list_size(bounds.max_header_list_bytes)
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

fn http1_bounds(bounds: &Listener) -> http1::Builder {
    let max_header_bytes = usize::try_from(bounds.max_header_list_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.handshake_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(max_header_bytes)
        .max_buf_size(max_header_bytes.max(MIN_READ_BUFFER_BYTES));
    builder
}

/// Ten percent more or less, so that connections of one moment do not all return in one moment.
fn with_jitter(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * fastrand::f64())
}

//! The life of one connection, with every bound set: nothing here is left to a library's default.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tower::Service;

use super::accept::{Accepted, Place};
use super::arriving::Arriving;
use super::bounds::Bounds;
use super::budget::Share;
use super::dialogue::{Dialogue, Said};
use super::entry::{Answer, Entry};
use super::io_watch::{Reading, Watched};
use super::lingering::Lingering;
use super::{Entrance, Protocol, Routers, head, with_jitter};
use crate::lifecycle::Phase;

/// How long a connection that was asked to go may still finish what is in flight.
const GRACE: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 caller is asked whether it is there, and how long it may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// The most response bytes that wait for a caller that does not read.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The most headers of an HTTP/1.1 request.
const MAX_HEADERS: usize = 100;
/// The most bytes that are read ahead of an HTTP/1.1 request; its library refuses less than 8 KiB.
const MIN_READ_BUFFER_BYTES: usize = 8 * 1024;

/// What one life of a connection is about.
struct Life {
    entrance: Arc<Entrance>,
    place: Place,
    reading: Reading,
    phase: watch::Receiver<Phase>,
}

/// Serves a connection until its caller leaves, it is too old, its place is needed for another, or
/// the process ends.
pub(super) async fn serve(accepted: Accepted, routers: Routers, phase: watch::Receiver<Phase>) {
    let Accepted { stream, entrance, place } = accepted;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection cannot be polled"),
    };
    let bounds = if place.is_trusted() { entrance.trusted } else { Bounds::STRANGER };
    let (stream, reading) = Watched::new(stream, &bounds);
    let answer = answering(routers, place.is_trusted(), &entrance);
    let life = Life { entrance, place, reading, phase };
    match life.entrance.protocol {
        Protocol::Grpc => {
            let builder = http2_bounds(&bounds);
            life.drive_http2(builder.serve_connection(TokioIo::new(stream), answer)).await;
        }
        Protocol::Http => {
            let Entrance { listener, idle_timeout, .. } = &*life.entrance;
            let dialogue = Dialogue::new(listener, *idle_timeout, life.phase.clone());
            let io = TokioIo::new(Lingering::new(stream, dialogue.clone()));
            let answer = in_dialogue(answer, dialogue.clone());
            let connection = http1_bounds(&bounds).serve_connection(io, answer);
            life.drive_http1(connection, &dialogue).await;
        }
    }
}

impl Life {
    /// Runs an HTTP/1.1 connection until it ends with an answer, or a step on it lasts too long.
    async fn drive_http1(mut self, connection: impl Future, dialogue: &Dialogue) {
        let connection = pin!(connection);
        tokio::select! {
            // First, so that a step has the bytes that have come.
            biased;
            _ = in_turns(connection, &self.reading) => {}
            () = self.place.told_to_leave() => {}
            () = dialogue.overdue() => {}
            _ = self.phase.wait_for(|phase| *phase >= Phase::Ending) => {}
        }
    }

    /// Runs an HTTP/2 connection, asks it to go when it is time, and cuts it when it does not.
    async fn drive_http2<C: GracefulConnection>(mut self, connection: C) {
        let (mut closing, mut ending) = (self.phase.clone(), self.phase);
        let (listener, reading) = (&self.entrance.listener, &self.reading);
        let mut connection = pin!(connection);
        let leave = async {
            tokio::select! {
                () = sleep(with_jitter(listener.max_connection_age)) => {}
                _ = closing.wait_for(|phase| *phase >= Phase::Closing) => {}
            }
        };
        let silent = async {
            sleep(listener.handshake_timeout).await;
            if reading.is_greeted() {
                std::future::pending().await
            }
        };
        // Errors of a connection are its caller's: a reset, a broken frame, a header too long.
        tokio::select! {
            _ = in_turns(connection.as_mut(), reading) => return,
            () = self.place.told_to_leave() => return,
            () = silent => return,
            () = leave => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = in_turns(connection, reading) => {}
            () = self.place.told_to_leave() => {}
            () = sleep(GRACE) => {}
            _ = ending.wait_for(|phase| *phase >= Phase::Ending) => {}
        }
    }
}

/// The connection, which may read one turn's bytes each time that it is polled.
fn in_turns<C: Future>(
    mut connection: Pin<&mut C>,
    reading: &Reading,
) -> impl Future<Output = C::Output> {
    poll_fn(move |cx| {
        reading.begin_turn();
        connection.as_mut().poll(cx)
    })
}

/// The service of one connection: the router, told how a request came in.
fn answering(
    routers: Routers,
    trusted: bool,
    entrance: &Entrance,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Answer>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ use<> {
    let at_most = entrance.listener.handshake_timeout;
    let budget = Arc::clone(&entrance.budget);
    let (router, read) = match entrance.protocol {
        Protocol::Grpc => (routers.grpc, Some(routers.grpc_headers)),
        Protocol::Http => (routers.http, None),
    };
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let share = Arc::new(if trusted { Share::of(&budget) } else { Share::none() });
        if let Some(read) = read {
            head::lighten(&mut request, read);
        }
        request.extensions_mut().insert(Entry::new(trusted, Arc::clone(&share)));
        let arriving = Arc::clone(&share);
        let request = request.map(|body| Body::new(Arriving::new(body, arriving, at_most)));
        let answer = router.clone().call(request);
        async move { Ok(answer.await?.map(|body| Answer::new(body, share))) }
    })
}

/// A service whose answers say when they are the last of their connection.
fn in_dialogue<S>(
    service: S,
    dialogue: Dialogue,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Said<Answer>>,
    Error = Infallible,
    Future: Send + 'static,
>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible>,
    S::Future: Send + 'static,
{
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let answer = dialogue.asked(request.headers()).then(|| service.call(request));
        let dialogue = dialogue.clone();
        async move {
            let (mut answer, last) = match answer {
                Some(answer) => (answer.await?, dialogue.is_last()),
                None => (two_lengths(), true),
            };
            if last {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| dialogue.say(body)))
        }
    })
}

/// The answer to a request whose end depends on who reads it.
fn two_lengths() -> Response<Answer> {
    const PROBLEM: &str = concat!(
        r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
        r#""detail":"a body has either Content-Length or Transfer-Encoding, not both"}"#,
    );
    let body = Answer::new(Body::from(PROBLEM), Arc::new(Share::none()));
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let problem = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, problem);
    answer
}

fn http2_bounds(bounds: &Bounds) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.max_streams)
        .max_pending_accept_reset_streams(bounds.max_given_up)
        .max_local_error_reset_streams(bounds.max_refused)
        // The library refuses a list of just this size.
        .max_header_list_size(bounds.max_header_list_bytes.saturating_add(1))
        .max_frame_size(MAX_FRAME_BYTES)
        .initial_stream_window_size(bounds.stream_window_bytes)
        .initial_connection_window_size(bounds.connection_window_bytes)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

fn http1_bounds(bounds: &Bounds) -> http1::Builder {
    let max_header_bytes = usize::try_from(bounds.max_header_list_bytes).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The steps of the dialogue have bounds of their own.
        .header_read_timeout(None)
        .half_close(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(max_header_bytes)
        .max_buf_size(max_header_bytes.max(MIN_READ_BUFFER_BYTES));
    builder
}

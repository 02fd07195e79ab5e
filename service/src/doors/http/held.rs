//! The calls about reservations and holds over HTTP.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Request;
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use super::super::Caller;
use super::super::held::{Desk, Named, Wanted};
use super::json::held as json;
use super::{Http, body, refused, with_type};
use crate::call::{Decision, Door, Ending, Method};
use crate::reveal::Revealed;

pub(super) async fn reserve(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Method::Reserve { lasting: Micros::ZERO };
    http.begin(kind, request, json::reserve, json::reserved).await
}

pub(super) async fn hold(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Method::Hold { lasting: Micros::ZERO };
    http.begin(kind, request, json::hold, json::held).await
}

pub(super) async fn settle(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Ending::Settle { actual: Tokens::ZERO };
    http.end(kind, request, json::settle, json::settled).await
}

pub(super) async fn extend(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Ending::Extend { lasting: Micros::ZERO };
    http.end(kind, request, json::extend, json::extended).await
}

pub(super) async fn release(State(http): State<Http>, request: Request<Body>) -> Response {
    http.end(Ending::Release, request, json::release, json::released).await
}

impl Http {
    async fn begin(
        &self,
        kind: Method,
        request: Request<Body>,
        read: fn(&[u8]) -> Result<Wanted, String>,
        write: fn(Revealed<'_>) -> String,
    ) -> Response {
        match self.arrived(request).await {
            Ok((caller, body)) => {
                answer(&self.desk(caller).begin(kind, || read(&body)).await, write)
            }
            Err(response) => response,
        }
    }

    async fn end(
        &self,
        kind: Ending,
        request: Request<Body>,
        read: fn(&[u8]) -> Result<Named, String>,
        write: fn(Revealed<'_>) -> String,
    ) -> Response {
        match self.arrived(request).await {
            Ok((caller, body)) => answer(&self.desk(caller).end(kind, || read(&body)).await, write),
            Err(response) => response,
        }
    }

    /// Who asks, and what; of a caller that may not ask nothing is read.
    async fn arrived(&self, request: Request<Body>) -> Result<(Caller, Bytes), Response> {
        let listener = &self.common.http;
        let caller = Caller::new(listener, request.headers(), request.extensions());
        if !caller.trusted {
            return Ok((caller, Bytes::new()));
        }
        Ok((caller, body(request, listener.max_message_bytes).await?))
    }

    fn desk(&self, caller: Caller) -> Desk<'_> {
        Desk { limiter: &self.limiter, common: &self.common, caller, door: Door::Http }
    }
}

/// A decision as an answer; what nobody decided is a problem.
fn answer((decision, detail): &(Decision, String), write: fn(Revealed<'_>) -> String) -> Response {
    match decision.verdict.reason {
        Some(Reason::Overloaded | Reason::UntrustedCaller) => refused(decision, None),
        Some(Reason::InvalidRequest) if !detail.is_empty() => refused(decision, Some(detail)),
        _ => with_type("application/json", write(Revealed::of(decision))).into_response(),
    }
}

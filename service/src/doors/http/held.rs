//! The calls about reservations and holds over HTTP.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use sluicegate_limits::time::{Micros, Tokens};

use super::super::desk::Named;
use super::json::held as json;
use super::{Http, answer};
use crate::call::{Ending, Method};
use crate::reveal::Revealed;

pub(super) async fn reserve(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Method::Reserve { lasting: Micros::ZERO };
    http.decide(kind, request, json::reserve, json::reserved).await
}

pub(super) async fn hold(State(http): State<Http>, request: Request<Body>) -> Response {
    let kind = Method::Hold { lasting: Micros::ZERO };
    http.decide(kind, request, json::hold, json::held).await
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
}

//! The HTTP door: `POST /v1/check` and the calls about what is held, probes and metrics.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::LengthLimitError;
use sluicegate_limits::verdict::Reason;

use super::desk::{Desk, Wanted};
use super::problem::{MEDIA_TYPE, Problem};
use super::{Caller, Common};
use crate::call::{self, Decision, Door};
use crate::lifecycle::Phase;
use crate::limiter::Limiter;
use crate::reveal::Revealed;
use crate::server::Entry;

mod held;
mod json;

/// The media type of the metrics: OpenMetrics 1.0.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Http {
    limiter: Limiter,
    common: Arc<Common>,
}

/// The routes of one core.
pub(super) fn router(limiter: Limiter, common: Arc<Common>) -> Router {
    Router::new()
        .route("/v1/check", any(check))
        .route("/v1/reserve", any(held::reserve))
        .route("/v1/settle", any(held::settle))
        .route("/v1/hold", any(held::hold))
        .route("/v1/extend", any(held::extend))
        .route("/v1/release", any(held::release))
        .route("/livez", get(livez).fallback(only_get))
        .route("/readyz", get(readyz).fallback(only_get))
        .route("/metrics", get(metrics).fallback(only_get))
        .fallback(not_found)
        .with_state(Http { limiter, common })
}

async fn check(State(http): State<Http>, request: Request<Body>) -> Response {
    http.decide(call::Method::Check, request, json::check, json::encode).await
}

impl Http {
    async fn decide(
        &self,
        kind: call::Method,
        request: Request<Body>,
        read: fn(&[u8]) -> Result<Wanted, String>,
        write: fn(Revealed<'_>) -> String,
    ) -> Response {
        match self.arrived(request).await {
            Ok((caller, body)) => {
                answer(&self.desk(caller).decide(kind, || read(&body)).await, write)
            }
            Err(response) => response,
        }
    }

    /// Who asks, and what; of a call that is refused nothing is read.
    async fn arrived(&self, request: Request<Body>) -> Result<(Caller, Bytes), Response> {
        let caller = Caller::new(request.headers(), request.extensions());
        if caller.refusal().is_some() {
            return Ok((caller, Bytes::new()));
        }
        let entry = request.extensions().get::<Entry>().cloned();
        let body = body(request, self.common.http.max_message_bytes).await;
        if entry.is_some_and(|entry| entry.is_overloaded()) {
            return Ok((Caller { overloaded: true, ..caller }, Bytes::new()));
        }
        Ok((caller, body?))
    }

    /// What the policy is, and what keeps a newer one from taking effect.
    fn details(&self, body: &mut serde_json::Value) {
        let Common { reload, geography, .. } = &*self.common;
        let rejection = reload.rejection();
        let place = geography.as_ref().and_then(|geography| geography.state().rejection());
        let rejected = rejection.iter().chain(&place).flat_map(|rejection| rejection.files());
        body["policy_revision"] = self.limiter.policy().revision().into();
        body["rejected_files"] = rejected.collect::<BTreeSet<_>>().into_iter().collect();
    }

    fn desk(&self, caller: Caller) -> Desk<'_> {
        Desk { limiter: &self.limiter, common: &self.common, caller, door: Door::Http }
    }
}

/// A decision as an answer; what nobody decided is a problem: who may not ask, what cannot be read,
/// and what another replica should be asked.
fn answer(decision: &Decision, write: fn(Revealed<'_>) -> String) -> Response {
    match decision.verdict.reason {
        Some(Reason::Overloaded | Reason::UntrustedCaller | Reason::InvalidRequest) => {
            refused(decision)
        }
        _ => with_type("application/json", write(Revealed::of(decision))).into_response(),
    }
}

/// The body of a call, where it is one.
async fn body(request: Request<Body>, max_bytes: usize) -> Result<Bytes, Response> {
    if request.method() != Method::POST {
        return Err(wrong_method("POST"));
    }
    if !is_json(request.headers()) {
        let detail = "the body has to be application/json";
        return Err(problem(&Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)));
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        let detail = "the body has to come as it is: without content-encoding";
        let refusal = Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        let accepted = [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
        return Err((accepted, problem(&refusal)).into_response());
    }
    axum::body::to_bytes(request.into_body(), max_bytes).await.map_err(|error| {
        let (status, detail) = if error.into_inner().is::<LengthLimitError>() {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body has at most {max_bytes} bytes"))
        } else {
            (StatusCode::REQUEST_TIMEOUT, "the body did not arrive whole and in time".to_owned())
        };
        problem(&Problem::of_status(status, &detail))
    })
}

async fn livez() -> &'static str {
    "ok\n"
}

/// Ready until the drain begins: neither a bad file nor a lost store takes the fleet down. Names of
/// files and the revision of the policy are for the trusted.
async fn readyz(State(http): State<Http>, request: Request<Body>) -> Response {
    let draining = http.common.lifecycle.phase() > Phase::Serving;
    let word = if draining { "draining" } else { "ready" };
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut body = serde_json::json!({ "status": word });
    let caller = Caller::new(request.headers(), request.extensions());
    if caller.trusted {
        http.details(&mut body);
    }
    (status, with_type("application/json", format!("{body}\n"))).into_response()
}

async fn metrics(State(http): State<Http>, request: Request<Body>) -> Response {
    let caller = Caller::new(request.headers(), request.extensions());
    if !caller.trusted {
        let detail = "the caller's address may not ask here";
        return problem(&Problem::of_status(StatusCode::FORBIDDEN, detail));
    }
    with_type(METRICS_TYPE, http.common.metrics.scrape()).into_response()
}

async fn not_found() -> Response {
    problem(&Problem::of_status(StatusCode::NOT_FOUND, "there is nothing here"))
}

async fn only_get() -> Response {
    wrong_method("GET, HEAD")
}

fn wrong_method(allowed: &'static str) -> Response {
    let detail = format!("only {allowed}");
    let mut response = problem(&Problem::of_status(StatusCode::METHOD_NOT_ALLOWED, &detail));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn refused(decision: &Decision) -> Response {
    let reason = decision.verdict.reason.unwrap_or(Reason::InvalidRequest);
    problem(&Problem::of_decision(Revealed::of(decision), reason))
}

fn problem(problem: &Problem<'_>) -> Response {
    let status = StatusCode::from_u16(problem.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, with_type(MEDIA_TYPE, problem.to_json())).into_response()
}

fn with_type(media_type: &'static str, body: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static(media_type))], body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

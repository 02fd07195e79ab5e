//! Envoy's external authorization, v3.
//!
//! Whatever bytes a client sent, the answer is a definite yes or no: with `failure_mode_allow` an
//! error would be a way around every limit. What cannot be read is denied as `invalid_request`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use sluicegate_limits::verdict::Reason;
use sluicegate_proto::ext_authz::authorization_server::Authorization;
use sluicegate_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tower::Service;

use super::{Caller, Common};
use crate::call::{Decision, Door};
use crate::limiter::Limiter;
use crate::origin::header;
use crate::reveal::Revealed;
use crate::server::Entry;
use crate::telemetry::TraceParent;

mod encode;

/// Answers what Envoy asks.
pub(super) struct ExtAuthz {
    limiter: Limiter,
    common: Arc<Common>,
}

impl ExtAuthz {
    pub(super) const fn new(limiter: Limiter, common: Arc<Common>) -> Self {
        Self { limiter, common }
    }

    async fn decide(&self, caller: Caller, context: &AttributeContext) -> CheckResponse {
        let caller = Caller { trace: trace(caller, context), ..caller };
        if let Some(reason) = caller.refusal() {
            return self.refuse(reason, caller, String::new());
        }
        let facts = self.common.origin.attributes(context).map_err(|error| error.to_string());
        let call = facts.and_then(|facts| caller.call(&self.common, Door::ExtAuthz, facts, None));
        match call {
            Ok(call) => self.encode(&self.limiter.check(call).await),
            Err(detail) => self.refuse(Reason::InvalidRequest, caller, detail),
        }
    }

    fn refuse(&self, reason: Reason, caller: Caller, detail: String) -> CheckResponse {
        let call = caller.unread(&self.common, Door::ExtAuthz);
        self.encode(&self.limiter.refuse(reason, detail, &call))
    }

    fn encode(&self, decision: &Decision) -> CheckResponse {
        let jitter = self.common.retry_after_jitter(Revealed::of(decision));
        encode::response(decision, self.common.header_style, jitter)
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let caller = Caller::of_grpc(request.metadata().as_ref(), request.extensions());
        let context = request.into_inner().attributes.unwrap_or_default();
        Ok(Response::new(self.decide(caller, &context).await))
    }
}

/// The gateway's own trace context, else the one that came with the client's request.
fn trace(caller: Caller, context: &AttributeContext) -> TraceParent {
    let http = context.request.as_ref().and_then(|request| request.http.as_ref());
    let clients = http.and_then(|http| header(http, "traceparent").ok().flatten());
    match clients {
        Some(header) if !caller.trace.is_some() => TraceParent::parse(header),
        _ => caller.trace,
    }
}

/// The service, with every failure of `Check` turned into a denial.
#[derive(Clone)]
pub(super) struct Definite<S> {
    inner: S,
    door: Arc<ExtAuthz>,
}

/// An answer of [`Definite`] on its way.
pub(super) struct Answer<F> {
    inner: F,
    refusal: Option<Refusal>,
}

/// Who refuses, where the failure of a check must not reach the gateway, and how the check came.
struct Refusal {
    door: Arc<ExtAuthz>,
    entry: Option<Entry>,
}

impl<S> Definite<S> {
    pub(super) const fn new(inner: S, door: Arc<ExtAuthz>) -> Self {
        Self { inner, door }
    }
}

impl<S: NamedService> NamedService for Definite<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Definite<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Future: Unpin>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let refusal = request.uri().path().ends_with("/Check").then(|| Refusal {
            door: Arc::clone(&self.door),
            entry: request.extensions().get().cloned(),
        });
        Answer { inner: self.inner.call(request), refusal }
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<http::Response<Body>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.inner).poll(cx))?;
        // A status among the headers means that there is no message.
        if !response.headers().contains_key(Status::GRPC_STATUS) {
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(match self.refusal.take() {
            Some(refusal) => encode::message(&refusal.of_what_cannot_be_read()),
            None => response,
        }))
    }
}

impl Refusal {
    fn of_what_cannot_be_read(self) -> CheckResponse {
        let (reason, detail) = if self.entry.is_some_and(|entry| entry.is_overloaded()) {
            (Reason::Overloaded, String::new())
        } else {
            let detail = "the gateway's question could not be read or is too large";
            (Reason::InvalidRequest, detail.to_owned())
        };
        self.door.refuse(reason, Caller::UNKNOWN, detail)
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_proto::ext_authz::attribute_context::{HttpRequest, Request};
    use sluicegate_proto::ext_authz::core::{HeaderMap, HeaderValue};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_clients_trace_is_found_however_headers_are_sent() {
        let name = "traceparent".to_owned();
        let joined = HttpRequest {
            headers: [(name.clone(), PARENT.to_owned())].into(),
            ..Default::default()
        };
        let raw_value = PARENT.as_bytes().to_vec().into();
        let header = HeaderValue { key: name, raw_value, ..Default::default() };
        let raw = HttpRequest {
            header_map: Some(HeaderMap { headers: vec![header] }),
            ..Default::default()
        };
        let caller = Caller::UNKNOWN;
        for http in [joined, raw] {
            let request = Some(Request { http: Some(http), ..Default::default() });
            let context = AttributeContext { request, ..Default::default() };
            assert_eq!(trace(caller, &context), TraceParent::parse(PARENT));
            let of_gateway = TraceParent { span_id: 7, ..TraceParent::parse(PARENT) };
            let caller = Caller { trace: of_gateway, ..caller };
            assert_eq!(trace(caller, &context), of_gateway, "the gateway's own comes first");
        }
    }
}

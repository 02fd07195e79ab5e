//! The native gRPC door, and the routes of the gRPC listener.
//!
//! A refusal is an answer here too: a caller that sends rubbish or may not ask gets a response
//! with the reason, never a status. Only what is no message at all ends with a status, and a batch
//! of a caller that may not ask.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::future::join_all;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::explain::explain_verdict;
use sluicegate_limits::policy::units::tokens;
use sluicegate_limits::verdict::Reason;
use sluicegate_proto::ext_authz::authorization_server::AuthorizationServer;
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::sluicegate_server::{Sluicegate, SluicegateServer};
use sluicegate_proto::v1::{
    CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, ExtendRequest,
    ExtendResponse, HoldRequest, HoldResponse, ReleaseRequest, ReleaseResponse, ReserveRequest,
    ReserveResponse, SettleRequest, SettleResponse,
};
use sluicegate_proto::{FILE_DESCRIPTOR_SET, v1};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use tower::util::MapRequestLayer;

use super::desk::{Desk, Wanted};
use super::ext_authz::{Definite, ExtAuthz};
use super::health::HealthDoor;
use super::{Caller, Common, ReflectionError};
use crate::call::{Call, Door, Method};
use crate::limiter::Limiter;
use crate::reveal::Revealed;

mod encode;
mod held;

/// The most checks of one batch.
const MAX_BATCH: usize = 32;
/// The most limits that a Peek explains.
const MAX_EXPLAINED: usize = 1_000;

/// The services that everybody may ask, and that answer whatever the load is.
const OPEN_SERVICES: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];
/// Not compressed, no bytes.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

struct Native {
    limiter: Limiter,
    common: Arc<Common>,
}

/// The routes of one core: native, Envoy, health and reflection.
pub(super) fn router(limiter: &Limiter, common: &Arc<Common>) -> axum::Router {
    let bytes = common.grpc.max_message_bytes;
    let native = Native { limiter: limiter.clone(), common: Arc::clone(common) };
    let envoy = Arc::new(ExtAuthz::new(limiter.clone(), Arc::clone(common)));
    let envoy_server = AuthorizationServer::from_arc(Arc::clone(&envoy));
    let envoy_server = envoy_server.max_decoding_message_size(bytes);
    let health = HealthServer::new(HealthDoor::new(common)).max_decoding_message_size(bytes);
    Routes::from(common.reflection.clone())
        .add_service(SluicegateServer::new(native).max_decoding_message_size(bytes))
        .add_service(Definite::new(envoy_server, envoy))
        .add_service(health)
        .prepare()
        .into_axum_router()
        .layer(MapRequestLayer::new(at_its_head))
}

/// A call that is refused goes on with an empty message instead of its body: the answer has the
/// form that its method has, and nothing is waited for.
fn at_its_head(request: http::Request<Body>) -> http::Request<Body> {
    let path = request.uri().path();
    let open = OPEN_SERVICES.iter().any(|service| path.starts_with(service));
    let caller = Caller::new(request.headers(), request.extensions());
    if open || caller.refusal().is_none() {
        return request;
    }
    request.map(|_unread| Body::from(Bytes::from_static(&EMPTY_MESSAGE)))
}

/// The routes that show the shapes of all services, in both versions of the protocol.
pub(super) fn reflection(max_bytes: usize) -> Result<axum::Router, ReflectionError> {
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = describe().build_v1()?.max_decoding_message_size(max_bytes);
    let v1alpha = describe().build_v1alpha()?.max_decoding_message_size(max_bytes);
    Ok(Routes::new(v1).add_service(v1alpha).into_axum_router())
}

#[tonic::async_trait]
impl Sluicegate for Native {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(self.answer(desk, request.into_inner(), Method::Check).await))
    }

    async fn check_batch(
        &self,
        request: Request<CheckBatchRequest>,
    ) -> Result<Response<CheckBatchResponse>, Status> {
        let desk = self.desk(&request);
        if let Some(reason) = desk.caller.refusal() {
            return Err(refused(reason));
        }
        let checks = request.into_inner().checks;
        if checks.len() > MAX_BATCH {
            let detail = format!("a batch has at most {MAX_BATCH} checks");
            return Err(Status::invalid_argument(detail));
        }
        // Asked in their order, so each check sees what those before it took, and together, so
        // that a shared store decides them in one call.
        let asked = checks.into_iter().map(|check| self.answer(desk, check, Method::CheckBatch));
        let responses = join_all(asked).await;
        Ok(Response::new(CheckBatchResponse { responses }))
    }

    async fn peek(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(self.answer(desk, request.into_inner(), Method::Peek).await))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(held::reserve(desk, request.into_inner()).await))
    }

    async fn settle(
        &self,
        request: Request<SettleRequest>,
    ) -> Result<Response<SettleResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(held::settle(desk, request.into_inner()).await))
    }

    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(held::hold(desk, request.into_inner()).await))
    }

    async fn extend(
        &self,
        request: Request<ExtendRequest>,
    ) -> Result<Response<ExtendResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(held::extend(desk, request.into_inner()).await))
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let desk = self.desk(&request);
        Ok(Response::new(held::release(desk, request.into_inner()).await))
    }
}

impl Native {
    fn desk<T>(&self, request: &Request<T>) -> Desk<'_> {
        let (limiter, common) = (&self.limiter, &*self.common);
        let caller = Caller::of_grpc(request.metadata().as_ref(), request.extensions());
        Desk { limiter, common, caller, door: Door::Grpc }
    }

    async fn answer(&self, desk: Desk<'_>, request: CheckRequest, method: Method) -> CheckResponse {
        let wanted = || {
            let (facts, cost) = (facts(request.attributes)?, request.cost.map(tokens));
            Ok(Wanted { facts, cost, method })
        };
        if method == Method::Peek {
            return match desk.call(method, wanted) {
                Ok(call) => self.explain(call).await,
                Err(refused) => encode::response(Revealed::of(&refused)),
            };
        }
        encode::response(Revealed::of(&desk.decide(method, wanted).await))
    }

    /// What a check would answer, and why.
    async fn explain(&self, call: Call) -> CheckResponse {
        let decision = self.limiter.check(call.clone()).await;
        let (policy, verdict) = (&decision.policy, &decision.verdict);
        let (attributes, now) = (&call.attributes, decision.now);
        let mut limits =
            explain_verdict(policy, attributes, call.cost, verdict, now, MAX_EXPLAINED);
        let otherwise = self.limiter.class_rules(&call).on_store_failure.as_str();
        for limit in &mut limits {
            limit.on_store_failure.get_or_insert(otherwise.into());
        }
        let answer = Revealed::of(&decision);
        let mut response = encode::response(answer);
        response.explained = encode::explained(answer.explained(limits));
        if answer.shows_policy() {
            let left_out = policy.limits().len().saturating_sub(response.explained.len());
            response.explained_left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
        }
        response
    }
}

/// A batch whose checks were not read has no answers to them.
fn refused(reason: Reason) -> Status {
    match reason {
        Reason::Overloaded => Status::unavailable(reason.as_str()),
        _ => Status::permission_denied(reason.as_str()),
    }
}

/// Reads the facts about a request, or says what is wrong with them without repeating values.
fn facts(stated: Vec<v1::Attribute>) -> Result<AttributesBuilder, String> {
    let mut attributes = AttributesBuilder::new();
    for v1::Attribute { name, value } in stated {
        let set = match value {
            Some(Value::Text(text)) => attributes.set(&name, &text),
            Some(Value::Flag(flag)) => attributes.set(&name, if flag { "true" } else { "false" }),
            Some(Value::Number(number)) => attributes.set(&name, &number.to_string()),
            None => return Err("an attribute has no value".to_owned()),
        };
        set.map_err(|error| error.to_string())?;
    }
    Ok(attributes)
}

//! One connection to a door, and how to ask there.

use std::error::Error;
use std::time::Duration;

use clap::ValueEnum;
use sluicegate_client::{Client, Request};
use sluicegate_proto::ext_authz::attribute_context::{self, HttpRequest};
use sluicegate_proto::ext_authz::authorization_client::AuthorizationClient;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse, core};
use tonic::transport::{Channel, Endpoint};

/// A door of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Door {
    /// Native gRPC, as a service asks.
    Native,
    /// Envoy's ext_authz, as a gateway asks.
    ExtAuthz,
}

/// What the requests look like.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) method: String,
    pub(crate) path: String,
    /// How many tenants there are.
    pub(crate) keys: u64,
}

/// A connection that asks at one door.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Native(Client),
    ExtAuthz(AuthorizationClient<Channel>),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) degraded: bool,
}

impl Caller {
    /// A caller with a connection of its own, made with the first request.
    pub(crate) fn connect(door: Door, target: &str) -> Result<Self, Box<dyn Error>> {
        match door {
            Door::Native => Ok(Self::Native(Client::connect(target)?)),
            Door::ExtAuthz => {
                let endpoint = Endpoint::from_shared(target.to_owned())?;
                Ok(Self::ExtAuthz(AuthorizationClient::new(endpoint.connect_lazy())))
            }
        }
    }

    /// Asks for one request of the tenant with this number.
    pub(crate) async fn ask(
        &self,
        shape: &Shape,
        tenant: u64,
        deadline: Duration,
    ) -> Result<Answer, String> {
        match self {
            Self::Native(client) => {
                let verdict = client.check(&native(shape, tenant), deadline).await;
                let verdict = verdict.map_err(|error| error.to_string())?;
                Ok(Answer { allowed: verdict.allowed, degraded: verdict.degraded })
            }
            Self::ExtAuthz(client) => {
                let mut request = tonic::Request::new(ext_authz(shape, tenant));
                request.set_timeout(deadline);
                let mut client = client.clone();
                let response = tokio::time::timeout(deadline, client.check(request)).await;
                let response = response.map_err(|_| format!("no answer within {deadline:?}"))?;
                answer(&response.map_err(|status| status.to_string())?.into_inner())
            }
        }
    }
}

/// The facts that a service states.
pub(crate) fn native(shape: &Shape, tenant: u64) -> Request {
    Request::new()
        .with("tenant_id", format!("tenant-{tenant}"))
        .with("method", shape.method.as_str())
        .with("path", shape.path.as_str())
        .with("authenticated", true)
}

/// What Envoy sends for a request with a few headers, the tenant in `x-tenant-id`.
pub(crate) fn ext_authz(shape: &Shape, tenant: u64) -> CheckRequest {
    let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let tenant = format!("tenant-{tenant}");
    let headers = [
        (":method", shape.method.as_str()),
        (":path", &shape.path),
        (":authority", "api.example.com"),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("user-agent", "sluicegate-loadtest"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "5b0c7f5e-7d0c-4e1c-9f4e-0b6f3f6d6f11"),
        ("x-tenant-id", &tenant),
    ];
    let http = HttpRequest {
        id: "1234567890123456789".to_owned(),
        method: shape.method.clone(),
        path: shape.path.clone(),
        host: "api.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        headers: headers.map(header).into(),
        ..HttpRequest::default()
    };
    let port = core::socket_address::PortSpecifier::PortValue(40_000);
    let socket = core::SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(port),
        ..core::SocketAddress::default()
    };
    let address = core::address::Address::SocketAddress(socket);
    let source = attribute_context::Peer {
        address: Some(core::Address { address: Some(address) }),
        ..attribute_context::Peer::default()
    };
    let request = attribute_context::Request { http: Some(http), ..Default::default() };
    let attributes = AttributeContext {
        source: Some(source),
        request: Some(request),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

/// Allowed, or denied by a limit; every other denial is an error here.
fn answer(response: &CheckResponse) -> Result<Answer, String> {
    use prost_types::value::Kind::BoolValue;
    let degraded = response.dynamic_metadata.as_ref().and_then(|all| all.fields.get("degraded"));
    let degraded = degraded.is_some_and(|value| value.kind == Some(BoolValue(true)));
    match &response.http_response {
        Some(HttpResponse::OkResponse(_)) | None => Ok(Answer { allowed: true, degraded }),
        Some(HttpResponse::DeniedResponse(denied)) => {
            match denied.status.as_ref().map(|status| status.code) {
                Some(429) => Ok(Answer { allowed: false, degraded }),
                code => Err(format!("denied with status {code:?}")),
            }
        }
        Some(HttpResponse::ErrorResponse(_)) => Err("answered with an error".to_owned()),
    }
}

//! One question in the protocol of each door, and its answer in one form.

use std::net::SocketAddr;

use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost_types::value::Kind;
use serde_json::Value as Json;
use sluicegate_proto::ext_authz::attribute_context::{self, HttpRequest, Peer};
use sluicegate_proto::ext_authz::authorization_client::AuthorizationClient;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::ext_authz::core::address::Address as AnyAddress;
use sluicegate_proto::ext_authz::core::{Address, HeaderValueOption, SocketAddress};
use sluicegate_proto::ext_authz::{AttributeContext, CheckRequest, CheckResponse};
use sluicegate_proto::v1::attribute::Value;
use sluicegate_proto::v1::retry_after::Wait;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{self, Attribute};
use tokio::net::TcpStream;

use crate::http_client::{self, HttpAnswer};
use crate::server::TestServer;

/// Every door that decides.
pub(crate) const DOORS: [Door; 3] = [Door::Grpc, Door::ExtAuthz, Door::Http];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Grpc,
    ExtAuthz,
    Http,
}

/// A request that is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) address: String,
    /// More than one is a repeated attribute.
    pub(crate) tenants: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// A denial without it, or no denial.
    Unsaid,
    After,
    Never,
}

/// What a door said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// The status that a client gets, where the door has one.
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
    pub(crate) limit: Option<String>,
    pub(crate) retry: Retry,
    pub(crate) decision_id: String,
    /// The whole of it, for messages.
    pub(crate) whole: String,
}

impl Question {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            address: "192.0.2.1".to_owned(),
            tenants: Vec::new(),
        }
    }

    pub(crate) fn by(mut self, tenant: &str) -> Self {
        self.tenants.push(tenant.to_owned());
        self
    }

    pub(crate) fn native(&self) -> v1::CheckRequest {
        let text = |name: &str, value: &str| Attribute {
            name: name.to_owned(),
            value: Some(Value::Text(value.to_owned())),
        };
        let mut attributes = vec![
            text("method", &self.method),
            text("path", &self.path),
            text("ip_address", &self.address),
        ];
        attributes.extend(self.tenants.iter().map(|tenant| text("tenant_id", tenant)));
        let authenticated = Value::Flag(!self.tenants.is_empty());
        let name = "authenticated".to_owned();
        attributes.push(Attribute { name, value: Some(authenticated) });
        v1::CheckRequest { attributes, cost: None }
    }

    pub(crate) fn envoy(&self) -> CheckRequest {
        let socket = SocketAddress { address: self.address.clone(), ..Default::default() };
        let address = Address { address: Some(AnyAddress::SocketAddress(socket)) };
        let mut http = HttpRequest {
            method: self.method.clone(),
            path: self.path.clone(),
            host: "api.example.com".to_owned(),
            ..Default::default()
        };
        if !self.tenants.is_empty() {
            // Envoy joins what is repeated.
            http.headers.insert("x-tenant-id".to_owned(), self.tenants.join(","));
        }
        let request = attribute_context::Request { http: Some(http), ..Default::default() };
        let context = AttributeContext {
            source: Some(Peer { address: Some(address), ..Default::default() }),
            request: Some(request),
            ..Default::default()
        };
        CheckRequest { attributes: Some(context) }
    }

    pub(crate) fn json(&self) -> String {
        let (method, path, address) = (&self.method, &self.path, &self.address);
        let tenants: String =
            self.tenants.iter().map(|tenant| format!(r#","tenant_id":"{tenant}""#)).collect();
        let authenticated = !self.tenants.is_empty();
        format!(
            r#"{{"attributes":{{"method":"{method}","path":"{path}","ip_address":"{address}"
            {tenants},"authenticated":{authenticated}}}}}"#
        )
    }
}

impl TestServer {
    /// Asks one door.
    pub(crate) async fn ask(&self, door: Door, question: &Question) -> Answer {
        match door {
            Door::Grpc => {
                let mut client = SluicegateClient::new(self.channel().await);
                of_native(client.check(question.native()).await.unwrap().into_inner())
            }
            Door::ExtAuthz => of_envoy(self.ask_envoy(question.envoy()).await),
            Door::Http => of_json(self.post(&question.json()).await),
        }
    }

    pub(crate) async fn ask_envoy(&self, request: CheckRequest) -> CheckResponse {
        let mut client = AuthorizationClient::new(self.channel().await);
        client.check(request).await.unwrap().into_inner()
    }

    pub(crate) async fn post(&self, body: &str) -> HttpAnswer {
        let request = Request::post("/v1/check").header("content-type", "application/json");
        send(self.http, request.body(Full::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> HttpAnswer {
        send(self.http, Request::get(path).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str) -> HttpAnswer {
        let request = Request::builder().method(method).uri(path);
        send(self.http, request.body(Full::default()).unwrap()).await
    }
}

/// Sends one request over a connection of its own.
pub(crate) async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> HttpAnswer {
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    http_client::send(address.ip(), address, request).await.unwrap()
}

/// The path of Envoy's question.
pub(crate) const ENVOY_CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Sends bytes as the message of a call, over a connection of its own, with a `grpc-timeout` that
/// nobody here keeps to.
pub(crate) async fn send_grpc(
    address: SocketAddr,
    path: &str,
    timeout: Option<&str>,
    message: &[u8],
) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let request = Request::post(format!("http://{address}{path}"));
    let mut request = request.header("content-type", "application/grpc").header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    sender.send_request(request.body(Full::new(Bytes::from(frame))).unwrap()).await.unwrap()
}

pub(crate) fn header<'a>(headers: &'a [HeaderValueOption], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter_map(|option| option.header.as_ref());
    values.find(|header| header.key == name).map(|header| header.value.as_str())
}

pub(crate) fn of_native(response: v1::CheckResponse) -> Answer {
    let whole = format!("{response:?}");
    let retry = match response.retry_after.and_then(|retry| retry.wait) {
        None => Retry::Unsaid,
        Some(Wait::After(after)) => {
            assert!(after.seconds > 0 || after.nanos > 0, "{whole}");
            Retry::After
        }
        Some(Wait::Never(_)) => Retry::Never,
    };
    Answer {
        allowed: response.allowed,
        status: None,
        reason: response.reason,
        limit: response.limit_name,
        retry,
        decision_id: response.decision_id,
        whole,
    }
}

pub(crate) fn of_envoy(response: CheckResponse) -> Answer {
    let whole = format!("{response:?}");
    let metadata = response.dynamic_metadata.unwrap().fields;
    let text = |name: &str| match metadata.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    };
    let ok = response.status.unwrap().code == 0;
    let (status, retry) = match response.http_response.unwrap() {
        HttpResponse::OkResponse(_) => (200, Retry::Unsaid),
        HttpResponse::DeniedResponse(denied) => {
            let after = header(&denied.headers, "retry-after");
            let body: Json = serde_json::from_str(&denied.body).unwrap();
            assert_eq!(body.get("reason").and_then(Json::as_str), text("reason").as_deref());
            let retry = match after {
                Some(seconds) => {
                    assert!(seconds.parse::<u64>().unwrap() > 0, "{whole}");
                    Retry::After
                }
                None if text("limit_name").is_some() => Retry::Never,
                None => Retry::Unsaid,
            };
            (u16::try_from(denied.status.unwrap().code).unwrap(), retry)
        }
        HttpResponse::ErrorResponse(_) => panic!("never an error: {whole}"),
    };
    assert_eq!(ok, status == 200, "{whole}");
    Answer {
        allowed: ok,
        status: Some(status),
        reason: text("reason").unwrap_or_default(),
        limit: text("limit_name"),
        retry,
        decision_id: text("decision_id").unwrap(),
        whole,
    }
}

pub(crate) fn of_json(answer: HttpAnswer) -> Answer {
    let whole = format!("{answer:?}");
    let body: Json = serde_json::from_str(&answer.body).unwrap();
    let text = |name: &str| body.get(name).and_then(Json::as_str).map(str::to_owned);
    let retry = match body.get("retry_after_ms") {
        None => Retry::Unsaid,
        Some(Json::Null) => Retry::Never,
        Some(wait) => {
            assert!(wait.as_u64().unwrap() > 0, "{whole}");
            Retry::After
        }
    };
    Answer {
        allowed: body.get("allowed").and_then(Json::as_bool).unwrap_or_default(),
        status: Some(answer.status.as_u16()),
        reason: text("reason").unwrap_or_default(),
        limit: text("limit_name"),
        retry,
        decision_id: text("decision_id").unwrap(),
        whole,
    }
}

//! A decision as Envoy's `CheckResponse`.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use sluicegate_limits::headers::HeaderStyle;
use sluicegate_limits::verdict::Reason;
use sluicegate_proto::ext_authz::check_response::HttpResponse;
use sluicegate_proto::ext_authz::core::header_value_option::HeaderAppendAction;
use sluicegate_proto::ext_authz::core::{self, HeaderValueOption};
use sluicegate_proto::ext_authz::types::HttpStatus;
use sluicegate_proto::ext_authz::{CheckResponse, DeniedHttpResponse, OkHttpResponse, rpc};
use tonic::Code;
use tonic::body::Body;

use super::super::problem::{MEDIA_TYPE, Problem};
use super::super::status;
use crate::call::Decision;
use crate::reveal::Revealed;

/// Writes the answer.
pub(super) fn response(
    decision: &Decision,
    style: HeaderStyle,
    retry_after_jitter: u64,
) -> CheckResponse {
    let answer = Revealed::of(decision);
    let fields = answer.headers(style, retry_after_jitter);
    let mut headers: Vec<_> = fields.into_iter().map(|(name, value)| header(name, value)).collect();
    let (code, http_response) = match answer.reason() {
        None => {
            let ok = OkHttpResponse { response_headers_to_add: headers, ..Default::default() };
            (Code::Ok, HttpResponse::OkResponse(ok))
        }
        Some(reason) => {
            headers.push(header("content-type", MEDIA_TYPE.to_owned()));
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus { code: i32::from(status::of(reason).as_u16()) }),
                headers,
                body: Problem::of_decision(answer, reason).to_json(),
            };
            (code(reason), HttpResponse::DeniedResponse(denied))
        }
    };
    CheckResponse {
        status: Some(rpc::Status { code: code as i32, ..Default::default() }),
        dynamic_metadata: Some(metadata(decision)),
        http_response: Some(http_response),
    }
}

/// A successful gRPC response of one message.
pub(super) fn message(response: &CheckResponse) -> http::Response<Body> {
    let message = response.encode_to_vec();
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    let trailers = async {
        let status = (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
        Some(Ok(HeaderMap::from_iter([status])))
    };
    let body = Full::new(frame.freeze()).with_trailers(trailers);
    let mut response = http::Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// The status beside the denial. Envoy only looks whether it is OK.
fn code(reason: Reason) -> Code {
    match status::of(reason) {
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        _ => Code::PermissionDenied,
    }
}

/// One header that replaces what the upstream says under its name.
#[expect(deprecated, reason = "an old Envoy knows only `append`, and both have to agree")]
fn header(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(core::HeaderValue { key: name.to_owned(), value, ..Default::default() }),
        append: Some(false),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..Default::default()
    }
}

/// What the gateway's access log can show, under `envoy.filters.http.ext_authz`: all of it, since
/// its client never sees it.
fn metadata(decision: &Decision) -> Struct {
    let text = |text: &str| Kind::StringValue(text.to_owned());
    let verdict = &decision.verdict;
    let mut fields = vec![
        ("decision_id", text(&decision.id.to_string())),
        ("policy_revision", text(decision.policy.revision())),
        ("degraded", Kind::BoolValue(verdict.degraded)),
    ];
    fields.extend(verdict.limit_name().map(|name| ("limit_name", text(name))));
    fields.extend(verdict.reason.map(|_| ("reason", text(&verdict.reason_text))));
    let value = |(name, kind): (&str, Kind)| (name.to_owned(), Value { kind: Some(kind) });
    Struct { fields: fields.into_iter().map(value).collect() }
}

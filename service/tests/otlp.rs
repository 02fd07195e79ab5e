//! Spans arrive at a collector under the caller's trace, say what was decided, and name nobody.

#![cfg(feature = "otlp")]
#![cfg(test)]

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use sluicegate_proto::v1;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/process.rs"]
mod process;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "support/service.rs"]
mod service;

use process::folder;
use service::Service;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands on every span that it gets.
struct Collector(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        spans.for_each(|span| self.0.send(span).expect("the test listens"));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(span: &Span) -> HashMap<&str, &Value> {
    let facts = span.attributes.iter();
    facts.filter_map(|a| Some((a.key.as_str(), a.value.as_ref()?.value.as_ref()?))).collect()
}

/// What is about one reservation has its id, in spans and records.
async fn about_one_reservation(service: &Service, spans: &mut mpsc::UnboundedReceiver<Span>) {
    let text = |value: &str| Value::StringValue(value.to_owned());
    let reserved = service.post("/v1/reserve", r#"{"attributes": {"tenant_id": "acme"}}"#, "");
    let token = reserved["reservation"].as_str().unwrap();
    let settle = format!(r#"{{"reservation": "{token}", "actual": 9}}"#);
    let settled = service.post("/v1/settle", &settle, "");
    let mut ids = Vec::new();
    for route in ["/v1/reserve", "/v1/settle"] {
        let span = tokio::time::timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
        assert_eq!(span.name, format!("POST {route}"));
        assert_eq!(attributes(&span)["http.route"], &text(route));
        ids.push(attributes(&span)["sluicegate.reservation"].clone());
    }
    let record = service.record(settled["decision_id"].as_str().unwrap());
    assert_eq!(record["call"], "settle");
    let id = text(record["reservation"].as_str().unwrap());
    assert_eq!(ids, [id.clone(), id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_exported_under_the_callers_trace_and_is_no_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (send, mut spans) = mpsc::unbounded_channel();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = TraceServiceServer::new(Collector(send));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));

    let limits = folder("otlp").join("limits.yaml");
    let text = "rate_limits: {a: {key: ip_address, limit: 1, window: 1h}}";
    std::fs::write(&limits, text).unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("SLUICEGATE__DRAIN__DELAY_MS", "0"),
        ("SLUICEGATE__DECISION_RECORDS__SAMPLED_SHARE", "1"),
    ];
    let limits = limits.display().to_string();
    let mut service = Service::start(&["--limits", &limits], &environment);
    let body = r#"{"attributes": {"ip_address": "203.0.113.7", "tenant_id": "acme"}}"#;
    let unsampled = format!("traceparent: 00-{}-00f067aa0ba902b7-00\r\n", TRACE.replace('4', "5"));
    assert_eq!(service.check(body, &unsampled)["allowed"], true);
    let sampled = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let denied = service.check(body, &sampled);
    let id = denied["decision_id"].as_str().unwrap();

    // Only the sampled one arrives.
    let span = tokio::time::timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(span.name, "POST /v1/check");
    assert_eq!(span.kind(), SpanKind::Server);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.status.as_ref().map_or(0, |s| s.code), StatusCode::Unset as i32);
    let facts = attributes(&span);
    let text = |value: &str| Value::StringValue(value.to_owned());
    assert_eq!(facts["sluicegate.decision_id"], &text(id));
    assert_eq!(facts["sluicegate.reason"], &text("limit_exceeded"));
    assert_eq!(facts["sluicegate.limit"], &text("a"));
    assert_eq!(facts["sluicegate.tenant_id"], &text("acme"));
    assert_eq!(facts["sluicegate.allowed"], &Value::BoolValue(false));
    assert!(!facts.contains_key("error.type"));
    assert!(!format!("{span:?}").contains("203.0.113.7"), "{span:?}");
    let record = service.record(id);
    assert_eq!(record["trace_id"], TRACE);

    // Without a caller's trace the record names the trace that the span began.
    let alone = service.check(body, "");
    let record = service.record(alone["decision_id"].as_str().unwrap());
    let span = tokio::time::timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
    assert_eq!(record["trace_id"], hex(&span.trace_id));
    assert!(span.parent_span_id.is_empty() || span.parent_span_id == [0; 8]);

    // A native call has the name of its method, and a Peek is no decision.
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", service.grpc));
    let mut native = SluicegateClient::new(channel.unwrap().connect().await.unwrap());
    let request = v1::CheckRequest::default();
    native.peek(request.clone()).await.unwrap();
    native.check(request.clone()).await.unwrap();
    native.check_batch(v1::CheckBatchRequest { checks: vec![request] }).await.unwrap();
    for method in ["Peek", "Check", "CheckBatch"] {
        let span = tokio::time::timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
        let name = format!("sluicegate.v1.Sluicegate/{method}");
        assert_eq!((&span.name, attributes(&span)["rpc.method"]), (&name, &text(&name)));
    }

    about_one_reservation(&service, &mut spans).await;
    let (_, metrics) = service.get("/metrics");
    let decided = "sluicegate_decisions_total{door=\"grpc\",verdict=\"allowed\",reason=\"none\"} 2";
    assert!(metrics.contains(&format!("\n{decided}\n")), "{metrics}");

    // The last spans are sent before the end.
    assert_eq!(service.check(body, &sampled)["allowed"], false);
    service.signal("TERM");
    let span = tokio::time::timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(service.exit_code(), 0);
}

//! Exports one span for each request over OTLP. Without the feature `otlp` there are none.
//!
//! A span is built when its decision is known, from the instants of the decision: a process that
//! exports nothing does nothing for it.

#[cfg(feature = "otlp")]
pub use exported::Spans;
#[cfg(not(feature = "otlp"))]
pub use none::Spans;

/// The variables that switch the export on, as OpenTelemetry names them.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Whether the environment asks for the export.
fn wanted() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(feature = "otlp")]
mod exported {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use opentelemetry::trace::{
        Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState, Tracer, TracerProvider,
    };
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
    use sluicegate_limits::verdict::Reason;

    use crate::call::{Call, Decision, Door, Ending, Method};
    use crate::doors::status;
    use crate::record::Redactor;
    use crate::telemetry::TraceParent;

    /// How long the last spans may take when the process ends.
    const LAST_EXPORT: Duration = Duration::from_secs(2);
    /// The attributes of the request that a span shows.
    const SHOWN: [(&str, &str); 7] = [
        ("tenant_id", "sluicegate.tenant_id"),
        ("client_id", "sluicegate.client_id"),
        ("on_behalf_of", "sluicegate.on_behalf_of"),
        ("user_id", "enduser.pseudo.id"),
        ("ip_address", "sluicegate.client.address"),
        ("method", "sluicegate.method"),
        ("endpoint", "sluicegate.endpoint"),
    ];

    /// Sends spans to a collector, in batches, from a thread of its own. A clone sends to the
    /// same one.
    #[derive(Clone, Debug)]
    pub struct Spans {
        provider: SdkTracerProvider,
        tracer: SdkTracer,
    }

    impl Spans {
        /// Starts the export where the environment asks for it; call it inside a runtime that
        /// lives as long as the process.
        ///
        /// # Errors
        /// Where the environment's endpoint cannot be used.
        pub fn from_environment() -> Result<Option<Self>, ExporterBuildError> {
            super::wanted()
                .then(|| SpanExporter::builder().with_tonic().build().map(Self::new))
                .transpose()
        }

        /// Starts the export to one collector; call it inside a runtime that lives as long as
        /// the process.
        ///
        /// # Errors
        /// Where the endpoint is no URL.
        pub fn to(endpoint: &str) -> Result<Self, ExporterBuildError> {
            SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map(Self::new)
        }

        fn new(exporter: SpanExporter) -> Self {
            let mut resource = Resource::builder();
            if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
                resource = resource.with_service_name("sluicegate");
            }
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource.build())
                .build();
            let tracer = provider.tracer("sluicegate");
            Self { provider, tracer }
        }

        /// Exports the span of one request and returns its trace id; the caller's where it
        /// brought one.
        pub fn export(&self, call: &Call, decision: &Decision, redactor: &Redactor) -> u128 {
            let trace = call.trace;
            if trace.is_some() && !trace.sampled() {
                return trace.trace_id;
            }
            let end = UNIX_EPOCH + Duration::from_micros(decision.now.get());
            let start = end.checked_sub(decision.took).unwrap_or(end);
            let builder = self
                .tracer
                .span_builder(name(call))
                .with_kind(SpanKind::Server)
                .with_start_time(start)
                .with_attributes(attributes(call, decision, redactor));
            let mut span = self.tracer.build_with_context(builder, &parent(trace));
            // A denial is an answer like any other; only what we could not do is an error.
            let failed = decision.verdict.reason;
            if let Some(Reason::StoreUnavailable | Reason::Overloaded) = failed {
                span.set_status(Status::error(decision.verdict.reason_text.clone()));
                span.set_attribute(KeyValue::new(
                    "error.type",
                    decision.verdict.reason_text.clone(),
                ));
            }
            span.end_with_timestamp(SystemTime::max(start, end));
            u128::from_be_bytes(span.span_context().trace_id().to_bytes())
        }

        /// Sends what waits, and ends. It may take two seconds: call it where that is no harm.
        pub fn shutdown(&self) {
            if let Err(error) = self.provider.shutdown_with_timeout(LAST_EXPORT) {
                tracing::warn!("the last spans were not exported: {error}");
            }
        }
    }

    fn parent(trace: TraceParent) -> Context {
        if !trace.is_some() {
            return Context::new();
        }
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from_bytes(trace.trace_id.to_be_bytes()),
            SpanId::from_bytes(trace.span_id.to_be_bytes()),
            TraceFlags::new(trace.flags),
            true,
            TraceState::NONE,
        ))
    }

    /// Names by OpenTelemetry's conventions for RPC and HTTP servers.
    const fn name(call: &Call) -> &'static str {
        match (call.door, call.method) {
            (Door::Grpc, Method::Check) => "sluicegate.v1.Sluicegate/Check",
            (Door::Grpc, Method::CheckBatch) => "sluicegate.v1.Sluicegate/CheckBatch",
            (Door::Grpc, Method::Peek) => "sluicegate.v1.Sluicegate/Peek",
            (Door::Grpc, Method::Reserve { .. }) => "sluicegate.v1.Sluicegate/Reserve",
            (Door::Grpc, Method::Hold { .. }) => "sluicegate.v1.Sluicegate/Hold",
            (Door::Grpc, Method::End(Ending::Settle { .. })) => "sluicegate.v1.Sluicegate/Settle",
            (Door::Grpc, Method::End(Ending::Extend { .. })) => "sluicegate.v1.Sluicegate/Extend",
            (Door::Grpc, Method::End(Ending::Release)) => "sluicegate.v1.Sluicegate/Release",
            (Door::ExtAuthz, _) => "envoy.service.auth.v3.Authorization/Check",
            (Door::Http, Method::Reserve { .. }) => "POST /v1/reserve",
            (Door::Http, Method::Hold { .. }) => "POST /v1/hold",
            (Door::Http, Method::End(Ending::Settle { .. })) => "POST /v1/settle",
            (Door::Http, Method::End(Ending::Extend { .. })) => "POST /v1/extend",
            (Door::Http, Method::End(Ending::Release)) => "POST /v1/release",
            (Door::Http, _) => "POST /v1/check",
        }
    }

    fn attributes(call: &Call, decision: &Decision, redactor: &Redactor) -> Vec<KeyValue> {
        let verdict = &decision.verdict;
        let code = status::answered(call.door, verdict.reason);
        let mut all = match call.door {
            Door::Grpc | Door::ExtAuthz => vec![
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", name(call)),
                KeyValue::new("rpc.status_code", "OK"),
            ],
            Door::Http => vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("http.route", name(call).trim_start_matches("POST ")),
                KeyValue::new("http.response.status_code", i64::from(code.as_u16())),
            ],
        };
        all.extend([
            KeyValue::new("sluicegate.decision_id", decision.id.to_string()),
            KeyValue::new("sluicegate.response_code", i64::from(code.as_u16())),
            KeyValue::new("sluicegate.allowed", verdict.allowed),
            KeyValue::new("sluicegate.degraded", verdict.degraded),
            KeyValue::new("sluicegate.policy_revision", decision.policy.revision().to_owned()),
            KeyValue::new("sluicegate.store.duration", decision.store_time.as_secs_f64()),
        ]);
        let id = decision.grant.as_ref().map(|grant| grant.id.simple().to_string());
        all.extend(id.map(|id| KeyValue::new("sluicegate.reservation", id)));
        if !verdict.allowed {
            all.push(KeyValue::new("sluicegate.reason", verdict.reason_text.clone()));
        }
        all.extend(verdict.limit_name().map(|n| KeyValue::new("sluicegate.limit", n.to_owned())));
        all.extend(SHOWN.iter().filter_map(|(name, key)| {
            let value = call.attributes.get(name)?;
            Some(KeyValue::new(*key, redactor.show(name, value).into_owned()))
        }));
        all
    }
}

#[cfg(not(feature = "otlp"))]
mod none {
    use std::convert::Infallible;

    use crate::call::{Call, Decision};
    use crate::record::Redactor;

    /// No span can be exported by this build.
    #[derive(Clone, Debug)]
    pub enum Spans {}

    impl Spans {
        /// Nothing; warns where the environment asks for an export.
        ///
        /// # Errors
        /// Never.
        pub fn from_environment() -> Result<Option<Self>, Infallible> {
            if super::wanted() {
                tracing::warn!("this build has no OTLP export: spans go nowhere");
            }
            Ok(None)
        }

        /// Cannot be called.
        pub fn export(&self, _: &Call, _: &Decision, _: &Redactor) -> u128 {
            match *self {}
        }

        /// Cannot be called.
        pub fn shutdown(&self) {
            match *self {}
        }
    }
}

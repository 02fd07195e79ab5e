//! The tracers of Envoy, and its configuration with one of them.

/// A tracer by its name, and what it is configured with; all export to a cluster that nobody
/// serves.
pub(crate) type Tracer = (&'static str, &'static str);

pub(crate) const OPENTELEMETRY: Tracer = (
    "opentelemetry",
    "envoy.config.trace.v3.OpenTelemetryConfig, service_name: gateway,
    grpc_service: { envoy_grpc: { cluster_name: nobody } }",
);
/// All that Envoy 1.40 has, but those that load a program of their own.
pub(crate) const TRACERS: [Tracer; 6] = [
    OPENTELEMETRY,
    (
        "zipkin",
        "envoy.config.trace.v3.ZipkinConfig, collector_cluster: nobody,
        collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON,
        trace_context_option: USE_B3_WITH_W3C_PROPAGATION",
    ),
    (
        "datadog",
        "envoy.config.trace.v3.DatadogConfig, collector_cluster: nobody, service_name: gateway",
    ),
    (
        "skywalking",
        "envoy.config.trace.v3.SkyWalkingConfig,
        grpc_service: { envoy_grpc: { cluster_name: nobody } },
        client_config: { service_name: gateway, instance_name: one }",
    ),
    (
        "fluentd",
        "envoy.extensions.tracers.fluentd.v3.FluentdConfig, cluster: nobody, tag: gateway,
        stat_prefix: traces",
    ),
    (
        "xray",
        "envoy.config.trace.v3.XRayConfig, segment_name: gateway,
        daemon_endpoint: { protocol: UDP, address: 127.0.0.1, port_value: 9 }",
    ),
];

const NOBODY: &str = "
    - name: nobody
      type: STATIC
      load_assignment:
        cluster_name: nobody
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address: { socket_address: { address: 127.0.0.1, port_value: 9 } }
";

/// The configuration with a tracer that sees what clients send: they may begin a trace.
pub(crate) fn traced(text: &str, (name, config): Tracer) -> String {
    let mut text = text.to_owned();
    for header in ["traceparent", "tracestate", "baggage"] {
        let line = format!("                        - remove: {header}\n");
        assert_eq!(text.matches(&line).count(), 1, "{header}");
        text = text.replace(&line, "");
    }
    let before = "                http_filters:\n";
    assert_eq!(text.matches(before).count(), 1);
    let indent = " ".repeat(24);
    let config = config.replace('\n', &format!("\n{indent}"));
    let tracing = format!(
        "                tracing:\n                  provider:\n\
         {indent}name: envoy.tracers.{name}\n\
         {indent}typed_config: {{ \"@type\": type.googleapis.com/{config} }}\n"
    );
    text.replace(before, &format!("{tracing}{before}")) + NOBODY
}

//! Whole header blocks of requests, as a client sends them to a gateway.

use std::ops::Range;

use super::Generator;

/// A name and a value, of bytes that may be no header.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What tracers and gRPC read, and what proxies write.
const HEADERS: [&str; 44] = [
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-origin",
    "x-datadog-tags",
    "sw8",
    "sw8-x",
    "sw8-correlation",
    "x-amzn-trace-id",
    "uber-trace-id",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-status",
    "x-request-id",
    "x-client-trace-id",
    "x-envoy-force-trace",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-retry-on",
    "x-envoy-max-retries",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-tenant-id",
    "authorization",
    "content-type",
    "content-encoding",
    "cookie",
    "range",
    "user-agent",
];
/// What a version of HTTP, or Envoy, has its own ideas about.
const ODD_HEADERS: [&str; 8] =
    ["x_tenant_id", "content-length", "te", "trailer", "connection", "upgrade", "expect", ":path"];
/// Values that one or another of them takes for good.
const VALUES: [&str; 16] = [
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more",
    "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
    "463ac35c9f6413ad48485a3926bb6124",
    "a2fb4a1d1a96d312",
    "8448eb211c80319c",
    "1-MTIzNDU=-NDU2Nzg=-3-c2VydmljZQ==-aW5zdGFuY2U=-L2E=-MTI3LjAuMC4xOjgw",
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
    "dd=s:2;o:rum;t.dm:-4;p:b7ad6b7169203331",
    "_dd.p.dm=-4,_dd.p.tid=0af7651916cd43dd",
    "1n",
    "trailers",
    "application/grpc",
    "trace-on",
    "2",
];
/// What is copied of a trace that has begun.
const COPIED: [&str; 5] =
    ["tracestate", "tracestate", "baggage", "x-datadog-tags", "sw8-correlation"];
/// The most that Envoy takes of a client's headers is 60 KiB.
const MAX_VALUE_BYTES: usize = 58_000;

impl Generator {
    /// The headers of one request besides those that each has.
    pub(crate) fn header_block(&mut self) -> Vec<Field> {
        let mut block: Vec<Field> = (0..self.0.usize(0..12)).map(|_| self.field()).collect();
        // Most blocks get past the parsers of Envoy.
        if self.one_in(4) {
            block.extend((0..2).map(|_| self.odd_field()));
        }
        // Most of what a tracer copies it copies only into a trace that has begun.
        if self.0.bool() {
            let begun = [
                ("traceparent", VALUES[0]),
                ("x-b3-traceid", VALUES[3]),
                ("x-b3-spanid", VALUES[4]),
                ("x-datadog-trace-id", "1234"),
                ("x-datadog-parent-id", "5678"),
                ("sw8", VALUES[6]),
            ];
            let field = |(name, value): (&str, &str)| (name.into(), value.into());
            block.extend(begun.map(field));
            let name = *self.0.choice(COPIED.iter()).unwrap();
            let mut value = self.large(0..3);
            if name == "tracestate" {
                value.splice(0..0, *b"a=");
            }
            block.push((name.into(), value));
        }
        self.0.shuffle(&mut block);
        block
    }

    fn field(&mut self) -> Field {
        let name = (*self.0.choice(HEADERS.iter()).unwrap()).into();
        let value = match self.0.u8(0..5) {
            0 => self.large(4..10),
            _ => (*self.0.choice(VALUES.iter()).unwrap()).into(),
        };
        (name, value)
    }

    fn odd_field(&mut self) -> Field {
        let name = match self.0.u8(0..3) {
            0 => self.bytes(20),
            1 => self.text().into_bytes(),
            _ => (*self.0.choice(ODD_HEADERS.iter()).unwrap()).into(),
        };
        let value = match self.0.u8(0..3) {
            0 => self.bytes(200),
            1 => self.text().into_bytes(),
            _ => (*self.0.choice(VALUES.iter()).unwrap()).into(),
        };
        (name, value)
    }

    /// A value of any length that Envoy may take, halved a few times, of bytes that it does.
    fn large(&mut self, halved: Range<u8>) -> Vec<u8> {
        let bytes = self.0.usize(0..MAX_VALUE_BYTES) >> self.0.u8(halved);
        let seen = [b'a', b'=', b',', b';', b'-', b'~', b' ', b'"', 0xff];
        let one = *self.0.choice(seen.iter()).unwrap();
        vec![if self.0.bool() { b't' } else { one }; bytes]
    }
}

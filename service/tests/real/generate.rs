//! Random and mutated messages for every door, and policy files, from one seeded source.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use prost::Message;
use sluicegate_proto::ext_authz::{self, attribute_context, core};
use sluicegate_proto::v1;

mod blocks;
mod held;

pub(crate) use blocks::Field;

/// Text that has broken parsers before, beside what is usual.
const TEXTS: [&str; 30] = [
    "",
    "acme",
    "globex",
    "GET",
    "POST",
    "/v1/reports/export",
    "/v1/status?q=1#f",
    "//v1//./../reports/",
    "/v1/%2f%5c/%zz/%00/%E0%80%AF",
    "*",
    "CONNECT api:443",
    "true",
    "TRUE",
    "0",
    "-1",
    "18446744073709551616",
    "1e400",
    "127.0.0.1",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "1.2.3.4, 5.6.7.8, unknown",
    "tenant_id",
    "x-tenant-id",
    "x-forwarded-for",
    "2001:db8::1,10.0.0.2, 10.0.0.1",
    "a\0b\r\nc",
    "\u{202e}\u{fffd}\u{1f600}",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "{\"a\": [1, null]}",
    "\"quoted\\\"",
];
const NAMES: [&str; 12] = [
    "tenant_id",
    "user_id",
    "ip_address",
    "method",
    "path",
    "host",
    "authenticated",
    "traffic_class",
    "cost",
    "claims.role",
    "headers.x-a",
    "no such",
];
/// Words of the policy language, and what people write instead.
const WORDS: [&str; 37] = [
    "rate_limits:",
    "endpoint_costs:",
    "version: 1",
    "key: [tenant_id, user_id]",
    "match: \"POST /v1/**\"",
    "match: [\"GET /a/{b}\", \"* /**\"]",
    "algorithm: token_bucket",
    "algorithm: calendar",
    "algorithm: concurrency",
    "period: month",
    "timezone: Europe/Madrid",
    "starts_on: 31",
    "alert_at: [80%, 95%]",
    "hold: 5m",
    "penalty: { after: 3, within: 5m, block: 15m }",
    "was: { name: old, key: [user_id, tenant_id] }",
    "when: 'country in [\"ES\"] && !has(user_id)'",
    "plans: { free: { limits: { a: { limit: 1 } } } }",
    "tenants: { acme: { plan: free, limits: { a: { limit: 9, until: 2026-12-31T00:00:00Z } } } }",
    "limit: 1_000_000_000_000_000",
    "limit: -1",
    "limit: 0x10",
    "window: 1m",
    "window: 366d",
    "window: 0ms",
    "burst: 5",
    "cost: endpoint",
    "mode: shadow",
    "on_store_failure: deny",
    "max_keys: 0",
    "&a [*a, *a]",
    "<<: *a",
    "!!binary aGk=",
    "---",
    "? [complex]",
    "\t",
    "{a: {a: {a: {a: {a: [[[[[[",
];

/// The source of everything random, and tokens that the server gave.
pub(crate) struct Generator(Rng, Vec<String>);

impl Generator {
    /// The same seed makes the same messages.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_tokens(seed, Vec::new())
    }

    /// Uses these tokens, and spoils them.
    pub(crate) fn with_tokens(seed: u64, tokens: Vec<String>) -> Self {
        Self(Rng::with_seed(seed), tokens)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.0.u32(0..n) == 0
    }

    /// A native check and whether its bytes are a well-formed message.
    pub(crate) fn native(&mut self) -> (Vec<u8>, bool) {
        let attributes = (0..self.0.usize(0..10)).map(|_| self.attribute()).collect();
        let cost = self.one_in(3).then(|| self.number());
        let message = v1::CheckRequest { attributes, cost };
        self.spoil(message.encode_to_vec())
    }

    /// A check of Envoy and whether its bytes are a well-formed message.
    pub(crate) fn ext_authz(&mut self) -> (Vec<u8>, bool) {
        let header_map = self.one_in(2).then(|| core::HeaderMap {
            headers: (0..self.0.usize(0..6)).map(|_| self.raw_header()).collect(),
        });
        let http = attribute_context::HttpRequest {
            method: self.text(),
            path: self.text(),
            host: self.text(),
            headers: self.map(),
            header_map,
            size: self.0.i64(..),
            ..Default::default()
        };
        let request = attribute_context::Request { http: Some(http), ..Default::default() };
        let filter_metadata = HashMap::from([(
            "envoy.filters.http.jwt_authn".to_owned(),
            prost_types::Struct {
                fields: BTreeMap::from([("jwt_payload".to_owned(), self.claim(4))]),
            },
        )]);
        let context = ext_authz::AttributeContext {
            source: Some(self.peer()),
            request: (!self.one_in(20)).then_some(request),
            context_extensions: self.map(),
            metadata_context: Some(core::Metadata { filter_metadata, ..Default::default() }),
            ..Default::default()
        };
        let message = ext_authz::CheckRequest { attributes: Some(context) };
        self.spoil(message.encode_to_vec())
    }

    /// The body of a JSON check.
    pub(crate) fn json(&mut self) -> Vec<u8> {
        let pairs = (0..self.0.usize(0..8)).map(|_| {
            let value = match self.0.u8(0..4) {
                0 => serde_json::json!(self.0.bool()),
                1 => serde_json::json!(self.0.i64(..)),
                2 => serde_json::json!([self.text(), null_or(self.text())]),
                _ => serde_json::json!(self.text()),
            };
            (self.name(), value)
        });
        let attributes: serde_json::Map<_, _> = pairs.collect();
        let body = serde_json::json!({"attributes": attributes, "cost": self.number()});
        self.spoil(body.to_string().into_bytes()).0
    }

    /// The bytes of a connection that speaks HTTP/1.1, mostly.
    pub(crate) fn raw_http1(&mut self) -> Vec<u8> {
        let body = self.json();
        let length = if self.one_in(4) { self.number() } else { body.len() as u64 };
        let head = format!(
            "POST /v1/check HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             x-a: {}\r\ncontent-length: {length}\r\n\r\n",
            self.text().replace(['\r', '\n', '\0'], "-"),
        );
        let mut bytes = head.into_bytes();
        bytes.extend(body);
        self.mutate(&mut bytes);
        bytes
    }

    /// The bytes of a connection that speaks HTTP/2, mostly: the preface and random frames.
    pub(crate) fn raw_http2(&mut self) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for _ in 0..self.0.usize(0..20) {
            let payload = self.bytes(64);
            let length = if self.one_in(10) { self.0.u32(..) } else { payload.len() as u32 };
            bytes.extend(&length.to_be_bytes()[1..]);
            bytes.extend([self.0.u8(0..12), self.0.u8(..)]);
            bytes.extend((self.0.u32(0..8) | u32::from(self.one_in(20)) << 31).to_be_bytes());
            bytes.extend(payload);
        }
        if self.one_in(4) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    /// A policy file: one of the examples with lines and bytes of it changed.
    pub(crate) fn policy(&mut self, examples: &[String]) -> String {
        let mut lines: Vec<String> =
            self.0.choice(examples).unwrap().lines().map(str::to_owned).collect();
        for _ in 0..self.0.usize(0..8) {
            let at = self.0.usize(0..=lines.len());
            let indent = " ".repeat(self.0.usize(0..9));
            match self.0.u8(0..4) {
                0 => lines.insert(at, format!("{indent}{}", self.0.choice(WORDS).unwrap())),
                1 => lines.insert(at, format!("{indent}{}: {}", self.name(), self.text())),
                2 if at < lines.len() => drop(lines.remove(at)),
                _ if at < lines.len() => lines.insert(at, lines[at].clone()),
                _ => {}
            }
        }
        let mut bytes = lines.join("\n").into_bytes();
        if self.0.bool() {
            self.mutate(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn attribute(&mut self) -> v1::Attribute {
        let value = match self.0.u8(0..5) {
            0 => None,
            1 => Some(v1::attribute::Value::Flag(self.0.bool())),
            2 => Some(v1::attribute::Value::Number(self.0.i64(..))),
            _ => Some(v1::attribute::Value::Text(self.text())),
        };
        v1::Attribute { name: self.name(), value }
    }

    fn peer(&mut self) -> attribute_context::Peer {
        let address = core::SocketAddress { address: self.text(), ..Default::default() };
        let address =
            core::Address { address: Some(core::address::Address::SocketAddress(address)) };
        attribute_context::Peer { address: Some(address), ..Default::default() }
    }

    fn raw_header(&mut self) -> core::HeaderValue {
        let raw_value = self.bytes(40).into();
        let listed = self.one_in(4).then(|| "x-forwarded-for".to_owned());
        let key = listed.unwrap_or_else(|| self.text());
        core::HeaderValue { key, raw_value, ..Default::default() }
    }

    fn map(&mut self) -> HashMap<String, String> {
        (0..self.0.usize(0..6)).map(|_| (self.text(), self.text())).collect()
    }

    /// A claim, nested at most `depth` deep.
    fn claim(&mut self, depth: u8) -> prost_types::Value {
        use prost_types::value::Kind;
        let kind = match self.0.u8(0..6) {
            0 => Kind::BoolValue(self.0.bool()),
            1 => Kind::NumberValue(f64::from_bits(self.0.u64(..))),
            2 if depth > 0 => Kind::ListValue(prost_types::ListValue {
                values: (0..3).map(|_| self.claim(depth - 1)).collect(),
            }),
            3 | 4 if depth > 0 => Kind::StructValue(prost_types::Struct {
                fields: (0..3).map(|_| (self.text(), self.claim(depth - 1))).collect(),
            }),
            _ => Kind::StringValue(self.text()),
        };
        prost_types::Value { kind: Some(kind) }
    }

    fn name(&mut self) -> String {
        if self.one_in(8) { self.text() } else { (*self.0.choice(NAMES).unwrap()).to_owned() }
    }

    fn text(&mut self) -> String {
        match self.0.u8(0..12) {
            0 => "x".repeat(self.0.usize(0..2_000)),
            1 => String::from_utf8_lossy(&self.bytes(60)).into_owned(),
            2 => self.0.u32(..).to_string(),
            _ => (*self.0.choice(TEXTS).unwrap()).to_owned(),
        }
    }

    fn number(&mut self) -> u64 {
        if self.0.bool() { self.0.u64(0..10) } else { self.0.u64(..) >> self.0.u32(0..64) }
    }

    fn bytes(&mut self, below: usize) -> Vec<u8> {
        let count = self.0.usize(0..below);
        std::iter::repeat_with(|| self.0.u8(..)).take(count).collect()
    }

    /// Leaves most messages as they are; says so with `true`.
    fn spoil(&mut self, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
        match self.0.u8(0..4) {
            0 => {
                self.mutate(&mut bytes);
                (bytes, false)
            }
            1 if self.one_in(8) => (self.bytes(300), false),
            _ => (bytes, true),
        }
    }

    /// Flips, cuts, repeats and inserts bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.0.usize(1..6) {
            let at = self.0.usize(0..=bytes.len());
            match self.0.u8(0..5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.0.u8(..)),
                2 => {
                    let end = (at + self.0.usize(0..40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.0.u8(0..8);
                    }
                }
            }
        }
    }
}

fn null_or(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

//! What a gateway's request may and may not say.

use std::collections::HashMap;

use sluicegate_proto::ext_authz::attribute_context::{Peer, Request};
use sluicegate_proto::ext_authz::core::{
    Address as AnyAddress, HeaderMap, HeaderValue, Metadata, SocketAddress,
};

use super::*;
use crate::settings::{Overrides, load};

fn origin(sources: &[(&str, AttributeSource)]) -> Origin {
    let sources = sources.iter().map(|(name, source)| ((*name).to_owned(), source.clone()));
    Origin::new(&Settings { attributes: sources.collect(), ..settings() })
}

fn settings() -> Settings {
    let nothing = Some(config::Map::new());
    load(&Overrides { environment: nothing, ..Overrides::default() }).unwrap()
}

/// With this source of addresses.
fn addresses(ip_address: AddressSource) -> Origin {
    Origin::new(&Settings { ip_address: Some(ip_address), ..settings() })
}

fn tenant() -> Origin {
    origin(&[
        ("tenant_id", AttributeSource::Header("x-tenant-id".to_owned())),
        ("authenticated", AttributeSource::Present("tenant_id".to_owned())),
    ])
}

fn context(headers: &[(&str, &str)]) -> AttributeContext {
    let socket = SocketAddress { address: "::ffff:127.0.0.2".to_owned(), ..Default::default() };
    let address = AnyAddress { address: Some(Address::SocketAddress(socket)) };
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/v1//a?b=c".to_owned(),
        host: "API.example.com".to_owned(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Default::default()
    };
    AttributeContext {
        source: Some(Peer { address: Some(address), ..Default::default() }),
        request: Some(Request { http: Some(http), ..Default::default() }),
        ..Default::default()
    }
}

fn raw(headers: &[(&str, &[u8])]) -> AttributeContext {
    let mut context = context(&[]);
    let headers = headers.iter().map(|(key, value)| HeaderValue {
        key: (*key).to_owned(),
        raw_value: value.to_vec().into(),
        ..Default::default()
    });
    let map = HeaderMap { headers: headers.collect() };
    context.request.as_mut().unwrap().http.as_mut().unwrap().header_map = Some(map);
    context
}

fn object(fields: Vec<(&str, Kind)>) -> Kind {
    let value = |(name, kind): (&str, Kind)| (name.to_owned(), Value { kind: Some(kind) });
    Kind::StructValue(Struct { fields: fields.into_iter().map(value).collect() })
}

fn with_payload(payload: Vec<(&str, Kind)>) -> AttributeContext {
    let Kind::StructValue(namespace) = object(vec![("jwt_payload", object(payload))]) else {
        unreachable!()
    };
    let mut context = context(&[]);
    context.metadata_context = Some(Metadata {
        filter_metadata: HashMap::from([(JWT_NAMESPACE.to_owned(), namespace)]),
        ..Default::default()
    });
    context
}

fn claim(name: &str, context: &AttributeContext) -> Result<Option<String>, InvalidOrigin> {
    let origin = origin(&[("user_id", AttributeSource::Claim(name.to_owned()))]);
    Ok(origin.attributes(context)?.get("user_id").map(str::to_owned))
}

#[test]
fn without_a_mapping_no_header_is_believed() {
    let attributes = origin(&[]).attributes(&context(&[("x-tenant-id", "acme")])).unwrap();
    let attributes = attributes.finish();
    let facts: Vec<_> = attributes.iter().collect();
    let expected = [
        ("authenticated", "false"),
        ("host", "api.example.com"),
        ("ip_address", "127.0.0.2"),
        ("method", "GET"),
        ("path", "/v1/a"),
    ];
    assert_eq!(facts, expected);
}

#[test]
fn bytes_of_a_target_that_are_not_utf8_are_known_where_headers_are_raw() {
    let target = |context: &AttributeContext| {
        origin(&[]).attributes(context).unwrap().get("path").unwrap().to_owned()
    };
    assert_eq!(target(&raw(&[(":path", b"/caf\xe9/\xc3\xa9?b=c")])), "/caf%E9/%C3%A9?b=c");
    assert_eq!(target(&raw(&[(":path", "/café".as_bytes())])), "/v1//a?b=c", "as it says itself");
    assert_eq!(target(&raw(&[("x-path", b"/\xe9")])), "/v1//a?b=c");
}

#[test]
fn a_mapped_header_authenticates_and_an_empty_one_does_not() {
    let found = tenant().attributes(&context(&[("x-tenant-id", " acme ")])).unwrap();
    assert_eq!((found.get("tenant_id"), found.get("authenticated")), (Some("acme"), Some("true")));
    for headers in [&[][..], &[("x-tenant-id", "")], &[("x-tenant-id", "  ")]] {
        let found = tenant().attributes(&context(headers)).unwrap();
        assert_eq!((found.get("tenant_id"), found.get("authenticated")), (None, Some("false")));
    }
}

#[test]
fn a_repeated_header_is_refused_however_the_gateway_sends_it() {
    let repeated = Err(InvalidOrigin::RepeatedHeader("x-tenant-id".to_owned()));
    assert_eq!(tenant().attributes(&context(&[("x-tenant-id", "acme,evil")])), repeated);
    let twice: [(&str, &[u8]); 2] = [("x-tenant-id", b"acme"), ("X-Tenant-Id", b"evil")];
    assert_eq!(tenant().attributes(&raw(&twice)), repeated);
    // One by one, a comma is a character like any other, and bytes that are no text are seen.
    let comma = tenant().attributes(&raw(&[("x-tenant-id", b"a,b")])).unwrap();
    assert_eq!(comma.get("tenant_id"), Some("a,b"));
    let binary = InvalidOrigin::BinaryHeader("x-tenant-id".to_owned());
    assert_eq!(tenant().attributes(&raw(&[("x-tenant-id", b"\xff")])), Err(binary));
}

#[test]
fn a_claim_is_found_by_its_whole_name_and_by_steps() {
    let text = |text: &str| Kind::StringValue(text.to_owned());
    let context = with_payload(vec![
        ("sub", text("alice")),
        ("https://example.com/tenant", text("acme")),
        ("org", object(vec![("team.name", text("red")), ("size", Kind::NumberValue(1e15))])),
        ("score", Kind::NumberValue(0.5)),
        ("admin", Kind::BoolValue(true)),
        ("none", Kind::NullValue(0)),
    ]);
    let found = |name: &str| claim(name, &context).unwrap();
    assert_eq!(found("sub").as_deref(), Some("alice"));
    assert_eq!(found("https://example.com/tenant").as_deref(), Some("acme"));
    assert_eq!(found("org.team.name").as_deref(), Some("red"));
    assert_eq!(found("org.size").as_deref(), Some("1000000000000000"));
    assert_eq!(found("score").as_deref(), Some("0.5"));
    assert_eq!(found("admin").as_deref(), Some("true"));
    for absent in ["none", "nobody", "sub.x", "org.team"] {
        assert_eq!(found(absent), None, "{absent}");
    }
    assert_eq!(claim("org", &context), Err(InvalidOrigin::ComposedClaim("org".to_owned())));
}

#[test]
fn a_claim_without_a_verified_token_is_absent() {
    assert_eq!(claim("sub", &context(&[("sub", "alice")])).unwrap(), None);
}

#[test]
fn the_address_is_the_peer_unless_the_settings_say_more() {
    let from = |source: AddressSource, context: &AttributeContext| {
        let found = addresses(source).attributes(context).unwrap();
        found.get("ip_address").map(str::to_owned)
    };
    let context = context(&[("x-forwarded-for", "192.0.2.1, 192.0.2.2,127.0.0.2")]);
    assert_eq!(from(AddressSource::Peer, &context).as_deref(), Some("127.0.0.2"));
    assert_eq!(from(AddressSource::TrustedHops(1), &context).as_deref(), Some("192.0.2.2"));
    assert_eq!(from(AddressSource::TrustedHops(2), &context).as_deref(), Some("192.0.2.1"));
    let by_default = origin(&[]).attributes(&context).unwrap();
    assert_eq!(by_default.get("ip_address"), Some("127.0.0.2"));
}

/// A gateway that tells lines apart sends them one by one, whatever bytes they have.
#[test]
fn the_lines_of_a_list_of_addresses_are_one_list_however_the_gateway_sends_it() {
    let hops = addresses(AddressSource::TrustedHops(1));
    let lines: [(&str, &[u8]); 3] = [
        ("x-forwarded-for", b"\xff"),
        ("x-real-ip", b"192.0.2.9"),
        ("x-forwarded-for", b"192.0.2.1"),
    ];
    let found = hops.attributes(&raw(&lines)).unwrap();
    assert_eq!(found.get("ip_address"), Some("192.0.2.1"));
    let joined = hops.attributes(&context(&[("x-forwarded-for", "!,192.0.2.1")])).unwrap();
    assert_eq!(joined.get("ip_address"), Some("192.0.2.1"));
}

#[test]
fn a_context_of_the_route_is_an_attribute() {
    let origin = origin(&[("traffic_class", AttributeSource::Context("class".to_owned()))]);
    let mut context = context(&[("class", "admin")]);
    assert_eq!(origin.attributes(&context).unwrap().get("traffic_class"), None);
    context.context_extensions.insert("class".to_owned(), "partner".to_owned());
    assert_eq!(origin.attributes(&context).unwrap().get("traffic_class"), Some("partner"));
}

#[test]
fn a_request_without_anything_has_no_facts() {
    let found = tenant().attributes(&AttributeContext::default()).unwrap();
    assert_eq!(found.iter().collect::<Vec<_>>(), [("authenticated", "false")]);
}

/// The size of a request: its protocol, method and headers, and what the gateway has read of it.
struct Body {
    protocol: &'static str,
    method: &'static str,
    headers: &'static [(&'static str, &'static str)],
    read: i64,
    held: usize,
}

const GET: Body = Body { protocol: "HTTP/1.1", method: "GET", headers: &[], read: 0, held: 0 };
const POST: Body = Body { method: "POST", ..GET };
const WHOLE: (&str, &str) = ("x-envoy-auth-partial-body", "false");

/// The size with and without the gateway's copy of `transfer-encoding`, however headers are sent.
fn sizes(body: Body) -> [Option<String>; 2] {
    let size = |origin: &Origin, raw: bool| {
        let mut http = HttpRequest {
            protocol: body.protocol.to_owned(),
            method: body.method.to_owned(),
            size: body.read,
            raw_body: vec![b'x'; body.held].into(),
            ..Default::default()
        };
        if raw {
            let headers = body.headers.iter().map(|(key, value)| HeaderValue {
                key: (*key).to_owned(),
                raw_value: value.as_bytes().to_vec().into(),
                ..Default::default()
            });
            http.header_map = Some(HeaderMap { headers: headers.collect() });
        } else {
            let headers = body.headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            http.headers = headers.collect();
        }
        let request = Request { http: Some(http), time: None };
        let context = AttributeContext { request: Some(request), ..Default::default() };
        origin.attributes(&context).unwrap().get("request_size").map(str::to_owned)
    };
    let copied = AttributeSource::TransferEncoding("x-te".to_owned());
    [origin(&[]), origin(&[("request_size", copied)])].map(|origin| {
        let found = size(&origin, false);
        assert_eq!(found, size(&origin, true), "the same by its raw headers");
        found
    })
}

#[test]
fn a_size_is_what_is_declared_or_what_was_read_of_a_whole_body() {
    for (body, expected) in [
        (Body { headers: &[("content-length", "1234")], ..POST }, Some("1234")),
        (Body { headers: &[("content-length", "0")], read: -1, ..POST }, Some("0")),
        (Body { headers: &[("content-length", "7")], protocol: "HTTP/2", ..GET }, Some("7")),
        (Body { headers: &[WHOLE], read: 77, held: 77, ..POST }, Some("77")),
        (Body { headers: &[WHOLE], read: 77, held: 77, protocol: "HTTP/2", ..GET }, Some("77")),
        (Body { headers: &[WHOLE], read: 77, held: 70, ..POST }, None),
        (Body { headers: &[WHOLE], read: 77, ..GET }, None),
        (
            Body { headers: &[("x-envoy-auth-partial-body", "true")], read: 77, held: 77, ..GET },
            None,
        ),
        (Body { read: 77, held: 77, ..POST }, None),
        (Body { read: 77, ..GET }, None),
        (Body { headers: &[("content-length", "+5")], read: 77, ..GET }, None),
        (Body { headers: &[("content-length", "5,5")], ..GET }, None),
        (Body { headers: &[("content-length", "99999999999999999999")], ..GET }, None),
    ] {
        let case = format!("{} {} {:?} {}", body.method, body.protocol, body.headers, body.read);
        // What a client writes as the copy says nothing where none is made.
        let [plain, copied] = sizes(body);
        assert_eq!((plain.as_deref(), copied.as_deref()), (expected, expected), "{case}");
    }
}

#[test]
fn a_body_that_cannot_be_has_no_bytes_and_an_unknown_one_no_size() {
    let zero = Some("0");
    for (method, protocol, headers, plain, copied) in [
        ("GET", "HTTP/1.1", &[][..], zero, zero),
        ("HEAD", "HTTP/1.1", &[], zero, zero),
        ("OPTIONS", "HTTP/1.0", &[], zero, zero),
        ("POST", "HTTP/1.1", &[], None, zero),
        ("DELETE", "HTTP/1.1", &[], None, zero),
        ("GET", "HTTP/1.1", &[("x-te", "chunked")], zero, None),
        ("POST", "HTTP/1.1", &[("x-te", "chunked")], None, None),
        ("POST", "HTTP/1.1", &[("x-te", " ")], None, zero),
        ("GET", "HTTP/1.1", &[("transfer-encoding", "chunked")], None, None),
        ("GET", "HTTP/2", &[], zero, zero),
        ("HEAD", "HTTP/3", &[], zero, zero),
        ("OPTIONS", "HTTP/2", &[], zero, zero),
        ("POST", "HTTP/2", &[], None, None),
        ("DELETE", "HTTP/3", &[], None, None),
        ("TRACE", "HTTP/2", &[], None, None),
        ("GET", "", &[], None, None),
        ("GET", "HTTP/4", &[], None, None),
    ] {
        let [one, other] = sizes(Body { protocol, method, headers, ..GET });
        let case = format!("{method} {protocol} {headers:?}");
        assert_eq!((one.as_deref(), other.as_deref()), (plain, copied), "{case}");
    }
}

#[test]
fn a_numeric_claim_is_exact_or_refused() {
    let of = |number: f64| claim("n", &with_payload(vec![("n", Kind::NumberValue(number))]));
    let most = 9_007_199_254_740_991.0;
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (-7.0, "-7"),
        (12.5, "12.5"),
        (1e-7, "0.0000001"),
        (most, "9007199254740991"),
        (-most, "-9007199254740991"),
    ] {
        assert_eq!(of(number), Ok(Some(text.to_owned())));
    }
    // 2^53 may have been 2^53 + 1.
    for number in [most + 1.0, -most - 1.0, most + 3.0, 1e16, 1e300, f64::INFINITY, f64::NAN] {
        assert_eq!(of(number), Err(InvalidOrigin::InexactClaim("n".to_owned())), "{number}");
    }
}

//! Where the attributes of a gateway's request come from: the settings' `attributes:` applied to
//! one `CheckRequest` of Envoy.
//!
//! Without a mapping nothing that the client wrote is believed but what routing needs: method, path
//! and host; the address is that of who connected to the gateway ([`address`]), and the size of the
//! body is what the request declares, which HTTP keeps it to. A mapping names what the gateway
//! vouches for. A source that is not there, or is empty, leaves its attribute absent.
//!
//! Envoy joins the values of a repeated header by commas, so a comma in the one value cannot be
//! told from a repetition. Both are refused, because a client that can add a header would otherwise
//! get a counter of its own for each value it adds. With `encode_raw_headers: true` Envoy sends the
//! values one by one: then only a repetition is refused, and a comma is a character like any other.

pub(crate) mod address;
mod size;

use std::borrow::Cow;
use std::fmt;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use sluicegate_limits::attributes::{AttributesBuilder, InvalidAttribute};
use sluicegate_proto::ext_authz::attribute_context::HttpRequest;
use sluicegate_proto::ext_authz::core::address::Address;
use sluicegate_proto::ext_authz::{AttributeContext, attribute_context};

use crate::settings::{AddressSource, AttributeSource, Settings};
use size::request_size;

/// The namespace in which Envoy's `jwt_authn` filter leaves the payload of a verified token.
const JWT_NAMESPACE: &str = "envoy.filters.http.jwt_authn";
/// From this whole number on a claim, whose numbers are doubles, may have been another one: 2^53.
const INEXACT: f64 = 9_007_199_254_740_992.0;

/// Why the attributes of a gateway's request were refused. Names the source, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InvalidOrigin {
    /// The mapped header is there more than once, or its one value has a comma.
    RepeatedHeader(String),
    /// The mapped header is not UTF-8.
    BinaryHeader(String),
    /// The mapped claim is an object or a list.
    ComposedClaim(String),
    /// The mapped claim is a number that may have been another one in the token.
    InexactClaim(String),
    /// The value does not have the form that its attribute needs.
    Attribute(InvalidAttribute),
}

/// The settings' mapping, ready to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    address: AddressSource,
    sources: Vec<(String, AttributeSource)>,
    jwt_payload_key: String,
    /// The header into which the gateway copies a request's `Transfer-Encoding`.
    transfer_encoding: Option<String>,
}

impl Origin {
    /// Takes the mapping of the settings.
    #[must_use]
    pub(crate) fn new(settings: &Settings) -> Self {
        let is_present =
            |(_, source): &(String, AttributeSource)| matches!(source, AttributeSource::Present(_));
        let mut sources: Vec<_> =
            settings.attributes.iter().map(|(name, s)| (name.clone(), s.clone())).collect();
        // It tells of the size of the body, and is not the size itself.
        let mut transfer_encoding = None;
        sources.retain(|(_, source)| match source {
            AttributeSource::TransferEncoding(header) => {
                transfer_encoding = Some(header.clone());
                false
            }
            _ => true,
        });
        // What asks whether another attribute is present comes after all of those.
        sources.sort_by_key(is_present);
        let address = settings.ip_address.clone().unwrap_or_default();
        let jwt_payload_key = settings.jwt.payload_key.clone();
        Self { address, sources, jwt_payload_key, transfer_encoding }
    }

    /// The attributes of one request that a gateway asks about, its path not read yet.
    ///
    /// # Errors
    /// Where a mapped header is repeated, or a value does not have the form it needs.
    pub(crate) fn attributes(
        &self,
        context: &AttributeContext,
    ) -> Result<AttributesBuilder, InvalidOrigin> {
        let http = context.request.as_ref().and_then(|request| request.http.as_ref());
        let mut attributes = AttributesBuilder::new();
        let mut present = Vec::new();
        let copied_to = self.transfer_encoding.as_deref();
        let size = http.and_then(|http| request_size(http, copied_to));
        let size = size.map(|bytes| bytes.to_string());
        let peer = context.source.as_ref().and_then(peer);
        let lines = http.into_iter().flat_map(lines);
        let target = http.map(target).unwrap_or_default();
        let facts = [
            ("ip_address", address::client(&self.address, peer, lines)),
            ("method", http.map(|http| http.method.as_str())),
            ("path", Some(&*target)),
            ("host", http.map(|http| http.host.as_str())),
            ("request_size", size.as_deref()),
        ];
        for (name, value) in facts {
            // A mapping of `host` replaces what the request says of itself.
            if self.sources.iter().all(|(mapped, _)| mapped != name) {
                attributes.set(name, value.unwrap_or_default())?;
            }
        }
        for (name, source) in &self.sources {
            let value = match source {
                AttributeSource::Present(of) => Some(flag(present.contains(&of.as_str()))),
                other => self.value(other, context, http)?,
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                attributes.set(name, &value)?;
                present.push(name.as_str());
            }
        }
        Ok(attributes)
    }

    fn value<'r>(
        &self,
        source: &AttributeSource,
        context: &'r AttributeContext,
        http: Option<&'r HttpRequest>,
    ) -> Result<Option<Cow<'r, str>>, InvalidOrigin> {
        match source {
            AttributeSource::Header(name) => match http {
                Some(http) => Ok(header(http, name)?.map(Cow::Borrowed)),
                None => Ok(None),
            },
            AttributeSource::Claim(name) => self.claim(context, name),
            AttributeSource::Context(name) => {
                Ok(context.context_extensions.get(name).map(|value| Cow::Borrowed(value.as_str())))
            }
            // Presence is known only after all others, and the size is no header's to say.
            AttributeSource::Present(_) | AttributeSource::TransferEncoding(_) => Ok(None),
        }
    }

    fn claim<'r>(
        &self,
        context: &'r AttributeContext,
        name: &str,
    ) -> Result<Option<Cow<'r, str>>, InvalidOrigin> {
        let metadata = context.metadata_context.as_ref();
        let payload = metadata
            .and_then(|metadata| metadata.filter_metadata.get(JWT_NAMESPACE))
            .and_then(|namespace| namespace.fields.get(&self.jwt_payload_key))
            .and_then(as_object);
        match payload.and_then(|payload| find(payload, name)).and_then(|v| v.kind.as_ref()) {
            None | Some(Kind::NullValue(_)) => Ok(None),
            Some(Kind::StringValue(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(Kind::BoolValue(yes)) => Ok(Some(flag(*yes))),
            Some(Kind::NumberValue(number)) => match digits(*number) {
                Some(digits) => Ok(Some(Cow::Owned(digits))),
                None => Err(InvalidOrigin::InexactClaim(name.to_owned())),
            },
            Some(Kind::StructValue(_) | Kind::ListValue(_)) => {
                Err(InvalidOrigin::ComposedClaim(name.to_owned()))
            }
        }
    }
}

impl From<InvalidAttribute> for InvalidOrigin {
    fn from(error: InvalidAttribute) -> Self {
        Self::Attribute(error)
    }
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RepeatedHeader(name) => write!(f, "header `{name}` is repeated or has a comma"),
            Self::BinaryHeader(name) => write!(f, "header `{name}` is not UTF-8"),
            Self::ComposedClaim(name) => {
                write!(f, "claim `{name}` is an object or a list; map one of its members")
            }
            Self::InexactClaim(name) => write!(
                f,
                "claim `{name}` is a number from 2^53 on, which the gateway cannot pass on \
                 exactly; let the issuer write it as a string"
            ),
            Self::Attribute(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InvalidOrigin {}

/// The address that connected to the gateway. Envoy puts that here, not the client that it finds
/// by its hops.
fn peer(source: &attribute_context::Peer) -> Option<&str> {
    match source.address.as_ref()?.address.as_ref()? {
        Address::SocketAddress(socket) => Some(&socket.address),
        Address::Pipe(_) | Address::EnvoyInternalAddress(_) => None,
    }
}

/// The lines of the request's headers in their order, as far as the gateway tells them apart.
fn lines(http: &HttpRequest) -> impl Iterator<Item = address::Line<'_>> {
    let listed = http.header_map.iter().flat_map(|map| &map.headers);
    let listed = listed.map(|header| match header.raw_value.as_ref() {
        [] => (header.key.as_str(), header.value.as_bytes()),
        raw => (header.key.as_str(), raw),
    });
    let joined = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    listed.chain(joined.filter(|_| http.header_map.is_none()))
}

/// The target of the request. Where the gateway sends raw headers, bytes of it that are not UTF-8
/// are known and escaped; else it has put `!` in their place.
fn target(http: &HttpRequest) -> Cow<'_, str> {
    let headers = http.header_map.iter().flat_map(|map| &map.headers);
    let mut paths = headers.filter(|header| header.key == ":path");
    let raw = paths.next().map(|header| header.raw_value.as_ref()).unwrap_or_default();
    if str::from_utf8(raw).is_ok() {
        return Cow::Borrowed(&http.path);
    }
    let mut target = String::with_capacity(raw.len());
    for byte in raw {
        match byte {
            0x80.. => target.push_str(&format!("%{byte:02X}")),
            ascii => target.push(char::from(*ascii)),
        }
    }
    Cow::Owned(target)
}

/// The one value of a header; `name` is lower case, as the gateway spells them.
pub(crate) fn header<'r>(
    http: &'r HttpRequest,
    name: &str,
) -> Result<Option<&'r str>, InvalidOrigin> {
    let joined = http.headers.get(name).map(String::as_str);
    if joined.is_some_and(|value| value.contains(',')) {
        return Err(InvalidOrigin::RepeatedHeader(name.to_owned()));
    }
    let listed = http.header_map.iter().flat_map(|map| &map.headers);
    let mut values = listed.filter(|header| header.key.eq_ignore_ascii_case(name)).map(|header| {
        match header.raw_value.as_ref() {
            [] => Ok(header.value.as_str()),
            raw => str::from_utf8(raw).map_err(|_| InvalidOrigin::BinaryHeader(name.to_owned())),
        }
    });
    let value = values.next().transpose()?.or(joined);
    if values.next().is_some() {
        return Err(InvalidOrigin::RepeatedHeader(name.to_owned()));
    }
    Ok(value.map(str::trim_ascii))
}

/// A claim by its whole name; else every dot in the name may step into an object.
fn find<'a>(object: &'a Struct, name: &str) -> Option<&'a Value> {
    object.fields.get(name).or_else(|| {
        name.match_indices('.').find_map(|(dot, _)| {
            let (outer, inner) = (name.get(..dot)?, name.get(dot + 1..)?);
            find(as_object(object.fields.get(outer)?)?, inner)
        })
    })
}

fn as_object(value: &Value) -> Option<&Struct> {
    match value.kind.as_ref()? {
        Kind::StructValue(object) => Some(object),
        _ => None,
    }
}

const fn flag(yes: bool) -> Cow<'static, str> {
    Cow::Borrowed(if yes { "true" } else { "false" })
}

/// A whole number as its digits, as the token had it; any other as short as possible. `None` where
/// it may have been another one.
fn digits(number: f64) -> Option<String> {
    // There is one zero. What has so large a size has no fraction.
    let number = if number == 0.0 { 0.0 } else { number };
    (number.abs() < INEXACT).then(|| number.to_string())
}

#[cfg(test)]
mod tests;

//! What `check -c` tells besides problems: what the settings ask of the gateway and take for
//! granted of it, which no file of ours can show.

use std::collections::BTreeMap;

use crate::settings::{AddressSource, AttributeSource, Listeners, Settings};

/// All of it, each as a text for people.
pub(super) fn of(settings: &Settings) -> Vec<String> {
    // Settings that say nothing of a gateway's attributes may have none.
    let no_gateway = settings.attributes.is_empty() && settings.ip_address.is_none();
    let address = (!no_gateway).then(|| address(settings));
    [header_bytes(&settings.listeners)]
        .into_iter()
        .chain(headers(settings))
        .chain(copy(settings))
        .chain(raw_headers(settings))
        .chain(address)
        .collect()
}

/// How large the headers of a client may be.
fn header_bytes(listeners: &Listeners) -> String {
    format!(
        "Envoy's max_request_headers_kb may be at most {}, by listeners.grpc.max_header_list_bytes \
         ({}); a request whose question is larger than listeners.grpc.max_message_bytes ({}) is \
         denied as invalid_request",
        listeners.max_client_headers_kib(),
        listeners.grpc.max_header_list_bytes,
        listeners.grpc.max_message_bytes,
    )
}

/// Each header that an attribute is taken from, once.
fn headers(settings: &Settings) -> impl Iterator<Item = String> {
    let mut headers: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(AddressSource::Header(header)) = &settings.ip_address {
        headers.insert(header, "ip_address");
    }
    for (name, source) in &settings.attributes {
        if let AttributeSource::Header(header) | AttributeSource::TransferEncoding(header) = source
        {
            headers.entry(header).or_insert(name);
        }
    }
    headers.into_iter().map(|(header, name)| {
        format!(
            "attributes.{name}: the gateway must remove a client's own `{header}` before anything \
             reads or writes it (Envoy: `remove` in early_header_mutation_extensions, as \
             deploy/envoy/envoy.yaml does; what a route removes is removed too late)"
        )
    })
}

/// The header by which no body is known from one of unknown size.
fn copy(settings: &Settings) -> Option<String> {
    let source = settings.attributes.get("request_size")?;
    let AttributeSource::TransferEncoding(header) = source else { return None };
    Some(format!(
        "attributes.request_size: the gateway writes a request's Transfer-Encoding to `{header}` \
         before it takes it away (Envoy: `append` after the `remove`, as deploy/envoy/envoy.yaml \
         does); without the copy every body over HTTP/1 that declares no length counts as none"
    ))
}

/// How names that are no text are seen.
fn raw_headers(settings: &Settings) -> Option<String> {
    let is_header = |source: &AttributeSource| matches!(source, AttributeSource::Header(_));
    settings.attributes.values().any(is_header).then(|| {
        "attributes: the gateway sends headers as they came (Envoy: encode_raw_headers: true); \
         else different names that are not UTF-8 may become one"
            .to_owned()
    })
}

/// Who is in front of the gateway.
fn address(settings: &Settings) -> String {
    let source = settings.ip_address.clone().unwrap_or_default();
    let text = match source {
        AddressSource::Peer => {
            "clients connect to the gateway themselves, no proxy is in front of \
                                it (else say which: `header`, `trusted_hops`, `trusted_proxies`)"
                .to_owned()
        }
        AddressSource::Header(header) => format!(
            "the gateway writes the client's address to `{header}`; a request without it counts \
             for who connected to the gateway"
        ),
        AddressSource::TrustedHops(hops) => format!(
            "every request comes through {hops} proxies in front of the gateway, and each appends \
             to X-Forwarded-For (Envoy finds the same address with xff_num_trusted_hops: {hops} \
             and use_remote_address: true, or {} with false)",
            hops.saturating_sub(1)
        ),
        AddressSource::TrustedProxies(_) => "each proxy in these networks appends to \
                                             X-Forwarded-For, and no client is in them: one that \
                                             is can claim any address"
            .to_owned(),
    };
    format!("attributes.ip_address: {text}")
}

//! `attributes.ip_address` and `ip_prefix`: whose address a gateway's request has, and what is
//! counted as one address.

use config::ValueKind;
use ipnet::IpNet;
use sluicegate_limits::policy::IpPrefix;

use super::origins::header_name;
use super::parse::network;
use super::reader::Section;

/// The header to which proxies append the address that called them.
pub const FORWARDED_FOR: &str = "x-forwarded-for";
/// The most networks of proxies: each entry of the header is looked for in all of them.
const MAX_NETWORKS: usize = 256;
/// What `ip_address` can be.
const SOURCES: &str = "`peer`, or one of `header`, `trusted_hops`, `trusted_proxies`";

/// Where the address of a gateway's client comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AddressSource {
    /// Who connected to the gateway.
    #[default]
    Peer,
    /// A request header that the gateway always writes or removes; its name is lower case.
    Header(String),
    /// So many proxies are in front of the gateway, each of which appends to `X-Forwarded-For`.
    TrustedHops(u8),
    /// The first that is in none of these networks, from the one who connected to the gateway
    /// leftwards through `X-Forwarded-For`.
    TrustedProxies(Vec<IpNet>),
}

impl AddressSource {
    /// The header that it reads, in lower case.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Peer => None,
            Self::Header(name) => Some(name),
            Self::TrustedHops(_) | Self::TrustedProxies(_) => Some(FORWARDED_FOR),
        }
    }
}

/// Reads `ip_address` of the section `attributes`; `None` where nobody says, which is `peer`.
pub(super) fn read(attributes: &mut Section<'_>) -> Option<AddressSource> {
    let key = "ip_address";
    attributes.row(key, &"peer");
    match attributes.peek(key) {
        None | Some(ValueKind::Nil) => None,
        Some(ValueKind::Table(_)) => {
            let mut section = attributes.section(key);
            let source = source(&mut section);
            section.finish();
            source
        }
        Some(_) => attributes.optional_choice(key, &[("peer", ())]).map(|()| AddressSource::Peer),
    }
}

/// Reads `ip_prefix`.
pub(super) fn prefix(root: &mut Section<'_>) -> IpPrefix {
    let mut section = root.section("ip_prefix");
    let mut bits = |key, default, range: std::ops::RangeInclusive<u8>| {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        u8::try_from(section.number(key, default, range)).unwrap_or(u8::MAX)
    };
    let ipv4 = bits("ipv4", 32, IpPrefix::IPV4_BITS);
    let ipv6 = bits("ipv6", 64, IpPrefix::IPV6_BITS);
    section.finish();
    IpPrefix::new(ipv4, ipv6)
}

fn source(section: &mut Section<'_>) -> Option<AddressSource> {
    let header = header_name(section, "header");
    if header.as_deref() == Some(FORWARDED_FOR) {
        let help = "use `trusted_hops` or `trusted_proxies`".to_owned();
        section.wrong("header", "is a list that every client can begin", Some(help));
    }
    let header = header.map(AddressSource::Header);
    let hops = section.optional_number("trusted_hops", 1..=32);
    let hops = hops.map(|n| AddressSource::TrustedHops(u8::try_from(n).unwrap_or(u8::MAX)));
    let proxies = proxies(section).map(AddressSource::TrustedProxies);
    let mut all = [header, hops, proxies].into_iter().flatten();
    let first = all.next();
    if first.is_none() || all.next().is_some() {
        section.wrong_here("needs exactly one source".to_owned(), Some(SOURCES.to_owned()));
    }
    first
}

fn proxies(section: &mut Section<'_>) -> Option<Vec<IpNet>> {
    let key = "trusted_proxies";
    section.row(key, &"-");
    let is_there = section.peek(key).is_some();
    let texts = section.list(key, &[]);
    if !is_there {
        return None;
    }
    if texts.is_empty() || texts.len() > MAX_NETWORKS {
        section.wrong(key, format!("must list 1 to {MAX_NETWORKS} networks"), None);
    }
    let networks = texts.iter().filter_map(|(_, text)| {
        let network = network(text);
        if network.is_none() {
            section.wrong(key, "must list networks, as 10.0.0.0/8 is one", None);
        }
        network
    });
    Some(networks.collect())
}

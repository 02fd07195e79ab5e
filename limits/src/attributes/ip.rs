//! One spelling for every address, so that a caller is one key.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Appends the canonical text of an address: an IPv4 address, or the /64 network of an IPv6 one,
/// which is what one subscriber holds. `None` where the text is no address.
///
/// IPv4-mapped IPv6 is IPv4; zone, brackets and port are dropped; a /64 network is accepted, so
/// that canonical text stays as it is.
pub(crate) fn push_ip(text: &str, out: &mut String) -> Option<()> {
    match address(text)?.to_canonical() {
        IpAddr::V4(v4) => write!(out, "{v4}"),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            write!(out, "{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
    .ok()
}

fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let without_zone = bare.split_once('%').map(|(address, _)| address);
    match without_zone.or_else(|| bare.strip_suffix("/64")) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => bare.parse().ok(),
    }
}

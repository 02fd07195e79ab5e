//! One spelling for every address, so that a caller is one key.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address that a text says: with a port, in brackets or with a zone, which are dropped; of
/// IPv4-mapped IPv6 the IPv4 address. `None` where the text is no address.
#[must_use]
pub fn parse_address(text: &str) -> Option<IpAddr> {
    parsed(text).map(|address| address.to_canonical())
}

/// Appends the canonical text of an address. `None` where the text is no address.
pub(crate) fn push_ip(text: &str, out: &mut String) -> Option<()> {
    let address = match parse_address(text)? {
        IpAddr::V6(v6) => translated(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    write!(out, "{address}").ok()
}

fn parsed(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(SocketAddr::V4(socket)) = text.parse() {
        return Some(IpAddr::V4(*socket.ip()));
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (bare, after) = rest.split_once(']')?;
            let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok();
            let ends = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
            ends.then_some(bare)?
        }
        None => text,
    };
    match bare.split_once('%') {
        Some((v6, _zone)) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => bare.parse().ok(),
    }
}

/// The IPv4 address of a caller that a translator or a tunnel shows as IPv6: by NAT64 (RFC 6052),
/// 6to4 (RFC 3056) or Teredo (RFC 4380, which inverts the bits). Only one that is of the public
/// internet says who calls.
fn translated(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => joined(a, b),
        [0x2002, a, b, ..] => joined(a, b),
        [0x2001, 0, _, _, _, _, a, b] => joined(!a, !b),
        _ => return None,
    };
    is_global_unicast(v4).then_some(v4)
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Whether an address is of one host of the public internet, by IANA's registry of special ones.
fn is_global_unicast(v4: Ipv4Addr) -> bool {
    let special = match v4.octets() {
        // This network, those behind a carrier's NAT, protocol assignments, 6to4 relays, benches.
        [0, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => {
            true
        }
        [first, ..] => first >= 224,
    };
    let local = v4.is_private() || v4.is_loopback() || v4.is_link_local();
    !special && !local && !v4.is_documentation()
}

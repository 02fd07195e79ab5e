//! Whose address a request has that a gateway asks about: the one function of all such doors.
//!
//! Of the list that proxies append to, only the entries count that the walk reads, from the right:
//! what stands left of them any client can have written. A read entry that is no address, a list
//! that is too short and one that is absent leave the one who connected to the gateway.

use std::net::IpAddr;

use ipnet::IpNet;
use sluicegate_limits::attributes::parse_address;

use crate::settings::AddressSource;

/// A line of a request's headers: name and value.
pub(crate) type Line<'r> = (&'r str, &'r [u8]);

/// The address of a gateway's client by the settings, as it is written. `peer` is who connected to
/// the gateway, where that has an address; `lines` are the request's headers in their order.
/// Several lines of the list are one list, and one line may hold several entries.
pub(crate) fn client<'r>(
    source: &AddressSource,
    peer: Option<&'r str>,
    lines: impl Iterator<Item = Line<'r>>,
) -> Option<&'r str> {
    let Some(name) = source.header() else { return peer };
    let named = lines.filter(|(line, _)| line.eq_ignore_ascii_case(name));
    let values: Vec<&[u8]> = named.map(|(_, value)| value).collect();
    let entries = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    let entries = entries.map(entry);
    let found = match source {
        AddressSource::Peer => None,
        AddressSource::Header(_) => only(entries),
        AddressSource::TrustedHops(hops) => nth(entries, usize::from(*hops), peer),
        AddressSource::TrustedProxies(networks) => first_outside(entries, networks, peer),
    };
    found.or(peer)
}

/// The text of an entry and the address that it is; `None` where it is none.
type Entry<'r> = Option<(&'r str, IpAddr)>;

fn entry(bytes: &[u8]) -> Entry<'_> {
    let text = str::from_utf8(bytes).ok()?.trim_ascii();
    parse_address(text).map(|address| (text, address))
}

/// The one entry of a header that the gateway writes: where there are more it was not the gateway.
fn only<'r>(mut entries: impl Iterator<Item = Entry<'r>>) -> Option<&'r str> {
    let (text, _) = entries.next()??;
    entries.next().is_none().then_some(text)
}

/// The nth entry from the right, besides the one of the peer that the gateway itself may have
/// appended.
fn nth<'r>(
    entries: impl Iterator<Item = Entry<'r>>,
    hops: usize,
    peer: Option<&str>,
) -> Option<&'r str> {
    let peer = peer.and_then(parse_address);
    let mut entries = entries.peekable();
    entries.next_if(|last| last.is_some_and(|(_, address)| Some(address) == peer));
    let (text, _) = entries.nth(hops.checked_sub(1)?)??;
    Some(text)
}

/// The first entry from the right that no network has, the leftmost where all are in one. `None`
/// where the peer is in none, or where something else than an address is met.
fn first_outside<'r>(
    entries: impl Iterator<Item = Entry<'r>>,
    networks: &[IpNet],
    peer: Option<&str>,
) -> Option<&'r str> {
    let is_trusted = |address: IpAddr| networks.iter().any(|network| network.contains(&address));
    if !is_trusted(parse_address(peer?)?) {
        return None;
    }
    let mut leftmost = None;
    for entry in entries {
        let (text, address) = entry?;
        leftmost = Some(text);
        if !is_trusted(address) {
            break;
        }
    }
    leftmost
}

#[cfg(test)]
mod tests;

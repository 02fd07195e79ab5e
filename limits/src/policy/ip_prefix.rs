//! How much of an address names a counter: what is counted as one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::attributes::Attributes;

/// The lengths of the networks that count as one address, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPrefix {
    ipv4: u8,
    ipv6: u8,
}

impl IpPrefix {
    /// What may be counted as one IPv4 address, in bits.
    pub const IPV4_BITS: RangeInclusive<u8> = 8..=32;
    /// What may be counted as one IPv6 address, in bits.
    pub const IPV6_BITS: RangeInclusive<u8> = 16..=128;

    /// Networks of these lengths; a length out of its range is the nearest in it.
    #[must_use]
    pub fn new(ipv4: u8, ipv6: u8) -> Self {
        let within = |bits: u8, range: RangeInclusive<u8>| bits.clamp(*range.start(), *range.end());
        Self { ipv4: within(ipv4, Self::IPV4_BITS), ipv6: within(ipv6, Self::IPV6_BITS) }
    }

    /// The lengths, of IPv4 and of IPv6.
    pub(crate) const fn bits(self) -> [u8; 2] {
        [self.ipv4, self.ipv6]
    }

    /// The network that a request's address counts as, in the text that names its counter; `None`
    /// where the value of the attribute itself does. The length is part of the text, so that
    /// networks of other lengths have other counters.
    pub(crate) fn network(self, attributes: &Attributes) -> Option<String> {
        // What stands for an address in a decision record is counted as it is.
        match attributes.get("ip_address")?.parse().ok()? {
            IpAddr::V4(_) if self.ipv4 == 32 => None,
            IpAddr::V4(v4) => {
                let mask = u32::MAX << (32 - u32::from(self.ipv4));
                Some(format!("{}/{}", Ipv4Addr::from_bits(v4.to_bits() & mask), self.ipv4))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX << (128 - u32::from(self.ipv6));
                Some(format!("{}/{}", Ipv6Addr::from_bits(v6.to_bits() & mask), self.ipv6))
            }
        }
    }
}

impl Default for IpPrefix {
    /// An IPv4 address, or the /64 network of an IPv6 one, which is what one subscriber holds.
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

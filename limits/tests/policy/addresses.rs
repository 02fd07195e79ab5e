//! What counts as one address: the counters' names, the revision, and conditions on the whole.

use std::collections::BTreeSet;

use sluicegate_limits::charge::Charges;
use sluicegate_limits::decide::Key;
use sluicegate_limits::explain::explain;
use sluicegate_limits::policy::{IpPrefix, Policy};
use sluicegate_limits::time::Timestamp;
use sluicegate_limits::trial::Trial;

use crate::{policy, request, secret};

const BY_ADDRESS: &str = "rate_limits: { a: { key: ip_address, limit: 1, window: 1h } }";

fn counting(ipv4: u8, ipv6: u8) -> Policy {
    policy(BY_ADDRESS).with_ip_prefix(IpPrefix::new(ipv4, ipv6))
}

fn charges<'p>(policy: &'p Policy, pairs: &[(&str, &str)]) -> Charges<'p> {
    policy.charges(&request(pairs), None, &secret(), Timestamp::ZERO).unwrap()
}

/// The counter of a request from an address.
fn key(policy: &Policy, address: &str) -> Key {
    charges(policy, &[("ip_address", address)])[0].key
}

#[test]
fn addresses_of_one_network_are_one_counter() {
    // The lengths, two addresses of one network, and one of the next.
    for (ipv4, ipv6, one, same, next) in [
        (32, 64, "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        (32, 64, "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        (24, 64, "192.0.2.1", "192.0.2.255", "192.0.3.1"),
        (20, 64, "198.51.0.1", "198.51.15.255", "198.51.16.0"),
        (8, 64, "198.0.0.1", "198.255.255.255", "199.0.0.1"),
        (32, 56, "2001:db8:1:200::1", "2001:db8:1:2ff::1", "2001:db8:1:300::1"),
        (32, 48, "2001:db8:1::1", "2001:db8:1:ffff::1", "2001:db8:2::1"),
        (32, 16, "2001:db8::1", "2001:ffff::1", "2002::1"),
        (32, 127, "2001:db8::2", "2001:db8::3", "2001:db8::4"),
        (32, 128, "2001:db8::1", "[2001:db8::1%eth0]:443", "2001:db8::2"),
        (32, 64, "8.8.8.8", "2002:808:808::1", "8.8.8.9"),
    ] {
        let policy = counting(ipv4, ipv6);
        assert_eq!(key(&policy, one), key(&policy, same), "{one} {same} /{ipv4} /{ipv6}");
        assert_ne!(key(&policy, one).hash, key(&policy, next).hash, "{next} /{ipv4} /{ipv6}");
    }
}

/// The network of another length has another counter, even where its first address is the same.
#[test]
fn the_lengths_are_part_of_the_counters_names() {
    let hashes = |address: &str, policies: &[Policy]| {
        let hashes = policies.iter().map(|policy| key(policy, address).hash);
        hashes.collect::<BTreeSet<_>>().len()
    };
    let by_ipv4: Vec<Policy> = (8..=32).map(|bits| counting(bits, 64)).collect();
    assert_eq!(hashes("128.0.0.0", &by_ipv4), 25);
    assert_eq!(hashes("2001:db8::", &by_ipv4), 1, "the other family keeps its counters");
    let by_ipv6: Vec<Policy> = (16..=128).map(|bits| counting(32, bits)).collect();
    assert_eq!(hashes("2001::", &by_ipv6), 113);
    assert_eq!(hashes("128.0.0.0", &by_ipv6), 1, "the other family keeps its counters");
}

/// Replicas whose counters have other names can be told by the revision that they show.
#[test]
fn the_lengths_are_part_of_the_revision() {
    let of = |ipv4, ipv6| counting(ipv4, ipv6).revision().to_owned();
    assert_eq!(of(32, 64), policy(BY_ADDRESS).revision(), "the default");
    let all = [(32, 64), (24, 64), (32, 56), (24, 56), (32, 128)].map(|(v4, v6)| of(v4, v6));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    assert_eq!(of(24, 48), of(24, 48));
}

#[test]
fn lengths_out_of_range_are_the_nearest_in_it() {
    assert_eq!(IpPrefix::new(0, 0), IpPrefix::new(8, 16));
    assert_eq!(IpPrefix::new(255, 255), IpPrefix::new(32, 128));
    assert_eq!(IpPrefix::default(), IpPrefix::new(32, 64));
}

/// A trial, on which cases, explanations and replays stand, counts as the policy says.
#[test]
fn a_trial_counts_as_the_policy_says() {
    for (bits, passes) in [(64, true), (48, false)] {
        let policy = counting(32, bits);
        let mut trial = Trial::new(&policy);
        let mut check = |address| {
            let facts = request(&[("ip_address", address)]);
            trial.check(Timestamp::ZERO, &facts, None).unwrap().allowed
        };
        assert!(check("2001:db8:1:2::1"));
        assert!(!check("2001:db8:1:2::2"), "/{bits}");
        assert_eq!(check("2001:db8:1:3::1"), passes, "/{bits}");
        let explained = explain(&policy, &request(&[]), None, Timestamp::ZERO);
        assert_eq!(explained.policy_revision, policy.revision());
    }
}

/// Where the counter of a longer key lies and is named: the address is cut wherever it stands.
#[test]
fn an_address_is_cut_wherever_it_stands_in_a_key() {
    let text = "rate_limits:
      a: { key: [tenant_id, ip_address], limit: 1, window: 1h }
      b: { key: [ip_address, tenant_id], limit: 1, window: 1h,
           penalty: { after: 2, within: 1m, block: 1m } }
      c: { key: ip_address, was: { name: old, key: [client] }, limit: 1, window: 1h }";
    let policy = policy(text);
    let charges = |address| {
        let charges = charges(&policy, &[("tenant_id", "acme"), ("ip_address", address)]);
        charges.iter().map(|charge| (charge.key, charge.penalty_key)).collect::<Vec<_>>()
    };
    let one = charges("2001:db8::1");
    assert_eq!(one.len(), 3);
    assert_eq!(one, charges("2001:db8::2"));
    let others = charges("2001:db8:0:1::2");
    for (one, other) in one.iter().zip(others) {
        assert_ne!(one.0.hash, other.0.hash);
        assert_eq!(one.1.is_some(), other.1.is_some());
        assert!(one.1.is_none() || one.1.map(|key| key.hash) != other.1.map(|key| key.hash));
    }
}

/// The attribute itself is whole: a condition can name one host of a network.
#[test]
fn a_condition_sees_the_whole_address() {
    let policy = policy(
        "rate_limits: { a: { when: 'ip_address == \"2001:db8::7\"', limit: 1, window: 1h } }",
    );
    let applies = |address| !charges(&policy, &[("ip_address", address)]).is_empty();
    assert!(applies("2001:DB8:0::7"));
    assert!(!applies("2001:db8::8"));
}

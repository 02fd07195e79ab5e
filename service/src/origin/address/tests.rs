//! Whose address it is, case by case, and beside what Envoy itself would find.

use super::*;

fn hops(hops: u8) -> AddressSource {
    AddressSource::TrustedHops(hops)
}

fn proxies(networks: &[&str]) -> AddressSource {
    AddressSource::TrustedProxies(networks.iter().map(|n| n.parse().unwrap()).collect())
}

fn header() -> AddressSource {
    AddressSource::Header("x-envoy-external-address".to_owned())
}

/// The address by the settings, where `lines` are of the header that they read.
fn found<'r>(source: &'r AddressSource, peer: &'r str, lines: &[&'r str]) -> Option<&'r str> {
    let name = source.header().unwrap_or("x-forwarded-for");
    let lines = lines.iter().map(|line| (name, line.as_bytes()));
    client(source, Some(peer).filter(|peer| !peer.is_empty()), lines)
}

fn check(source: &AddressSource, cases: &[(&str, &[&str], &str)]) {
    for (peer, lines, expected) in cases {
        let expected = Some(*expected).filter(|text| !text.is_empty());
        assert_eq!(found(source, peer, lines), expected, "{source:?} {peer} {lines:?}");
    }
}

#[test]
fn the_peer_is_the_peer_whatever_the_headers_say() {
    let lines = [("x-forwarded-for", &b"1.1.1.1"[..]), ("x-envoy-external-address", b"1.1.1.1")];
    let peer = client(&AddressSource::Peer, Some("10.0.0.5"), lines.into_iter());
    assert_eq!(peer, Some("10.0.0.5"));
    assert_eq!(client(&AddressSource::Peer, None, lines.into_iter()), None);
}

#[test]
fn one_proxy_in_front_appends_and_the_gateway_may() {
    check(
        &hops(1),
        &[
            // The gateway appended its peer (`use_remote_address: true`), which is left out.
            ("10.0.0.5", &["192.0.2.1,10.0.0.5"], "192.0.2.1"),
            ("10.0.0.5", &["9.9.9.9, 192.0.2.1, 10.0.0.5"], "192.0.2.1"),
            ("10.0.0.5", &["9.9.9.9,10.0.0.5,192.0.2.1,10.0.0.5"], "192.0.2.1"),
            // It did not.
            ("10.0.0.5", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.5", &["9.9.9.9, 192.0.2.1"], "192.0.2.1"),
            // Lines are one list in their order.
            ("10.0.0.5", &["9.9.9.9", "192.0.2.1", "10.0.0.5"], "192.0.2.1"),
            ("10.0.0.5", &["9.9.9.9,8.8.8.8", "192.0.2.1"], "192.0.2.1"),
            // What stands further left is never looked at.
            ("10.0.0.5", &["so what", ",,;\"", "192.0.2.1"], "192.0.2.1"),
            // No header, an empty one, and fewer entries than there are proxies.
            ("10.0.0.5", &[], "10.0.0.5"),
            ("10.0.0.5", &[""], "10.0.0.5"),
            ("10.0.0.5", &["10.0.0.5"], "10.0.0.5"),
            // The entry that counts is no address.
            ("10.0.0.5", &["192.0.2.1,unknown"], "10.0.0.5"),
            ("10.0.0.5", &["192.0.2.1,,10.0.0.5"], "10.0.0.5"),
            ("10.0.0.5", &["192.0.2.1, 10.0.0.0/8"], "10.0.0.5"),
            ("10.0.0.5", &["192.0.2.1 192.0.2.2"], "10.0.0.5"),
            // A proxy's own clients are its own: it calls itself.
            ("10.0.0.5", &["10.0.0.5,10.0.0.5"], "10.0.0.5"),
            // Ports, brackets, zones and mapped addresses.
            ("10.0.0.5", &["192.0.2.1:4711"], "192.0.2.1:4711"),
            ("10.0.0.5", &["[2001:db8::7]:4711, 10.0.0.5"], "[2001:db8::7]:4711"),
            ("10.0.0.5", &["2001:db8::7%eth0"], "2001:db8::7%eth0"),
            ("10.0.0.5", &["192.0.2.1, ::ffff:10.0.0.5"], "192.0.2.1"),
            ("::ffff:10.0.0.5", &["192.0.2.1, 10.0.0.5"], "192.0.2.1"),
            ("2001:db8::f", &["2001:db8::7, 2001:db8:0::f"], "2001:db8::7"),
            ("2001:db8::f", &["2001:db8::7"], "2001:db8::7"),
            // A gateway on a socket without an address has a peer without one.
            ("", &["9.9.9.9, 192.0.2.1"], "192.0.2.1"),
            ("", &[], ""),
        ],
    );
}

#[test]
fn more_proxies_in_front_are_counted_from_the_right() {
    let two: &[(&str, &[&str], &str)] = &[
        ("10.0.0.5", &["9.9.9.9, 192.0.2.1, 10.0.0.4, 10.0.0.5"], "192.0.2.1"),
        ("10.0.0.5", &["9.9.9.9, 192.0.2.1, 10.0.0.4"], "192.0.2.1"),
        // One that is passed over need be no address.
        ("10.0.0.5", &["192.0.2.1, unknown"], "192.0.2.1"),
        ("10.0.0.5", &["10.0.0.4"], "10.0.0.5"),
        ("10.0.0.5", &["10.0.0.4, 10.0.0.5"], "10.0.0.5"),
        // Only one entry is the gateway's own.
        ("10.0.0.5", &["192.0.2.1, 10.0.0.5, 10.0.0.5, 10.0.0.5"], "10.0.0.5"),
    ];
    check(&hops(2), two);
    let many = (1..=33).map(|n| format!("192.0.2.{n}")).collect::<Vec<_>>().join(",");
    check(&hops(32), &[("10.0.0.5", &[&many], "192.0.2.2")]);
}

#[test]
fn proxies_by_their_networks_are_passed_over() {
    let cases: &[(&str, &[&str], &str)] = &[
        // A peer that is no proxy is the client, whatever it says.
        ("192.0.2.1", &["10.0.0.9"], "192.0.2.1"),
        ("192.0.2.1", &["9.9.9.9, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.5", &["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.5", &["192.0.2.1, 10.0.0.5"], "192.0.2.1"),
        ("10.0.0.5", &["9.9.9.9, 192.0.2.1, 10.1.1.1, 10.0.0.5"], "192.0.2.1"),
        ("10.0.0.5", &["10.0.0.66, 192.0.2.1, 10.1.1.1"], "192.0.2.1"),
        ("10.0.0.5", &["9.9.9.9", "192.0.2.1", "10.1.1.1"], "192.0.2.1"),
        ("2001:db8:a::5", &["9.9.9.9, 2001:db8:b::1, 10.1.1.1"], "2001:db8:b::1"),
        ("::ffff:10.0.0.5", &["192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1"),
        ("10.0.0.5", &["192.0.2.1:4711, [2001:db8:a::9]:80"], "192.0.2.1:4711"),
        // All of them are proxies: the one that is furthest away.
        ("10.0.0.5", &["10.0.0.3, 10.0.0.4"], "10.0.0.3"),
        ("10.0.0.5", &["10.0.0.5"], "10.0.0.5"),
        // No header, and what is no address where the walk reads.
        ("10.0.0.5", &[], "10.0.0.5"),
        ("10.0.0.5", &[""], "10.0.0.5"),
        ("10.0.0.5", &["192.0.2.1, unknown, 10.1.1.1"], "10.0.0.5"),
        ("10.0.0.5", &["unknown, 10.1.1.1"], "10.0.0.5"),
        // What it does not read may be anything.
        ("10.0.0.5", &["unknown, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.5", &["\u{1}", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),
        // Without an address nobody is known to be a proxy.
        ("", &["192.0.2.1"], ""),
    ];
    check(&proxies(&["10.0.0.0/8", "2001:db8:a::/48"]), cases);
    // An IPv6 form of an IPv4 address is a proxy by the network that it is written in.
    let nat64 = proxies(&["64:ff9b::/96"]);
    check(&nat64, &[("64:ff9b::8.8.8.8", &["192.0.2.1"], "192.0.2.1")]);
    check(&proxies(&["8.8.8.8/32"]), &[("2002:808:808::1", &["192.0.2.1"], "2002:808:808::1")]);
}

#[test]
fn a_header_of_the_gateway_is_one_address() {
    check(
        &header(),
        &[
            ("10.0.0.5", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.5", &[" 192.0.2.1:80 "], "192.0.2.1:80"),
            ("10.0.0.5", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.5", &[], "10.0.0.5"),
            ("10.0.0.5", &[""], "10.0.0.5"),
            ("10.0.0.5", &["unknown"], "10.0.0.5"),
            // The gateway writes one: this was somebody else.
            ("10.0.0.5", &["9.9.9.9, 192.0.2.1"], "10.0.0.5"),
            ("10.0.0.5", &["9.9.9.9", "192.0.2.1"], "10.0.0.5"),
            ("", &["192.0.2.1"], "192.0.2.1"),
        ],
    );
}

#[test]
fn names_of_headers_have_no_case_and_other_headers_are_not_read() {
    let lines = [
        ("forwarded", &b"for=9.9.9.9"[..]),
        ("X-Forwarded-For", b"192.0.2.1"),
        ("x-forwarded-for-x", b"9.9.9.9"),
        ("x-real-ip", b"9.9.9.9"),
        ("X-FORWARDED-FOR", b"10.0.0.5"),
    ];
    assert_eq!(client(&hops(1), Some("10.0.0.5"), lines.into_iter()), Some("192.0.2.1"));
    let bytes = [("x-forwarded-for", &b"\xff\xfe,192.0.2.1"[..])];
    assert_eq!(client(&hops(1), Some("10.0.0.5"), bytes.into_iter()), Some("192.0.2.1"));
    assert_eq!(client(&hops(2), Some("10.0.0.5"), bytes.into_iter()), Some("10.0.0.5"));
}

/// What Envoy finds: with `use_remote_address: true` the nth entry before it appends its peer, or
/// the peer; with `false` it passes over n entries.
fn envoy(
    entries: &[String],
    peer: &str,
    num_trusted_hops: usize,
    use_remote_address: bool,
) -> String {
    let skip =
        if use_remote_address { num_trusted_hops.checked_sub(1) } else { Some(num_trusted_hops) };
    let found = skip.and_then(|skip| entries.iter().rev().nth(skip));
    found.filter(|text| text.parse::<IpAddr>().is_ok()).map_or(peer.to_owned(), String::clone)
}

#[test]
fn hops_are_those_of_envoy_and_one_more_without_its_own_entry() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let known = ["192.0.2.1", "192.0.2.2", "2001:db8::7", "10.0.0.4", "unknown", ""];
    for _ in 0..20_000 {
        let (peer, count) = ("10.0.0.5", random.usize(0..6));
        let entries: Vec<String> =
            (0..count).map(|_| random.choice(known).unwrap_or_default().to_owned()).collect();
        let n = random.u8(1..=6);
        // How the list reaches the door: in lines, each with some entries.
        let lines = |mut left: &[String], random: &mut fastrand::Rng| {
            let mut lines = Vec::new();
            while !left.is_empty() {
                let (line, rest) = left.split_at(random.usize(1..=left.len()));
                lines.push(line.join([",", ", "][random.usize(..2)]));
                left = rest;
            }
            lines
        };
        let ours = |lines: &[String]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            found(&hops(n), peer, &lines).unwrap().to_owned()
        };
        let appended = [&entries[..], &[peer.to_owned()]].concat();
        let with = ours(&lines(&appended, &mut random));
        assert_eq!(with, envoy(&entries, peer, n.into(), true), "{entries:?} {n} seed {seed}");
        // With `skip_xff_append: true` it finds the same and appends nothing.
        let without = ours(&lines(&entries, &mut random));
        assert_eq!(without, with, "{entries:?} {n} seed {seed}");
        let hops = usize::from(n) - 1;
        assert_eq!(without, envoy(&entries, peer, hops, false), "{entries:?} {n} seed {seed}");
    }
}

/// Whatever a client writes before what the proxies append, nobody is taken for another one.
#[test]
fn nothing_that_stands_left_of_the_walk_changes_who_it_is() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let junk =
        ["9.9.9.9", "10.0.0.5", "10.0.0.6", "::1", "unknown", "", " ", ",,", "\"", ";", "[", "%"];
    let proxies = proxies(&["10.0.0.0/8"]);
    for _ in 0..20_000 {
        let proxy = |random: &mut fastrand::Rng| format!("10.0.0.{}", random.u8(4..8));
        let passed = random.usize(0..4);
        let client = random.choice(["192.0.2.1", "2001:db8::7", "192.0.2.1:80"]).unwrap();
        let mut entries = vec![client.to_owned()];
        entries.extend((0..passed).map(|_| proxy(&mut random)));
        let peer = proxy(&mut random);
        let by_hops = hops(u8::try_from(passed + 1).unwrap());
        if random.bool() || entries.last() == Some(&peer) {
            entries.push(peer.clone());
        }
        let forged = (0..random.usize(0..4)).filter_map(|_| random.choice(junk));
        let mut lines: Vec<String> = forged.map(str::to_owned).collect();
        lines.push(entries.join(", "));
        if random.bool() {
            lines = vec![lines.join(",")];
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for source in [&by_hops, &proxies] {
            assert_eq!(
                found(source, &peer, &lines),
                Some(client),
                "{source:?} {lines:?} seed {seed}"
            );
        }
    }
}

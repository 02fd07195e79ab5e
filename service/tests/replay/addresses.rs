//! Whose address a line of a gateway's log has: the one that the settings mean, else another one
//! that the answer names.

use serde_json::json;

use crate::world::World;

const LIMITS: &str = "rate_limits: {a: {key: ip_address, limit: 5, window: 1h}}";
const DIRECT: &str = "downstream_direct_remote_address";
const REMOTE: &str = "downstream_remote_address";

/// A line with these fields.
fn line(second: usize, fields: &[(&str, &str)]) -> String {
    let start = format!("2026-01-01T00:00:{second:02}Z");
    let mut line = json!({"start_time": start, "method": "GET", "path": "/"});
    for (name, value) in fields {
        line[*name] = json!(value);
    }
    format!("{line}\n")
}

/// How many of the log were denied, and the warnings of that.
fn replayed(world: &World, settings: &str) -> (u64, Vec<String>) {
    world.file("settings.yaml", settings);
    let report = world.replay(&["-c", "settings.yaml"]);
    let warnings = report["warnings"].as_array().unwrap().iter();
    let warnings = warnings.map(|text| text.as_str().unwrap().to_owned()).collect();
    (report["policy"]["denied"].as_u64().unwrap(), warnings)
}

#[test]
fn a_log_of_a_gateway_behind_a_proxy_is_read_as_the_settings_say() {
    let world = World::new("behind-a-proxy");
    let fields = |n: usize| {
        let (client, port) = (format!("192.0.2.{n}:4711"), format!("10.0.0.5:{}", 4_000 + n));
        line(n, &[(DIRECT, &port), (REMOTE, &client), ("x_real_ip", &format!("192.0.2.{}", n / 8))])
    };
    world.file("log", (0..40).map(fields).collect::<String>()).file("new.yaml", LIMITS);
    for (settings, denied) in [
        ("{}", 35),
        ("attributes: {ip_address: peer}", 35),
        ("attributes: {ip_address: {trusted_hops: 1}}", 0),
        ("attributes: {ip_address: {trusted_proxies: [10.0.0.0/8]}}", 0),
        ("attributes: {ip_address: {header: x-envoy-external-address}}", 0),
        // A header that the log has is what the gateway wrote.
        ("attributes: {ip_address: {header: x-real-ip}}", 15),
        ("attributes: {ip_address: peer}\nip_prefix: {ipv4: 24}", 35),
        ("attributes: {ip_address: {trusted_hops: 1}}\nip_prefix: {ipv4: 29}", 15),
    ] {
        assert_eq!(replayed(&world, settings), (denied, vec![]), "{settings}");
    }
    // Without settings it is the peer, and a field that is named wins.
    assert_eq!(world.replay(&[])["policy"]["denied"], 35);
    let named = ["--map", "ip_address=downstream_remote_address"];
    assert_eq!(world.replay(&named)["policy"]["denied"], 0);
}

#[test]
fn an_address_that_stands_for_the_one_that_is_meant_is_named() {
    let world = World::new("substitutes");
    world.file("new.yaml", LIMITS);
    let (peer, hops) = ("{}", "attributes: {ip_address: {trusted_hops: 2}}");
    let all = [("x_forwarded_for", "192.0.2.1, 192.0.2.2, 10.0.0.5")];
    for (fields, settings, meant, used) in [
        (&[(REMOTE, "192.0.2.1:1")][..], peer, DIRECT, "is `downstream_remote_address`"),
        (&all, peer, DIRECT, "is entry 1 from the right of `x_forwarded_for`"),
        (&all, hops, REMOTE, "is entry 2 from the right of `x_forwarded_for`"),
        (&[(DIRECT, "10.0.0.5:1")], hops, REMOTE, "is `downstream_direct_remote_address`"),
    ] {
        world.file("log", [line(0, fields), line(1, fields), line(2, &[])].concat());
        let (_, warnings) = replayed(&world, settings);
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        let told = format!("2 requests have no `{meant}`: their `ip_address` {used}");
        assert!(warning.starts_with(&told), "{warning}");
        assert!(warning.contains("--map ip_address=FIELD"), "{warning}");
    }
    // Who counts by something else need not know.
    world.file("new.yaml", "rate_limits: {a: {limit: 5, window: 1h}}");
    assert_eq!(replayed(&world, hops).1, [""; 0]);
}

/// Istio's text has the client that Envoy found, Envoy's own default has the list alone.
#[test]
fn the_text_formats_have_what_they_have() {
    let world = World::new("text-addresses");
    world.file("new.yaml", LIMITS);
    let begin = "[2026-01-01T00:00:00Z] \"GET / HTTP/2\" 200 -";
    let quoted = "\"192.0.2.1,10.0.0.5\" \"agent\" \"id\" \"host\" \"10.0.0.9:80\"";
    let istio = "outbound|80||svc 10.0.0.5:1 10.0.0.5:2 192.0.2.7:4711 - default";
    let key = |settings: &str| {
        world.file("settings.yaml", settings);
        let report = world.replay(&["-c", "settings.yaml"]);
        let key = report["policy"]["keys"][0]["key"]["ip_address"].clone();
        (key, report["warnings"].as_array().unwrap().len())
    };
    let hops = "attributes: {ip_address: {trusted_hops: 1}}";
    world.file("log", format!("{begin} 0 0 1 1 {quoted}\n").repeat(6));
    assert_eq!(key(hops), (json!("10.0.0.5"), 1));
    assert_eq!(key("{}"), (json!("10.0.0.5"), 1));
    let line = format!("{begin} via_upstream - \"-\" 0 0 1 1 {quoted} {istio}\n");
    world.file("log", line.repeat(6));
    assert_eq!(key(hops), (json!("192.0.2.7"), 0));
    assert_eq!(key("{}"), (json!("192.0.2.7"), 1));
}

/// A key is shown as it is counted.
#[test]
fn addresses_are_counted_by_their_networks() {
    let world = World::new("networks");
    world.file("new.yaml", LIMITS);
    let rows = |n| format!("2026-01-01T00:00:00Z,2001:db8:0:{n}::{n}\n");
    world.file("log", format!("at,ip_address\n{}", (0..8).map(rows).collect::<String>()));
    for (bits, denied, key) in [(48, 3, "2001:db8::/48"), (56, 3, "2001:db8::/56"), (64, 0, "")] {
        let settings = format!("ip_prefix: {{ipv6: {bits}}}");
        assert_eq!(replayed(&world, &settings), (denied, vec![]), "{bits}");
        let report = world.replay(&["-c", "settings.yaml"]);
        let keys = &report["policy"]["keys"];
        assert_eq!(keys[0]["key"]["ip_address"].as_str().unwrap_or_default(), key, "{keys}");
    }
    assert_eq!(world.replay(&[])["policy"]["denied"], 0, "64 unless the settings say");
    // What records hold stands for addresses, and cannot be cut.
    let record = |n| {
        format!(
            "{{\"target\":\"sluicegate::decision\",\"time\":\"2026-01-01T00:00:00Z\",\
             \"ip_address\":\"hash:{n}\",\"path\":\"/\",\"allowed\":true}}\n"
        )
    };
    world.file("log", (0..8).map(record).collect::<String>());
    let (denied, warnings) = replayed(&world, "{}");
    assert_eq!(denied, 0);
    assert!(
        warnings[0].starts_with("the records hold addresses that cannot be read"),
        "{warnings:?}"
    );
}

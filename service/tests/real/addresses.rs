//! Whose address a request has: a real Envoy as `deploy/envoy` has it behind another real one, over
//! IPv4 and IPv6, with every source of the address, and clients that forge entries.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::Value;
use tokio::sync::MutexGuard;

use crate::alone;
use crate::calls::until;
use crate::envoy::{PATIENT_MS, upstream};
use crate::front::{Front, Target, call_as, wire};
use crate::gate::Gate;
use crate::gateway::Gateway;
use crate::http_client::HttpAnswer;
use crate::process::{folder, free_address, repository};
use crate::valkey::Valkey;

/// A limit for each address that is seen: the one that binds says whose the request was.
const LIMITS: &str = "rate_limits:
  ada: { when: 'ip_address == \"198.51.100.7\"', limit: 100000, window: 1h }
  eve: { when: 'ip_address == \"2001:db8:1::7\"', limit: 100000, window: 1h }
  edge: { when: 'ip_address == \"127.0.0.6\"', limit: 100000, window: 1h }
  front: { when: 'ip_address in [\"127.0.0.5\", \"2001:db8:f::5\"]', limit: 100000, window: 1h }
  forged: { when: 'ip_address in [\"203.0.113.66\", \"2001:db8:666::6\"]', limit: 1000, window: 1h }
  five: { match: 'GET /five', key: ip_address, limit: 5, window: 1h }
";
const ADA: &str = "198.51.100.7";
const EVE: &str = "2001:db8:1::7";
const CLIENTS: [(&str, &str); 2] = [("ada", ADA), ("eve", EVE)];
/// How the proxy calls over IPv6, for a gateway that is told so by the PROXY protocol.
const FRONT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 5);

/// What a client claims: whole lines of headers.
type Claim = &'static [(&'static str, &'static str)];
const CLAIMS: [Claim; 7] = [
    &[],
    &[("x-forwarded-for", "203.0.113.66")],
    &[("x-forwarded-for", "203.0.113.66, 2001:db8:666::6, 127.0.0.5")],
    &[("x-forwarded-for", "203.0.113.66"), ("X-Forwarded-For", "127.0.0.5,203.0.113.66")],
    &[("x-forwarded-for", ""), ("x-forwarded-for", "unknown, \"[::]\", ,")],
    &[("x-envoy-external-address", "203.0.113.66"), ("x-forwarded-for", "198.51.100.1:80")],
    &[("forwarded", "for=203.0.113.66"), ("x-real-ip", "203.0.113.66")],
];

/// How the gateway is told to find its clients: as it is shipped, and as each table says.
const SHIPPED: &str = "use_remote_address: true\n";
const APPENDS: Finds = &["use_remote_address: true", "xff_num_trusted_hops: 1"];
const KEEPS: Finds = &["use_remote_address: false", "xff_num_trusted_hops: 0"];
const SKIPS: Finds =
    &["use_remote_address: true", "skip_xff_append: true", "xff_num_trusted_hops: 1"];
/// Clients of any IPv4 address are internal, and so not told of by a header.
const INTERNAL: Finds = &[
    "use_remote_address: true",
    "internal_address_config: { cidr_ranges: [{ address_prefix: 0.0.0.0, prefix_len: 0 }] }",
];
/// Lines of the gateway's configuration.
type Finds = &'static [&'static str];

/// One listener of the gateway: its name, address, and how it finds its clients.
struct Door {
    name: &'static str,
    address: SocketAddr,
    finds: Finds,
}

struct World {
    front: Front,
    gateway: Gateway,
    doors: Vec<Door>,
    folder: PathBuf,
    asked: AtomicUsize,
    _replicas: [Gate; 2],
    _store: Valkey,
    _alone: MutexGuard<'static, ()>,
}

/// What is known of a request that was answered.
struct Seen {
    answer: HttpAnswer,
    /// The line of the gateway's access log.
    line: Value,
}

impl Door {
    fn v4(name: &'static str, finds: Finds) -> Self {
        Self { name, address: free_address(), finds }
    }

    fn v6(name: &'static str, finds: Finds) -> Self {
        let address = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        Self { name, address, finds }
    }

    /// How the proxy calls it: from an address of loopback, which Envoy does not take for loopback
    /// where it is another one than 127.0.0.1, or over a wire that says another one.
    async fn target(&self) -> Target {
        let Self { name, address, .. } = *self;
        let is_loopback = name.ends_with("loopback");
        match address {
            SocketAddr::V4(_) => {
                let from = [127, 0, 0, if is_loopback { 1 } else { 5 }].into();
                Target { name, address, from }
            }
            SocketAddr::V6(_) => {
                let from = Ipv6Addr::LOCALHOST.into();
                let address = if is_loopback { address } else { wire(FRONT_V6, address).await };
                Target { name, address, from }
            }
        }
    }

    /// The listener of `deploy/envoy` at this door, with the addresses in its log.
    fn of(&self, listener: &str) -> String {
        let put = |text: String, old: &str, new: &str| {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text.replace(old, new)
        };
        let (name, ip, port) = (self.name, self.address.ip(), self.address.port());
        let socket = format!("{{ socket_address: {{ address: \"{ip}\", port_value: {port} }} }}");
        let filter = "listener_filters:
        - name: envoy.filters.listener.proxy_protocol
          typed_config:
            \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.\
             ProxyProtocol
            allow_requests_without_proxy_protocol: true\n";
        let begin = listener.find("      per_connection_buffer_limit_bytes").unwrap();
        let head = format!("    - name: {name}\n      address: {socket}\n      {filter}");
        let text = format!("{head}{}", &listener[begin..]);
        let finds = self.finds.join("\n                ");
        let text = put(text, SHIPPED, &format!("{finds}\n"));
        let log = "at: \"%START_TIME%\"\n";
        let indent = " ".repeat(26);
        let field = |operator: &str| {
            format!("{indent}{}: \"%{operator}%\"\n", operator.to_ascii_lowercase())
        };
        let direct = field("DOWNSTREAM_DIRECT_REMOTE_ADDRESS");
        put(text, log, &format!("{log}{direct}{}", field("DOWNSTREAM_REMOTE_ADDRESS")))
    }
}

impl World {
    /// The gateway with these doors, each behind the proxy by its name, and replicas that find
    /// addresses by `source`.
    async fn start(name: &str, source: &str, doors: Vec<Door>) -> Self {
        let alone = alone().await;
        let folder = folder(name);
        let store = Valkey::start(&folder);
        let settings = std::fs::read_to_string(repository("deploy/envoy/sluicegate.yaml")).unwrap();
        let shipped = "ip_address: peer";
        assert_eq!(settings.matches(shipped).count(), 1);
        let settings = settings.replace(shipped, &format!("ip_address: {source}"));
        std::fs::write(folder.join("sluicegate.yaml"), settings).unwrap();
        std::fs::write(folder.join("limits.yaml"), LIMITS).unwrap();
        let one = Gate::start(serve(&folder), &store, PATIENT_MS).await;
        let replicas = [one, Gate::start(serve(&folder), &store, PATIENT_MS).await];
        let grpc = [replicas[0].grpc, replicas[1].grpc];
        let listeners = |text: String| {
            let begin = text.find("    - name: api\n").unwrap();
            let end = text.find("\n  clusters:\n").unwrap();
            let all: String = doors.iter().map(|door| door.of(&text[begin..=end])).collect();
            format!("{}{all}{}", &text[..begin], &text[end..])
        };
        let gateway = Gateway::start_with(&folder, upstream().await, grpc, listeners).await;
        let mut targets = Vec::new();
        for door in &doors {
            targets.push(door.target().await);
        }
        let front = Front::start(&folder, &targets).await;
        let asked = AtomicUsize::new(0);
        let (_replicas, _store, _alone) = (replicas, store, alone);
        Self { front, gateway, doors, folder, asked, _replicas, _store, _alone }
    }

    /// Asks through `to` as a client with an address, and waits for the line about it.
    async fn ask(&self, to: SocketAddr, door: &str, client: &str, claim: Claim) -> Seen {
        let path = format!("/asked/{}", self.asked.fetch_add(1, Relaxed));
        let headers = [claim, &[("x-to", door)]].concat();
        let answer = call_as(client.parse().unwrap(), to, &path, &headers).await;
        assert_eq!(answer.status, 200, "{door} {client} {claim:?}: {answer:?}");
        let line = self.gateway.process.wait_for("line about the request", |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["path"] == path.as_str()).then_some(line)
        });
        Seen { answer, line }
    }

    /// Every client with every claim, through `to` and each of the doors: it is taken for `found`,
    /// where that is nothing for itself.
    async fn all(&self, to: SocketAddr, found: Option<&str>) {
        for Door { name, .. } in &self.doors {
            for (client, address) in CLIENTS {
                for claim in CLAIMS {
                    let seen = self.ask(to, name, address, claim).await;
                    let expected = found.unwrap_or(client);
                    assert_eq!(seen.whose(), expected, "{name} {client} {claim:?} {}", seen.line);
                }
            }
        }
    }
}

impl World {
    /// Every client with every claim, to each door itself: it is taken for itself.
    async fn all_past_the_proxy(&self) {
        for Door { name, address: to, .. } in &self.doors {
            for (client, address) in CLIENTS {
                for claim in CLAIMS {
                    let seen = self.ask(*to, "-", address, claim).await;
                    assert_eq!(seen.whose(), client, "{name} {claim:?} {}", seen.line);
                }
            }
        }
    }
}

impl Seen {
    /// The name of the limit that binds: whose address it is.
    fn whose(&self) -> &str {
        self.answer.header("ratelimit").split('"').nth(1).unwrap_or_default()
    }

    /// An address of the access log, without its port.
    fn logged(&self, field: &str) -> IpAddr {
        let text = self.line[field].as_str().unwrap();
        text.parse::<SocketAddr>().unwrap_or_else(|_| panic!("{}", self.line)).ip()
    }
}

fn serve(folder: &Path) -> Command {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    serve.args(["serve", "-c"]).arg(folder.join("sluicegate.yaml"));
    serve.arg("--limits").arg(folder.join("limits.yaml"));
    serve
}

#[tokio::test]
async fn one_proxy_that_is_counted_is_passed_over_and_what_clients_forge_is_not_read() {
    let v4 = [("v4-true", APPENDS), ("v4-false", KEEPS), ("v4-skip", SKIPS)];
    let v6 = [("v6-true", APPENDS), ("v6-false", KEEPS), ("v6-skip", SKIPS)];
    let v4 = v4.map(|(name, finds)| Door::v4(name, finds));
    let doors = v4.into_iter().chain(v6.map(|(name, finds)| Door::v6(name, finds)));
    let world = World::start("hops", "{ trusted_hops: 1 }", doors.collect()).await;
    world.all(world.front.address, None).await;
    // Envoy itself finds the same, by the table of docs/addresses.md.
    for Door { name, .. } in &world.doors {
        for ((client, address), claim) in CLIENTS.into_iter().zip([CLAIMS[0], CLAIMS[3]]) {
            let seen = world.ask(world.front.address, name, address, claim).await;
            assert_eq!(seen.whose(), client, "{name}");
            let found = seen.logged("downstream_remote_address");
            assert_eq!(found, address.parse::<IpAddr>().unwrap(), "{name} {}", seen.line);
        }
    }
    // With one more proxy in front it is that one that counts: nobody said that it is there.
    world.all(world.front.edge, Some("edge")).await;
}

#[tokio::test]
async fn two_proxies_are_passed_over_and_one_on_loopback_counts_as_two() {
    let two: Finds = &["use_remote_address: true", "xff_num_trusted_hops: 2"];
    let doors = vec![Door::v4("v4", two), Door::v6("v6", two)];
    let world = World::start("two-hops", "{ trusted_hops: 2 }", doors).await;
    world.all(world.front.edge, None).await;
    for Door { name, .. } in &world.doors {
        let seen = world.ask(world.front.edge, name, EVE, CLAIMS[2]).await;
        let found = seen.logged("downstream_remote_address");
        assert_eq!(found, EVE.parse::<IpAddr>().unwrap(), "{name} {}", seen.line);
    }
    drop(world);
    // A peer on loopback is not what Envoy appends: it writes the address of its machine.
    let doors = vec![Door::v4("v4-loopback", APPENDS), Door::v6("v6-loopback", APPENDS)];
    let world = World::start("loopback-hops", "{ trusted_hops: 2 }", doors).await;
    world.all(world.front.address, None).await;
    for Door { name, .. } in &world.doors {
        let seen = world.ask(world.front.address, name, ADA, CLAIMS[3]).await;
        let found = seen.logged("downstream_remote_address");
        assert_eq!(found, ADA.parse::<IpAddr>().unwrap(), "{name} {}", seen.line);
        assert!(seen.logged("downstream_direct_remote_address").is_loopback(), "{}", seen.line);
    }
}

#[tokio::test]
async fn proxies_are_known_by_their_networks_and_who_comes_past_them_is_itself() {
    let source = "{ trusted_proxies: [\"127.0.0.0/8\", \"2001:db8:f::/48\"] }";
    let doors = vec![Door::v4("v4", APPENDS), Door::v6("v6", APPENDS), Door::v4("keeps", KEEPS)];
    let world = World::start("proxies", source, doors).await;
    world.all(world.front.address, None).await;
    // As many of them as there are.
    world.all(world.front.edge, None).await;
    // A client that calls the gateway itself is no proxy, and its headers are not read.
    world.all_past_the_proxy().await;
}

#[tokio::test]
async fn the_peer_is_who_connected_whatever_envoy_finds() {
    let doors = vec![Door::v4("v4", APPENDS), Door::v6("v6", APPENDS)];
    let world = World::start("peer", "peer", doors).await;
    world.all(world.front.address, Some("front")).await;
    // Envoy's own idea of the client is another one.
    let seen = world.ask(world.front.address, "v4", ADA, CLAIMS[0]).await;
    assert_eq!(seen.logged("downstream_remote_address"), ADA.parse::<IpAddr>().unwrap());
    let direct = seen.logged("downstream_direct_remote_address");
    assert_eq!(direct, "127.0.0.5".parse::<IpAddr>().unwrap());
    // What a proxy says of the connection itself is the connection's: the PROXY protocol.
    let seen = world.ask(world.doors[0].address, "-", EVE, CLAIMS[2]).await;
    assert_eq!(seen.whose(), "eve", "{}", seen.line);
}

#[tokio::test]
async fn a_header_that_the_gateway_writes_counts_and_a_clients_own_never() {
    let doors = vec![Door::v4("v4", APPENDS), Door::v6("v6", APPENDS), Door::v4("skip", SKIPS)];
    let header = "{ header: x-envoy-external-address }";
    let world = World::start("header", header, doors).await;
    world.all(world.front.address, None).await;
    drop(world);
    // Where it writes none, or none for those that it takes for internal, nothing is left of a
    // client's own: it is removed before.
    let doors = vec![Door::v4("keeps", KEEPS), Door::v4("internal", INTERNAL)];
    let world = World::start("no-header", header, doors).await;
    world.all_past_the_proxy().await;
    let own = [("x-envoy-external-address", "203.0.113.66")];
    let client = ADA.parse().unwrap();
    for Door { name, address, .. } in &world.doors {
        let answer = call_as(client, *address, "/", &own).await;
        assert_eq!(answer.json().get("x-envoy-external-address"), None, "{name}: {answer:?}");
    }
}

/// The complaint itself: forty clients behind a proxy, five requests an hour for each. And what a
/// replay of the gateway's log says of it is what happened.
#[tokio::test]
async fn clients_behind_a_proxy_have_counters_of_their_own_and_a_replay_says_the_same() {
    for (source, denied) in [("peer", 35), ("{ trusted_hops: 1 }", 0)] {
        let world =
            World::start(&format!("forty-{denied}"), source, vec![Door::v4("v4", APPENDS)]).await;
        let mut refused = 0;
        for n in 1..=40 {
            let client = IpAddr::from([192, 0, 2, n]);
            let headers = [("x-to", "v4"), ("x-forwarded-for", "203.0.113.66")];
            let answer = call_as(client, world.front.address, "/five", &headers).await;
            refused += u32::from(answer.status == 429);
        }
        assert_eq!(refused, denied, "{source}");
        // One client gets five, however it begins its list.
        let mut passed = 0;
        for n in 0..10 {
            let forged = format!("203.0.113.{n}");
            let headers = [("x-to", "v4"), ("x-forwarded-for", forged.as_str())];
            let client = EVE.parse().unwrap();
            let answer = call_as(client, world.front.address, "/five", &headers).await;
            passed += u32::from(answer.status == 200);
        }
        assert_eq!(passed, if denied == 0 { 5 } else { 0 }, "{source}");
        let total = denied + 10 - passed;
        assert_eq!(replayed(&world).await, u64::from(total), "{source}");
    }
}

/// How many requests of the gateway's log a replay denies, with the settings of the replicas.
async fn replayed(world: &World) -> u64 {
    let lines = until("line about each request", || async {
        let printed = world.gateway.process.output();
        let about = |line: &&String| line.starts_with('{') && line.contains("\"/five\"");
        let lines: Vec<_> = printed.iter().filter(about).cloned().collect();
        (lines.len() == 50).then_some(lines)
    });
    std::fs::write(world.folder.join("access.log"), lines.await.join("\n")).unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    replay.args(["replay", "access.log", "--limits", "limits.yaml", "-c", "sluicegate.yaml"]);
    replay.args(["--map", "at=at", "-o", "json"]).current_dir(&world.folder);
    let answer = replay.output().unwrap();
    let report: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(report["log"]["requests"], 50, "{report}");
    let warnings = report["warnings"].to_string();
    assert!(!warnings.contains("`ip_address` is"), "{warnings}");
    report["policy"]["denied"].as_u64().unwrap()
}

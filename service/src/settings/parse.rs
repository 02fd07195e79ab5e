//! The form of the settings: every key, its default and its range, in one place.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use config::{Map, Value, ValueKind};
use ipnet::IpNet;

use super::reader::{Section, SettingRow, Walk};
use super::{
    DecisionRecords, Drain, HeaderStyle, Jwt, Listener, Listeners, Log, LogFormat, MemoryBounds,
    Redaction, RedactionMode, Replicas, RequestBudget, Settings, TrafficClass, Unmatched, address,
    classes, origins, paths, store,
};

/// The most threads that serve requests.
const MAX_THREADS: u64 = 256;

/// Reads the whole tree; nothing where a problem was noted.
pub(super) fn parse(walk: &Walk, table: Map<String, Value>) -> Option<Settings> {
    let mut root = Section::new(walk, "", table);
    let mut warnings = Vec::new();
    let listeners = listeners(&mut root, &mut warnings);
    let limits = limits(&mut root);
    let store = store::read(&mut root, walk, &mut warnings);
    let unmatched = root.choice(
        "unmatched",
        "allow",
        &[("allow", Unmatched::Allow), ("deny", Unmatched::Deny)],
    );
    let counted =
        matches!(root.peek("replicas"), Some(ValueKind::Table(t)) if t.contains_key("count"));
    if matches!(store, Some((super::StoreSettings::Valkey(_), _))) && !counted {
        warnings.push(
            "no replicas.count: while the store is away each replica passes the whole of a limit \
             that is `local`; set it to the number of replicas, and replicas.rank on each"
                .to_owned(),
        );
    }
    let replicas = replicas(&mut root);
    let mut mapped = root.section("attributes");
    let ip_address = address::read(&mut mapped);
    let attributes = origins::read(&mut mapped);
    mapped.finish();
    let ip_prefix = address::prefix(&mut root);
    let mut section = root.section("jwt");
    let jwt = Jwt { payload_key: section.text_or("payload_key", "jwt_payload") };
    section.finish();
    let paths = paths::read(root.section("paths"));
    let geography = geography(&mut root);
    let traffic_classes = classes::read(&mut root);
    let rate_limit_headers = header_style(&mut root);
    let retry_after_jitter = root.flag("retry_after_jitter", true);
    let redaction = redaction(&mut root);
    let log = log(&mut root);
    let decision_records = decision_records(&mut root);
    let mut section = root.section("memory");
    let max_counters = to_usize(section.number("max_counters", 1_000_000, 1_000..=1_000_000_000));
    section.finish();
    let drain = drain(&mut root);
    let threads = threads(&mut root);
    root.finish();
    if !walk.problems.borrow().is_empty() {
        return None;
    }
    let (store, key_secret) = store?;
    Some(Settings {
        listeners: listeners?,
        limits,
        store,
        key_secret,
        unmatched: unmatched?,
        replicas,
        attributes,
        ip_address,
        ip_prefix,
        jwt,
        paths: paths?,
        geography,
        traffic_classes: traffic_classes?,
        rate_limit_headers: rate_limit_headers?,
        retry_after_jitter,
        redaction: redaction?,
        log: log?,
        decision_records,
        memory: MemoryBounds { max_counters },
        drain,
        threads,
        warnings,
    })
}

/// Every key with its default, in the order in which they are read: what the page documents.
/// Found by reading examples that touch all of them.
#[must_use]
pub fn rows() -> Vec<SettingRow> {
    let walk = Walk::new("");
    let text = |word: &str| Value::new(None, word.to_owned());
    let table = |pairs: Vec<(&str, Value)>| {
        Value::new(None, pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())
    };
    let url = table(vec![("url", text("memory"))]);
    let sources = ["ip_address", "NAME"].map(|name| (name, table(Vec::new())));
    let source = table(sources.into());
    for example in [Vec::new(), vec![("store", url)], vec![("attributes", source)]] {
        if let Ok(tree) = table(example).into_table() {
            parse(&walk, tree);
        }
    }
    walk.rows.take()
}

fn listeners(root: &mut Section<'_>, warnings: &mut Vec<String>) -> Option<Listeners> {
    let mut section = root.section("listeners");
    let budget = RequestBudget {
        max_requests: to_usize(section.number("max_requests", 16_384, 1..=1_000_000)),
        max_bytes: to_usize(section.number("max_body_bytes", 1 << 28, 1 << 20..=1 << 40)),
    };
    let mut grpc = section.section("grpc");
    let max_streams = to_u32(grpc.number("max_streams", 4_096, 1..=100_000));
    let grpc = listener(grpc, &GRPC, warnings);
    let mut http = section.section("http");
    let idle_timeout = Duration::from_secs(http.number("idle_timeout_seconds", 75, 1..=3_600));
    let http = listener(http, &HTTP, warnings);
    section.finish();
    Some(Listeners { grpc: grpc?, http: http?, max_streams, budget, idle_timeout })
}

/// What differs between the listeners while nothing is set.
struct Defaults {
    name: &'static str,
    address: &'static str,
    /// A header list of each may be on its way at the same time.
    max_connections: u64,
    max_header_list_bytes: u64,
}

const GRPC: Defaults = Defaults {
    name: "grpc",
    address: "127.0.0.1:8081",
    max_connections: 1_024,
    max_header_list_bytes: 1 << 20,
};
const HTTP: Defaults = Defaults {
    name: "http",
    address: "127.0.0.1:8080",
    max_connections: 4_096,
    max_header_list_bytes: 1 << 14,
};

fn listener(
    mut section: Section<'_>,
    defaults: &Defaults,
    warnings: &mut Vec<String>,
) -> Option<Listener> {
    let address = section.text_or("address", defaults.address).parse::<SocketAddr>();
    let address = address
        .map_err(|_| section.wrong("address", "must be IP:PORT, as 127.0.0.1:8081 is", None))
        .ok();
    let trust = trust(&mut section);
    let traffic_class = section.optional_choice("traffic_class", &TrafficClass::WORDS);
    let max_connections =
        to_usize(section.number("max_connections", defaults.max_connections, 1..=1_000_000));
    let age = section.number("max_connection_age_seconds", 300, 1..=86_400);
    let handshake = section.number("handshake_timeout_ms", 5_000, 10..=60_000);
    let max_message = section.number("max_message_bytes", 65_536, 1_024..=4_194_304);
    let max_headers =
        section.number("max_header_list_bytes", defaults.max_header_list_bytes, 1_024..=1 << 24);
    section.finish();
    if let Some(address) = address.filter(|a| !a.ip().is_loopback()) {
        let name = defaults.name;
        warnings.push(format!(
            "listeners.{name} listens on {address} without TLS: whoever can reach it can read and \
             forge what passes; keep it inside a network that you trust"
        ));
    }
    Some(Listener {
        address: address?,
        trust,
        traffic_class,
        max_connections,
        max_connection_age: Duration::from_secs(age),
        handshake_timeout: Duration::from_millis(handshake),
        max_message_bytes: to_usize(max_message),
        max_header_list_bytes: to_u32(max_headers),
    })
}

fn trust(section: &mut Section<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (_, text) in section.list("trust", &["127.0.0.0/8", "::1/128"]) {
        match network(&text) {
            Some(network) => networks.push(network),
            None if matches!(text.as_str(), "mtls" | "token") => {
                section.wrong("trust", "mtls and token come with a later version", None);
            }
            None => section.wrong("trust", "must list networks, as 10.0.0.0/8 is one", None),
        }
    }
    networks
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}

fn limits(root: &mut Section<'_>) -> Vec<PathBuf> {
    root.list("limits", &[]).into_iter().map(|(base, text)| base.join(text)).collect()
}

fn replicas(root: &mut Section<'_>) -> Replicas {
    let mut section = root.section("replicas");
    let count = to_u32(section.number("count", 1, 1..=10_000));
    let rank = section.optional_number("rank", 0..=9_999).map(to_u32);
    if rank.is_some_and(|rank| rank >= count) {
        let help = "ranks count from 0: with count 2 they are 0 and 1".to_owned();
        section.wrong("rank", "must be below replicas.count", Some(help));
    }
    section.finish();
    Replicas { count, rank }
}

fn geography(root: &mut Section<'_>) -> Option<PathBuf> {
    let mut section = root.section("geography");
    let file = section.path("file");
    section.finish();
    file
}

fn header_style(root: &mut Section<'_>) -> Option<HeaderStyle> {
    let styles = [
        ("draft11", HeaderStyle::Draft11),
        ("draft03", HeaderStyle::Draft03),
        ("legacy", HeaderStyle::Legacy),
        ("none", HeaderStyle::None),
    ];
    root.choice("rate_limit_headers", "draft11", &styles)
}

fn redaction(root: &mut Section<'_>) -> Option<Redaction> {
    let mut section = root.section("redaction");
    let words = [("hash", RedactionMode::Hash), ("truncate", RedactionMode::Truncate)];
    let mode = section.choice("mode", "hash", &words);
    let also = section.list("also", &[]).into_iter().map(|(_, name)| name).collect();
    section.finish();
    Some(Redaction { mode: mode?, also })
}

fn log(root: &mut Section<'_>) -> Option<Log> {
    let mut section = root.section("log");
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    let level = section.choice("level", "info", &levels);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.choice("format", "text", &formats);
    section.finish();
    Some(Log { level: level?, format: format? })
}

fn decision_records(root: &mut Section<'_>) -> DecisionRecords {
    let mut section = root.section("decision_records");
    let sampled_share = section.share("sampled_share", 0.01);
    let denials_per_second = to_usize(section.number("denials_per_second", 1_000, 1..=1_000_000));
    let max_waiting = to_usize(section.number("max_waiting", 8_192, 1..=1_000_000));
    section.finish();
    DecisionRecords { sampled_share, denials_per_second, max_waiting }
}

fn drain(root: &mut Section<'_>) -> Drain {
    let mut section = root.section("drain");
    let delay = Duration::from_millis(section.number("delay_ms", 5_000, 0..=60_000));
    let timeout = Duration::from_millis(section.number("timeout_ms", 15_000, 0..=600_000));
    section.finish();
    Drain { delay, timeout }
}

fn threads(root: &mut Section<'_>) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let words = root.text_or("threads", "cores");
    let number = words.parse::<u64>().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    match number.and_then(|n| NonZeroUsize::new(to_usize(n))) {
        Some(threads) => threads,
        None if words == "cores" => cores,
        None => {
            root.wrong(
                "threads",
                format!("must be cores or a number from 1 to {MAX_THREADS}"),
                None,
            );
            cores
        }
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

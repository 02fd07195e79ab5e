//! The settings of the service: `sluicegate.yaml`, then `SLUICEGATE__SECTION__KEY`, then flags.
//!
//! [`load`] reads them all and answers either with [`Settings`], in which nothing can be wrong,
//! or with every problem at once. `docs/settings.md` documents each key; a test compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sluicegate_limits::policy::IpPrefix;

mod address;
mod classes;
mod load;
mod origins;
mod parse;
mod paths;
mod reader;
mod secret;
mod store;

pub use address::{AddressSource, FORWARDED_FOR};
pub use classes::{ClassRules, Reveal, TrafficClass, TrafficClasses};
pub use load::{DEFAULT_FILE, Overrides, SettingsError, SettingsProblem, load};
pub use origins::AttributeSource;
pub use parse::rows;
pub use reader::SettingRow;
pub use secret::Secret;
pub use sluicegate_limits::attributes::Paths;
pub use sluicegate_limits::headers::HeaderStyle;
pub use store::{StoreSettings, StoreUrl, ValkeySettings};

/// Everything that is set for one replica.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The doors and their bounds.
    pub listeners: Listeners,
    /// The files and directories of the limits.
    pub limits: Vec<PathBuf>,
    /// Where counters live.
    pub store: StoreSettings,
    /// Keys the hashes of counter keys and of personal values; random where the store is `memory`.
    pub key_secret: Secret,
    /// The answer to a request that no enforcing limit applies to.
    pub unmatched: Unmatched,
    /// How many replicas share the limits while the store is away, and which this one is.
    pub replicas: Replicas,
    /// Where the attributes of a gateway's request come from, by attribute name, but its address.
    pub attributes: BTreeMap<String, AttributeSource>,
    /// Where the address of a gateway's client comes from; `None` where nobody says.
    pub ip_address: Option<AddressSource>,
    /// What is counted as one address.
    pub ip_prefix: IpPrefix,
    /// Where the gateway's verified JWT payload is found.
    pub jwt: Jwt,
    /// How the upstream reads paths.
    pub paths: Paths,
    /// The file that tells the place of an address, in MaxMind's format.
    pub geography: Option<PathBuf>,
    /// What a request's traffic class decides.
    pub traffic_classes: TrafficClasses,
    /// Which RateLimit headers the answers carry.
    pub rate_limit_headers: HeaderStyle,
    /// Whether `Retry-After` gets a little added, so that clients do not return all at once.
    pub retry_after_jitter: bool,
    /// What happens to personal values before they leave the process.
    pub redaction: Redaction,
    /// The log.
    pub log: Log,
    /// The decision records.
    pub decision_records: DecisionRecords,
    /// The bounds of the embedded store.
    pub memory: MemoryBounds,
    /// How the process ends.
    pub drain: Drain,
    /// How many threads serve requests.
    pub threads: NonZeroUsize,
    /// What the operator should know; logged at start.
    pub warnings: Vec<String>,
}

/// The two doors.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Native gRPC, Envoy, health and reflection.
    pub grpc: Listener,
    /// JSON, probes and metrics.
    pub http: Listener,
    /// The most requests in flight on one HTTP/2 connection of a trusted peer.
    pub max_streams: u32,
    /// What bounds all connections of trusted peers together.
    pub budget: RequestBudget,
    /// How long a connection of the HTTP door may be idle between requests.
    pub idle_timeout: Duration,
}

/// What the requests of trusted peers may take together. What is above is answered `overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBudget {
    /// The most requests in flight.
    pub max_requests: usize,
    /// The most bytes of their bodies.
    pub max_bytes: usize,
}

/// One door: where it listens, who may call it, and its bounds.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The networks whose addresses may call it.
    pub trust: Vec<IpNet>,
    /// The class of the requests that come through it.
    pub traffic_class: Option<TrafficClass>,
    /// The most connections of trusted peers open at once; further ones are closed at once.
    pub max_connections: usize,
    /// The age at which a connection is asked to go (GOAWAY), so that replicas share the load.
    pub max_connection_age: Duration,
    /// How long a caller may take to greet, to send the head of a request, and to send its body.
    pub handshake_timeout: Duration,
    /// The most bytes of one request message or body.
    pub max_message_bytes: usize,
    /// The most bytes of the header list of one request.
    pub max_header_list_bytes: u32,
}

/// What the settings decide about what limits mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conventions {
    /// How the upstream reads paths.
    pub paths: Paths,
    /// What counts as one address.
    pub ip_prefix: IpPrefix,
}

/// The answer to a request that no enforcing limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// It passes.
    Allow,
    /// It is denied with the reason `no_limit_applies`.
    Deny,
}

/// The replicas that share the limits while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// How many there are.
    pub count: u32,
    /// Which one this is, from 0; without it the share is rounded down.
    pub rank: Option<u32>,
}

/// Where the gateway's verified JWT payload is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// The key of the payload in the metadata of Envoy's `jwt_authn` filter.
    pub payload_key: String,
}

/// How a personal value is made unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedactionMode {
    /// A keyed hash: equal values stay equal, the value is not shown.
    Hash,
    /// The network of an address; the first characters of anything else.
    Truncate,
}

/// What happens to personal values before they leave the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// How.
    pub mode: RedactionMode,
    /// Attributes that count as personal besides the built-in ones.
    pub also: BTreeSet<String>,
}

/// The form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for an event.
    Text,
    /// One JSON object for an event.
    Json,
}

/// The log on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: tracing::Level,
    /// The form of its lines.
    pub format: LogFormat,
}

/// The decision records on standard error: denials, and a share of the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecisionRecords {
    /// The share of the allowed requests that are recorded, from 0 to 1.
    pub sampled_share: f64,
    /// The most denials of each limit that are recorded in a second; further ones are counted, and
    /// the next record tells their number.
    pub denials_per_second: usize,
    /// The most records that wait to be written; further ones are dropped and counted.
    pub max_waiting: usize,
}

/// The bounds of the embedded store, which also serves while the shared one is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// The most counters that it keeps.
    pub max_counters: usize,
}

/// How the process ends after SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it still serves after it has said that it is going.
    pub delay: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

/// What a gateway's call needs of its header list besides the headers of a client that a tracer
/// puts there, in KiB: its own headers, and 32 bytes more for each.
const OWN_HEADERS_KIB: u32 = 8;

impl Listeners {
    /// The most headers that a gateway may take of a client, in KiB, so that the call about them is
    /// answered even where all of them are put into its headers: Envoy's `max_request_headers_kb`.
    #[must_use]
    pub const fn max_client_headers_kib(&self) -> u32 {
        (self.grpc.max_header_list_bytes / 1024).saturating_sub(OWN_HEADERS_KIB)
    }
}

impl Settings {
    /// What they decide about what limits mean.
    #[must_use]
    pub const fn conventions(&self) -> Conventions {
        Conventions { paths: self.paths, ip_prefix: self.ip_prefix }
    }
}

impl Listener {
    /// Whether a caller at this address may use the door.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trust.iter().any(|net| net.contains(&peer))
    }
}

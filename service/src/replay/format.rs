//! The forms of logs that can be replayed, and what each calls the facts of a request.

use clap::ValueEnum;
use sluicegate_limits::attributes::Paths;
use sluicegate_limits::policy::{Algorithm, KNOWN_ATTRIBUTES, Policy};

use super::Entry;
use super::lines::BYTE_ORDER_MARK;
use super::mapping::{
    AT, COST, DURATION, Field, Mapping, Names, Source, Substitute, Values, of_header,
};
use crate::settings::AddressSource;

mod csv;
mod envoy_text;
mod json;

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Decision records of Sluicegate
    Records,
    /// Envoy's access log as JSON
    EnvoyJson,
    /// Envoy's access log in its default text format, or Istio's
    EnvoyText,
    /// Comma-separated values with a header: `at`, attributes, `cost`
    Csv,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A request that reached the limits.
    Request(Entry),
    /// Something else: another line of the service's log, a request refused before any limit.
    Other,
    /// Why it cannot be read.
    Unreadable(String),
}

/// Reads the lines of one format.
pub(super) struct Reader {
    mapping: Mapping,
    values: Values,
    form: Form,
}

enum Form {
    Records(json::Fields, json::RecordFields),
    Json(json::Fields),
    Text(envoy_text::Slots),
    Csv(Box<csv::Columns>),
}

/// What Envoy's own and Istio's access logs call the facts of a request, the best source first.
const ENVOY: [(&str, &[&str]); 4] = [
    (AT, &["start_time", "timestamp", "time", "@timestamp", "ts"]),
    ("method", &["method", ":method", "request_method"]),
    ("path", &["x-envoy-original-path", "x-envoy-origin-path", "path", ":path", "request_path"]),
    ("host", &["authority", ":authority", "host"]),
];
/// What they call who connected to Envoy.
const DIRECT: [&str; 2] =
    ["downstream_direct_remote_address_without_port", "downstream_direct_remote_address"];
/// What they call the client that Envoy found.
const REMOTE: [&str; 2] = ["downstream_remote_address_without_port", "downstream_remote_address"];
/// What they call the list that proxies append to.
const FORWARDED: [&str; 2] = ["x_forwarded_for", "x-forwarded-for"];

impl Format {
    /// The word on the command line and in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::EnvoyJson => "envoy-json",
            Self::EnvoyText => "envoy-text",
            Self::Csv => "csv",
        }
    }

    /// Guesses by the beginning of a log.
    pub(crate) fn detect(beginning: &[u8]) -> Self {
        // Records stand among other lines of the service's log.
        if has(beginning, crate::record::TARGET.as_bytes()) {
            return Self::Records;
        }
        let text = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::EnvoyJson,
            Some(b'[') => Self::EnvoyText,
            _ => Self::Csv,
        }
    }

    /// The fields of this format by attribute. Attributes that a policy uses have fields of their
    /// own names.
    fn names<'p>(
        self,
        policies: impl Iterator<Item = &'p Policy>,
        address: &AddressSource,
    ) -> Names {
        let known = KNOWN_ATTRIBUTES.iter().map(|name| (*name).to_owned());
        let policies: Vec<&Policy> = policies.collect();
        let used = policies.iter().flat_map(|policy| policy.attributes()).map(ToOwned::to_owned);
        let mut names: Names =
            known.chain(used).map(|name| (name.clone(), Source::fields(&[&name]))).collect();
        // What the policy finds itself is no field.
        names.remove("endpoint");
        names.insert(AT.to_owned(), Source::fields(&[AT]));
        names.insert(COST.to_owned(), Source::fields(&[COST]));
        // Nothing else asks how long a request ran.
        let mut limits = policies.iter().flat_map(|policy| policy.limits());
        let ends = limits.any(|limit| limit.algorithm == Algorithm::Concurrency);
        if ends {
            names.insert(DURATION.to_owned(), Source::fields(&[DURATION]));
        }
        match self {
            Self::Records => {
                names.insert(AT.to_owned(), Source::fields(&["time"]));
            }
            Self::EnvoyJson | Self::EnvoyText => {
                for (attribute, fields) in ENVOY {
                    names.insert(attribute.to_owned(), Source::fields(fields));
                }
                names.insert("ip_address".to_owned(), Source::Fields(addresses(address)));
                if ends {
                    names.insert(DURATION.to_owned(), Source::fields(&["duration", DURATION]));
                }
            }
            Self::Csv => {}
        }
        names
    }
}

impl Reader {
    /// A reader of this format, with other fields than the format's for some attributes, of
    /// requests to an upstream that reads paths so.
    pub(super) fn new<'p>(
        format: Format,
        policies: impl Iterator<Item = &'p Policy>,
        mapped: Names,
        address: &AddressSource,
        paths: &Paths,
    ) -> Self {
        let mut names = format.names(policies, address);
        names.extend(mapped);
        let is_envoy = matches!(format, Format::EnvoyJson | Format::EnvoyText);
        let mapping = Mapping::new(names, *paths, is_envoy, format == Format::Records);
        let form = match format {
            Format::Csv => Form::Csv(Box::new(csv::Columns::new())),
            Format::EnvoyText => Form::Text(envoy_text::Slots::new(&mapping)),
            Format::EnvoyJson => Form::Json(json::Fields::new(&mapping)),
            Format::Records => {
                let mut fields = json::Fields::new(&mapping);
                let record = json::RecordFields::add_to(&mut fields);
                Form::Records(fields, record)
            }
        };
        Self { mapping, values: Values::default(), form }
    }

    /// Whether a line so far had this attribute.
    pub(super) fn saw(&self, attribute: &str) -> bool {
        self.mapping.saw(attribute)
    }

    /// The fields that stood for the one that this attribute is, in requests so far.
    pub(super) fn substitutes(&self, attribute: &str) -> Vec<Substitute<'_>> {
        self.mapping.substitutes(attribute)
    }

    /// The share of the allowed requests that was recorded, where the records say so.
    pub(super) fn sampled_share(&self) -> Option<&str> {
        match &self.form {
            Form::Records(_, record) => record.sampled_share(),
            _ => None,
        }
    }

    /// How many denials the records say were left out.
    pub(super) fn denials_left_out(&self) -> u64 {
        match &self.form {
            Form::Records(_, record) => record.denials_left_out(),
            _ => 0,
        }
    }

    /// Reads one line.
    pub(super) fn read(&mut self, line: &str) -> Read {
        if line.trim_ascii().is_empty() {
            return Read::Other;
        }
        self.values.clear();
        let filled = match &mut self.form {
            Form::Csv(columns) => columns.fill(line, &mut self.mapping, &mut self.values),
            Form::Text(slots) => slots.fill(line, &mut self.values),
            Form::Json(fields) => fields.fill(line, &mut self.values),
            Form::Records(fields, record) => record.fill(fields, line, &mut self.values),
        };
        match filled {
            Ok(true) => {
                self.mapping.entry(&self.values).map_or_else(Read::Unreadable, Read::Request)
            }
            Ok(false) => Read::Other,
            Err(why) => Read::Unreadable(why),
        }
    }
}

/// The fields that are the address by the settings, and after them those that are not.
fn addresses(source: &AddressSource) -> Vec<Field> {
    let fields = |names: &[&str]| names.iter().map(|name| Field::new(name)).collect::<Vec<_>>();
    let (direct, remote, mut forwarded) = (fields(&DIRECT), fields(&REMOTE), fields(&FORWARDED));
    if let AddressSource::TrustedHops(hops) = source {
        forwarded.iter_mut().for_each(|field| field.from_right = *hops);
    }
    let (meant, instead) = match source {
        AddressSource::Peer => (direct, [remote, forwarded]),
        // What the gateway wrote to the header is what it was asked with.
        AddressSource::Header(name) => ([of_header(name), remote].concat(), [forwarded, direct]),
        AddressSource::TrustedHops(_) | AddressSource::TrustedProxies(_) => {
            (remote, [forwarded, direct])
        }
    };
    let instead = instead.concat().into_iter().map(Field::substitute);
    meant.into_iter().chain(instead).collect()
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

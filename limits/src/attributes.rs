//! The facts about one request, canonical by construction.
//!
//! Doors build [`Attributes`] with [`AttributesBuilder`]; nothing else can. A value is text:
//! booleans are `true` and `false`, numbers are decimal digits. An empty value is an absent
//! attribute. What is canonical, by name:
//!
//! | name | value |
//! | --- | --- |
//! | `path` | one spelling, read as [`Paths`] says; without query and fragment |
//! | `ip_address` | an address, whole: what of it names a counter is the policy's [`IpPrefix`] |
//! | `host` | lower case, without port and trailing dot: a caller chooses the port it writes |
//! | `method` | an upper-case token; methods are case-sensitive, so `get` is refused, not folded |
//! | `authenticated` | `true` or `false`, always set; `false` unless it was set |
//! | `country`, `region` | upper case |
//! | `traffic_class` | one of [`TRAFFIC_CLASSES`] |
//! | `headers.*` | any value; the name is in lower case |
//!
//! [`IpPrefix`]: crate::policy::IpPrefix

mod fault;
mod ip;
pub(crate) mod path;
mod paths;

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;

pub use fault::PathFault;
pub use ip::parse_address;
pub use path::Reading;
pub use paths::{
    Case, DotSegments, EmptySegments, EncodedSlash, MatrixParams, NonUtf8, PathSetting, Paths,
    TrailingSlash,
};

/// The most attributes that one request may carry.
pub const MAX_ATTRIBUTES: usize = 64;
/// The longest name of an attribute, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The longest value of an attribute, in bytes, as it is given.
pub const MAX_VALUE_BYTES: usize = 65_536;

/// The words of the attribute `traffic_class`: where a request comes from.
pub const TRAFFIC_CLASSES: [&str; 4] = ["north_south", "east_west", "admin", "partner"];

const AUTHENTICATED: &str = "authenticated";
const PATH: &str = "path";
const TOO_LONG: &str = "at most 65536 bytes";

/// Appends a value of the named attribute in some form, or says what was expected.
type Form = fn(&str, &str, &mut String) -> Result<(), &'static str>;

/// The facts about one request, sorted by name.
#[derive(Clone)]
pub struct Attributes {
    /// Names and values, one after the other: one allocation, however many there are.
    text: String,
    entries: Vec<Entry>,
    /// What else its path may be; almost always nothing.
    readings: Vec<path::Reading>,
    /// Why its path cannot be read.
    fault: Option<PathFault>,
}

/// Collects facts into [`Attributes`]: the same, not sorted yet, the path as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributesBuilder {
    facts: Attributes,
    /// The position of the target that is still to be read.
    target: Option<usize>,
}

/// Where in the text a name and its value are.
#[derive(Clone)]
struct Entry {
    name: Range<usize>,
    value: Range<usize>,
}

/// Why an attribute was refused. Names the attribute, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidAttribute {
    /// The attribute was given twice.
    Repeated(String),
    /// The name is empty, too long, or has a character outside `[A-Za-z0-9_.-]`.
    BadName,
    /// The value does not have the form that the attribute needs; says what was expected.
    BadValue {
        /// The attribute.
        name: String,
        /// What its value should have been.
        expected: &'static str,
    },
    /// More than [`MAX_ATTRIBUTES`].
    TooMany,
}

impl fmt::Display for InvalidAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(name) => write!(f, "attribute {name} is given twice"),
            Self::BadName => write!(
                f,
                "an attribute's name has 1 to {MAX_NAME_BYTES} letters, digits, '_', '.' or '-'"
            ),
            Self::BadValue { name, expected } => {
                write!(f, "attribute {name} has a bad value; expected {expected}")
            }
            Self::TooMany => write!(f, "more than {MAX_ATTRIBUTES} attributes"),
        }
    }
}

impl std::error::Error for InvalidAttribute {}

impl AttributesBuilder {
    /// Nothing is known yet. There is room for the facts of a usual request.
    #[must_use]
    pub fn new() -> Self {
        let (text, entries) = (String::with_capacity(256), Vec::with_capacity(12));
        let facts = Attributes { text, entries, readings: Vec::new(), fault: None };
        Self { facts, target: None }
    }

    /// Adds a fact, in its canonical form. An empty value adds nothing. A `path` is the target of a
    /// request, which is read at the end.
    ///
    /// # Errors
    /// A bad name, a name that is already set, a value that is not what the name promises or is
    /// longer than [`MAX_VALUE_BYTES`], or more than [`MAX_ATTRIBUTES`]. Nothing is added then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<&mut Self, InvalidAttribute> {
        let before = self.facts.entries.len();
        self.add(name, value, push_canonical)?;
        if name == PATH && self.facts.entries.len() > before {
            self.target = Some(before);
        }
        Ok(self)
    }

    /// Adds a fact whose value stands for the real one, as a hash or the beginning of it does in a
    /// decision record. It is taken as it is: what is canonical of the real value is not of it. An
    /// empty value adds nothing.
    ///
    /// # Errors
    /// As [`Self::set`], without a bad form.
    pub fn set_stand_in(&mut self, name: &str, value: &str) -> Result<&mut Self, InvalidAttribute> {
        self.add(name, value, push_as_it_is)
    }

    /// Whether this attribute was added.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.facts.get(name).is_some()
    }

    /// The value of an attribute that is set so far.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts.get(name)
    }

    /// Names and values that are set so far, in the order in which they were; the path as it was
    /// given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.facts.iter()
    }

    /// The facts, sorted by name, of a request to an upstream of which nobody says how it reads
    /// paths.
    #[must_use]
    pub fn finish(self) -> Attributes {
        self.finish_for(&Paths::default())
    }

    /// The facts, sorted by name, of a request to an upstream that reads paths so. `authenticated`
    /// is `false` where nobody said otherwise.
    #[must_use]
    pub fn finish_for(mut self, paths: &Paths) -> Attributes {
        if let Some(target) = self.target {
            self.read_path(target, paths);
        }
        if !self.has(AUTHENTICATED) {
            let name = self.append(AUTHENTICATED);
            let value = self.append("false");
            self.facts.entries.push(Entry { name, value });
        }
        let Attributes { text, mut entries, readings, fault } = self.facts;
        entries.sort_unstable_by(|a, b| text.get(a.name.clone()).cmp(&text.get(b.name.clone())));
        Attributes { text, entries, readings, fault }
    }

    /// Puts the path that a target says in its place, or takes it away where there is none.
    fn read_path(&mut self, target: usize, paths: &Paths) {
        let facts = &mut self.facts;
        let Some(entry) = facts.entries.get_mut(target) else { return };
        let Some(given) = facts.text.get(entry.value.clone()) else { return };
        if let Some(end) = path::plain_end(given, paths) {
            entry.value.end = entry.value.start + end;
            return;
        }
        match path::read(given, paths) {
            Ok((text, readings)) => {
                facts.readings = readings;
                entry.value = append(&mut facts.text, &text);
            }
            Err(fault) => {
                // `OPTIONS *` is about the server, and `CONNECT host:443` about another one.
                let of_no_path = match facts.get("method") {
                    Some("OPTIONS") => given == "*",
                    Some("CONNECT") => fault == PathFault::NoSlash,
                    _ => false,
                };
                facts.fault = (!of_no_path).then_some(fault);
                facts.entries.remove(target);
            }
        }
    }

    fn add(&mut self, name: &str, value: &str, form: Form) -> Result<&mut Self, InvalidAttribute> {
        let name = canonical_name(name)?;
        if value.is_empty() {
            return Ok(self);
        }
        if self.has(&name) {
            return Err(InvalidAttribute::Repeated(name.into_owned()));
        }
        if name != AUTHENTICATED && self.is_full() {
            return Err(InvalidAttribute::TooMany);
        }
        self.push(&name, value, form)?;
        Ok(self)
    }

    /// Whether there is no place but the one that is kept for `authenticated`.
    fn is_full(&self) -> bool {
        let length = self.facts.entries.len();
        length >= MAX_ATTRIBUTES || (length + 1 == MAX_ATTRIBUTES && !self.has(AUTHENTICATED))
    }

    fn push(&mut self, name: &str, value: &str, form: Form) -> Result<(), InvalidAttribute> {
        let before = self.facts.text.len();
        let name_at = self.append(name);
        let text = &mut self.facts.text;
        let start = text.len();
        if let Err(expected) = form(name, value, text) {
            text.truncate(before);
            return Err(InvalidAttribute::BadValue { name: name.to_owned(), expected });
        }
        let value = start..text.len();
        self.facts.entries.push(Entry { name: name_at, value });
        Ok(())
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        append(&mut self.facts.text, text)
    }
}

impl Attributes {
    /// The value of an attribute; `None` where it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        // They are few: comparing lengths in a row is faster than ordering names.
        let wanted = |entry: &&Entry| {
            entry.name.len() == name.len()
                && self.text.as_bytes().get(entry.name.clone()) == Some(name.as_bytes())
        };
        self.entries.iter().find(wanted).map(|entry| self.at(&entry.value))
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.at(&entry.name), self.at(&entry.value)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Why the path of the request cannot be read; it has none then.
    #[must_use]
    pub const fn path_fault(&self) -> Option<PathFault> {
        self.fault
    }

    /// What the path may be besides what the attribute `path` says, since nobody knows how the
    /// upstream reads it, with what a request is refused for where that makes a difference. At most
    /// 7.
    #[must_use]
    pub fn readings(&self) -> &[path::Reading] {
        &self.readings
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter()) && self.readings == other.readings && self.fault == other.fault
    }
}

impl Eq for Attributes {}

impl Default for Attributes {
    /// A request that nothing is known of.
    fn default() -> Self {
        AttributesBuilder::new().finish()
    }
}

impl Default for AttributesBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Attributes {
    /// Names only: a value may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// The canonical form of an attribute's name: `headers.X-Team` is `headers.x-team`, since the
/// names of HTTP headers have no case; others stay as they are.
///
/// # Errors
/// [`InvalidAttribute::BadName`].
pub fn canonical_name(name: &str) -> Result<Cow<'_, str>, InvalidAttribute> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(fits) {
        return Err(InvalidAttribute::BadName);
    }
    if name.starts_with("headers.") && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

/// Whether a text can be a request's `method`: an upper-case token of RFC 9110.
pub(crate) fn is_method(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !text.is_empty() && text.bytes().all(fits)
}

fn append(all: &mut String, text: &str) -> Range<usize> {
    let start = all.len();
    all.push_str(text);
    start..all.len()
}

/// Appends a value as it is.
fn push_as_it_is(_: &str, value: &str, out: &mut String) -> Result<(), &'static str> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(TOO_LONG);
    }
    out.push_str(value);
    Ok(())
}

/// Appends the canonical form of a value, or says what was expected.
pub(crate) fn push_canonical(
    name: &str,
    value: &str,
    out: &mut String,
) -> Result<(), &'static str> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(TOO_LONG);
    }
    match name {
        "ip_address" => ip::push_ip(value, out).ok_or("an IPv4 or IPv6 address")?,
        "host" => push_host(value, out).ok_or("a host name or address, with or without port")?,
        "method" if !is_method(value) => return Err("an upper-case HTTP method"),
        "country" | "region" => out.extend(value.chars().map(|c| c.to_ascii_uppercase())),
        AUTHENTICATED if !matches!(value, "true" | "false") => return Err("true or false"),
        "traffic_class" if !TRAFFIC_CLASSES.contains(&value) => {
            return Err("north_south, east_west, admin or partner");
        }
        _ => out.push_str(value),
    }
    Ok(())
}

fn push_host(value: &str, out: &mut String) -> Option<()> {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((v6, after)) = value.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let v6: Ipv6Addr = v6.parse().ok()?;
        out.push_str(&format!("[{v6}]"));
        return (after.is_empty() || after.strip_prefix(':').is_some_and(is_port)).then_some(());
    }
    let (name, port) = value.split_once(':').unwrap_or((value, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if name.is_empty() || name.ends_with('.') || !name.bytes().all(fits) || !is_port(port) {
        return None;
    }
    let start = out.len();
    out.push_str(name);
    out.get_mut(start..)?.make_ascii_lowercase();
    Some(())
}

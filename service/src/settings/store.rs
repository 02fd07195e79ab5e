//! `store:`: the embedded store, or a Valkey or Redis that replicas share.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use config::ValueKind;
use sluicegate_limits::charge::MIN_SECRET_BYTES;

use super::reader::{Section, Walk};
use super::secret::Secret;
use crate::shell;

/// Where counters live.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// In this process.
    Memory,
    /// In a store that replicas share.
    Valkey(ValkeySettings),
}

/// How the shared store is reached.
#[derive(Clone, Debug)]
pub struct ValkeySettings {
    /// Its address.
    pub url: StoreUrl,
    /// The user of its access list.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// How long one call may take, reconnecting included.
    pub timeout: Duration,
}

/// The address of a store. Its text form never has credentials in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The number of the database.
    pub database: u16,
}

/// A store URL with the credentials that stood in it.
struct ParsedUrl {
    url: StoreUrl,
    username: Option<String>,
    password: Option<Secret>,
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "valkey://{}:{}", self.host, self.port)?;
        if self.database > 0 { write!(f, "/{}", self.database) } else { Ok(()) }
    }
}

/// Reads `store:` and the key secret that goes with it.
pub(super) fn read(
    root: &mut Section<'_>,
    walk: &Walk,
    warnings: &mut Vec<String>,
) -> Option<(StoreSettings, Secret)> {
    let development = root.flag("development", false);
    let mut section = if matches!(root.peek("store"), Some(ValueKind::Table(_))) {
        root.section("store")
    } else {
        let word = root.text_or("store", "memory");
        if word == "memory" {
            return random_secret(root).map(|secret| (StoreSettings::Memory, secret));
        }
        let url = config::Value::new(root.origin("store"), word);
        let table = [("url".to_owned(), url)].into_iter().collect();
        Section::new(walk, "store", table)
    };
    let answer = valkey(&mut section, development, warnings);
    section.finish();
    answer.map(|(settings, secret)| (StoreSettings::Valkey(settings), secret))
}

fn valkey(
    section: &mut Section<'_>,
    development: bool,
    warnings: &mut Vec<String>,
) -> Option<(ValkeySettings, Secret)> {
    let parsed = section.text("url").map_or_else(
        || Err("is missing; use `store: memory` for the embedded store".to_owned()),
        |text| parse_url(&text),
    );
    let parsed = parsed.map_err(|what| section.wrong("url", what, None)).ok();
    let username = section.text("username");
    let password_file = section.path("password_file");
    let key_file = section.path("key_secret_file");
    let timeout = Duration::from_millis(section.number("timeout_ms", 8, 1..=60_000));
    let password = password_file.and_then(|path| password(section, &path));
    let parsed = parsed?;
    let secret = match &key_file {
        Some(path) => key_secret(section, path),
        None if development => {
            warnings.push(format!(
                "development is true: the keys in the store at {} are hashed with a secret that \
                 everybody knows; set store.key_secret_file before you store real keys",
                parsed.url
            ));
            Some(Secret::development())
        }
        None => {
            let what = "is missing: a store that replicas share needs a secret that they share";
            let help = format!(
                "{}; to try things out on your own machine, set `development: true` instead",
                make_one(Path::new("key-secret"))
            );
            section.wrong("key_secret_file", what, Some(help));
            None
        }
    };
    let settings = ValkeySettings {
        url: parsed.url,
        username: username.or(parsed.username),
        password: password.or(parsed.password),
        timeout,
    };
    secret.map(|secret| (settings, secret))
}

/// The password in a file: text, since the protocol's client knows no other.
fn password(section: &Section<'_>, path: &Path) -> Option<Secret> {
    let read = Secret::read(path).and_then(|secret| match std::str::from_utf8(secret.expose()) {
        Ok(_) => Ok(secret),
        Err(_) => Err(format!("{} is not UTF-8 text", path.display())),
    });
    read.map_err(|what| section.wrong("password_file", what, Some(make_one(path)))).ok()
}

fn key_secret(section: &Section<'_>, path: &Path) -> Option<Secret> {
    let read = Secret::read(path).and_then(|secret| match secret.expose().len() {
        MIN_SECRET_BYTES.. => Ok(secret),
        _ => Err(format!("needs at least {MIN_SECRET_BYTES} bytes")),
    });
    read.map_err(|what| section.wrong("key_secret_file", what, Some(make_one(path)))).ok()
}

/// How to make a secret.
fn make_one(path: &Path) -> String {
    let name = shell::quoted(&path.to_string_lossy());
    format!("make one: head -c 32 /dev/urandom | base64 > {name}")
}

fn random_secret(root: &Section<'_>) -> Option<Secret> {
    Secret::random()
        .map_err(|e| {
            root.wrong("store", format!("cannot read the system's random source: {e}"), None)
        })
        .ok()
}

/// Takes a URL apart. The errors never repeat it: it may hold a password.
fn parse_url(text: &str) -> Result<ParsedUrl, String> {
    let form = "must be memory or valkey://HOST:PORT";
    if text == "memory" {
        return Err(
            "must be valkey://HOST:PORT; for the embedded store write `store: memory`".into()
        );
    }
    let (scheme, rest) = text.split_once("://").ok_or(form)?;
    match scheme {
        "valkey" | "redis" => {}
        "valkeys" | "rediss" => return Err("TLS to the store comes with a later version".into()),
        _ => return Err(form.into()),
    }
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let (place, database) = place.split_once('/').unwrap_or((place, ""));
    let database = if database.is_empty() { Some(0) } else { database.parse().ok() };
    let database = database.ok_or("ends in something that is not the number of a database")?;
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| "has a port that is not a number up to 65535")?)
        }
        _ => (place, 6379),
    };
    let good =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(good) || (host.contains(':') && !host.starts_with('['))
    {
        return Err("has no valid host; an IPv6 address stands in brackets".into());
    }
    let (username, password) = credentials.map(|c| c.split_once(':').unwrap_or((c, ""))).unzip();
    let part = |part: Option<&str>| part.filter(|p| !p.is_empty()).map(decoded).transpose();
    let (username, password) = (part(username)?, part(password)?);
    Ok(ParsedUrl {
        url: StoreUrl { host: host.to_owned(), port, database },
        username,
        password: password.map(|p| Secret::new(p.as_bytes())),
    })
}

/// A user or a password as URLs have them: `%` and two hexadecimal digits are one byte.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let byte = piece.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = byte.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.ok_or("has a `%` in its user or password that is no escape: write %25")?);
        bytes.extend(piece.bytes().skip(2));
    }
    String::from_utf8(bytes).map_err(|_| "has a user or password that is not UTF-8".to_owned())
}

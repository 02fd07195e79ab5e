//! Where an address is: a file in MaxMind's format, kept in memory and followed while it changes.
//!
//! The file may be anything: it is read within a bound and verified before it takes effect, and a
//! lookup walks at most 128 bits and then decodes two short texts within the decoder's bounds. A
//! record that says something else tells nothing. A bad change keeps the last good file.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use maxminddb::{Reader, path};
use parking_lot::Mutex;
use sluicegate_limits::attributes::{AttributesBuilder, InvalidAttribute};
use sluicegate_limits::policy::Problem;
use sluicegate_limits::policy::problem::code;

use crate::clock;
use crate::metrics::Metrics;
use crate::reload::{Rejection, ReloadState, Watcher};

/// The most bytes of a file; those with cities have a quarter of it.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// The places of addresses, by the file that was good last.
pub struct Geography {
    file: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
    /// What the file was when it was read last; `None` where it could not be opened.
    seen: Mutex<Option<Stamp>>,
    state: ReloadState,
    metrics: Arc<Metrics>,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The country by ISO 3166-1: two letters in upper case.
    pub country: String,
    /// Its first subdivision by ISO 3166-2, as `ES-MD`.
    pub region: Option<String>,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidGeography {
    file: String,
    why: String,
}

/// Tells files apart without reading them: device, inode, length, and when it was changed last.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl Geography {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than [`MAX_FILE_BYTES`], or is not what it should be.
    pub fn open(file: &Path, metrics: Arc<Metrics>) -> Result<Arc<Self>, InvalidGeography> {
        let read = open(file).and_then(|(opened, stamp)| Ok((load(opened)?, stamp)));
        let (reader, stamp) = read.map_err(|why| InvalidGeography::new(file, why))?;
        metrics.geography.in_effect(reader.metadata().build_epoch);
        Ok(Arc::new(Self {
            file: file.to_path_buf(),
            reader: ArcSwap::from_pointee(reader),
            seen: Mutex::new(Some(stamp)),
            state: ReloadState::default(),
            metrics,
        }))
    }

    /// Follows the file until the watcher is dropped, on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn follow(self: &Arc<Self>) -> std::io::Result<Watcher> {
        let geography = Arc::clone(self);
        Watcher::spawn("geography", vec![self.file.clone()], move || geography.read())
    }

    /// What became of the file so far.
    #[must_use]
    pub const fn state(&self) -> &ReloadState {
        &self.state
    }

    /// Where an address is, in the spelling of the attribute `ip_address`; `None` where the file
    /// does not tell.
    #[must_use]
    pub fn place(&self, ip_address: &str) -> Option<Place> {
        let address: IpAddr = ip_address.parse().ok()?;
        let reader = self.reader.load();
        let found = reader.lookup(address).ok()?;
        let country: &str = found.decode_path(&path!["country", "iso_code"]).ok().flatten()?;
        let country = iso(country, 2..=2)?;
        let subdivision = found.decode_path(&path!["subdivisions", 0, "iso_code"]);
        let region = subdivision.ok().flatten().and_then(|code: &str| iso(code, 1..=3));
        let region = region.map(|code| format!("{country}-{code}"));
        Some(Place { country, region })
    }

    /// Sets `country` and `region` where they are absent and the address tells them. A region
    /// belongs to its country: it is not set beside another one.
    ///
    /// # Errors
    /// Where there is no room for another attribute.
    pub(crate) fn fill(&self, facts: &mut AttributesBuilder) -> Result<(), InvalidAttribute> {
        let place = facts.get("ip_address").and_then(|address| self.place(address));
        let Some(Place { country, region }) = place else { return Ok(()) };
        if facts.get("country").is_none() {
            facts.set("country", &country)?;
        }
        let region = region.filter(|_| facts.get("country") == Some(&*country));
        if let Some(region) = region
            && facts.get("region").is_none()
        {
            facts.set("region", &region)?;
        }
        Ok(())
    }

    /// Reads the file where it is another one than was seen last.
    fn read(&self) {
        let opened = open(&self.file);
        let stamp = opened.as_ref().ok().map(|(_, stamp)| *stamp);
        if std::mem::replace(&mut *self.seen.lock(), stamp) == stamp {
            return;
        }
        match opened.and_then(|(file, _)| load(file)) {
            Ok(reader) => {
                let built = reader.metadata().build_epoch;
                let kind = &reader.metadata().database_type;
                tracing::info!(kind, built, "the geography file was taken");
                self.reader.store(Arc::new(reader));
                self.metrics.geography.accepted();
                self.metrics.geography.in_effect(built);
                self.state.record(None);
            }
            Err(why) => {
                let error = InvalidGeography::new(&self.file, why);
                tracing::error!("{error}: the last good file stays in effect");
                self.metrics.geography.rejected();
                let since = self.state.rejection().map_or_else(clock::now, |first| first.since);
                self.state.record(Some(Rejection { since, problems: vec![error.into()] }));
            }
        }
    }
}

impl InvalidGeography {
    fn new(file: &Path, why: String) -> Self {
        Self { file: file.display().to_string(), why }
    }
}

impl From<InvalidGeography> for Problem {
    fn from(error: InvalidGeography) -> Self {
        let help = "name a file in MaxMind's format that has countries";
        Self::about_file(code::UNREADABLE, &error.file, error.why, help)
    }
}

impl fmt::Display for InvalidGeography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "geography.file: {}: {}", self.file, self.why)
    }
}

impl std::error::Error for InvalidGeography {}

impl fmt::Debug for Geography {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Geography").field("file", &self.file).finish_non_exhaustive()
    }
}

fn open(file: &Path) -> Result<(File, Stamp), String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // Opening a pipe would wait for its writer.
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err("cannot be read: it is not a file".to_owned());
    }
    let opened = File::open(file).map_err(failed)?;
    let of = opened.metadata().map_err(failed)?;
    let changed = (of.mtime(), of.mtime_nsec());
    Ok((opened, (of.dev(), of.ino(), of.len(), changed, (of.ctime(), of.ctime_nsec()))))
}

fn load(file: File) -> Result<Reader<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("has more than {MAX_FILE_BYTES} bytes"));
    }
    let refused = |error: maxminddb::MaxMindDbError| format!("is not in MaxMind's format: {error}");
    let reader = Reader::from_source(bytes).map_err(refused)?;
    reader.verify().map_err(refused)?;
    Ok(reader)
}

/// A code of letters and digits, in upper case.
fn iso(code: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<String> {
    let fits = lengths.contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| code.to_ascii_uppercase())
}

//! The file that tells the place of an address: lookups, a change of it, and broken files.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sluicegate::geography::{Geography, Place};
use sluicegate::metrics::Metrics;
use sluicegate::reload::{Status, Watcher};
use tokio::sync::watch;

#[path = "support/mmdb.rs"]
mod mmdb;

use mmdb::{Entry, mmdb};

/// So long that only a lost event can reach it.
const PATIENCE: Duration = Duration::from_secs(30);

const V4: [Entry<'_>; 4] = [
    ("192.0.2.0/25", "ES", Some("MD")),
    ("192.0.2.128/25", "es", Some("ct")),
    ("198.51.100.0/24", "FR", None),
    ("203.0.113.7/32", "not a code", Some("X")),
];
const V6: [Entry<'_>; 3] = [
    ("2001:db8:1::/48", "SE", Some("AB")),
    ("2001:db8:2:3::/64", "NO", None),
    ("2001:db8:2:5::8/125", "DK", None),
];

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("geography-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Puts another file in the place of what is there, as whoever updates it should.
fn put(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, path).unwrap();
}

fn open(name: &str, bytes: &[u8]) -> Result<Arc<Geography>, String> {
    let file = folder(name).join("places.mmdb");
    fs::write(&file, bytes).unwrap();
    Geography::open(&file, Metrics::new(1)).map_err(|error| error.to_string())
}

fn place(country: &str, region: Option<&str>) -> Option<Place> {
    Some(Place { country: country.to_owned(), region: region.map(str::to_owned) })
}

#[test]
fn addresses_have_places() {
    let both: Vec<_> = V4.into_iter().chain(V6).collect();
    for (name, file) in [("v4", mmdb(4, &V4, 1)), ("v6", mmdb(6, &both, 1))] {
        let places = open(name, &file).unwrap();
        assert_eq!(places.place("192.0.2.1"), place("ES", Some("ES-MD")));
        assert_eq!(places.place("192.0.2.200"), place("ES", Some("ES-CT")), "in upper case");
        assert_eq!(places.place("198.51.100.9"), place("FR", None));
        for nowhere in ["203.0.113.7", "203.0.113.8", "10.0.0.1", "0.0.0.0", "", "no address"] {
            assert_eq!(places.place(nowhere), None, "{nowhere} in {name}");
        }
        let v6 = name == "v6";
        let (sweden, norway) = (place("SE", Some("SE-AB")), place("NO", None));
        assert_eq!(places.place("2001:db8:1:9::7"), sweden.filter(|_| v6));
        assert_eq!(places.place("2001:db8:2:3::7"), norway.filter(|_| v6));
        assert_eq!(places.place("2001:db8:2:4::7"), None);
        assert_eq!(places.place("2001:db8:2:5::f"), place("DK", None).filter(|_| v6), "whole");
        assert_eq!(places.place("2001:db8:2:5::7"), None);
    }
}

#[test]
fn a_file_that_is_none_is_refused_and_says_why() {
    let good = mmdb(4, &V4, 1);
    let missing = Geography::open(Path::new("no-such.mmdb"), Metrics::new(1)).unwrap_err();
    assert!(missing.to_string().starts_with("geography.file: no-such.mmdb: cannot be read: "));
    let folder = Geography::open(Path::new(env!("CARGO_TARGET_TMPDIR")), Metrics::new(1));
    assert!(folder.unwrap_err().to_string().contains("it is not a file"));
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", &b"rate_limits: {}"[..]),
        ("cut", &good[..good.len() / 2]),
        ("cut-metadata", &good[..good.len() - 60]),
        ("no-tree", &good[30..]),
    ] {
        let error = open(name, bytes).unwrap_err();
        assert!(error.contains("places.mmdb: is not in MaxMind's format: "), "{name}: {error}");
    }
}

/// Whatever byte is another one, the file is refused or answers: it never loops or panics.
#[test]
fn no_byte_of_a_hostile_file_does_harm() {
    let good = mmdb(6, &[V4[0], V6[0]], 1);
    let (file, metrics) = (folder("hostile").join("places.mmdb"), Metrics::new(1));
    let (mut refused, mut taken) = (0, 0);
    for at in 0..good.len() {
        for change in [0x01, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            fs::write(&file, &bytes).unwrap();
            match Geography::open(&file, Arc::clone(&metrics)) {
                Err(_) => refused += 1,
                Ok(places) => {
                    taken += 1;
                    for address in ["192.0.2.1", "0.0.0.0", "2001:db8:1::", "::", "ff::"] {
                        if let Some(Place { country, region }) = places.place(address) {
                            assert_eq!(country.len(), 2, "{at}");
                            assert!(region.is_none_or(|region| region.len() <= 6), "{at}");
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 50 && taken > 50, "{refused} refused, {taken} taken");
}

/// A file that is being followed.
struct Followed {
    file: PathBuf,
    metrics: Arc<Metrics>,
    geography: Arc<Geography>,
    status: watch::Receiver<Status>,
    _watcher: Watcher,
}

impl Followed {
    fn start(name: &str) -> Self {
        let file = folder(name).join("places.mmdb");
        fs::write(&file, mmdb(4, &V4, 1_700_000_000)).unwrap();
        let metrics = Metrics::new(1);
        let geography = Geography::open(&file, Arc::clone(&metrics)).unwrap();
        let (status, watcher) = (geography.state().subscribe(), geography.follow().unwrap());
        Self { file, metrics, geography, status, _watcher: watcher }
    }

    async fn until(&mut self, rejected: bool) -> Status {
        let until = self.status.wait_for(|s| s.changes > 0 && s.rejection.is_some() == rejected);
        tokio::time::timeout(PATIENCE, until).await.expect("an event").expect("a watcher").clone()
    }
}

#[tokio::test]
async fn a_new_file_takes_effect_and_a_bad_one_does_not() {
    let mut followed = Followed::start("followed");
    let scraped = |metrics: &Metrics, line: &str| metrics.scrape().contains(line);
    assert!(scraped(&followed.metrics, "sluicegate_geography_built_seconds 1700000000"));
    put(&followed.file, b"an HTML page that says that the licence has expired");
    let status = followed.until(true).await;
    let rejection = status.rejection.unwrap();
    assert!(rejection.files().iter().any(|file| file.ends_with("places.mmdb")), "{rejection:?}");
    assert_eq!(followed.geography.place("192.0.2.1"), place("ES", Some("ES-MD")), "the last good");
    fs::remove_file(&followed.file).unwrap();
    let gone = followed.status.wait_for(|status| {
        status.rejection.as_ref().is_some_and(|r| r.problems[0].message.contains("cannot be read"))
    });
    tokio::time::timeout(PATIENCE, gone).await.expect("an event").expect("a watcher");
    assert_eq!(followed.geography.place("192.0.2.1"), place("ES", Some("ES-MD")), "still");
    put(&followed.file, &mmdb(4, &[("192.0.2.0/24", "PT", None)], 1_800_000_000));
    followed.until(false).await;
    assert_eq!(followed.geography.place("192.0.2.1"), place("PT", None));
    let built = "sluicegate_geography_built_seconds 1800000000";
    let accepted = "sluicegate_geography_reloads_total{result=\"accepted\"} 1";
    for line in [built, accepted, "sluicegate_geography_reloads_total{result=\"rejected\"} 2"] {
        assert!(scraped(&followed.metrics, line), "{line} in {}", followed.metrics.scrape());
    }
}

//! The place of an address as attributes, at every door, and the file's state at `/readyz`.

use std::path::{Path, PathBuf};

use http::StatusCode;
use serde_json::json;
use sluicegate::settings::{AttributeSource, Settings};
use tokio::time::timeout;

use crate::asking::{DOORS, Question};
use crate::mmdb::mmdb;
use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "
rate_limits:
  region: { match: GET /region, key: region, limit: 1, window: 1h }
  country: { match: GET /country, key: country, limit: 3, window: 1h }
";

fn places(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("places-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("places.mmdb");
    let entries = [
        ("192.0.2.0/25", "ES", Some("MD")),
        ("192.0.2.128/25", "ES", Some("CT")),
        ("2001:db8::/48", "SE", Some("AB")),
    ];
    std::fs::write(&file, mmdb(6, &entries, 1)).unwrap();
    file
}

fn of(address: &str, path: &str) -> Question {
    Question { address: address.to_owned(), ..Question::get(path) }
}

#[tokio::test]
async fn every_door_finds_the_place_of_an_address() {
    for door in DOORS {
        let file = places("doors");
        let server = TestServer::start(LIMITS, |settings| settings.geography = Some(file));
        let ask = async |address, path| {
            let answer = server.ask(door, &of(address, path)).await;
            (answer.allowed, answer.limit)
        };
        let (region, country) = (Some("region".to_owned()), Some("country".to_owned()));
        assert_eq!(ask("192.0.2.1", "/region").await, (true, region.clone()), "{door:?}");
        assert_eq!(ask("192.0.2.2", "/region").await, (false, region.clone()), "{door:?}");
        assert_eq!(ask("192.0.2.200", "/region").await, (true, region.clone()), "{door:?}");
        assert_eq!(ask("2001:db8::77", "/region").await, (true, region.clone()), "{door:?}");
        assert_eq!(ask("2001:db8::99", "/region").await, (false, region), "{door:?}");
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.200"] {
            assert_eq!(ask(address, "/country").await, (true, country.clone()), "{door:?}");
        }
        assert_eq!(ask("192.0.2.3", "/country").await, (false, country), "{door:?}");
        assert_eq!(ask("198.51.100.1", "/country").await, (true, None), "not in the file");
    }
}

#[tokio::test]
async fn what_the_gateway_says_of_the_country_wins() {
    let file = places("mapped");
    let server = TestServer::start(LIMITS, |settings: &mut Settings| {
        let header = AttributeSource::Header("x-tenant-id".to_owned());
        settings.attributes.insert("country".to_owned(), header);
        settings.geography = Some(file);
    });
    let ask = async |country: &str, path| {
        let answer = server.ask_envoy(of("192.0.2.1", path).by(country).envoy()).await;
        (answer.status.unwrap().code == 0, answer.dynamic_metadata.unwrap().fields)
    };
    for _ in 0..3 {
        assert!(ask("fr", "/country").await.0);
    }
    assert!(!ask("FR", "/country").await.0, "the mapped country has no tokens left");
    assert!(ask("ES", "/country").await.0, "that of the address does");
    let (_, fields) = ask("FR", "/region").await;
    assert!(!fields.contains_key("limit_name"), "no Spanish region in France: {fields:?}");
    let (_, fields) = ask("ES", "/region").await;
    assert!(fields.contains_key("limit_name"), "{fields:?}");
}

#[tokio::test]
async fn a_rejected_file_is_named_and_takes_nobody_down() {
    let file = places("ready");
    let server = TestServer::start(LIMITS, |settings| settings.geography = Some(file.clone()));
    let geography = server.geography.as_ref().unwrap();
    let watcher = geography.follow().unwrap();
    let mut status = geography.state().subscribe();
    std::fs::write(file.with_extension("new"), "broken").unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    watcher.reload();
    let rejected = status.wait_for(|status| status.rejection.is_some());
    timeout(PATIENCE, rejected).await.expect("the file is read").unwrap();
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(ready.json()["rejected_files"], json!([file.display().to_string()]));
    assert!(server.ask(DOORS[0], &of("192.0.2.1", "/region")).await.limit.is_some());
}

//! `/readyz` and the files of limits.

use std::path::PathBuf;

use http::StatusCode;
use sluicegate::reload::{Sources, Watcher};
use sluicegate::settings::Conventions;
use tokio::time::timeout;

use crate::server::{PATIENCE, TestServer};

const LIMITS: &str = "rate_limits: {default: {key: tenant_id, limit: 1, window: 1h}}";

#[tokio::test]
async fn a_rejected_file_is_named_and_takes_nobody_down() {
    let server = TestServer::start(LIMITS, |_| {});
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readiness");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("teams.yaml");
    std::fs::write(&file, LIMITS).unwrap();
    let paths = vec![file.clone()];
    let loaded = Sources::read(&paths);
    let (state, metrics) = (server.reload.clone(), server.metrics.clone());
    let watcher =
        Watcher::start(paths, &loaded, Conventions::default(), |_| {}, state, metrics).unwrap();
    let mut status = server.reload.subscribe();
    for (text, named) in [("rate_limits: [", true), (LIMITS, false)] {
        std::fs::write(&file, text).unwrap();
        watcher.reload();
        let read = status.wait_for(|status| status.rejection.is_some() == named);
        timeout(PATIENCE, read).await.expect("the file is read").unwrap();
        let ready = server.get("/readyz").await;
        assert_eq!(ready.status, StatusCode::OK);
        assert_eq!(ready.body.contains("teams.yaml"), named, "{}", ready.body);
    }
}

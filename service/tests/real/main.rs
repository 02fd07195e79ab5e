//! Tests of the real binary among the real servers that it is made for: Envoy and Valkey.
//!
//! `envoy` is the main job end to end, `dimensions` what a request can be limited by, `addresses`
//! whose address it has behind a proxy, `unknown` what a gateway cannot know of it, `replicas` two
//! replicas on one store, `deadlines` a gateway that waits shorter than they do, `denials` what a
//! client is told, `compose` the files of `deploy/`, `shared` what clients cannot do to the
//! connection that all of them share, `floods` the same in numbers, `fuzz` messages that nobody
//! should send. The other modules start the servers.

#![cfg(test)]

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/http2.rs"]
mod http2;
#[path = "../support/http.rs"]
mod http_client;
#[path = "../support/mmdb.rs"]
mod mmdb;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/process.rs"]
mod process;

mod addresses;
mod blocks;
mod calls;
mod compose;
mod compose_file;
mod crowd;
mod deadlines;
mod denials;
mod dimensions;
mod envoy;
mod fleet;
mod floods;
mod front;
mod fuzz;
mod fuzzed;
mod gate;
mod gateway;
mod generate;
mod paths;
mod replicas;
mod shared;
mod tracers;
mod unknown;
mod valkey;

/// Held by each test that loads the machine, where one process runs them all.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until no other test that loads the machine runs.
async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    ALONE.lock().await
}

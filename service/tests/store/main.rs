//! The stores against a real server: vectors, one list of behaviours, batching and failures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/valkey.rs"]
mod valkey;

mod accuracy;
mod behaviours;
mod failures;
mod fallback;
mod script;
mod trace;
mod vectors;
mod world;

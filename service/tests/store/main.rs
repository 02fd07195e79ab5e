//! The stores against a real server: vectors, one list of behaviours, batching and failures.

#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/valkey.rs"]
mod valkey;

mod accuracy;
mod behaviours;
mod failures;
mod trace;
mod vectors;
mod world;

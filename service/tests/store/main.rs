//! The stores against a real server: vectors, one list of behaviours, batching and failures.

#[path = "../support/valkey.rs"]
mod valkey;

mod trace;
mod vectors;

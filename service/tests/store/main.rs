//! The stores against a real server: vectors, one list of behaviours, batching and failures.

#![cfg(test)]

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/process.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/valkey.rs"]
mod valkey;

mod accuracy;
mod alerts;
mod behaviours;
mod changes;
mod deadlines;
mod failures;
mod fallback;
mod held;
mod held_failures;
mod logged;
mod pools;
mod replica;
mod rights;
mod script;
mod server_memory;
mod trace;
mod vectors;
mod world;

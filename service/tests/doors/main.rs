//! The doors on loopback with the embedded store: one list of behaviours on every door, then what
//! each door has for itself, the bounds of connections, health, reflection and the drain.

#![cfg(test)]

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/http2.rs"]
mod http2;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../support/http.rs"]
mod http_client;
#[path = "../support/mmdb.rs"]
mod mmdb;
#[path = "../support/server.rs"]
mod server;

mod asking;
mod behaviours;
mod bounds;
mod classes;
mod costs;
mod deadlines;
mod descriptors;
mod drain;
mod envoy;
mod geography;
mod held;
mod introspection;
mod json;
mod keep_alive;
mod overload;
mod paths;
mod readiness;
mod reveal;
mod shared;
mod strangers;

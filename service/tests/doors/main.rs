//! The doors on loopback with the embedded store: one list of behaviours on every door, then what
//! each door has for itself, the bounds of connections, health, reflection and the drain.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod asking;
mod behaviours;
mod bounds;
mod descriptors;
mod drain;
mod envoy;
mod harness;
mod http2;
mod introspection;
mod json;
mod readiness;

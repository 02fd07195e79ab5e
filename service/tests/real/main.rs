//! Tests of the real binary among the real servers that it is made for: Envoy and Valkey.
//!
//! `envoy` is the main job end to end, `replicas` two replicas on one store, `compose` the files
//! of `deploy/`, `fuzz` messages that nobody should send. The other modules start the servers.

#![cfg(test)]

mod calls;
mod compose;
mod compose_file;
mod envoy;
mod fuzz;
mod fuzzed;
mod gate;
mod gateway;
mod generate;
mod process;
mod replicas;
mod valkey;

//! Where counters live.

pub mod valkey;

//! Stores.

pub mod store;

//! `sluicegate replay` as people run it: each format, the answers by hand, and the page; and
//! `sluicegate diff`, which says the same of the limits alone.

#![cfg(test)]

#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod process;
#[path = "../support/service.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod service;

mod addresses;
mod answers;
mod differences;
mod formats;
mod meaning;
mod page;
mod paths;
mod world;

//! The pure core of Sluicegate: limits language, matching, arithmetic, decisions, explanations.
//!
//! No I/O, no async, no clock (`now` is an argument), no logging, no panic on any input. The
//! modules in reading order:

pub mod time;

pub mod attributes;

pub mod policy;

mod matching;

pub mod charge;
pub mod invalid;

pub mod counter;
pub mod decide;

pub mod alert;
pub mod verdict;

pub mod fair;
pub mod memory;

pub mod diff;
pub mod explain;
pub mod headers;

pub mod cases;
pub mod trial;

//! Property tests of counters, decisions and the embedded store against models that keep every
//! admitted token, written from the guarantees of the design and not from the code.
//!
//! `seeds` runs traces, `numbers` makes their values, `rule` and the four algorithm files say what
//! must count, `ledger` keeps the tokens, `world` compares one check, the rest are the properties.

#![cfg(test)]

mod aligned;
mod booked;
mod bucket;
mod bytes;
mod change;
mod client;
mod clock;
mod concurrency;
mod decisions;
mod give_back;
mod intents;
mod large;
mod ledger;
mod memory;
mod numbers;
mod once;
mod penalty;
mod room;
mod rule;
mod seeds;
mod window;
mod world;

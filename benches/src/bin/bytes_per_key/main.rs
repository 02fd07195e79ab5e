//! Prints the bytes that one tracked key takes, by algorithm, in the in-process store and in
//! Valkey: `cargo run --release -p sluicegate-benches --bin bytes_per_key`.

mod memory;
mod valkey;

use std::error::Error;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use sluicegate_benches::{Algorithm, PLENTY, ask};
use sluicegate_limits::counter::Counter;
use sluicegate_limits::decide::{Counters, decide};
use sluicegate_limits::time::{Micros, Timestamp};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many requests each key has seen: the first and, for a sliding window, enough to fill it.
const REQUESTS: [u64; 2] = [1, 100];
const START: Timestamp = Timestamp::new(1_764_000_000_000_000);

/// What every key looks like: counters of this algorithm after so many requests in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    algorithm: Algorithm,
    requests: u64,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        let of = |algorithm| REQUESTS.map(|requests| Self { algorithm, requests });
        Algorithm::ALL.into_iter().flat_map(of)
    }

    /// When the requests come: spread over a window.
    fn times(self) -> impl Iterator<Item = Timestamp> {
        let step = Micros::MINUTE.get() / self.requests;
        (0..self.requests).map(move |n| START.after(Micros::new(n * step)))
    }
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        // The child that measures itself.
        Some(case) => memory::child(&case),
        None => table(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bytes_per_key: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table() -> Result<(), Box<dyn Error>> {
    println!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}",
        "algorithm", "requests", "state", "memory", "Valkey"
    );
    for case in Case::all() {
        let bytes = encoded(case).len();
        let (memory, valkey) = (memory::measure(case)?, valkey::Server::start()?.measure(case)?);
        let (name, requests) = (case.algorithm.as_str(), case.requests);
        println!("{name:<16}{requests:>10}{bytes:>10}{memory:>10}{valkey:>10}");
    }
    Ok(())
}

/// The bytes of a counter in this case.
fn encoded(case: Case) -> Vec<u8> {
    struct One(Counter);
    impl Counters for One {
        fn counter(&mut self, _: &sluicegate_limits::decide::Ask) -> &mut Counter {
            &mut self.0
        }
    }
    let mut one = One(Counter::default());
    let check = [ask(1, case.algorithm.terms(PLENTY))].into();
    // The window of the bench has no end, so no instant is stale.
    case.times().for_each(|now| drop(decide(&mut one, &check, now)));
    let mut bytes = Vec::new();
    one.0.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valkey_takes_more_than_key_and_state() {
        for case in Case::all() {
            let bytes = valkey::Server::start().unwrap().measure(case).unwrap();
            let least = encoded(case).len() as u64 + 16;
            assert!((least..4 * least + 200).contains(&bytes), "{case:?}: {bytes} bytes");
        }
    }
}

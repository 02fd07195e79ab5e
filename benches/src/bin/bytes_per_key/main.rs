//! Prints the bytes that one tracked key takes, by what it has seen, in the in-process store and in
//! Valkey: `cargo run --release -p sluicegate-benches --bin bytes_per_key`.

mod case;
mod memory;
mod valkey;

use std::error::Error;
use std::process::ExitCode;

use case::Case;
use mimalloc::MiMalloc;

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        // The child that measures itself.
        Some(place) => memory::child(&place),
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
    println!("{:<16}{:>8}{:>8}{:>8}{:>8}", "a key with", "times", "state", "memory", "Valkey");
    for (place, case) in Case::all().into_iter().enumerate() {
        let state: usize = case.stored(0).iter().map(|(_, _, bytes)| bytes.len()).sum();
        let (memory, valkey) = (memory::measure(place)?, valkey::Server::start()?.measure(case)?);
        println!("{:<16}{:>8}{state:>8}{memory:>8}{valkey:>8}", case.name, case.count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valkey_takes_more_than_key_and_state() {
        for case in Case::all() {
            let bytes = valkey::Server::start().unwrap().measure(case).unwrap();
            let stored = case.stored(0);
            let least = stored.iter().map(|(_, _, bytes)| bytes.len() as u64 + 16).sum::<u64>();
            let most = 4 * least + 200;
            assert!((least..most).contains(&bytes), "{case:?}: {bytes} bytes of {least}");
        }
    }

    #[test]
    fn every_case_leaves_what_it_is_about() {
        for case in Case::all() {
            let stored = case.stored(7);
            let bytes: Vec<usize> = stored.iter().map(|(_, _, bytes)| bytes.len()).collect();
            match case.name {
                "concurrency" => assert_eq!(bytes, [2 + 16 * case.count as usize]),
                "reserved" => assert_eq!(bytes, [34]),
                "settled" => assert_eq!(bytes, [18, 45]),
                _ => {}
            }
            let counters = stored.iter().filter(|(kind, ..)| kind.is_empty());
            assert_eq!(counters.clone().count() as u64, case.counters(), "{case:?}");
            assert!(counters.clone().all(|(_, _, bytes)| bytes.len() >= 18), "{case:?}");
            let records = stored.iter().filter(|(kind, ..)| *kind == "s:").count();
            assert_eq!(records, usize::from(case.name == "settled"));
        }
    }
}

//! Runs seeded traces. `SLUICEGATE_SEED=N` replaces the fixed seeds, so that a failure is repeated.

use fastrand::Rng;

/// The seeds of a plain run: the same every time, so that a failure is of the change at hand.
const FIXED: [u64; 4] = [4, 1_200, 20, 60];

/// Says which trace failed when a property panics.
struct Running<'a> {
    property: &'a str,
    seed: u64,
    trace: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { property, seed, trace } = self;
            eprintln!("{property} failed in trace {trace} of SLUICEGATE_SEED={seed}");
        }
    }
}

/// Runs traces, each of which returns how many operations it made, until there were `operations`.
pub(crate) fn run(property: &str, operations: u64, mut trace: impl FnMut(&mut Rng) -> u64) {
    let seeds = seeds();
    let share = operations.div_ceil(seeds.len() as u64);
    for seed in seeds {
        println!("{property}: SLUICEGATE_SEED={seed}");
        let mut done = 0;
        let mut running = Running { property, seed, trace: 0 };
        while done < share {
            let mut rng = Rng::with_seed(seed.rotate_left(32) ^ running.trace);
            done += trace(&mut rng).max(1);
            running.trace += 1;
        }
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("SLUICEGATE_SEED") {
        Ok(text) => vec![text.parse().expect("SLUICEGATE_SEED is a whole number")],
        Err(_) => FIXED.to_vec(),
    }
}

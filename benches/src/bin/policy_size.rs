//! Prints how long large policies take to compile and how much memory they keep:
//! `cargo run --release -p sluicegate-benches --bin policy_size`.

use std::error::Error;
use std::process::{Command, ExitCode};

use sluicegate_benches::policies::{RuledOutBy, tenants};
use sluicegate_limits::policy::{Policy, SourceFile};

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The policies: limits by what rules them out, and tenants.
const CASES: [(RuledOutBy, usize, usize); 6] = [
    (RuledOutBy::Path, 10, 0),
    (RuledOutBy::Path, 1_000, 0),
    (RuledOutBy::Path, 10_000, 0),
    (RuledOutBy::Tenant, 10_000, 0),
    (RuledOutBy::Path, 10, 100_000),
    (RuledOutBy::Path, 10_000, 100_000),
];

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        // A process for each policy, so that none finds the memory of another.
        Some(case) => child(&case),
        None => table(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("policy_size: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table() -> Result<(), Box<dyn Error>> {
    println!(
        "{:<16}{:>8}{:>9}{:>12}{:>12}{:>10}{:>10}",
        "ruled out by", "limits", "tenants", "text KiB", "CPU ms", "kept KiB", "peak KiB"
    );
    for number in 0..CASES.len() {
        let child = Command::new(std::env::current_exe()?).arg(number.to_string()).status()?;
        if !child.success() {
            return Err(format!("case {number} failed").into());
        }
    }
    Ok(())
}

fn child(case: &str) -> Result<(), Box<dyn Error>> {
    let (by, limits, count) = *CASES.get(case.parse::<usize>()?).ok_or("there is no such case")?;
    let mut files: Vec<SourceFile> = tenants(count);
    files.push(by.limits(limits));
    let text_kib = files.iter().map(|file| file.text.len()).sum::<usize>() / 1_024;
    let before_kib = status("VmRSS")?;
    let start_ms = cpu_ms()?;
    let policy = Policy::compile(&files).map_err(|problems| format!("{problems:?}"))?.policy;
    let compile_ms = cpu_ms()? - start_ms;
    let kept_kib = status("VmRSS")?.saturating_sub(before_kib);
    let peak_kib = status("VmHWM")?.saturating_sub(before_kib);
    let name = by.as_str();
    println!(
        "{name:<16}{limits:>8}{count:>9}{text_kib:>12}{compile_ms:>12}{kept_kib:>10}{peak_kib:>10}"
    );
    drop(policy);
    Ok(())
}

/// The processor time that this process took, whatever else runs on the machine.
fn cpu_ms() -> Result<u64, Box<dyn Error>> {
    /// Linux counts in hundredths of a second.
    const TICK_MS: u64 = 10;
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the process may have spaces in it; it stands in brackets.
    let after_name = text.rsplit(')').next().ok_or("no such file")?;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| Ok(ticks.parse::<u64>()? * TICK_MS)).sum()
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> Result<usize, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.ok_or("no such line")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib)
}

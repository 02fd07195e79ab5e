//! Bytes a key in the in-process store: the growth of the resident set of a process of its own,
//! so that one case does not live on what another has freed.

use std::error::Error;
use std::process::Command;

use sluicegate_limits::memory::Memory;

use super::Case;

/// How many keys are put into the store. Its 64 tables have 2^15 places each then, a bit less than
/// half of them taken: nearly the worst that doubling tables can do.
const KEYS: u64 = 1_000_000;

/// Measures the case at this place of the list in a child process.
pub(super) fn measure(place: usize) -> Result<u64, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).arg(place.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Fills a store and prints the bytes a key.
pub(super) fn child(place: &str) -> Result<(), Box<dyn Error>> {
    let case = Case::all().into_iter().nth(place.parse()?).ok_or("there is no such case")?;
    let memory = Memory::new(usize::MAX);
    let before = resident_bytes()?;
    for step in 0..case.count {
        for number in 0..KEYS {
            let (now, check) = case.check(number, step);
            memory.decide(&check, now).map_err(|_| "the window ended")?;
        }
    }
    let after = resident_bytes()?;
    if memory.len() as u64 != KEYS * case.counters() {
        return Err(format!("{} counters for {KEYS} keys", memory.len()).into());
    }
    println!("{}", after.saturating_sub(before) / KEYS);
    Ok(())
}

/// What this process has in memory, in bytes.
fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    Ok(kib.ok_or("/proc/self/status has no VmRSS")?.trim().parse::<u64>()? * 1_024)
}

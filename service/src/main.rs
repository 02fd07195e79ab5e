//! The `sluicegate` binary.

use std::process::ExitCode;

/// About a tenth less CPU per request than the system's allocator (see `docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(sluicegate::cli::run().code())
}

//! The load generator of Sluicegate: fires at a door at a fixed rate or at saturation, and
//! compares what a decision costs the server with what a bare tonic service costs.

mod bare;
mod caller;
mod cli;
mod clock;
mod compare;
mod load;
mod report;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use cli::{Cli, Command};

/// The allocator of the server, so that the bare service has it too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Fire(fire) => cli::fire(&fire),
        Command::Bare(answers) => bare::serve(&answers),
        Command::Compare(compare) => compare::run(&compare),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluicegate-loadtest: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

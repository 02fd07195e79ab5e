//! Developer commands: `cargo xtask parts | test | tidy | fuzz | floods`.

mod floods;
mod fuzz;
mod parts;
mod runner;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  parts            gets the real Valkey and Envoy that the tests run against
  test [ARG]...    gets the parts and runs every test; ARGs go to the test runner
  tidy             checks the rules of the house that rustfmt and clippy do not
  fuzz [--full]    throws random and mutated messages at a running server, header blocks at
                   Envoy in front of it, and broken files at the policy compiler; the short
                   form is what CI runs
  floods           throws what clients and strangers may try at Envoy and at the server, in
                   full; the tests do it in short";

/// What a command answers: nothing, or why it failed, in words for the person at the terminal.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_str() {
        "parts" => parts::command(),
        "test" => runner::test(&rest),
        "tidy" => tidy::command(),
        "fuzz" => fuzz::command(&rest),
        "floods" => floods::command(&rest),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("xtask: no command `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {command}: {why}");
            ExitCode::FAILURE
        }
    }
}

//! The command line: what can be asked, and the exit codes that answer.

use clap::{Parser, Subcommand, ValueEnum};

use crate::output::{self, Stream};

mod banner;
mod check;
mod completions;
mod diff;
mod explain;
mod fmt;
mod notes;
mod replay;
mod schema;
mod serve;
mod test;

/// How a command ends. The one table of exit codes; `docs/settings.md` is tested against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Yes: served, good, allowed.
    Yes = 0,
    /// A negative answer, as [`Self::TABLE`] lists them.
    No = 1,
    /// The command line was not understood.
    Usage = 2,
    /// The service that was asked cannot be reached.
    Unreachable = 69,
    /// Bad configuration: settings or limits files.
    Configuration = 78,
}

/// Sluicegate: rate limits and quotas for gateways and services.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", bin_name = "sluicegate", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: answer requests by the limits until a signal ends it
    Serve(serve::Serve),
    /// Check limits files and print every problem with its place
    Check(check::Check),
    /// Explain what the limits do with one request, and why
    Explain(explain::Explain),
    /// Say what changes in meaning from one set of limits to another
    Diff(diff::Diff),
    /// Replay recorded traffic: what the limits would have denied
    Replay(replay::Replay),
    /// Bring limits files and their tests into one layout
    Fmt(fmt::Fmt),
    /// Run tests of limits: case files, in virtual time
    Test(test::Test),
    /// Print the JSON Schema of limits files or of their tests, for editors
    Schema(schema::Schema),
    /// Print a script that completes this command line in a shell
    Completions(completions::Completions),
}

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Exit {
    /// Every exit code with what it means.
    pub const TABLE: [(Self, &'static str); 5] = [
        (Self::Yes, "yes: served, good, allowed"),
        (
            Self::No,
            "a negative answer: denied, a failed test, a denied warning, a difference, no replay",
        ),
        (Self::Usage, "the command line was not understood"),
        (Self::Unreachable, "the service that was asked cannot be reached"),
        (Self::Configuration, "bad configuration: settings or limits files"),
    ];

    /// The code that the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> Exit {
    output::panics();
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    match arguments.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => check::run(&check),
        Command::Explain(explain) => explain::run(&explain),
        Command::Diff(diff) => diff::run(&diff),
        Command::Replay(replay) => replay::run(&replay),
        Command::Fmt(command) => fmt::run(&command),
        Command::Test(test) => test::run(&test),
        Command::Schema(schema) => schema::run(&schema),
        Command::Completions(completions) => completions::run(&completions),
    }
}

/// The arguments, or how the command ends that could not be read. What clap says of them repeats
/// them, so it reads them a second time, as they are shown.
fn arguments() -> Result<Arguments, Exit> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    // Help and version are answers, not errors.
    let (stream, exit) = match error.use_stderr() {
        true => (Stream::Err, Exit::Usage),
        false => (Stream::Out, Exit::Yes),
    };
    let clean = std::env::args_os().map(|word| output::shown(&word.to_string_lossy()).into_owned());
    match Arguments::try_parse_from(clean) {
        Err(clean) if clean.use_stderr() == error.use_stderr() => stream.ours(&clean.render()),
        _ => stream.line("error: an argument cannot be read"),
    }
    Err(exit)
}

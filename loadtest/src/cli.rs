//! The command line.

use std::error::Error;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::caller::{Caller, Door, Shape};
use crate::load::{self, Pace, Plan};
use crate::report::Report;

/// Fires load at Sluicegate.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fire at a running service and print the latencies.
    Fire(Fire),
    /// Serve canned answers: the floor that `compare` compares with. Ends with its standard input.
    Bare(Answers),
    /// Start the service beside a bare one and compare what a call costs each.
    Compare(Compare),
}

/// What to fire, and where.
#[derive(Debug, Args)]
pub(crate) struct Fire {
    /// The gRPC listener of the service.
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    target: String,
    /// Which of its doors.
    #[arg(long, value_enum, default_value_t = Door::Native)]
    door: Door,
    /// Requests per second, sent on time whether or not answers come.
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=200_000)
    )]
    rate: u32,
    /// Instead of a rate: so many callers, each of which asks again as soon as it has its answer.
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    closed: Option<u32>,
    /// Connections that the requests are spread over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    connections: u32,
    /// Tenants, each as likely as any other.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// The method of the requests.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The path of the requests.
    #[arg(long, default_value = "/v1/items")]
    path: String,
    /// How long is measured, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    duration_s: u64,
    /// How long is fired before, in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=60))]
    warm_up_s: u64,
    /// The deadline of each request, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline_ms: u64,
    /// Fire at a service that is not on this machine.
    #[arg(long)]
    allow_remote: bool,
    /// The form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

/// What the bare service answers, each a file with an encoded message.
#[derive(Debug, Args)]
pub(crate) struct Answers {
    /// A `sluicegate.v1.CheckResponse`.
    #[arg(long)]
    pub(crate) native: PathBuf,
    /// An `envoy.service.auth.v3.CheckResponse`.
    #[arg(long)]
    pub(crate) ext_authz: PathBuf,
}

/// What to compare.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The service; without it, the `sluicegate` beside this program.
    #[arg(long)]
    pub(crate) sluicegate: Option<PathBuf>,
    /// The Valkey server; without it, the one that the environment names as `SLUICEGATE_VALKEY` or
    /// that `cargo xtask parts` has fetched.
    #[arg(long)]
    pub(crate) valkey: Option<PathBuf>,
    /// How many times each of the two is measured in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// How long each measurement lasts, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub(crate) seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) connections: u32,
    /// Callers, each with one request in flight.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) in_flight: u32,
    /// Only the scenarios whose name contains this.
    #[arg(long, default_value = "")]
    pub(crate) only: String,
}

/// Fires as the flags say and prints the report.
pub(crate) fn fire(fire: &Fire) -> Result<(), Box<dyn Error>> {
    if !fire.allow_remote && !is_loopback(&fire.target) {
        let target = &fire.target;
        return Err(
            format!("{target} is not on this machine: say --allow-remote if you may").into()
        );
    }
    let plan = Plan {
        shape: Shape { method: fire.method.clone(), path: fire.path.clone(), keys: fire.keys },
        pace: fire
            .closed
            .map_or(Pace::Open { per_second: fire.rate }, |callers| Pace::Closed { callers }),
        warm_up: Duration::from_secs(fire.warm_up_s),
        duration: Duration::from_secs(fire.duration_s),
        deadline: Duration::from_millis(fire.deadline_ms),
        progress: true,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report: Report = runtime.block_on(async {
        let callers: Vec<Caller> = (0..fire.connections)
            .map(|_| Caller::connect(fire.door, &fire.target))
            .collect::<Result<_, _>>()?;
        Ok::<_, Box<dyn Error>>(load::run(&callers, &plan).await)
    })?;
    match fire.output {
        Output::Text => write!(io::stdout(), "{report}")?,
        Output::Json => writeln!(io::stdout(), "{}", report.to_json())?,
    }
    match report.error {
        Some(error) if report.allowed + report.denied == 0 => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether an endpoint `http://HOST:PORT` is on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/');
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn only_this_machine_is_fired_at_unasked() {
        for target in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1/"] {
            assert!(is_loopback(target), "{target}");
        }
        for target in ["http://10.0.0.1:1", "http://127.0.0.1.example:1", "http://[::2]:1", ""] {
            assert!(!is_loopback(target), "{target}");
        }
    }
}

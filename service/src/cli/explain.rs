//! `sluicegate explain`: what the limits do with one request, and why.
//!
//! Offline on fresh counters, or as the running service would answer now.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::explain::{Explanation, LimitExplanation, explain};
use sluicegate_limits::policy::Place;
use sluicegate_limits::policy::units;
use sluicegate_limits::time::Tokens;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{
    Attribute, CheckRequest, CheckResponse, ExplainedLimit, RetryAfter, attribute, retry_after,
};

use super::{Exit, Output, check};
use crate::clock;
use crate::output::{Stream, print_json};

/// How long a running service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The request, as 'METHOD /path'
    #[arg(value_name = "METHOD /path")]
    request: String,
    /// Facts about it, as tenant_id=acme; cost=N states what it costs
    #[arg(value_name = "KEY=VALUE")]
    facts: Vec<String>,
    /// Limits files or directories; may be repeated
    #[arg(long, value_name = "FILE_OR_DIR", required_unless_present = "server")]
    limits: Vec<PathBuf>,
    /// Settings whose `paths` and `ip_prefix` count
    #[arg(short, long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    /// Ask the service that listens for gRPC at this address; takes nothing
    #[arg(long, value_name = "ADDRESS", conflicts_with = "limits")]
    server: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The request that the command line describes.
struct Request {
    facts: AttributesBuilder,
    cost: Option<Tokens>,
}

pub(super) fn run(explain: &Explain) -> Exit {
    let request = match Request::parse(&explain.request, &explain.facts) {
        Ok(request) => request,
        Err(message) => {
            Stream::Err.line(format_args!("error: {message}"));
            return Exit::Usage;
        }
    };
    match &explain.server {
        Some(address) => online(explain, &request, address),
        None => offline(explain, request),
    }
}

fn offline(command: &Explain, request: Request) -> Exit {
    let settings = match check::of_file(command.config.as_deref()) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let conventions = check::conventions(settings.as_ref());
    let Some(policy) = check::policy(&command.limits, conventions) else {
        return Exit::Configuration;
    };
    let attributes = request.facts.finish_for(policy.paths());
    let answer = explain(&policy, &attributes, request.cost, clock::now());
    show(command, &answer)
}

fn show(command: &Explain, answer: &Explanation) -> Exit {
    match command.output {
        Output::Json => print_json(answer),
        Output::Text => Stream::Out.page(|page| {
            page.lines(answer.lines());
        }),
    }
    if answer.allowed { Exit::Yes } else { Exit::No }
}

fn online(command: &Explain, request: &Request, address: &str) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(|e| e.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            let peek = tokio::time::timeout(PATIENCE, peek(request, address));
            peek.await.map_err(|_| "no answer in 5 s".to_owned())?
        })
    });
    match asked {
        Ok(answer) => {
            for trouble in troubles(&answer) {
                Stream::Err.line(trouble);
            }
            show(command, &explanation(answer))
        }
        Err(message) => {
            Stream::Err.line(format_args!("error: {address}: {message}"));
            Exit::Unreachable
        }
    }
}

async fn peek(request: &Request, address: &str) -> Result<CheckResponse, String> {
    // The service reads the path as its settings say.
    let attributes = request.facts.iter().map(|(name, value)| Attribute {
        name: name.to_owned(),
        value: Some(match name {
            "authenticated" => attribute::Value::Flag(value == "true"),
            _ => attribute::Value::Text(value.to_owned()),
        }),
    });
    let message =
        CheckRequest { attributes: attributes.collect(), cost: request.cost.map(Tokens::get) };
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| "is no HOST:PORT".to_owned())?;
    let channel = channel.connect().await.map_err(|_| "cannot connect".to_owned())?;
    let answer = SluicegateClient::new(channel).peek(message).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

impl Request {
    /// Reads `'METHOD /path' key=value…`.
    fn parse(request: &str, facts: &[String]) -> Result<Self, String> {
        let (method, path) =
            request.split_once(' ').ok_or("a request is 'METHOD /path', as 'GET /v1/items'")?;
        let mut attributes = AttributesBuilder::new();
        let mut cost = None;
        let mut set = |name: &str, value: &str| {
            attributes.set(name, value).map(drop).map_err(|error| error.to_string())
        };
        set("method", method)?;
        set("path", path.trim())?;
        for fact in facts {
            let (name, value) =
                fact.split_once('=').ok_or_else(|| format!("`{fact}` is not KEY=VALUE"))?;
            if name == "cost" {
                let number = units::cost(value);
                cost = Some(number.ok_or("cost is a number: digits with at most one point")?);
            } else {
                set(name, value)?;
            }
        }
        Ok(Self { facts: attributes, cost })
    }
}

/// What the explanation itself does not say, for people.
fn troubles(answer: &CheckResponse) -> Vec<String> {
    let mut all = Vec::new();
    if answer.explained_left_out > 0 {
        all.push(format!("{} further limits are not listed", answer.explained_left_out));
    }
    all
}

/// The explanation in the service's answer, in the one form that explanations have.
fn explanation(answer: CheckResponse) -> Explanation {
    Explanation {
        allowed: answer.allowed,
        reason: (!answer.allowed).then_some(answer.reason),
        detail: (!answer.detail.is_empty()).then_some(answer.detail),
        limit_name: answer.limit_name,
        remaining: answer.remaining,
        retry_after_ms: answer.retry_after.map(|wait| millis(&wait)),
        policy_revision: answer.policy_revision,
        degraded: answer.degraded,
        limits: answer.explained.into_iter().map(limit).collect(),
        fresh: false,
    }
}

fn limit(limit: ExplainedLimit) -> LimitExplanation {
    LimitExplanation {
        name: limit.name,
        applies: limit.applies,
        why: limit.why,
        key: limit.key,
        limit: limit.limit,
        layer: limit.layer.into(),
        plan: limit.plan,
        until: limit.until,
        layer_why: limit.layer_why,
        refill: limit.refill,
        period: limit.period,
        window_ms: limit.window.as_ref().map_or(0, millis_of),
        algorithm: limit.algorithm.into(),
        mode: limit.mode.into(),
        on_store_failure: limit.on_store_failure.map(Into::into),
        cost: limit.cost,
        cost_from: limit.cost_from,
        used: limit.used,
        remaining: limit.remaining,
        source: Place { file: limit.file, line: limit.line },
    }
}

/// The wait in milliseconds; nothing for never.
fn millis(retry: &RetryAfter) -> Option<u64> {
    match retry.wait.as_ref()? {
        retry_after::Wait::After(wait) => Some(millis_of(wait)),
        retry_after::Wait::Never(_) => None,
    }
}

/// Whole milliseconds, rounded up.
fn millis_of(duration: &prost_types::Duration) -> u64 {
    let whole = u64::try_from(duration.seconds).unwrap_or(0).saturating_mul(1_000);
    let part = duration.nanos.max(0).unsigned_abs().div_ceil(1_000_000);
    whole.saturating_add(u64::from(part))
}

//! `sluicegate explain`: what the limits do with one request, and why.
//!
//! Offline on fresh counters, or as the running service would answer now.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use sluicegate_limits::attributes::{Attributes, AttributesBuilder};
use sluicegate_limits::explain::explain;
use sluicegate_limits::policy::units::MAX_COST;
use sluicegate_limits::time::Tokens;
use sluicegate_proto::v1::sluicegate_client::SluicegateClient;
use sluicegate_proto::v1::{
    Attribute, CheckRequest, CheckResponse, LimitVerdict, Mode, RetryAfter, attribute, retry_after,
};

use super::{Exit, Output, check, complain, print};
use crate::clock;
use crate::reload::Sources;

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
    /// Ask the service that listens for gRPC at this address; takes nothing
    #[arg(long, value_name = "ADDRESS", conflicts_with = "limits")]
    server: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The request that the command line describes.
struct Request {
    attributes: Attributes,
    cost: Option<Tokens>,
}

pub(super) fn run(explain: &Explain) -> Exit {
    let request = match Request::parse(&explain.request, &explain.facts) {
        Ok(request) => request,
        Err(message) => {
            complain(&format_args!("error: {message}"));
            return Exit::Usage;
        }
    };
    match &explain.server {
        Some(address) => online(explain, &request, address),
        None => offline(explain, &request),
    }
}

fn offline(command: &Explain, request: &Request) -> Exit {
    let sources = Sources::read(&command.limits);
    let policy = match sources.compile() {
        Ok(compiled) => compiled.policy,
        Err(problems) => {
            check::show(&sources, &problems, &[]);
            return Exit::Configuration;
        }
    };
    let answer = explain(&policy, &request.attributes, request.cost, clock::now());
    match command.output {
        Output::Json => print(&super::json(&answer)),
        Output::Text => print(&answer),
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
            match command.output {
                Output::Json => print(&super::json(&to_json(&answer))),
                Output::Text => print(&to_text(&answer)),
            }
            if answer.allowed { Exit::Yes } else { Exit::No }
        }
        Err(message) => {
            complain(&format_args!("error: {address}: {message}"));
            Exit::Unreachable
        }
    }
}

async fn peek(request: &Request, address: &str) -> Result<CheckResponse, String> {
    let attributes = request.attributes.iter().map(|(name, value)| Attribute {
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
                let number = value.parse().ok().filter(|n| *n <= MAX_COST);
                cost = Some(number.ok_or(format!("cost is a number up to {MAX_COST}"))?);
            } else {
                set(name, value)?;
            }
        }
        Ok(Self { attributes: attributes.finish(), cost: cost.map(Tokens::new) })
    }
}

fn to_json(answer: &CheckResponse) -> Value {
    let limits = answer.limits.iter().map(|limit| {
        json!({
            "name": limit.name, "applies": true, "mode": mode(limit), "limit": limit.limit,
            "window_ms": window_ms(limit), "used": limit.limit.saturating_sub(limit.remaining),
            "remaining": limit.remaining, "allowed": limit.allowed,
            "retry_after_ms": millis(limit.retry_after.as_ref()),
        })
    });
    let mut all = json!({
        "allowed": answer.allowed, "limit_name": answer.limit_name, "remaining": answer.remaining,
        "policy_revision": answer.policy_revision, "degraded": answer.degraded,
        "limits": limits.collect::<Vec<_>>(),
    });
    if let (false, Some(fields)) = (answer.allowed, all.as_object_mut()) {
        fields.insert("reason".to_owned(), json!(answer.reason));
        fields.insert("retry_after_ms".to_owned(), json!(millis(answer.retry_after.as_ref())));
    }
    all
}

fn to_text(answer: &CheckResponse) -> String {
    use std::fmt::Write as _;
    let mut text = if answer.allowed {
        "would pass".to_owned()
    } else {
        format!("would be denied: {}", answer.reason)
    };
    if let Some(name) = &answer.limit_name {
        let _ = write!(text, ", bound by {name}");
    }
    let _ = write!(text, " (policy revision {})", answer.policy_revision);
    if answer.degraded {
        text.push_str("\nthe store did not answer: this is a degraded answer");
    }
    for limit in &answer.limits {
        let LimitVerdict { name, limit: most, remaining, .. } = limit;
        let verdict = if limit.allowed { "allows" } else { "denies" };
        let _ = write!(text, "\n  {name} ({}): {verdict}, {remaining} of {most} left", mode(limit));
        match millis(limit.retry_after.as_ref()) {
            Some(wait) => text.push_str(&format!(", again in {wait} ms")),
            None if limit.retry_after.is_some() => text.push_str(", never at this cost"),
            None => {}
        }
    }
    text
}

fn mode(limit: &LimitVerdict) -> &'static str {
    if limit.mode() == Mode::Shadow { "shadow" } else { "enforce" }
}

fn window_ms(limit: &LimitVerdict) -> i64 {
    limit.window.map_or(0, |w| w.seconds * 1_000 + i64::from(w.nanos) / 1_000_000)
}

/// The wait in milliseconds, rounded up; nothing for never.
fn millis(retry: Option<&RetryAfter>) -> Option<u64> {
    match retry?.wait.as_ref()? {
        retry_after::Wait::After(wait) => {
            let whole = u64::try_from(wait.seconds).unwrap_or(0).saturating_mul(1_000);
            let part = wait.nanos.max(0).unsigned_abs().div_ceil(1_000_000);
            Some(whole.saturating_add(u64::from(part)))
        }
        retry_after::Wait::Never(_) => None,
    }
}

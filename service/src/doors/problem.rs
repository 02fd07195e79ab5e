//! A refusal in the words of HTTP: `application/problem+json`, RFC 9457.

use http::StatusCode;
use serde::Serialize;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::verdict::Reason;
use uuid::Uuid;

use super::status;
use crate::reveal::Revealed;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// The type of a denial by a limit, as the draft of the RateLimit headers registers it.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// The type of a problem that its status says all about.
const BLANK: &str = "about:blank";

/// The body of a refusal.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<Uuid>,
}

impl<'a> Problem<'a> {
    /// A request that never became one.
    pub(super) fn of_status(status: StatusCode, detail: &str) -> Self {
        Self {
            kind: BLANK,
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.to_owned(),
            violated: Vec::new(),
            reason: None,
            limit_name: None,
            decision_id: None,
        }
    }

    /// A denial.
    pub(super) fn of_decision(answer: Revealed<'a>, reason: Reason) -> Self {
        let status = status::of(reason);
        let by_limit = status == StatusCode::TOO_MANY_REQUESTS;
        let plain = Self::of_status(status, &why(answer, reason));
        Self {
            kind: if by_limit { QUOTA_EXCEEDED } else { BLANK },
            violated: answer
                .named()
                .into_iter()
                .filter(|limit| !limit.allowed)
                .map(|limit| &*limit.name)
                .collect(),
            reason: Some(answer.reason_text()),
            limit_name: answer.limit_name(),
            decision_id: Some(answer.id()),
            ..plain
        }
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn to_json(&self) -> String {
        // Text and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// One sentence for people.
fn why(answer: Revealed<'_>, reason: Reason) -> String {
    let limit = match answer.limit_name() {
        Some(name) => format!("limit `{name}`"),
        None => "a limit".to_owned(),
    };
    match (reason, answer.retry_after()) {
        _ if !answer.detail().is_empty() => answer.detail().to_owned(),
        (Reason::StoreUnavailable, _) => {
            format!("{limit} is closed while the counters are out of reach")
        }
        (Reason::Overloaded, _) => "there is more to decide than can be decided in time".to_owned(),
        (Reason::UntrustedCaller, _) => "the caller's address may not ask here".to_owned(),
        (Reason::NoLimitApplies, _) => "no limit applies to this request".to_owned(),
        (_, Some(Wait::Never)) => {
            format!("the request costs more than {limit} ever lets pass")
        }
        (_, Some(Wait::For(wait))) => {
            let seconds = wait.to_seconds_up();
            format!("{limit} lets this request pass again in {seconds} s")
        }
        (reason, _) => reason.as_str().replace('_', " "),
    }
}

//! Envoy's default text format of access logs, and Istio's, which has more fields in the middle.
//!
//! ```text
//! [START_TIME] "METHOD PATH PROTOCOL" CODE FLAGS RECEIVED SENT DURATION UPSTREAM_TIME
//!     "X-FORWARDED-FOR" "USER-AGENT" "X-REQUEST-ID" "AUTHORITY" "UPSTREAM_HOST"
//!     UPSTREAM_CLUSTER UPSTREAM_LOCAL DOWNSTREAM_LOCAL DOWNSTREAM_REMOTE … (Istio)
//! ```

use super::super::mapping::{Mapping, Values};

/// How many words stand after the request in Istio's format, before one more quoted text.
const WORDS_OF_ISTIO: usize = 4;

/// Where each field of a line goes, for those that are read.
pub(super) struct Slots(Vec<(&'static str, usize)>);

impl Slots {
    pub(super) fn new(mapping: &Mapping) -> Self {
        const NAMES: [&str; 11] = [
            "start_time",
            "method",
            "path",
            "protocol",
            "response_code",
            "duration",
            "x-forwarded-for",
            "user-agent",
            "x-request-id",
            "authority",
            "downstream_remote_address",
        ];
        Self(NAMES.iter().filter_map(|name| Some((*name, mapping.slot(name)?))).collect())
    }

    /// Fills the values of a line.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn fill(&self, line: &str, values: &mut Values) -> Result<bool, String> {
        let line = Fields::split(line).ok_or("it is not of Envoy's default format")?;
        for (name, slot) in &self.0 {
            if let Some(value) = line.get(name) {
                values.set(*slot, value);
            }
        }
        Ok(true)
    }
}

/// The parts of a line.
struct Fields<'l> {
    start_time: &'l str,
    method: &'l str,
    path: &'l str,
    protocol: &'l str,
    response_code: &'l str,
    duration: &'l str,
    /// What stands in quotes after the words.
    quoted: [&'l str; 4],
    /// Nothing in Envoy's own format.
    remote: &'l str,
}

impl<'l> Fields<'l> {
    fn split(line: &'l str) -> Option<Self> {
        let (start_time, rest) = line.trim_ascii().strip_prefix('[')?.split_once("] \"")?;
        let (request, rest) = rest.split_once("\" ")?;
        let (method, request) = request.split_once(' ')?;
        let (path, protocol) = request.rsplit_once(' ')?;
        let (words, mut rest) = rest.split_once(" \"")?;
        let response_code = words.split(' ').next().unwrap_or_default();
        let mut duration = words.split(' ').nth(4);
        if words.split(' ').count() <= WORDS_OF_ISTIO {
            let (words, after) = rest.split_once("\" ")?.1.split_once(" \"")?;
            (duration, rest) = (words.split(' ').nth(2), after);
        }
        let duration = duration.unwrap_or_default();
        let mut quoted = [""; 4];
        for value in &mut quoted {
            let (text, after) = rest.split_once('"')?;
            *value = text;
            rest = after.strip_prefix(" \"").unwrap_or_default();
        }
        let upstream = rest.split_once("\" ").map(|(_host, words)| words.split(' '));
        let remote = upstream.and_then(|mut words| words.nth(3)).unwrap_or_default();
        Some(Self { start_time, method, path, protocol, response_code, duration, quoted, remote })
    }

    fn get(&self, name: &str) -> Option<&'l str> {
        let [forwarded, agent, request_id, authority] = self.quoted;
        Some(match name {
            "start_time" => self.start_time,
            "method" => self.method,
            "path" => self.path,
            "protocol" => self.protocol,
            "response_code" => self.response_code,
            "duration" => self.duration,
            "x-forwarded-for" => forwarded,
            "user-agent" => agent,
            "x-request-id" => request_id,
            "authority" => authority,
            "downstream_remote_address" => self.remote,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_split_into_the_same_fields() {
        let begin = r#"[2016-04-15T20:17:00.310Z] "POST /api/v1/locations?a=b HTTP/2" 204 -"#;
        let end =
            r#"154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c" "locations" "10.0.2.1:80""#;
        let envoy = format!("{begin} {end}");
        let more = "inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 outbound default";
        let istio = format!("{begin} via_upstream - \"-\" {end} {more}");
        for (line, remote) in [(envoy, ""), (istio, "10.44.1.23:37652")] {
            let fields = Fields::split(&line).unwrap();
            let found = |name| fields.get(name).unwrap();
            assert_eq!(found("start_time"), "2016-04-15T20:17:00.310Z");
            assert_eq!(found("duration"), "226");
            assert_eq!((found("method"), found("path")), ("POST", "/api/v1/locations?a=b"));
            assert_eq!((found("protocol"), found("response_code")), ("HTTP/2", "204"));
            assert_eq!((found("x-forwarded-for"), found("authority")), ("10.0.35.28", "locations"));
            assert_eq!(found("user-agent"), "nsq2http");
            assert_eq!(found("downstream_remote_address"), remote);
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "[2026-11-24 10:00:00.000][1][info][main] starting",
            r#"[2016-04-15T20:17:00.310Z] "- - HTTP/1.1" 400"#,
            r#"{"start_time": "2016-04-15T20:17:00.310Z"}"#,
        ] {
            assert!(Fields::split(line).is_none(), "{line}");
        }
    }
}

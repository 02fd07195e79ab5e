//! How large a request's body is, as far as its gateway can know before it arrives.
//!
//! Envoy takes `transfer-encoding` away before it asks, and tells how much of a body it has read
//! and not how much there is. So a size is what the request declares, what Envoy holds of a body
//! that it read whole, or 0 where there can be none; else nobody knows it.

use sluicegate_proto::ext_authz::attribute_context::HttpRequest;

use super::header;

/// Set by Envoy where it sends a body along: whether that is only its beginning.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";
const TRANSFER_ENCODING: &str = "transfer-encoding";
/// Methods whose requests have a body so rarely that one without a length is taken to have none.
const BODILESS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// The bytes of the body; `None` where nobody knows. `copied_to` is the header into which the
/// gateway writes the `Transfer-Encoding` of a request, where it does.
pub(super) fn request_size(http: &HttpRequest, copied_to: Option<&str>) -> Option<u64> {
    // What is there twice says nothing.
    let text = |name: &str| header(http, name).ok().map(|text| text.filter(|t| !t.is_empty()));
    if let Some(declared) = text("content-length")? {
        let digits = declared.bytes().all(|byte| byte.is_ascii_digit());
        return declared.parse().ok().filter(|_| digits);
    }
    if http.size > 0 {
        // Of what came before the whole was there, the size says only so much.
        let held = http.body.len().max(http.raw_body.len());
        let read = u64::try_from(http.size).ok()?;
        let is_whole = text(PARTIAL_BODY)? == Some("false") && held as u64 == read;
        return is_whole.then_some(read);
    }
    let is_chunked = [Some(TRANSFER_ENCODING), copied_to].into_iter().flatten();
    let is_chunked = is_chunked.map(text).collect::<Option<Vec<_>>>()?.iter().any(Option::is_some);
    let is_empty = match (http.protocol.as_str(), copied_to) {
        ("HTTP/1.0" | "HTTP/1.1", Some(_)) => true,
        ("HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/3", _) => {
            BODILESS.contains(&http.method.as_str())
        }
        _ => false,
    };
    (is_empty && !is_chunked).then_some(0)
}

//! Large heads of requests: what nobody reads is dropped as soon as it is decoded, since a gateway
//! may add headers of its clients to its calls, as tracers do.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

/// Heads up to this size are left as they are: copying costs more than they do.
const SMALL_HEAD_BYTES: usize = 2 * 1024;
/// The longest value of a header that somebody reads.
const MAX_VALUE_BYTES: usize = 256;

/// Leaves of a large head the headers that are read, as copies: the values that came share the
/// memory of the whole head.
pub(super) fn lighten<B>(request: &mut Request<B>, read: &[HeaderName]) {
    let headers = request.headers();
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if headers.iter().map(size).sum::<usize>() <= SMALL_HEAD_BYTES {
        return;
    }
    let mut kept = HeaderMap::with_capacity(read.len());
    for name in read {
        let value = headers.get(name).filter(|value| value.len() <= MAX_VALUE_BYTES);
        if let Some(copy) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
            kept.insert(name, copy);
        }
    }
    *request.headers_mut() = kept;
    if let Ok(copy) = Uri::try_from(request.uri().to_string()) {
        *request.uri_mut() = copy;
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, TE};

    use super::*;

    const READ: [HeaderName; 2] = [CONTENT_TYPE, TE];

    fn request(unread_bytes: usize) -> Request<()> {
        let request = Request::post("http://gate.test/a/b?c").header("te", "trailers");
        let request = request.header("content-type", "c".repeat(MAX_VALUE_BYTES + 1));
        request.header("tracestate", "t".repeat(unread_bytes)).body(()).unwrap()
    }

    #[test]
    fn a_small_head_stays_as_it_came() {
        let mut small = request(100);
        lighten(&mut small, &READ);
        assert_eq!(small.headers().len(), 3);
    }

    #[test]
    fn of_a_large_head_only_short_values_that_are_read_stay() {
        let mut large = request(SMALL_HEAD_BYTES);
        lighten(&mut large, &READ);
        assert_eq!(large.headers().len(), 1);
        assert_eq!(large.headers()["te"], "trailers");
        assert_eq!(large.uri(), "http://gate.test/a/b?c");
    }
}

//! One spelling for every path, so that no spelling of a path gets around a limit.
//!
//! What gateways and servers agree on is folded away: query, fragment, `;params`, repeated and
//! trailing slashes, `.` and `..`, escapes of characters that need none, the case of escapes.
//! What they read in different ways becomes [`OPAQUE`], which every pattern of the request's
//! method matches: escaped or plain backslashes, escaped slashes, control characters, escapes
//! that are broken or not UTF-8 (overlong forms too), `..` after an empty segment, `..;`, a
//! fragment that goes on like a path. The worst that an odd spelling can do is to count more.

/// The value of `path` where the target has no single meaning. No real path is spelled so.
pub(crate) const OPAQUE: &str = "*";

/// Appends the canonical form of a request target: a path that begins with `/`, or [`OPAQUE`].
///
/// Takes origin form (`/a?b`) and absolute form (`http://host/a?b`); any other is opaque.
pub(crate) fn push_path(target: &str, out: &mut String) {
    let start = out.len();
    if push_segments(target, start, out).is_none() {
        out.truncate(start);
        out.push_str(OPAQUE);
    }
}

/// Appends the canonical form of one segment; `None` where it has no single meaning.
///
/// Every escape is decoded, then what may not stand bare is escaped again, in upper case.
pub(crate) fn push_segment(raw: &str, out: &mut String) -> Option<()> {
    if raw.bytes().all(stands_bare) {
        out.push_str(raw);
        return Some(());
    }
    let decoded = String::from_utf8(unescape(raw)?).ok()?;
    for byte in decoded.bytes() {
        match byte {
            _ if stands_bare(byte) => out.push(char::from(byte)),
            b'/' | b'\\' | 0..0x20 | 0x7f => return None,
            _ => {
                out.push('%');
                out.push(upper_hex(byte >> 4));
                out.push(upper_hex(byte & 15));
            }
        }
    }
    Some(())
}

fn push_segments(target: &str, start: usize, out: &mut String) -> Option<()> {
    for raw in path_of(target)?.split('/') {
        let (raw, params) = raw.split_once(';').map_or((raw, false), |(raw, _)| (raw, true));
        let before = out.len();
        out.push('/');
        push_segment(raw, out)?;
        match out.get(before + 1..)? {
            // Servers that keep `;params` read `..;` as a name, the others as a step up.
            "" | "." | ".." if params => return None,
            // An empty segment stays in sight until the end, for `..` to find.
            "" if before > start => {}
            "" | "." => out.truncate(before),
            ".." => {
                out.truncate(before);
                step_up(start, out)?;
            }
            _ => {}
        }
    }
    drop_empty_segments(start, out);
    Some(())
}

/// The path within a target, without its leading slash; `None` where there is no path in it.
fn path_of(target: &str) -> Option<&str> {
    let before_query = target.split_once('?').map_or(target, |(path, _)| path);
    let (path, fragment) = before_query.split_once('#').unwrap_or((before_query, ""));
    // A fragment has no place in a request. Some servers take it for a part of the path.
    if fragment.contains(['/', '\\', '%']) {
        return None;
    }
    if path.is_empty() {
        return Some("");
    }
    path.strip_prefix('/').or_else(|| {
        let (scheme, rest) = path.split_once("://")?;
        let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        (known && !authority.contains('\\')).then_some(path)
    })
}

/// Takes off the last segment; above the root there is nothing. `None` where the last one is
/// empty: who merges slashes first arrives at another path than who steps up first.
fn step_up(start: usize, out: &mut String) -> Option<()> {
    if let Some(slash) = out.get(start..)?.rfind('/') {
        if start + slash + 1 == out.len() {
            return None;
        }
        out.truncate(start + slash);
    }
    Some(())
}

fn drop_empty_segments(start: usize, out: &mut String) {
    while out.len() > start && out.ends_with('/') {
        out.pop();
    }
    if out.len() == start {
        out.push('/');
    } else if out.get(start..).is_some_and(|path| path.contains("//")) {
        let path = out.split_off(start);
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            out.push('/');
            out.push_str(segment);
        }
    }
}

/// RFC 3986's characters of a segment (`pchar`), without `%` and without `;`, which begins
/// parameters.
fn stands_bare(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!'
        | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn unescape(raw: &str) -> Option<Vec<u8>> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn upper_hex(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

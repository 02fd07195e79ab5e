//! What paths are once they are spelt: steps taken, empty segments merged, the slash at the end
//! taken off.

use super::super::fault::PathFault;
use super::way::Way;

/// Whether a path has a segment `.` or `..`.
pub(super) fn has_dots(path: &str) -> bool {
    path.contains('.') && path.split('/').any(is_dots)
}

/// Whether a path has an empty segment.
pub(super) fn has_empty(path: &str) -> bool {
    path.as_bytes().windows(2).any(|pair| pair == b"//")
}

/// Whether a path ends with a slash that may mean nothing, or does once its steps are taken.
pub(super) fn has_end(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    path.len() > 1 && (last.is_empty() || is_dots(last))
}

/// Resolves and merges a path that begins with a slash, as far as one way to read it does.
///
/// # Errors
/// A step up from an empty segment: who merges slashes first arrives at another path than who
/// steps up first.
pub(super) fn fold(path: &mut String, way: Way) -> Result<(), PathFault> {
    if way.resolve && has_dots(path) {
        *path = resolved(path)?;
    }
    if way.merge && has_empty(path) {
        *path = merged(path);
    }
    Ok(())
}

/// Takes the slash off a path's end where it means nothing: one of several stays.
pub(super) fn end(path: &mut String, way: Way) {
    if way.same_end && path.len() > 1 && path.ends_with('/') && !path.ends_with("//") {
        path.pop();
    }
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn resolved(path: &str) -> Result<String, PathFault> {
    let mut out = String::with_capacity(path.len());
    let mut stepped = false;
    for segment in path.split('/').skip(1) {
        stepped = is_dots(segment);
        match segment {
            "." => {}
            ".." => match out.rfind('/') {
                Some(slash) if slash + 1 == out.len() => return Err(PathFault::UpFromEmpty),
                Some(slash) => out.truncate(slash),
                // There is nothing above the root.
                None => {}
            },
            name => {
                out.push('/');
                out.push_str(name);
            }
        }
    }
    if stepped {
        out.push('/');
    }
    Ok(out)
}

fn merged(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

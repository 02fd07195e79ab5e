//! How many files the process may have open, and how many its settings can come to.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::bounds::MAX_STRANGERS;
use crate::settings::Listeners;

/// Open files besides connections of callers: the store's, the listeners, polling, files that are
/// read again, the log.
const OTHERS: u64 = 128;

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
/// Where the settings can come to more open files than the system allows: what to do, in words.
pub fn raise_limit(listeners: &Listeners) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    // Where it cannot be raised the soft limit is what holds.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).is_ok();
    let allowed = if raised { hard } else { limit.current };
    match (allowed, needed(listeners)) {
        (Some(allowed), needed) if allowed < needed => Err(format!(
            "the system allows {allowed} open files, and the settings can come to {needed}: lower \
             listeners.grpc.max_connections and listeners.http.max_connections, or raise the hard \
             limit of open files (nofile)"
        )),
        _ => Ok(()),
    }
}

/// The most files that can be open at once. Strangers who were told to leave may still be there.
fn needed(listeners: &Listeners) -> u64 {
    let trusted = listeners.grpc.max_connections.saturating_add(listeners.http.max_connections);
    let strangers = 2 * 2 * MAX_STRANGERS;
    let connections = trusted.saturating_add(strangers);
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS)
}

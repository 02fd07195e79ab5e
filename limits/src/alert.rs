//! Quota alerts: which parts of a quota a check used up.
//!
//! A reply tells how much was booked before its check and after it, so the check that steps over a
//! part is the only one that sees it: once in a period, over all replicas, without other state.

use std::sync::Arc;

use crate::counter::Terms;
use crate::decide::Reply;
use crate::policy::{Limit, Numbers};
use crate::time::{Timestamp, Tokens};

/// A part of a quota is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The limit.
    pub limit: Arc<str>,
    /// The part, of a hundred.
    pub percent: u8,
    /// Tokens booked in the period, after the check that reached the part.
    pub used: Tokens,
    /// Tokens that pass in the period.
    pub quota: Tokens,
    /// When the period ends.
    pub ends: Timestamp,
}

/// The alerts of the answer to one charge that was decided at about `now`, smallest part first.
///
/// Where the numbers of a quota change within a period, its parts are others from then on: one may
/// be told again, or not at all.
pub fn alerts<'l>(
    limit: &'l Limit,
    numbers: &Numbers,
    terms: &Terms,
    reply: &Reply,
    now: Timestamp,
) -> impl Iterator<Item = Alert> + use<'l> {
    let ([before, used], quota) = (reply.booked, numbers.capacity());
    // Whose window does not end has no periods.
    let ends = match terms {
        Terms::AlignedWindow { edges: [_, this, next], .. } => {
            // The store's clock decided which of the two it is, and told how long it lasts.
            let end = now.after(reply.full_in);
            let nearest = [*this, *next].into_iter().min_by_key(|e| e.get().abs_diff(end.get()));
            nearest.unwrap_or(end)
        }
        _ => now,
    };
    limit.alert_at.iter().filter_map(move |percent| {
        let part = part(quota, *percent);
        let crossed = before < part && part <= used;
        let limit = Arc::clone(&limit.name);
        crossed.then_some(Alert { limit, percent: *percent, used, quota, ends })
    })
}

/// The least tokens that are this part of the quota; at least one, so that nothing used is none.
fn part(quota: Tokens, percent: u8) -> Tokens {
    let part = (u128::from(quota.get()) * u128::from(percent)).div_ceil(100);
    Tokens::new(u64::try_from(part).unwrap_or(u64::MAX).max(1))
}

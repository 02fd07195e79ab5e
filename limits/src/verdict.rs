//! The answer to one request: whether it passes, which limit bound it, and why.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::alert::Alert;
use crate::charge::Charge;
use crate::counter::{Terms, Wait};
use crate::decide::Reply;
use crate::policy::{Algorithm, Mode};
use crate::time::{Micros, Tokens};

/// The most limits that one answer through a gateway names: its head and body have bounds of their
/// own there, and a client has no use for more.
pub const MAX_NAMED: usize = 8;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a request does not pass: the one table of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$name),*];

            /// The word for it, everywhere: answers, records, metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    /// A limit has too few tokens left now.
    LimitExceeded = "limit_exceeded",
    /// A limit over a calendar period has too few tokens left in this one.
    QuotaExhausted = "quota_exhausted",
    /// Too many requests of a kind are under way.
    ConcurrencyExceeded = "concurrency_exceeded",
    /// The request costs more than a limit ever lets pass; waiting does not help.
    CostExceedsCapacity = "cost_exceeds_capacity",
    /// The caller was denied so often that it is blocked for a while.
    Blocked = "blocked",
    /// Nothing is held any more of what should be extended, or a reservation is settled much too
    /// late.
    HoldExpired = "hold_expired",
    /// The store does not answer, and a limit stays closed then.
    StoreUnavailable = "store_unavailable",
    /// This replica has more to do than it can.
    Overloaded = "overloaded",
    /// The caller may not act for this tenant.
    TenantBoundary = "tenant_boundary",
    /// The caller may not ask here.
    UntrustedCaller = "untrusted_caller",
    /// No limit applies, and such requests are denied by setting.
    NoLimitApplies = "no_limit_applies",
    /// The request says something that cannot be.
    InvalidRequest = "invalid_request",
}

impl Reason {
    /// Whether a limit's own reason is said instead of it.
    const fn is_plain(self) -> bool {
        matches!(self, Self::LimitExceeded | Self::QuotaExhausted | Self::ConcurrencyExceeded)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one limit says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitVerdict {
    /// The limit.
    pub name: Arc<str>,
    /// Whether it denies the request, or only says that it would.
    pub mode: Mode,
    /// Whether the request passes this limit.
    pub allowed: bool,
    /// How it counts.
    pub algorithm: Algorithm,
    /// Its capacity: the most tokens that pass at once.
    pub limit: Tokens,
    /// The length of its window: of a quota that of the current period, of concurrency the longest
    /// hold.
    pub window: Micros,
    /// In what time its capacity comes back from nothing: the window, or for a token bucket the
    /// burst divided by the rate.
    pub refill: Micros,
    /// Tokens left, after this request where it passed.
    pub remaining: Tokens,
    /// How long until the same request would pass this limit.
    pub wait: Wait,
    /// How long until all tokens are back, if nobody takes.
    pub full_in: Micros,
    /// Whether the answer is not backed by the store.
    pub degraded: bool,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request passes.
    pub allowed: bool,
    /// Why it does not; `None` where it passes.
    pub reason: Option<Reason>,
    /// The reason in words for the caller: the limit's own instead of `limit_exceeded`,
    /// `quota_exhausted` and `concurrency_exceeded`, else [`Reason::as_str`]; empty where the
    /// request passes.
    pub reason_text: String,
    /// What is wrong with the request, for its caller; empty where nothing is.
    pub detail: String,
    /// The limit that decided, a position in `limits`; `None` where no enforcing limit did.
    pub binding: Option<usize>,
    /// What each limit that applies says, in the order of the policy.
    pub limits: Vec<LimitVerdict>,
    /// Whether any of it is not backed by the store.
    pub degraded: bool,
    /// The parts of quotas that this request used up; [`crate::alert`] finds them.
    pub alerts: Vec<Alert>,
}

impl Verdict {
    /// The verdict of the store's replies, one for each charge, in the same order: those that were
    /// merged.
    ///
    /// The request passes if every enforcing limit allows it; one without a reply does not.
    #[must_use]
    pub fn of(charges: &[Charge<'_>], replies: &[Reply]) -> Self {
        let all = replies.iter().copied().map(Some).chain(std::iter::repeat(None));
        let each = charges.iter().zip(all);
        let limits: Vec<_> = each.map(|(charge, reply)| limit_verdict(charge, reply)).collect();
        let binding = binding(&limits);
        let denied = binding.and_then(|at| Some((at, limits.get(at).filter(|l| !l.allowed)?)));
        let blocked = |at: usize| replies.get(at).is_some_and(|reply| reply.blocked);
        let reason = denied.map(|(at, limit)| reason(limit, blocked(at)));
        let own = binding
            .filter(|_| reason.is_some_and(Reason::is_plain))
            .and_then(|at| charges.get(at)?.limit.reason.as_deref());
        let reason_text = own.or(reason.map(Reason::as_str)).unwrap_or_default().to_owned();
        Self {
            allowed: reason.is_none(),
            reason,
            reason_text,
            detail: String::new(),
            binding,
            limits,
            degraded: false,
            alerts: Vec::new(),
        }
    }

    /// A denial of a request that says something that cannot be; `detail` says what.
    #[must_use]
    pub fn invalid(detail: impl fmt::Display) -> Self {
        Self { detail: detail.to_string(), ..Self::refused(Reason::InvalidRequest) }
    }

    /// A denial that no limit decided.
    #[must_use]
    pub fn refused(reason: Reason) -> Self {
        let reason_text = reason.as_str().to_owned();
        Self {
            allowed: false,
            reason: Some(reason),
            reason_text,
            detail: String::new(),
            binding: None,
            limits: Vec::new(),
            degraded: false,
            alerts: Vec::new(),
        }
    }

    /// Says `reason` instead of the limit's where the limit that binds a denial is one that is
    /// `closed`, by its position: it denies whatever its counter says.
    pub fn close(&mut self, reason: Reason, closed: impl Fn(usize) -> bool) {
        if !self.allowed && self.binding.is_some_and(closed) {
            self.reason = Some(reason);
            self.reason_text = reason.as_str().to_owned();
        }
    }

    /// When to try again; `None` where the request passes or no limit decided.
    #[must_use]
    pub fn retry_after(&self) -> Option<Wait> {
        self.binding_limit().filter(|_| !self.allowed).map(|limit| limit.wait)
    }

    /// Tokens left of the limit that bound the request.
    #[must_use]
    pub fn remaining(&self) -> Option<Tokens> {
        self.binding_limit().map(|limit| limit.remaining)
    }

    /// How long until all tokens of the limit that bound the request are back, if nobody takes.
    #[must_use]
    pub fn reset(&self) -> Option<Micros> {
        self.binding_limit().map(|limit| limit.full_in)
    }

    /// The name of the limit that bound the request.
    #[must_use]
    pub fn limit_name(&self) -> Option<&str> {
        self.binding_limit().map(|limit| &*limit.name)
    }

    /// The shadow limits that would have denied the request.
    pub fn would_deny(&self) -> impl Iterator<Item = &LimitVerdict> {
        self.limits.iter().filter(|limit| limit.mode == Mode::Shadow && !limit.allowed)
    }

    /// The limits that an answer through a gateway names, at most [`MAX_NAMED`]: the enforcing
    /// ones, first the one that bound the request, then the others that deny it, then the rest,
    /// each in the order of the policy.
    #[must_use]
    pub fn named(&self) -> Vec<&LimitVerdict> {
        let enforcing = self.limits.iter().enumerate().filter(|(_, l)| l.mode == Mode::Enforce);
        let mut named: Vec<_> = enforcing.collect();
        named.sort_by_key(|(at, limit)| (Some(*at) != self.binding, limit.allowed));
        named.into_iter().map(|(_, limit)| limit).take(MAX_NAMED).collect()
    }

    /// What the limit that bound the request says.
    #[must_use]
    pub fn binding_limit(&self) -> Option<&LimitVerdict> {
        self.limits.get(self.binding?)
    }
}

fn limit_verdict(charge: &Charge<'_>, reply: Option<Reply>) -> LimitVerdict {
    let limit = charge.limit;
    let window = window(charge);
    LimitVerdict {
        name: Arc::clone(&limit.name),
        mode: limit.mode,
        allowed: reply.is_some_and(|reply| reply.allowed),
        algorithm: limit.algorithm,
        limit: charge.numbers.capacity(),
        window,
        refill: refill(&charge.terms, window),
        remaining: reply.map_or(Tokens::ZERO, |reply| reply.left),
        wait: reply.map_or(Wait::For(window), |reply| reply.wait),
        full_in: reply.map_or(window, |reply| reply.full_in),
        degraded: false,
    }
}

/// Why a limit denies a request.
fn reason(limit: &LimitVerdict, blocked: bool) -> Reason {
    match (limit.wait, limit.algorithm) {
        (Wait::Never, _) => Reason::CostExceedsCapacity,
        _ if blocked => Reason::Blocked,
        (_, Algorithm::Calendar) => Reason::QuotaExhausted,
        (_, Algorithm::Concurrency) => Reason::ConcurrencyExceeded,
        _ => Reason::LimitExceeded,
    }
}

/// The length of the window that the request was counted in: periods differ.
fn window(charge: &Charge<'_>) -> Micros {
    match charge.terms {
        Terms::AlignedWindow { edges: [start, end, _], .. } => end.since(start),
        _ => charge.limit.window,
    }
}

fn refill(terms: &Terms, window: Micros) -> Micros {
    let Terms::TokenBucket { rate, burst } = terms else { return window };
    let ticks = u128::from(burst.get()) * u128::from(rate.ticks);
    let ticks = ticks.div_ceil(u128::from(rate.tokens.max(1)));
    let micros = ticks.saturating_mul(u128::from(rate.tick.get()));
    Micros::new(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// The enforcing limit that decides: on denial the one with the longest wait among those that
/// deny, otherwise the one with the smallest share of its capacity left. The first of equals.
fn binding(limits: &[LimitVerdict]) -> Option<usize> {
    let enforcing = || limits.iter().enumerate().filter(|(_, limit)| limit.mode == Mode::Enforce);
    let longest = enforcing()
        .filter(|(_, limit)| !limit.allowed)
        .reduce(|first, next| if next.1.wait > first.1.wait { next } else { first });
    let smallest = || {
        enforcing().reduce(|first, next| match by_share(next.1, first.1) {
            Ordering::Less => next,
            Ordering::Equal | Ordering::Greater => first,
        })
    };
    longest.or_else(smallest).map(|(at, _)| at)
}

/// Compares what is left of the capacities, as fractions; of no capacity nothing is left.
fn by_share(one: &LimitVerdict, other: &LimitVerdict) -> Ordering {
    let scaled = |a: &LimitVerdict, b: &LimitVerdict| {
        u128::from(a.remaining.get()) * u128::from(b.limit.get().max(1))
    };
    scaled(one, other).cmp(&scaled(other, one))
}

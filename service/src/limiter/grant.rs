//! What a request holds that passed, for its caller to keep.

use sluicegate_limits::charge::{Charge, Intent};
use sluicegate_limits::counter::Op;
use sluicegate_limits::decide::Reply;
use sluicegate_limits::policy::Mode;
use sluicegate_limits::policy::units::MAX_HOLD;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use uuid::Uuid;

use super::Limiter;
use super::backing::Backing;
use super::spend::Way;
use crate::call::Grant;
use crate::reservation::{Held, OwnNumbers, Reservation};

impl Limiter {
    /// What is held of the charges of a request that passed; `None` where it asked for nothing to
    /// be held.
    pub(super) fn grant(&self, way: &Way<'_>, replies: &[Reply]) -> Option<Grant> {
        let (Intent::Hold { lasting } | Intent::Reserve { lasting }) = way.wish.intent else {
            return None;
        };
        let id = self.random.bytes();
        let each = way.charges.iter().zip(&way.backing).zip(replies);
        let (mut held, mut lasts) = (Vec::new(), Micros::MAX);
        for ((charge, backing), reply) in each {
            let Some(end) = end_of(charge, reply, way) else { continue };
            let binds = charge.limit.mode == Mode::Enforce && reply.end > Timestamp::ZERO;
            if binds {
                lasts = lasts.min(end.since(way.decided));
            }
            held.extend(entry(charge, *backing, end));
        }
        // Where nothing is held, nothing ends before the caller wants it to.
        let lasts = if lasts == Micros::MAX { lasting } else { lasts };
        let (process, seal) = (self.shared.process, &self.shared.secrets.seal);
        let owner = way.wish.owner.map_or(0, |(name, value)| seal.owner(name, value));
        let reservation = Reservation { id, process, granted: way.decided, owner, held };
        let token = seal.token(&reservation);
        Some(Grant { id: Uuid::from_bytes(id), token, lasts, overrun: Tokens::ZERO })
    }
}

/// Until when this intent holds what the charge is about; `None` where it does not.
fn end_of(charge: &Charge<'_>, reply: &Reply, way: &Way<'_>) -> Option<Timestamp> {
    if !charge.asks(way.wish.intent).any(|ask| matches!(ask.op, Op::Hold { .. })) {
        return None;
    }
    // Nothing is held for a cost of nothing, nor extended; it can be settled for as long as any.
    let idle = charge.tokens == Tokens::ZERO && reply.allowed;
    let end = if idle { way.decided.after(MAX_HOLD) } else { reply.end };
    (end > Timestamp::ZERO).then_some(end)
}

/// What is held of one charge; `None` where nobody counts it.
fn entry(charge: &Charge<'_>, backing: Backing, end: Timestamp) -> Option<Held> {
    let numbers = charge.numbers;
    let own = || OwnNumbers { limit: numbers.limit, burst: numbers.burst };
    let local = match backing {
        Backing::Store => false,
        Backing::Local => true,
        Backing::Open | Backing::Closed => return None,
    };
    Some(Held {
        limit_id: charge.limit.id,
        key: charge.key,
        tokens: charge.tokens,
        end,
        stated: charge.cost_is_stated,
        local,
        numbers: (numbers != charge.limit.numbers).then(own),
    })
}

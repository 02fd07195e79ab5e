//! What a request owes: one charge for each limit that applies, and what each asks of counters.

mod secret;

use crate::attributes::Attributes;
use crate::counter::{Op, Terms};
use crate::decide::{Ask, Check, Key, Reply};
use crate::invalid::InvalidRequest;
use crate::matching::{CostFrom, KeyValues, Request};
use crate::policy::units::{ABOVE_MAX_COST, MAX_HOLD};
use crate::policy::{CostRule, Layer, Limit, Mode, Numbers, Policy};
use crate::time::{Micros, Timestamp, Tokens};

pub use secret::{InvalidSecret, KeySecret, MAX_VALUE_BYTES, MIN_SECRET_BYTES, derive};

/// No hold ends later than this from now: the longest hold that any limit may have, with its end
/// rounded up. So no policy cuts the holds of another.
const HORIZON: Micros = MAX_HOLD.plus(quantum(MAX_HOLD));

/// The most limits that one request is charged by; one with more is refused, so that it costs no
/// more than another.
pub const MAX_CHARGES: usize = 256;

/// What a request owes one limit.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'p> {
    /// The limit that applies.
    pub limit: &'p Limit,
    /// Its counter for this request.
    pub key: Key,
    /// The counter of its strikes, where it has a penalty; in the same partition.
    pub penalty_key: Option<Key>,
    /// How many tokens pass, for this request.
    pub numbers: Numbers,
    /// Where these numbers come from.
    pub layer: Layer<'p>,
    /// The arithmetic, at the instant that `charges` was asked for.
    pub terms: Terms,
    /// What the request costs.
    pub tokens: Tokens,
    /// Whether that is the cost that the request states or that of its endpoint, so that what it
    /// turns out to have cost can take its place.
    pub cost_is_stated: bool,
}

/// What a request owes, in the order of the policy.
pub type Charges<'p> = Vec<Charge<'p>>;

/// What a request wants of the limits that apply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To know whether it would pass.
    Look,
    /// To pass: tokens are taken, and of concurrency held for as long as the limit says.
    Check,
    /// To pass and to say when it is over: of concurrency tokens are held for `lasting`.
    Hold {
        /// How long the caller asks for; a limit's own `hold` is the most.
        lasting: Micros,
    },
    /// To set aside what it may cost, and to say later what it did cost: every token is held.
    Reserve {
        /// How long the caller asks for; a limit's own `hold` is the most.
        lasting: Micros,
    },
}

/// What becomes of what a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The request did cost this; the rest is given back.
    Settle {
        /// In tokens.
        actual: Tokens,
    },
    /// It is held longer.
    Extend {
        /// How long from now the caller asks for; a limit's own `hold` is the most.
        lasting: Micros,
    },
    /// It is over, and all of it is given back.
    Release,
}

impl Ending {
    /// Its name in records, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settle { .. } => "settle",
            Self::Extend { .. } => "extend",
            Self::Release => "release",
        }
    }
}

impl<'p> Charge<'p> {
    /// A charge that was made before, on its limit as that is now: to end what is held for it.
    /// Which layer its numbers come from is not known any more.
    #[must_use]
    pub fn again(
        limit: &'p Limit,
        key: Key,
        numbers: Numbers,
        tokens: Tokens,
        cost_is_stated: bool,
        now: Timestamp,
    ) -> Self {
        let terms = limit.terms(&numbers, now);
        let (layer, penalty_key) = (Layer::Limit, None);
        Self { limit, key, penalty_key, numbers, layer, terms, tokens, cost_is_stated }
    }
}

impl Charge<'_> {
    /// What the store is asked: about the limit's counter, then about its penalty's.
    pub fn asks(&self, intent: Intent) -> impl Iterator<Item = Ask> + use<> {
        let penalty = self.penalty_ask(if intent == Intent::Look { Op::Look } else { Op::Strike });
        std::iter::once(self.ask(self.op(intent))).chain(penalty)
    }

    /// What the store is asked about the limit's counter.
    #[must_use]
    pub fn ask(&self, op: Op) -> Ask {
        Ask {
            key: self.key,
            limit_id: self.limit.id,
            max_keys: self.limit.max_keys,
            terms: self.terms,
            op,
            tokens: self.tokens,
            shadow: self.limit.mode == Mode::Shadow,
            horizon: HORIZON,
        }
    }

    /// One reply of the replies to [`Self::asks`], which it takes off the front: the charge passes
    /// where both pass, and waits for both. `None` where there are too few.
    pub fn merge(&self, replies: &mut impl Iterator<Item = Reply>) -> Option<Reply> {
        let reply = replies.next()?;
        if self.penalty_key.is_none() {
            return Some(reply);
        }
        let penalty = replies.next()?;
        Some(Reply {
            allowed: reply.allowed && penalty.allowed,
            wait: reply.wait.max(penalty.wait),
            blocked: !penalty.allowed,
            ..reply
        })
    }

    /// What the limit's counter is asked at the end of what the charge holds until `end`.
    #[must_use]
    pub fn ask_end(&self, ending: Ending, end: Timestamp) -> Ask {
        let held = self.tokens;
        let (op, tokens) = match ending {
            // What a limit counts by a cost of its own is not what the caller speaks of.
            Ending::Settle { actual } if self.cost_is_stated || actual == Tokens::ZERO => {
                (Op::Settle { end, held }, actual)
            }
            Ending::Settle { .. } => (Op::Settle { end, held }, held),
            Ending::Extend { lasting } => {
                let lasting = lasting.min(self.limit.hold);
                (Op::Extend { end, lasting, quantum: quantum(self.limit.hold) }, held)
            }
            Ending::Release => (Op::Release { end }, held),
        };
        Ask { tokens, ..self.ask(op) }
    }

    fn op(&self, intent: Intent) -> Op {
        let longest = self.limit.hold;
        let hold =
            |lasting: Micros| Op::Hold { lasting: lasting.min(longest), quantum: quantum(longest) };
        match (intent, self.terms) {
            (Intent::Look, _) => Op::Look,
            (Intent::Check, Terms::Concurrency { .. }) => hold(longest),
            (Intent::Hold { lasting }, Terms::Concurrency { .. })
            | (Intent::Reserve { lasting }, _) => hold(lasting),
            (Intent::Check | Intent::Hold { .. }, _) => Op::Take,
        }
    }

    fn penalty_ask(&self, op: Op) -> Option<Ask> {
        let penalty = self.limit.penalty?;
        let terms =
            Terms::Penalty { after: penalty.after, within: penalty.within, block: penalty.block };
        let (key, limit_id) = (self.penalty_key?, penalty_family(self.limit));
        Some(Ask { key, limit_id, terms, tokens: Tokens::ONE, ..self.ask(op) })
    }
}

/// The family of the counters of a limit's penalty: another one than that of the limit's own, so
/// that the two never share a counter when memory is full.
const fn penalty_family(limit: &Limit) -> u64 {
    !limit.id
}

impl Policy {
    /// The families of counters that its limits have, by what their asks call `limit_id`: one for
    /// each limit that counts, and one more for its penalty.
    pub fn families(&self) -> impl Iterator<Item = u64> {
        let counting = self.limits().iter().filter(|limit| limit.mode != Mode::Disabled);
        counting.flat_map(|limit| {
            let penalty = limit.penalty.map(|_| penalty_family(limit));
            std::iter::once(limit.id).chain(penalty)
        })
    }

    /// What a request owes: one charge for each limit that applies to it. `cost` is what the
    /// caller states, in tokens.
    ///
    /// # Errors
    /// A request that cannot be decided, whatever is left of its limits.
    pub fn charges<'p>(
        &'p self,
        attributes: &Attributes,
        cost: Option<Tokens>,
        secret: &KeySecret,
        now: Timestamp,
    ) -> Result<Charges<'p>, InvalidRequest> {
        let network = self.ip_prefix.network(attributes);
        let request = self.request(attributes, cost).counted_as(network.as_deref());
        self.one_reading(&request).map_err(InvalidRequest::Path)?;
        let charge = |(at, limit, values): (u32, &'p Limit, KeyValues<'_>)| {
            let tokens = limit.owed(&request, &values)?;
            let key = secret.key(limit, &values);
            let (numbers, layer) = self.numbers((at, limit), &request, now);
            Ok(Charge {
                limit,
                key,
                penalty_key: limit.penalty.map(|_| secret.penalty_key(limit, &values, key)),
                numbers,
                layer,
                terms: limit.terms(&numbers, now),
                tokens,
                cost_is_stated: limit.cost == CostRule::Endpoint,
            })
        };
        let all = self.applying(&request).take(MAX_CHARGES + 1).map(charge);
        let charges: Charges<'p> = all.collect::<Result<_, _>>()?;
        if charges.len() > MAX_CHARGES {
            return Err(InvalidRequest::TooManyLimits);
        }
        Ok(charges)
    }
}

impl Limit {
    /// What a request that this limit applies to owes it.
    ///
    /// Of a limit in shadow a request that would be invalid owes more than any capacity holds: so
    /// it would be denied, nothing is taken of any counter, and no other limit notices.
    ///
    /// # Errors
    /// Where the limit is enforcing, and the key or the cost cannot be told.
    fn owed(
        &self,
        request: &Request<'_>,
        values: &KeyValues<'_>,
    ) -> Result<Tokens, InvalidRequest> {
        let invalid = match (self.needs(values), self.cost_of(request)) {
            (Some(name), _) => InvalidRequest::MissingKey { attribute: name.into() },
            (None, (_, CostFrom::NotANumber(name))) => {
                InvalidRequest::CostNotANumber { attribute: name.into() }
            }
            (None, (tokens, _)) => return Ok(tokens),
        };
        if self.mode == Mode::Shadow { Ok(ABOVE_MAX_COST) } else { Err(invalid) }
    }
}

/// What the ends of holds are rounded up to, where the longest lasts so long: holds that end at
/// about the same time are counted as one, so that a counter has few of them.
#[must_use]
pub const fn quantum(longest: Micros) -> Micros {
    Micros::new(longest.get().div_ceil(16))
}

/// What the store is asked for these charges.
#[must_use]
pub fn ask_all<'a, 'p: 'a>(
    charges: impl IntoIterator<Item = &'a Charge<'p>>,
    intent: Intent,
) -> Check {
    charges.into_iter().flat_map(|charge| charge.asks(intent)).collect()
}

/// One reply for each charge, of the replies to [`ask_all`].
#[must_use]
pub fn merge_all<'a, 'p: 'a>(
    charges: impl IntoIterator<Item = &'a Charge<'p>>,
    replies: impl IntoIterator<Item = Reply>,
) -> Vec<Reply> {
    let mut replies = replies.into_iter();
    charges.into_iter().map_while(|charge| charge.merge(&mut replies)).collect()
}

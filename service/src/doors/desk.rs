//! What the native and the JSON door do alike: who may ask, what cannot be read, and the decision.

use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::policy::units::{MAX_COST, MAX_HOLD, MIN_HOLD};
use sluicegate_limits::time::{Micros, Tokens};
use sluicegate_limits::verdict::Reason;

use super::{Caller, Common};
use crate::call::{Call, Decision, Door, Ending, Method};
use crate::limiter::Limiter;

/// The end of a door for one call.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) limiter: &'a Limiter,
    pub(super) common: &'a Common,
    pub(super) caller: Caller,
    pub(super) door: Door,
}

/// A request to decide.
pub(super) struct Wanted {
    pub(super) facts: AttributesBuilder,
    pub(super) cost: Option<Tokens>,
    pub(super) method: Method,
}

/// What a caller wants of something held.
pub(super) struct Named {
    pub(super) token: String,
    pub(super) ending: Ending,
}

impl Desk<'_> {
    /// The call that a caller wants decided, or its refusal. `kind` is the method where nothing
    /// could be read.
    pub(super) fn call(
        self,
        kind: Method,
        wanted: impl FnOnce() -> Result<Wanted, String>,
    ) -> Result<Call, Box<Decision>> {
        if let Some(reason) = self.caller.refusal() {
            return Err(Box::new(self.refuse(kind, reason, String::new())));
        }
        let call = wanted().and_then(|Wanted { facts, cost, method }| {
            let call = self.caller.call(self.common, self.door, facts, cost)?;
            Ok(Call { method, ..call })
        });
        call.map_err(|detail| Box::new(self.refuse(kind, Reason::InvalidRequest, detail)))
    }

    /// Decides what a caller wants.
    pub(super) async fn decide(
        self,
        kind: Method,
        wanted: impl FnOnce() -> Result<Wanted, String>,
    ) -> Decision {
        match self.call(kind, wanted) {
            Ok(call) => self.limiter.check(call).await,
            Err(refused) => *refused,
        }
    }

    /// Ends what a token names, or moves its end.
    pub(super) async fn end(
        self,
        kind: Ending,
        named: impl FnOnce() -> Result<Named, String>,
    ) -> Decision {
        if let Some(reason) = self.caller.refusal() {
            return self.refuse(Method::End(kind), reason, String::new());
        }
        let read = named().and_then(|Named { token, ending }| {
            let opened = self.limiter.open(&token).map_err(|error| error.to_string())?;
            Ok((opened, ending))
        });
        match read {
            Ok((reservation, ending)) => {
                let call = self.caller.unread(self.common, self.door);
                self.limiter.end(call, &reservation, ending).await
            }
            Err(detail) => self.refuse(Method::End(kind), Reason::InvalidRequest, detail),
        }
    }

    fn refuse(self, method: Method, reason: Reason, detail: String) -> Decision {
        let call = Call { method, ..self.caller.unread(self.common, self.door) };
        self.limiter.refuse(reason, detail, &call)
    }
}

/// How long something is to be held, in microseconds; as long as its limits let where it is not
/// said.
pub(super) fn lasting(name: &str, stated: Option<u64>) -> Result<Micros, String> {
    match stated.map(Micros::new) {
        None => Ok(MAX_HOLD),
        Some(lasting) if (MIN_HOLD..=MAX_HOLD).contains(&lasting) => Ok(lasting),
        Some(_) => Err(format!(
            "`{name}` is {} to {} seconds",
            MIN_HOLD.to_seconds_up(),
            MAX_HOLD.to_seconds_up()
        )),
    }
}

/// What a request did cost.
pub(super) fn actual(stated: u64) -> Result<Tokens, String> {
    match stated {
        0..=MAX_COST => Ok(Tokens::new(stated)),
        _ => Err(format!("`actual` is at most {MAX_COST}")),
    }
}

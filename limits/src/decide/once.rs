//! What happens once: extending and ending a reservation, with a record of the answer beside the
//! counters, so that a repeat is answered and not executed.
//!
//! The bytes of a record, little-endian: kind u8 (0x11 extended, 0x12 ended), the instant u64 from
//! which it counts for nothing, then of an extended one the number of ends u16 and the ends u64, of
//! an ended one its answer (see `answer`), without what it booked: a repeat books nothing.

use super::answer::take;
use super::{Ask, Check, Counters, Once, Outcome, Reply, Stale, decide_asks};
use crate::counter::{Op, Wait};
use crate::time::{Micros, Timestamp, Tokens};

/// How long after the end of its last hold a reservation can still be settled: then only the
/// difference between what was used and what was held is booked.
pub const SETTLE_GRACE: Micros = Micros::new(5 * Micros::MINUTE.get());

const EXTENDED: u8 = 0x11;
const ENDED: u8 = 0x12;

/// What a store remembers of one reservation, in the bytes that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(Box<[u8]>);

/// What a record says.
enum Past {
    /// Its holds were extended, to these ends.
    Extended(Vec<Timestamp>),
    /// It was settled or released, with this answer.
    Ended(Outcome),
}

impl Record {
    /// The bytes that a store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From when on it counts for nothing and may be dropped.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        let number = self.0.get(1..9).and_then(|bytes| bytes.try_into().ok());
        Timestamp::new(number.map_or(0, u64::from_le_bytes))
    }

    fn new(past: &Past, expires: Timestamp) -> Self {
        let mut bytes = Vec::new();
        bytes.push(if matches!(past, Past::Ended(_)) { ENDED } else { EXTENDED });
        bytes.extend_from_slice(&expires.get().to_le_bytes());
        match past {
            Past::Extended(ends) => {
                let count = u16::try_from(ends.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&count.to_le_bytes());
                for end in ends {
                    bytes.extend_from_slice(&end.get().to_le_bytes());
                }
            }
            Past::Ended(outcome) => outcome.encode(&mut bytes),
        }
        Self(bytes.into())
    }

    /// What it says at `now`; `None` where it counts for nothing any more.
    fn past(&self, now: Timestamp) -> Option<Past> {
        if self.expires() <= now {
            return None;
        }
        let (kind, mut rest) = (self.0.first()?, self.0.get(9..)?);
        if *kind == ENDED {
            return Outcome::decode(&mut rest, now).ok().map(Past::Ended);
        }
        let count = u16::from_le_bytes(take(&mut rest).ok()?);
        let end = |_| take(&mut rest).map(|bytes| Timestamp::new(u64::from_le_bytes(bytes)));
        (0..count).map(end).collect::<Result<_, _>>().ok().map(Past::Extended)
    }
}

/// Decides a check that names a reservation, as [`Check::once`] says.
pub(super) fn decide_once(
    counters: &mut impl Counters,
    check: &Check,
    once: &Once,
    now: Timestamp,
) -> Result<Outcome, Stale> {
    if check.iter().any(|ask| ask.terms.is_stale(now)) {
        return Err(Stale);
    }
    let past = match counters.record(once) {
        Some(record) => record.as_ref().and_then(|record| record.past(now)),
        // What leaves no record needs no room for one.
        None if is_idle(check) => None,
        None => return Ok(refused(check, now)),
    };
    let mut asks = check.asks.clone();
    match past {
        Some(Past::Ended(_)) if extends(check) => return Ok(refused(check, now)),
        Some(Past::Ended(outcome)) => return Ok(outcome),
        Some(Past::Extended(ends)) if ends.len() != asks.len() => return Ok(refused(check, now)),
        Some(Past::Extended(ends)) => {
            asks.iter_mut().zip(ends).for_each(|(ask, end)| move_end(&mut ask.op, end));
        }
        None => {}
    }
    let last = asks.iter().filter_map(end_of).max();
    if last.is_some_and(|end| end.after(SETTLE_GRACE) <= now) {
        return Ok(refused(check, now));
    }
    let outcome = decide_asks(counters, &asks, now)?;
    if outcome.allowed
        && let Some(past) = past_of(&asks, &outcome)
        && let Some(record) = counters.record(once)
    {
        *record = Some(Record::new(&past, expiry(&past, &asks, now)));
    }
    Ok(outcome)
}

/// Whether nothing was held and nothing is booked.
fn is_idle(asks: &[Ask]) -> bool {
    let idle = |ask: &Ask| match ask.op {
        Op::Extend { .. } | Op::Release { .. } => true,
        Op::Settle { held, .. } => held == Tokens::ZERO,
        Op::Look | Op::Take | Op::Hold { .. } | Op::Reset | Op::Strike => false,
    };
    asks.iter().all(|ask| ask.tokens == Tokens::ZERO && idle(ask))
}

/// What a check that was executed makes of its reservation; `None` where a repeat changes nothing,
/// or where it has no operation on holds that exist.
fn past_of(asks: &[Ask], outcome: &Outcome) -> Option<Past> {
    if is_idle(asks) {
        return None;
    }
    if asks.iter().any(|ask| matches!(ask.op, Op::Settle { .. } | Op::Release { .. })) {
        let mut answer = outcome.clone();
        answer.replies.iter_mut().for_each(|reply| reply.booked = [Tokens::ZERO; 2]);
        return Some(Past::Ended(answer));
    }
    if !extends(asks) {
        return None;
    }
    let end = |(ask, reply): (&Ask, &Reply)| reply.end.max(end_of(ask).unwrap_or_default());
    Some(Past::Extended(asks.iter().zip(&outcome.replies).map(end).collect()))
}

/// Twice the grace after the later of now and the last end.
fn expiry(past: &Past, asks: &[Ask], now: Timestamp) -> Timestamp {
    let last = match past {
        Past::Extended(ends) => ends.iter().copied().max(),
        Past::Ended(_) => asks.iter().filter_map(end_of).max(),
    };
    last.map_or(now, |last| last.max(now)).after(SETTLE_GRACE).after(SETTLE_GRACE)
}

fn extends(asks: &[Ask]) -> bool {
    asks.iter().any(|ask| matches!(ask.op, Op::Extend { .. }))
}

/// The end that an operation on a hold that exists names.
fn end_of(ask: &Ask) -> Option<Timestamp> {
    match ask.op {
        Op::Extend { end, .. } | Op::Release { end } | Op::Settle { end, .. } => Some(end),
        Op::Look | Op::Take | Op::Hold { .. } | Op::Reset | Op::Strike => None,
    }
}

fn move_end(op: &mut Op, to: Timestamp) {
    if let Op::Extend { end, .. } | Op::Release { end } | Op::Settle { end, .. } = op {
        *end = to;
    }
}

/// The answer to what comes too late or does not belong to the reservation: no counter is looked
/// at, and waiting does not help.
fn refused(check: &Check, now: Timestamp) -> Outcome {
    let reply = Reply::bare(false, Tokens::ZERO, Wait::Never);
    Outcome { allowed: false, now, replies: vec![reply; check.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Terms;
    use crate::decide::{Key, Plain, decide};

    const ID: Key = Key { partition: 1, hash: [1; 16] };
    const ONCE: Once = Once { id: ID, owner: 7 };
    const START: Timestamp = Timestamp::new(1_700_000_000_000_000);

    fn ask(op: Op, tokens: u64) -> Ask {
        Ask {
            key: Key { partition: 1, hash: [2; 16] },
            limit_id: 1,
            max_keys: 10,
            terms: Terms::SlidingWindow { limit: Tokens::new(10), window: Micros::MINUTE },
            op,
            tokens: Tokens::new(tokens),
            shadow: false,
            horizon: Micros::HOUR,
        }
    }

    fn hold(lasting: Micros) -> Op {
        Op::Hold { lasting, quantum: Micros::ZERO }
    }

    fn once(store: &mut Plain, op: Op, tokens: u64, now: Timestamp) -> Outcome {
        let check = Check { asks: vec![ask(op, tokens)], once: Some(ONCE) };
        decide(store, &check, now).unwrap()
    }

    fn held(store: &mut Plain, lasting: Micros) -> Timestamp {
        decide(store, &[ask(hold(lasting), 4)].into(), START).unwrap().replies[0].end
    }

    #[test]
    fn a_repeat_answers_the_same_and_executes_nothing() {
        let mut store = Plain::default();
        let (end, other) = (held(&mut store, Micros::SECOND), held(&mut store, Micros::SECOND));
        assert_eq!(end, other, "both are one sum");
        let settle = Op::Settle { end, held: Tokens::new(4) };
        let first = once(&mut store, settle, 1, START);
        assert_eq!(first.replies[0].left.get(), 5);
        let before = store.clone();
        let later = START.after(Micros::MINUTE);
        let again = once(&mut store, settle, 1, later);
        assert_eq!(again, Outcome { now: later, ..first.clone() });
        let released = once(&mut store, Op::Release { end }, 4, later);
        assert_eq!(released.replies, first.replies);
        let extend = Op::Extend { end, lasting: Micros::SECOND, quantum: Micros::ZERO };
        assert_eq!(
            once(&mut store, extend, 4, START),
            refused(&[extend].map(|op| ask(op, 4)).into(), START)
        );
        assert_eq!((store.counters, store.records), (before.counters, before.records));
    }

    #[test]
    fn what_was_extended_is_settled_by_its_first_end() {
        let mut store = Plain::default();
        let end = held(&mut store, Micros::SECOND);
        let extend = Op::Extend { end, lasting: Micros::MINUTE, quantum: Micros::ZERO };
        let later = once(&mut store, extend, 4, START).replies[0].end;
        assert_eq!(later, START.after(Micros::MINUTE));
        let two = Check { asks: vec![ask(extend, 4); 2], once: Some(ONCE) };
        assert!(!decide(&mut store, &two, START).unwrap().allowed, "it had one ask");
        let now = START.after(Micros::SECOND);
        let settled = once(&mut store, Op::Settle { end, held: Tokens::new(4) }, 0, now);
        assert_eq!(settled.replies[0].left.get(), 10);
        let expiry = later.after(SETTLE_GRACE).after(SETTLE_GRACE);
        assert_eq!(store.records[&ID].as_ref().unwrap().expires(), expiry);
    }

    #[test]
    fn one_grace_after_its_end_nothing_is_settled() {
        let mut store = Plain::default();
        let end = held(&mut store, Micros::SECOND);
        let settle = Op::Settle { end, held: Tokens::new(4) };
        let over = end.after(SETTLE_GRACE);
        assert_eq!(once(&mut store, settle, 9, over).replies[0].wait, Wait::Never);
        assert_eq!(store.records[&ID], None);
        let before = Timestamp::new(over.get() - 1);
        let settled = once(&mut store, settle, 9, before);
        assert_eq!(settled.replies[0].left.get(), 5, "only the difference is booked");
    }

    #[test]
    fn no_room_for_a_record_means_refused() {
        let mut counters = std::collections::HashMap::new();
        let check = Check { asks: vec![ask(Op::Take, 1)], once: Some(ONCE) };
        assert!(!decide(&mut counters, &check, START).unwrap().allowed);
        assert!(counters.is_empty());
    }

    #[test]
    fn what_held_nothing_and_books_nothing_leaves_no_record_and_needs_no_room() {
        let end = START.after(Micros::MINUTE);
        let held = Tokens::ZERO;
        let extend = Op::Extend { end, lasting: Micros::HOUR, quantum: Micros::ZERO };
        for op in [Op::Settle { end, held }, Op::Release { end }, extend] {
            let mut store = Plain::default();
            let first = once(&mut store, op, 0, START);
            assert_eq!((first.allowed, &store.records[&ID]), (true, &None), "{op:?}");
            assert_eq!(once(&mut store, op, 0, START), first);
            let mut without_room = std::collections::HashMap::new();
            let check = Check { asks: vec![ask(op, 0)], once: Some(ONCE) };
            assert_eq!(decide(&mut without_room, &check, START).unwrap(), first);
        }
        let mut store = Plain::default();
        let settled = once(&mut store, Op::Settle { end, held }, 3, START);
        assert_eq!(settled.replies[0].left.get(), 7, "what it did cost is booked, and once");
        assert_eq!(once(&mut store, Op::Settle { end, held }, 3, START), settled);
        assert_eq!(once(&mut store, Op::Release { end }, 0, START), settled);
    }
}

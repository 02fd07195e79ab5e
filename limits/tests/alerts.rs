//! Quota alerts: each part of a quota is told once in a period, whoever asks and in what order.

#![cfg(test)]

use sluicegate_limits::alert::alerts;
use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::counter::Op;
use sluicegate_limits::decide::{Plain, Reply, decide};
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

const LIMITS: &str = "
rate_limits:
  monthly:
    key: tenant_id
    algorithm: calendar
    limit: 10
    period: month
    alert_at: [1%, 50%, 55%, 100%]
";
/// 2026-01-01T00:00:00Z.
const JANUARY: Timestamp = Timestamp::new(1_767_225_600_000_000);
const DAY: Micros = Micros::new(86_400_000_000);

/// One counter, asked by anybody.
struct Quota {
    policy: Policy,
    counters: Plain,
}

impl Quota {
    fn new() -> Self {
        let file = SourceFile { name: "a".to_owned(), text: LIMITS.to_owned() };
        Self { policy: Policy::compile(&[file]).unwrap().policy, counters: Plain::default() }
    }

    /// The parts that this operation reaches, and the reply to it.
    fn ask(&mut self, op: Op, tokens: u64, now: Timestamp) -> (Vec<u8>, Reply) {
        let mut facts = AttributesBuilder::new();
        facts.set("tenant_id", "acme").unwrap();
        let secret = KeySecret::new(&[7; 32]).unwrap();
        let cost = Some(Tokens::new(tokens));
        let charges = self.policy.charges(&facts.finish(), cost, &secret, now).unwrap();
        let asks: Vec<_> = charges.iter().map(|charge| charge.ask(op)).collect();
        let outcome = decide(&mut self.counters, &asks.into(), now).unwrap();
        let (charge, reply) = (&charges[0], &outcome.replies[0]);
        let found: Vec<_> =
            alerts(charge.limit, &charge.numbers, &charge.terms, reply, now).collect();
        for alert in &found {
            assert_eq!((&*alert.limit, alert.quota.get()), ("monthly", 10));
            assert_eq!(alert.ends, self.policy_end(now), "{alert:?}");
        }
        (found.into_iter().map(|alert| alert.percent).collect(), *reply)
    }

    /// The first of February or of March: the tests go no further.
    fn policy_end(&self, now: Timestamp) -> Timestamp {
        let days = |n: u64| JANUARY.after(Micros::new(DAY.get() * n));
        if now < days(31) { days(31) } else { days(59) }
    }
}

#[test]
fn each_part_is_told_by_the_request_that_reaches_it() {
    let mut quota = Quota::new();
    let mut take = |tokens, now| quota.ask(Op::Take, tokens, now).0;
    assert_eq!(take(1, JANUARY), [1], "the first token is more than none");
    assert_eq!(take(3, JANUARY), [0u8; 0]);
    assert_eq!(take(1, JANUARY), [50]);
    assert_eq!(take(0, JANUARY), [0u8; 0]);
    assert_eq!(take(5, JANUARY), [55, 100], "several at once");
    assert_eq!(take(1, JANUARY), [0u8; 0], "a denial reaches nothing");
    let february = JANUARY.after(Micros::new(31 * DAY.get()));
    assert_eq!(take(10, february), [1, 50, 55, 100], "anew in each period");
}

#[test]
fn a_look_tells_nothing_and_a_hold_tells_when_it_is_booked() {
    let mut quota = Quota::new();
    assert_eq!(quota.ask(Op::Look, 10, JANUARY).0, [0u8; 0]);
    let hold = Op::Hold { lasting: Micros::MINUTE, quantum: Micros::SECOND };
    let (told, reply) = quota.ask(hold, 5, JANUARY);
    assert_eq!(told, [0u8; 0], "what is held is not used yet");
    let held = Tokens::new(5);
    let settle = Op::Settle { end: reply.end, held };
    assert_eq!(quota.ask(settle, 6, JANUARY.after(Micros::SECOND)).0, [1, 50, 55]);

    let mut quota = Quota::new();
    let (_, reply) = quota.ask(hold, 5, JANUARY);
    let over = reply.end.after(Micros::SECOND);
    assert_eq!(quota.ask(Op::Look, 0, over).0, [0u8; 0], "nobody wrote that it is over");
    assert_eq!(quota.ask(Op::Take, 1, over).0, [1, 50, 55], "the next debit did");
}

//! What a charge asks of the store for each intent, and what the replies say together.

use std::collections::HashMap;

use sluicegate_limits::charge::{Charges, Intent, ask_all, merge_all};
use sluicegate_limits::counter::{Counter, Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Key, Reply, decide};
use sluicegate_limits::policy::Policy;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};
use sluicegate_limits::verdict::{Reason, Verdict};

use crate::{policy, request, secret};

const NOW: Timestamp = Timestamp::new(1_700_000_123_456_789);
const LIMITS: &str = "rate_limits:
  window: { key: tenant_id, limit: 2, window: 10s, hold: 32s,
            penalty: { after: 2, within: 1m, block: 15m } }
  running: { key: tenant_id, limit: 5, algorithm: concurrency, hold: 40s, cost: 3 }
  shadow: { key: tenant_id, limit: 1, window: 10s, mode: shadow,
            penalty: { after: 1, within: 1m, block: 15m } }
";

fn charges<'p>(policy: &'p Policy, tenant: &str, now: Timestamp) -> Charges<'p> {
    policy.charges(&request(&[("tenant_id", tenant)]), None, &secret(), now).unwrap()
}

fn ops(policy: &Policy, intent: Intent) -> Vec<Op> {
    ask_all(&charges(policy, "acme", NOW), intent).iter().map(|ask| ask.op).collect()
}

fn hold(lasting: u64, longest: u64) -> Op {
    let micros = |seconds: u64| Micros::new(seconds * 1_000_000);
    Op::Hold { lasting: micros(lasting), quantum: Micros::new(micros(longest).get().div_ceil(16)) }
}

#[test]
fn each_intent_has_its_operations() {
    let policy = policy(LIMITS);
    let of = |intent| ops(&policy, intent);
    let lasting = Micros::new(35_000_000);
    assert_eq!(of(Intent::Look), [Op::Look; 5]);
    assert_eq!(of(Intent::Check), [Op::Take, Op::Strike, hold(40, 40), Op::Take, Op::Strike]);
    let held = of(Intent::Hold { lasting });
    assert_eq!(held, [Op::Take, Op::Strike, hold(35, 40), Op::Take, Op::Strike]);
    let reserved = of(Intent::Reserve { lasting });
    assert_eq!(reserved, [hold(32, 32), Op::Strike, hold(35, 40), hold(35, 300), Op::Strike]);
}

#[test]
fn a_penalty_is_a_counter_beside_the_limits_own() {
    let policy = policy(LIMITS);
    let charges = charges(&policy, "acme", NOW);
    let asks: Vec<Ask> = charges[0].asks(Intent::Check).collect();
    let [own, penalty] = asks[..] else { panic!("{asks:?}") };
    assert_eq!(own.key.partition, penalty.key.partition, "one node decides on both");
    assert_ne!(own.key.hash, penalty.key.hash);
    assert_ne!(own.limit_id, penalty.limit_id);
    assert_eq!(penalty.tokens, Tokens::ONE);
    let (within, block) = (Micros::MINUTE, Micros::new(15 * Micros::MINUTE.get()));
    assert_eq!(penalty.terms, Terms::Penalty { after: Tokens::new(2), within, block });
    let asks: Vec<Ask> = charges[2].asks(Intent::Check).collect();
    assert!(asks.iter().all(|ask| ask.shadow));
    assert_eq!(charges.iter().map(|c| c.cost_is_stated).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn the_strike_that_blocks_says_how_long_and_later_ones_that_it_is_blocked() {
    let policy = policy(LIMITS);
    let mut counters: HashMap<Key, Counter> = HashMap::new();
    let mut check = |tenant: &str, after_seconds: u64| {
        let now = NOW.after(Micros::new(after_seconds * 1_000_000));
        let mut charges = charges(&policy, tenant, now);
        charges.remove(1);
        let outcome = decide(&mut counters, &ask_all(&charges, Intent::Check), now).unwrap();
        Verdict::of(&charges, &merge_all(&charges, outcome.replies))
    };
    let seconds = |verdict: &Verdict| match verdict.retry_after() {
        Some(Wait::For(wait)) => wait.to_seconds_up(),
        other => panic!("{other:?}"),
    };
    assert!(check("acme", 0).allowed && check("acme", 0).allowed);
    let first = check("acme", 1);
    assert_eq!((first.reason, seconds(&first)), (Some(Reason::LimitExceeded), 9));
    let second = check("acme", 2);
    assert_eq!((second.reason, seconds(&second)), (Some(Reason::LimitExceeded), 900));
    let third = check("acme", 12);
    assert_eq!((third.reason, seconds(&third)), (Some(Reason::Blocked), 890));
    assert_eq!(third.remaining(), Some(Tokens::new(2)), "the window is free again");
    assert!(check("other", 12).allowed);
    assert!(check("acme", 902).allowed);
}

#[test]
fn a_charge_without_its_replies_has_none() {
    let policy = policy(LIMITS);
    let charges = charges(&policy, "acme", NOW);
    let reply = Reply::bare(true, Tokens::ONE, Wait::None);
    assert_eq!(merge_all(&charges, [reply; 1]).len(), 0);
    assert_eq!(merge_all(&charges, [reply; 3]).len(), 2);
    assert_eq!(merge_all(&charges, [reply; 9]).len(), 3);
}

//! How other limiters were seen to fail, each as a trace that must not succeed here.

#![cfg(test)]

use std::collections::{HashMap, HashSet};

use sluicegate_limits::attributes::AttributesBuilder;
use sluicegate_limits::charge::KeySecret;
use sluicegate_limits::counter::{Counter, Op, Rate, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome, Reply, decide};
use sluicegate_limits::policy::{Policy, SourceFile};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

const SECOND: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// Counters, and a clock that the test moves.
struct Store {
    counters: HashMap<Key, Counter>,
    now: u64,
}

impl Store {
    fn new() -> Self {
        Self { counters: HashMap::new(), now: START }
    }

    fn decide(&mut self, check: &Check) -> Outcome {
        decide(&mut self.counters, check, Timestamp::new(self.now)).unwrap()
    }

    /// Takes one by one until one is denied; answers how many passed, at most 1,000.
    fn passes(&mut self, terms: Terms) -> usize {
        (0..1_000).take_while(|_| self.decide(&[ask(1, terms, Op::Take, 1)].into()).allowed).count()
    }

    fn one(&mut self, terms: Terms, op: Op, tokens: u64) -> Reply {
        self.decide(&[ask(1, terms, op, tokens)].into()).replies[0]
    }
}

fn ask(key: u8, terms: Terms, op: Op, tokens: u64) -> Ask {
    Ask {
        key: Key { partition: key, hash: [key; 16] },
        limit_id: key.into(),
        max_keys: 1_000,
        terms,
        op,
        tokens: Tokens::new(tokens),
        shadow: false,
        horizon: Micros::new(3_600 * SECOND),
    }
}

/// `limit` tokens in `seconds`.
fn window(limit: u64, seconds: u64) -> Terms {
    Terms::SlidingWindow { limit: Tokens::new(limit), window: Micros::new(seconds * SECOND) }
}

fn aligned(limit: u64, seconds: u64) -> Terms {
    let edges = [0, seconds, 2 * seconds].map(|edge| Timestamp::new(START + edge * SECOND));
    Terms::AlignedWindow { limit: Tokens::new(limit), edges }
}

/// One token a second, at most `burst` at once.
fn bucket(burst: u64) -> Terms {
    let rate = Rate { tick: Micros::new(1), tokens: 1, ticks: SECOND };
    Terms::TokenBucket { rate, burst: Tokens::new(burst) }
}

const fn hold(lasting: u64) -> Op {
    Op::Hold { lasting: Micros::new(lasting), quantum: Micros::new(1) }
}

/// throttlecrab lets 17 pass at once with a burst of 10, after 17 idle intervals.
#[test]
fn idling_earns_no_more_than_the_burst() {
    for idle in [1, 9, 10, 17, 100, 100_000] {
        let mut store = Store::new();
        assert_eq!(store.passes(bucket(10)), 10);
        store.now += idle * SECOND;
        let earned = usize::try_from(idle.min(10)).unwrap();
        assert_eq!(store.passes(bucket(10)), earned, "after {idle} idle intervals");
        let mut store = Store::new();
        assert!(store.one(window(10, 10), Op::Take, 1).allowed);
        store.now += idle * SECOND;
        assert!(store.passes(window(10, 10)) <= 10, "after {idle} idle intervals");
    }
}

/// Every refund seen credits too much: take 10, wait until full, take 10, give the first 10 back,
/// take 10: 20 in no time.
#[test]
fn tokens_that_are_back_cannot_be_given_back() {
    for terms in [bucket(10), window(10, 10), aligned(10, 10)] {
        let mut store = Store::new();
        let first = store.one(terms, hold(SECOND), 10);
        assert!(first.allowed);
        store.now = first.end.get();
        let full_in = store.one(terms, Op::Look, 0).full_in;
        store.now += full_in.get();
        let terms =
            if matches!(terms, Terms::AlignedWindow { .. }) { later_edges() } else { terms };
        assert!(store.one(terms, Op::Take, 10).allowed, "it is full again: {terms:?}");
        let back = store.one(terms, Op::Release { end: first.end }, 10);
        assert_eq!(back.left, Tokens::ZERO, "{terms:?}");
        assert_eq!(store.passes(terms), 0, "{terms:?}");
        let settle = Op::Settle { end: first.end, held: Tokens::new(10) };
        assert_eq!(store.one(terms, settle, 0).left, Tokens::ZERO, "{terms:?}");
        assert_eq!(store.passes(terms), 0, "{terms:?}");
    }
}

fn later_edges() -> Terms {
    let edges = [10, 20, 30].map(|edge| Timestamp::new(START + edge * SECOND));
    Terms::AlignedWindow { limit: Tokens::new(10), edges }
}

/// A give-back of more than was held, or given twice, credits what was held, once.
#[test]
fn a_give_back_credits_what_was_held_once() {
    for terms in [bucket(10), window(10, 10), aligned(10, 10)] {
        let mut store = Store::new();
        assert!(store.one(terms, Op::Take, 6).allowed);
        let end = store.one(terms, hold(SECOND), 4).end;
        for tokens in [1_000_000, Tokens::MAX.get(), 4] {
            assert_eq!(store.one(terms, Op::Release { end }, tokens).left.get(), 4, "{terms:?}");
        }
        assert_eq!(store.passes(terms), 4);
    }
}

/// envoyproxy/ratelimit charges the descriptors that allow when another denies.
#[test]
fn a_denial_by_one_limit_charges_no_other() {
    for terms in [bucket(2), window(2, 60), aligned(2, 60)] {
        let mut store = Store::new();
        let both = |tokens| [ask(2, window(100, 60), Op::Take, 1), ask(1, terms, Op::Take, tokens)];
        assert!(store.decide(&both(2).into()).allowed);
        let before = store.counters.clone();
        for _ in 0..50 {
            let outcome = store.decide(&both(1).into());
            assert!(!outcome.allowed);
            assert!(outcome.replies[0].allowed, "the other limit alone would allow");
        }
        assert_eq!(store.counters, before);
        let look = store.decide(&[ask(2, window(100, 60), Op::Look, 0)].into());
        assert_eq!(look.replies[0].left.get(), 99);
    }
}

/// Limitador's `remaining` underflows.
#[test]
fn what_is_left_is_never_below_zero() {
    for terms in [bucket(5), window(5, 60), aligned(5, 60)] {
        let mut store = Store::new();
        let end = store.one(terms, hold(SECOND), 5).end;
        let settle = Op::Settle { end, held: Tokens::new(5) };
        assert_eq!(store.one(terms, settle, 1_000).left, Tokens::ZERO, "in debt: {terms:?}");
        assert_eq!(store.one(terms, Op::Take, 1).left, Tokens::ZERO);
        assert_eq!(store.one(terms, Op::Take, Tokens::MAX.get()).left, Tokens::ZERO);
        assert_eq!(store.one(terms, Op::Take, Tokens::MAX.get()).wait, Wait::Never);
    }
    let mut store = Store::new();
    assert_eq!(store.one(window(100, 60), Op::Take, 60).left.get(), 40);
    let smaller = store.one(window(10, 60), Op::Look, 1);
    assert_eq!((smaller.allowed, smaller.left), (false, Tokens::ZERO), "the limit was lowered");
}

/// A fixed window of others passes twice the limit around its edge; ours slides by default.
#[test]
fn no_edge_doubles_a_sliding_window() {
    let mut store = Store::new();
    store.now += 59 * SECOND;
    assert_eq!(store.passes(window(60, 60)), 60);
    for _ in 0..59 {
        store.now += SECOND;
        assert_eq!(store.passes(window(60, 60)), 0);
    }
    store.now += SECOND;
    assert_eq!(store.passes(window(60, 60)), 60);
}

/// Two charges of one request on one counter are one sum, not two looks at the same rest.
#[test]
fn one_request_cannot_spend_the_same_rest_twice() {
    for terms in [bucket(5), window(5, 60), aligned(5, 60)] {
        let mut store = Store::new();
        let twice = |n| [ask(1, terms, Op::Take, n), ask(1, terms, hold(SECOND), n)];
        assert!(!store.decide(&twice(3).into()).allowed, "{terms:?}");
        assert!(store.decide(&twice(2).into()).allowed, "{terms:?}");
        assert_eq!(store.passes(terms), 1);
    }
}

/// envoyproxy/ratelimit joins key values by `_`, so that `a_b` + `c` and `a` + `b_c` share a
/// counter: one caller picks names that use up another's.
#[test]
fn values_that_look_alike_when_joined_have_counters_of_their_own() {
    let text = "rate_limits: {pair: {key: [tenant_id, user_id], limit: 5, window: 1m}}";
    let file = SourceFile { name: "pair.yaml".into(), text: text.into() };
    let policy = Policy::compile(&[file]).unwrap().policy;
    let secret = KeySecret::new(&[7; 32]).unwrap();
    let key = |tenant: &str, user: &str| {
        let mut attributes = AttributesBuilder::new();
        attributes.set("tenant_id", tenant).unwrap().set("user_id", user).unwrap();
        policy.charges(&attributes.finish(), None, &secret, Timestamp::new(START)).unwrap()[0].key
    };
    let pairs = [
        ("a_b", "c"),
        ("a", "b_c"),
        ("a_b_c", "-"),
        ("ab", "c"),
        ("a", "bc"),
        ("c", "a_b"),
        ("a|b", "c"),
        ("a", "b|c"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("a/b", "c"),
        ("a", "b/c"),
        ("a,b", "c"),
        ("a", "b,c"),
    ];
    let keys: HashSet<Key> = pairs.iter().map(|(tenant, user)| key(tenant, user)).collect();
    assert_eq!(keys.len(), pairs.len());
    assert_eq!(key("a", "b_c"), key("a", "b_c"));
}

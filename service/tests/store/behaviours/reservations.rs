//! Holds that are extended, settled, released and left to end, by a name that makes each happen
//! once.

use sluicegate::store::Store;
use sluicegate_limits::counter::{Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use super::decide;
use crate::world::{ask, hourly, left, until};

pub(super) async fn list(store: &Store, first: u8) {
    so_many_at_a_time_and_the_next_waits_for_the_first_end(store, first).await;
    a_reservation_is_settled_once_and_a_repeat_answers_the_same(store, first + 2).await;
    one_over_several_limits_is_all_or_nothing_and_ends_together(store, first + 4).await;
    one_is_extended_by_its_first_ends_again_and_again(store, first + 6).await;
    an_actual_above_the_estimate_is_a_debt(store, first + 8).await;
    one_that_ends_by_itself_is_booked_and_settled_by_the_difference(store, first + 10).await;
    one_that_ended_long_ago_is_refused(store, first + 12).await;
}

const SECOND: Micros = Micros::SECOND;

fn hold(counter: u8, terms: Terms, tokens: u64, lasting: Micros) -> Ask {
    ask(counter, terms, Op::Hold { lasting, quantum: Micros::ZERO }, tokens)
}

/// An operation on what is held, once by this name.
fn once(name: u8, asks: Vec<Ask>) -> Check {
    Check { asks, once: Some(Key { partition: name, hash: [name; 16] }.into()) }
}

fn settle(counter: u8, end: Timestamp, held: u64, actual: u64) -> Ask {
    ask(counter, hourly(20), Op::Settle { end, held: Tokens::new(held) }, actual)
}

fn is_refused(outcome: &Outcome) -> bool {
    !outcome.allowed && outcome.replies.iter().all(|reply| reply.wait == Wait::Never)
}

async fn so_many_at_a_time_and_the_next_waits_for_the_first_end(store: &Store, counter: u8) {
    let two = Terms::Concurrency { limit: Tokens::new(2) };
    let first = decide(store, vec![hold(counter, two, 1, Micros::MINUTE)]).await;
    let second = decide(store, vec![hold(counter, two, 1, Micros::HOUR)]).await;
    assert_eq!((first.replies[0].left.get(), second.replies[0].left.get()), (1, 0));
    let third = decide(store, vec![hold(counter, two, 1, Micros::MINUTE)]).await;
    let Wait::For(wait) = third.replies[0].wait else { panic!("{third:?}") };
    assert!(wait <= Micros::MINUTE, "it waits for the first");
    let extend = Op::Extend { end: first.replies[0].end, lasting: Micros::HOUR, quantum: SECOND };
    let extended = decide(store, once(counter, vec![ask(counter, two, extend, 1)])).await;
    assert!(extended.allowed && extended.replies[0].end > first.replies[0].end);
    let release = Op::Release { end: first.replies[0].end };
    let released = decide(store, once(counter, vec![ask(counter, two, release, 1)])).await;
    assert_eq!(released.replies[0].left.get(), 1, "it has moved, and is found by its first end");
    let again = decide(store, once(counter, vec![ask(counter, two, release, 1)])).await;
    assert_eq!((again.allowed, again.replies), (true, released.replies));
    assert!(decide(store, vec![hold(counter, two, 1, Micros::MINUTE)]).await.allowed);
}

async fn a_reservation_is_settled_once_and_a_repeat_answers_the_same(store: &Store, counter: u8) {
    let held = decide(store, vec![hold(counter, hourly(20), 10, Micros::HOUR)]).await;
    let end = held.replies[0].end;
    let settled = decide(store, once(counter, vec![settle(counter, end, 10, 4)])).await;
    assert_eq!((settled.allowed, settled.replies[0].left.get()), (true, 16));
    assert!(decide(store, vec![ask(counter, hourly(20), Op::Take, 6)]).await.allowed);
    for other in [4, 9] {
        let again = decide(store, once(counter, vec![settle(counter, end, 10, other)])).await;
        assert_eq!(again.replies, settled.replies, "the answer of then, whatever is said now");
    }
    assert_eq!(left(store, counter, 20).await, 10);
    let extend = Op::Extend { end, lasting: Micros::HOUR, quantum: SECOND };
    let late = decide(store, once(counter, vec![ask(counter, hourly(20), extend, 10)])).await;
    assert!(is_refused(&late));
}

async fn one_over_several_limits_is_all_or_nothing_and_ends_together(store: &Store, counter: u8) {
    let both = |tokens| {
        let other = hold(counter + 1, hourly(30), tokens, Micros::HOUR);
        vec![hold(counter, hourly(20), tokens, Micros::HOUR), other]
    };
    assert!(!decide(store, both(21)).await.allowed);
    assert_eq!(left(store, counter + 1, 30).await, 30);
    let held = decide(store, both(15)).await;
    let end = held.replies[0].end;
    assert_eq!((left(store, counter, 20).await, left(store, counter + 1, 30).await), (5, 15));
    let other = Ask { terms: hourly(30), ..settle(counter + 1, held.replies[1].end, 15, 1) };
    let settles = vec![settle(counter, end, 15, 1), other];
    assert!(decide(store, once(counter, settles)).await.allowed);
    assert_eq!((left(store, counter, 20).await, left(store, counter + 1, 30).await), (19, 29));
}

async fn one_is_extended_by_its_first_ends_again_and_again(store: &Store, counter: u8) {
    let held = decide(store, vec![hold(counter, hourly(20), 10, Micros::MINUTE)]).await;
    let end = held.replies[0].end;
    let mut last = end;
    for minutes in 2..5 {
        let lasting = Micros::new(minutes * Micros::MINUTE.get());
        let extend = Op::Extend { end, lasting, quantum: Micros::ZERO };
        let extended =
            decide(store, once(counter, vec![ask(counter, hourly(20), extend, 10)])).await;
        assert!(extended.allowed && extended.replies[0].end > last);
        last = extended.replies[0].end;
    }
    let two = vec![settle(counter, end, 10, 1), settle(counter, end, 10, 1)];
    assert!(is_refused(&decide(store, once(counter, two)).await), "it had one hold");
    let settled = decide(store, once(counter, vec![settle(counter, end, 10, 1)])).await;
    assert_eq!(settled.replies[0].left.get(), 19);
}

async fn an_actual_above_the_estimate_is_a_debt(store: &Store, counter: u8) {
    let held = decide(store, vec![hold(counter, hourly(20), 10, Micros::HOUR)]).await;
    let end = held.replies[0].end;
    let settled = decide(store, once(counter, vec![settle(counter, end, 10, 25)])).await;
    assert_eq!((settled.allowed, settled.replies[0].left.get()), (true, 0));
    assert_eq!(left(store, counter, 30).await, 5, "all 25 are booked");
}

async fn one_that_ends_by_itself_is_booked_and_settled_by_the_difference(
    store: &Store,
    counter: u8,
) {
    let short = Micros::new(20_000);
    let held = decide(store, vec![hold(counter, hourly(20), 10, short)]).await;
    let end = held.replies[0].end;
    let look = async || decide(store, vec![ask(counter, hourly(20), Op::Look, 1)]).await;
    let ended = until(look, |outcome| outcome.now >= end).await;
    assert_eq!(ended.replies[0].left.get(), 10, "what was held is taken");
    let settled = decide(store, once(counter, vec![settle(counter, end, 10, 4)])).await;
    assert_eq!(settled.replies[0].left.get(), 10, "nothing comes back after the end");
    let held = decide(store, vec![hold(counter + 1, hourly(20), 10, short)]).await;
    let end = held.replies[0].end;
    until(look, |outcome| outcome.now >= end).await;
    let settled = decide(store, once(counter + 1, vec![settle(counter + 1, end, 10, 12)])).await;
    assert_eq!(settled.replies[0].left.get(), 8, "two more than were held");
    let three = Terms::Concurrency { limit: Tokens::new(3) };
    decide(store, vec![hold(counter + 100, three, 3, short)]).await;
    let free = async || decide(store, vec![hold(counter + 100, three, 3, short)]).await;
    assert!(until(free, |outcome| outcome.allowed).await.allowed);
}

async fn one_that_ended_long_ago_is_refused(store: &Store, counter: u8) {
    let long_ago = store.now().before(Micros::DAY);
    let late = decide(store, once(counter, vec![settle(counter, long_ago, 10, 25)])).await;
    assert!(is_refused(&late));
    assert_eq!(left(store, counter, 20).await, 20, "nothing was executed");
}

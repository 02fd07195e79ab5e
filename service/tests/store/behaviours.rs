//! One list of behaviours, run on every store.

mod penalties;
mod reservations;

use std::sync::Arc;

use sluicegate::store::{Store, StoreError};
use sluicegate_limits::counter::{Op, Rate, Terms, Wait};
use sluicegate_limits::decide::{Ask, Check, Outcome};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::valkey::ValkeyServer;
use crate::world::{PATIENCE, ask, hourly, left, run, store, take};

/// Runs the list on a store of its own.
async fn list(store: &Store) {
    a_limit_passes_what_it_says_and_no_more(store, 1).await;
    a_denied_check_takes_nothing_anywhere(store, 3).await;
    asks_on_one_counter_are_summed(store, 5).await;
    a_shadow_never_denies_and_is_taken_where_it_fits(store, 7).await;
    a_hold_counts_until_it_is_given_back_or_settled(store, 9).await;
    a_hold_is_extended_and_a_counter_forgotten(store, 11).await;
    a_cost_of_nothing_looks_and_one_above_the_capacity_never_passes(store, 13).await;
    a_change_of_algorithm_keeps_what_was_taken(store, 15).await;
    edges_of_another_time_are_stale(store, 17).await;
    a_check_without_asks_passes(store).await;
    penalties::list(store, 20).await;
    reservations::list(store, 40).await;
}

#[test]
fn memory_behaves() {
    run(list(&Store::Memory(Arc::new(Memory::new(1_000)))));
}

#[test]
fn valkey_behaves() {
    let server = ValkeyServer::start(&[]);
    run(async { list(&store(server.port(), PATIENCE)).await });
}

async fn decide(store: &Store, check: impl Into<Check>) -> Outcome {
    store.decide(check.into(), None).await.expect("the store answers").outcome
}

async fn a_limit_passes_what_it_says_and_no_more(store: &Store, counter: u8) {
    for expected in [2, 1, 0] {
        let outcome = decide(store, vec![take(counter, 3)]).await;
        assert!(outcome.allowed);
        assert_eq!(outcome.replies[0].left.get(), expected);
        assert_eq!(outcome.replies[0].wait, Wait::None);
    }
    let denied = decide(store, vec![take(counter, 3)]).await;
    assert!(!denied.allowed);
    let Wait::For(wait) = denied.replies[0].wait else { panic!("{:?}", denied.replies) };
    assert!(wait <= Micros::HOUR && wait > Micros::ZERO);
    assert!(denied.replies[0].full_in <= Micros::HOUR);
}

async fn a_denied_check_takes_nothing_anywhere(store: &Store, counter: u8) {
    assert!(decide(store, vec![take(counter, 1)]).await.allowed);
    let denied = decide(store, vec![take(counter + 1, 5), take(counter, 1)]).await;
    assert!(!denied.allowed);
    let fits: Vec<bool> = denied.replies.iter().map(|reply| reply.allowed).collect();
    assert_eq!(fits, [true, false]);
    assert_eq!(left(store, counter + 1, 5).await, 5);
}

async fn asks_on_one_counter_are_summed(store: &Store, counter: u8) {
    assert!(!decide(store, vec![take(counter, 2); 3]).await.allowed);
    assert!(decide(store, vec![take(counter, 2); 2]).await.allowed);
    assert_eq!(left(store, counter, 2).await, 0);
}

async fn a_shadow_never_denies_and_is_taken_where_it_fits(store: &Store, counter: u8) {
    let shadow = Ask { shadow: true, ..take(counter, 1) };
    for left_of_other in [9, 8] {
        let outcome = decide(store, vec![shadow, take(counter + 1, 10)]).await;
        assert!(outcome.allowed);
        assert_eq!(outcome.replies[0].allowed, left_of_other == 9);
        assert_eq!(outcome.replies[1].left.get(), left_of_other);
    }
    assert_eq!(left(store, counter, 1).await, 0);
}

async fn a_hold_counts_until_it_is_given_back_or_settled(store: &Store, counter: u8) {
    let hold = Op::Hold { lasting: Micros::MINUTE, quantum: Micros::SECOND };
    let held = decide(store, vec![ask(counter, hourly(5), hold, 4)]).await;
    let end = held.replies[0].end;
    assert!(end > held.now && held.replies[0].left.get() == 1);
    assert_eq!(end.get() % Micros::SECOND.get(), 0);
    assert!(!decide(store, vec![ask(counter, hourly(5), Op::Take, 2)]).await.allowed);
    let released = decide(store, vec![ask(counter, hourly(5), Op::Release { end }, 1)]).await;
    assert_eq!(released.replies[0].left.get(), 2);
    let settle = Op::Settle { end, held: Tokens::new(3) };
    let settled = decide(store, vec![ask(counter, hourly(5), settle, 1)]).await;
    assert_eq!(settled.replies[0].left.get(), 4);
}

async fn a_hold_is_extended_and_a_counter_forgotten(store: &Store, counter: u8) {
    let terms = Terms::Concurrency { limit: Tokens::new(2) };
    let hold = Op::Hold { lasting: Micros::MINUTE, quantum: Micros::SECOND };
    let end = decide(store, vec![ask(counter, terms, hold, 2)]).await.replies[0].end;
    let extend = Op::Extend { end, lasting: Micros::HOUR, quantum: Micros::SECOND };
    let extended = decide(store, vec![ask(counter, terms, extend, 2)]).await;
    assert!(extended.replies[0].end > end);
    let gone = decide(store, vec![ask(counter, terms, extend, 2)]).await;
    assert!(!gone.allowed, "nothing is held until the old end any more");
    assert_eq!(gone.replies[0].wait, Wait::Never);
    let reset = decide(store, vec![ask(counter, terms, Op::Reset, 0)]).await;
    assert_eq!(reset.replies[0].left.get(), 2);
}

async fn a_cost_of_nothing_looks_and_one_above_the_capacity_never_passes(
    store: &Store,
    counter: u8,
) {
    let nothing = decide(store, vec![ask(counter, hourly(3), Op::Take, 0)]).await;
    assert!(nothing.allowed && nothing.replies[0].left.get() == 3);
    assert_eq!(nothing.replies[0].full_in, Micros::ZERO);
    let much = decide(store, vec![ask(counter, hourly(3), Op::Take, 4)]).await;
    assert_eq!(much.replies[0].wait, Wait::Never);
    let closed = decide(store, vec![ask(counter, hourly(0), Op::Take, 0)]).await;
    assert!(!closed.allowed, "a limit of 0 denies everything");
}

async fn a_change_of_algorithm_keeps_what_was_taken(store: &Store, counter: u8) {
    let rate = Rate { tick: Micros::SECOND, tokens: 1, ticks: 3_600 };
    let bucket = Terms::TokenBucket { rate, burst: Tokens::new(5) };
    assert!(decide(store, vec![ask(counter, bucket, Op::Take, 3)]).await.allowed);
    assert_eq!(left(store, counter, 5).await, 2);
    let look = decide(store, vec![ask(counter, bucket, Op::Look, 0)]).await;
    assert_eq!(look.replies[0].left.get(), 2);
}

async fn edges_of_another_time_are_stale(store: &Store, counter: u8) {
    let edges = [1, 2, 3].map(Timestamp::new);
    let old = Terms::AlignedWindow { limit: Tokens::new(5), edges };
    let check = vec![take(counter, 5), ask(counter + 1, old, Op::Take, 1)];
    assert_eq!(store.decide(check.into(), None).await, Err(StoreError::Stale));
    assert_eq!(left(store, counter, 5).await, 5);
    let start = store.now().get() / Micros::DAY.get() * Micros::DAY.get();
    let day = |n| Timestamp::new(start + n * Micros::DAY.get());
    let edges = [day(0), day(1), day(2)];
    let today = Terms::AlignedWindow { limit: Tokens::new(5), edges };
    let outcome = decide(store, vec![ask(counter + 1, today, Op::Take, 1)]).await;
    assert_eq!(outcome.replies[0].left.get(), 4);
}

async fn a_check_without_asks_passes(store: &Store) {
    assert!(decide(store, Vec::new()).await.allowed);
}

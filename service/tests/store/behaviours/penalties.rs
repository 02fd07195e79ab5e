//! Strikes and blocks, and what an aligned window tells of what is booked.

use sluicegate::store::Store;
use sluicegate_limits::counter::{Op, Terms, Wait};
use sluicegate_limits::decide::{Ask, Outcome};
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use super::decide;
use crate::world::{ask, take, until};

pub(super) async fn list(store: &Store, first: u8) {
    enough_denials_block_the_key(store, first).await;
    only_a_denial_of_its_own_limit_is_a_strike(store, first + 2).await;
    a_shadow_is_never_struck(store, first + 5).await;
    a_block_ends(store, first + 7).await;
    a_window_tells_each_booked_token_once(store, first + 9).await;
}

/// A take of an hourly limit, and the strike that belongs to it.
fn penal(counter: u8, limit: u64, after: u64, block: Micros) -> [Ask; 2] {
    let (after, within) = (Tokens::new(after), Micros::new(1 << 50));
    let terms = Terms::Penalty { after, within, block };
    [take(counter, limit), ask(counter + 1, terms, Op::Strike, 1)]
}

async fn strikes(store: &Store, asks: [Ask; 2]) -> Outcome {
    decide(store, asks.to_vec()).await
}

async fn enough_denials_block_the_key(store: &Store, counter: u8) {
    let check = penal(counter, 1, 2, Micros::HOUR);
    let passed = strikes(store, check).await;
    assert!(passed.allowed);
    assert_eq!((passed.replies[1].left.get(), passed.replies[1].full_in), (2, Micros::ZERO));
    let first = strikes(store, check).await;
    assert_eq!(first.replies[1].left.get(), 1);
    assert_eq!((first.replies[1].allowed, first.replies[1].wait), (true, Wait::None));
    let second = strikes(store, check).await;
    assert!(second.replies[1].allowed, "it was not blocked before");
    assert_eq!(second.replies[1].wait, Wait::For(Micros::HOUR));
    assert_eq!(second.replies[1].left.get(), 0);
    let blocked = strikes(store, check).await;
    let Wait::For(wait) = blocked.replies[1].wait else { panic!("{blocked:?}") };
    assert!(!blocked.replies[1].allowed && wait <= Micros::HOUR);
    let other = strikes(store, [take(counter + 100, 9), check[1]]).await;
    assert!(!other.allowed && other.replies[0].allowed, "the block denies, whatever is left");
    let look = Ask { op: Op::Look, ..check[1] };
    let looked = decide(store, vec![look]).await;
    assert!(!looked.allowed, "a look sees the block, and adds nothing to it");
    assert!(looked.replies[0].full_in <= blocked.replies[1].full_in);
}

async fn only_a_denial_of_its_own_limit_is_a_strike(store: &Store, counter: u8) {
    let [main, strike] = penal(counter, 9, 1, Micros::HOUR);
    let denied = decide(store, vec![main, strike, take(counter + 2, 0)]).await;
    assert!(!denied.allowed && denied.replies[0].allowed);
    assert_eq!((denied.replies[1].left.get(), denied.replies[1].wait), (1, Wait::None));
}

async fn a_shadow_is_never_struck(store: &Store, counter: u8) {
    let [main, strike] = penal(counter, 0, 1, Micros::HOUR);
    let shadow = [Ask { shadow: true, ..main }, Ask { shadow: true, ..strike }];
    let passed = strikes(store, shadow).await;
    assert!(passed.allowed && !passed.replies[0].allowed);
    let denied = decide(store, [shadow.as_slice(), &[main]].concat()).await;
    assert!(!denied.allowed);
    assert_eq!(denied.replies[1].left.get(), 1);
}

async fn a_block_ends(store: &Store, counter: u8) {
    let check = penal(counter, 1, 1, Micros::new(30_000));
    assert!(strikes(store, check).await.allowed);
    assert_eq!(strikes(store, check).await.replies[1].left.get(), 0);
    let look = Ask { op: Op::Look, ..check[1] };
    let free = until(async || decide(store, vec![look]).await, |outcome| outcome.allowed).await;
    assert_eq!((free.replies[0].left.get(), free.replies[0].full_in), (1, Micros::ZERO));
}

async fn a_window_tells_each_booked_token_once(store: &Store, counter: u8) {
    let edges = [Timestamp::ZERO, Timestamp::new(1 << 52), Timestamp::MAX];
    let window = Terms::AlignedWindow { limit: Tokens::new(10), edges };
    let booked = async |op, tokens| {
        let outcome = decide(store, vec![ask(counter, window, op, tokens)]).await;
        (outcome.allowed, outcome.replies[0].booked.map(Tokens::get), outcome.replies[0].end)
    };
    let none = Timestamp::ZERO;
    assert_eq!(booked(Op::Look, 1).await, (true, [0, 0], none));
    assert_eq!(booked(Op::Take, 3).await, (true, [0, 3], none));
    assert_eq!(booked(Op::Take, 8).await, (false, [3, 3], none));
    let hold = Op::Hold { lasting: Micros::MINUTE, quantum: Micros::SECOND };
    let (_, held, end) = booked(hold, 4).await;
    assert_eq!(held, [3, 3], "what is held is not booked");
    let settle = Op::Settle { end, held: Tokens::new(4) };
    assert_eq!(booked(settle, 2).await, (true, [3, 5], none));
    let hold = Op::Hold { lasting: Micros::new(20_000), quantum: Micros::ZERO };
    assert_eq!(booked(hold, 5).await.1, [5, 5]);
    let full = until(async || booked(Op::Take, 0).await, |(_, [before, _], _)| *before == 5);
    assert_eq!(full.await.1, [5, 5], "a look books nothing, though the hold ends");
    let ended = until(
        async || booked(Op::Settle { end: none, held: Tokens::ZERO }, 0).await,
        |told| told.1[1] == 10,
    );
    assert_eq!(ended.await.1, [5, 10], "the write that finds the hold over tells of it");
}

//! The embedded store: decides as a plain map of counters where it has room, never lets a key pass
//! more than its limit where it has not (G12), and decides at once for all threads.

use std::collections::HashMap;

use fastrand::Rng;
use sluicegate_limits::counter::{Counter, Op};
use sluicegate_limits::decide::{Ask, Check, Key, decide};
use sluicegate_limits::memory::Memory;
use sluicegate_limits::time::{Micros, Timestamp, Tokens};

use crate::client::{Client, Instant, Spent};
use crate::ledger::Booked;
use crate::rule::{ALL, Algorithm, Rule};
use crate::world::Lane;
use crate::{aligned, bucket, numbers, seeds, window, world};

const OPERATIONS: u64 = 250_000;
const START: u64 = 1_700_000_000_000_000;

#[test]
fn with_room_it_decides_as_a_map_of_counters() {
    seeds::run("memory, room", OPERATIONS, |rng| {
        let lanes: Vec<Lane> = (0..rng.usize(1..=20))
            .map(|number| {
                let algorithm = numbers::pick(rng, &ALL);
                let rule = Rule::random(rng, algorithm);
                Lane::new(rng, number, rule)
            })
            .collect();
        let memory = Memory::new(lanes.len());
        let mut map: HashMap<Key, Counter> = HashMap::new();
        let (mut now, mut ends) = (START, vec![0]);
        for _ in 0..100 {
            let scale = lanes[rng.usize(..lanes.len())].rule.scale();
            now = numbers::later(rng, now, scale);
            let check: Check = (0..rng.usize(1..=4))
                .map(|_| {
                    let lane = &lanes[rng.usize(..lanes.len())];
                    any_ask(rng, lane, &ends, now)
                })
                .collect();
            let outcome = memory.decide(&check, Timestamp::new(now)).unwrap();
            assert_eq!(outcome, decide(&mut map, &check, Timestamp::new(now)).unwrap());
            ends.extend(outcome.replies.iter().map(|reply| reply.end.get()));
            if rng.u8(..10) == 0 {
                memory.sweep(Timestamp::new(now));
            }
            assert!(memory.len() <= lanes.len());
        }
        assert_eq!(memory.overflowed(), 0);
        100
    });
}

#[test]
fn without_room_no_key_passes_more_than_its_limit() {
    seeds::run("memory, flood", 4 * OPERATIONS, |rng| {
        let algorithm = numbers::pick(rng, &ALL);
        let mut rule = Rule::random(rng, algorithm);
        while rule.scale() > 3_600_000_000 {
            rule = Rule::random(rng, algorithm);
        }
        let longest = numbers::pick(rng, &[rule.scale() / 7, rule.scale(), 1_000]).max(1);
        let keys = rng.usize(1..=60);
        let max_keys = if rng.bool() { u64::MAX } else { rng.u64(..=20) };
        let mut clients: Vec<Client> = (0..keys)
            .map(|number| {
                let mut client = Client::new(sharing_key(number), longest);
                client.max_keys = max_keys;
                client
            })
            .collect();
        let room = rng.usize(..=20);
        let memory = Memory::new(room);
        // A part of its own, or what others leave.
        memory.set_families((1..4).take(rng.usize(..4)));
        let (mut now, mut full, mut who) = (START, START, 0);
        let length = rng.u64(100..=1_000);
        for _ in 0..length {
            // Now and then to just before or just when some counter is fresh.
            now = match full - rng.u64(..2) {
                later if later > now && rng.u8(..6) == 0 => later,
                _ => now + numbers::gap(rng, rule.scale()) / 4,
            };
            who = if rng.u8(..4) == 0 { who } else { rng.usize(..keys) };
            let client = &mut clients[who];
            let (before, at) = (client.spent.len(), Instant { real: now, store: now });
            let (_, outcome) =
                client.act(rng, rule, at, |asks| memory.decide(asks, Timestamp::new(now)).unwrap());
            full = now + outcome.replies[0].full_in.get();
            assert!(memory.len() <= room.min(max_keys.try_into().unwrap_or(usize::MAX)));
            if client.spent.len() > before || algorithm == Algorithm::Concurrency {
                assert_bound(rule, client, now);
            }
            if rng.u8(..20) == 0 {
                memory.sweep(Timestamp::new(now));
            }
        }
        length
    });
}

#[test]
fn threads_share_limits_all_or_nothing() {
    let (scarce, plenty) = (5_000, 40_000);
    let memory = Memory::new(10);
    let ask = |key: u64, limit: u64| Ask {
        key: world::key(usize::try_from(key).unwrap()),
        limit_id: key,
        max_keys: 10,
        terms: sluicegate_limits::counter::Terms::SlidingWindow {
            limit: Tokens::new(limit),
            window: Micros::MINUTE,
        },
        op: Op::Take,
        tokens: Tokens::ONE,
        shadow: false,
        horizon: Micros::ZERO,
    };
    let hammer = |turned: bool| {
        let mut check = vec![ask(1, scarce), ask(2, plenty)];
        if turned {
            check.reverse();
        }
        let check = Check::from(check);
        let passes = |n: u64| memory.decide(&check, Timestamp::new(START + n)).unwrap().allowed;
        (0..10_000).filter(|&n| passes(n)).count() as u64
    };
    let passed: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || hammer(n % 2 == 0))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, scarce);
    let look = Ask { op: Op::Look, ..ask(2, plenty) };
    let left =
        memory.decide(&[look].into(), Timestamp::new(START + 10_000)).unwrap().replies[0].left;
    assert_eq!(left.get(), plenty - scarce, "denials took nothing from the other limit");
}

fn any_ask(rng: &mut Rng, lane: &Lane, ends: &[u64], now: u64) -> Ask {
    let (end, held) = (Timestamp::new(numbers::pick(rng, ends)), Tokens::new(rng.u64(..5)));
    let (lasting, quantum) = (Micros::new(rng.u64(..=lane.longest)), Micros::new(lane.quantum()));
    let op = match rng.u8(..16) {
        0 => Op::Look,
        1..=3 => Op::Hold { lasting, quantum },
        4 => Op::Extend { end, lasting, quantum },
        5 => Op::Release { end },
        6 => Op::Settle { end, held },
        _ => Op::Take,
    };
    let tokens = numbers::cost(rng, lane.rule.capacity());
    lane.ask(op, tokens, rng.u8(..6) == 0, now)
}

/// A key that shares its overflow counter with many others.
fn sharing_key(number: usize) -> Key {
    let mut hash = [0; 16];
    hash[0] = u8::try_from(number).unwrap();
    hash[8] = u8::try_from(number % 3).unwrap();
    hash[15] = hash[0];
    Key { partition: 0, hash }
}

fn assert_bound(rule: Rule, client: &Client, now: u64) {
    let booked = |spent: &Spent| Booked { at: spent.at.store, tokens: spent.tokens };
    let spent: Vec<Booked> = client.spent.iter().map(booked).collect();
    match rule {
        Rule::Bucket { rate, burst } => bucket::assert_bound(&spent, rate, burst),
        Rule::Window { limit, window } => window::assert_bound(&spent, limit, window),
        Rule::Aligned { limit, calendar } => aligned::assert_bound(&spent, calendar, limit),
        Rule::Concurrency { limit } => {
            let live = client.live(now);
            assert!(live <= limit, "{live} live, limit {limit}");
        }
    }
}

//! The bytes that travel to the script and back; `script/call.lua` is the other end.
//!
//! Little-endian, without padding. Input: version u8, flags u8, number of checks u16; a check is
//! the place of its record in KEYS u16 (from 1, 0 where it has none), the number of its asks u16
//! and the asks; an ask is the place of its counter in KEYS u16, algorithm u8, operation u8,
//! shadow u8, tokens u64, horizon u64, capacity u64, three more terms u64; holds and what follows
//! them, but a strike, add end (or 0), lasting (or held) and quantum, u64.
//! Answer: version u8, status u8, now u64, generation u64, and the checks: 2 and two bytes for a
//! stale one, 3 and the index u16 of an unreadable counter's ask (the number of asks: of the
//! record), else the bytes of the [`Outcome`].

use std::collections::HashMap;
use std::io::Write as _;

use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, Check, Key, Outcome};
use sluicegate_limits::time::Timestamp;

/// The version of input and answer that this module and the script speak.
const VERSION: u8 = 1;
/// The flag of a server that has `MSETEX`.
const FLAG_MSETEX: u8 = 1;
/// The status of a check that was stale.
const STALE: u8 = 2;
/// The status of a check with a counter or record that cannot be read.
const BAD_STATE: u8 = 3;
/// The generation key: see G13.
const GENERATION_KEY: &[u8] = b"sg:generation";

/// One script call.
#[derive(Debug, Default)]
pub struct Packed {
    /// The generation key, then the distinct keys of counters and records.
    pub keys: Vec<Vec<u8>>,
    /// The third argument.
    pub input: Vec<u8>,
}

/// What the script answered to one call.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call began after its deadline; nothing was executed.
    Late {
        /// The instant on the store's clock.
        now: Timestamp,
    },
    /// Every check was looked at.
    Decided {
        /// The instant on the store's clock.
        now: Timestamp,
        /// When the store was first used since it was last empty.
        generation: Timestamp,
        /// One for each check, in the same order.
        checks: Vec<Result<Outcome, Undecided>>,
    },
}

/// Why the script left one check alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The instant lies outside the edges of a charge.
    Stale,
    /// The stored bytes of this ask's counter are not a counter, or those of the record no record.
    BadState {
        /// Index into the check; the number of asks for the record.
        ask: usize,
    },
}

/// The answer has a length, version or word that this module does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl Packed {
    /// A call without checks: it shows whether the server answers, and its clock.
    #[must_use]
    pub fn nothing() -> Self {
        pack([].iter(), false)
    }
}

/// The key of a counter in the store.
#[must_use]
pub fn counter_key(key: &Key) -> Vec<u8> {
    store_key(key, "")
}

/// The key of the record of what happens once.
#[must_use]
pub fn record_key(key: &Key) -> Vec<u8> {
    store_key(key, "s:")
}

/// Packs checks into one call; the counts of checks, asks and keys fit 16 bits.
#[must_use]
pub fn pack<'a>(checks: impl ExactSizeIterator<Item = &'a Check>, msetex: bool) -> Packed {
    let flags = if msetex { FLAG_MSETEX } else { 0 };
    let mut packed = Packed { keys: vec![GENERATION_KEY.to_vec()], input: vec![VERSION, flags] };
    put_u16(&mut packed.input, checks.len());
    let mut places = Places { counters: HashMap::with_capacity(checks.len()), records: None };
    for check in checks {
        let record = check.once.map(|once| once.id);
        put_u16(&mut packed.input, places.of_record(record.as_ref(), &mut packed.keys));
        put_u16(&mut packed.input, check.len());
        for ask in check.iter() {
            put_u16(&mut packed.input, places.of_counter(&ask.key, &mut packed.keys));
            put_ask(&mut packed.input, ask);
        }
    }
    packed
}

/// Reads the answer to a call of these checks.
///
/// # Errors
/// [`Unreadable`] where it is not an answer to them.
pub fn unpack<'a>(
    mut answer: &[u8],
    checks: impl Iterator<Item = &'a Check>,
) -> Result<Answer, Unreadable> {
    let bytes = &mut answer;
    let [version, status] = take(bytes)?;
    let now = Timestamp::new(u64::from_le_bytes(take(bytes)?));
    let generation = Timestamp::new(u64::from_le_bytes(take(bytes)?));
    match (version, status) {
        (VERSION, 0) => {}
        (VERSION, 1) => return Ok(Answer::Late { now }),
        _ => return Err(Unreadable),
    }
    let checks = checks.map(|check| unpack_check(bytes, check, now)).collect::<Result<_, _>>()?;
    if bytes.is_empty() { Ok(Answer::Decided { now, generation, checks }) } else { Err(Unreadable) }
}

fn unpack_check(
    bytes: &mut &[u8],
    check: &Check,
    now: Timestamp,
) -> Result<Result<Outcome, Undecided>, Unreadable> {
    if let [STALE | BAD_STATE, ..] = bytes {
        let [status, ask @ ..] = take::<3>(bytes)?;
        let bad = Undecided::BadState { ask: u16::from_le_bytes(ask).into() };
        return Ok(Err(if status == STALE { Undecided::Stale } else { bad }));
    }
    let outcome = Outcome::decode(bytes, now).map_err(|_| Unreadable)?;
    // What is answered again was first answered to a check that may have had other asks.
    if outcome.replies.len() == check.len() || check.once.is_some() {
        Ok(Ok(outcome))
    } else {
        Err(Unreadable)
    }
}

/// Where the keys of a call stand in it, from 1.
struct Places {
    counters: HashMap<Key, usize>,
    /// Few calls have any.
    records: Option<HashMap<Key, usize>>,
}

impl Places {
    fn of_counter(&mut self, key: &Key, keys: &mut Vec<Vec<u8>>) -> usize {
        *self.counters.entry(*key).or_insert_with(|| push(keys, counter_key(key)))
    }

    fn of_record(&mut self, key: Option<&Key>, keys: &mut Vec<Vec<u8>>) -> usize {
        let Some(key) = key else { return 0 };
        let records = self.records.get_or_insert_default();
        *records.entry(*key).or_insert_with(|| push(keys, record_key(key)))
    }
}

/// Appends a key and answers its place.
fn push(keys: &mut Vec<Vec<u8>>, key: Vec<u8>) -> usize {
    keys.push(key);
    keys.len()
}

fn store_key(key: &Key, kind: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity("sg{255}:s:".len() + key.hash.len());
    // Writing to a vector cannot fail.
    let _ = write!(bytes, "sg{{{}}}:{kind}", key.partition);
    bytes.extend_from_slice(&key.hash);
    bytes
}

fn put_ask(out: &mut Vec<u8>, ask: &Ask) {
    let (tag, terms) = terms_words(&ask.terms);
    let (op, details) = op_words(&ask.op);
    out.extend_from_slice(&[tag, op, u8::from(ask.shadow)]);
    put(out, &[ask.tokens.get(), ask.horizon.get()]);
    put(out, &terms);
    if let Some(details) = details {
        put(out, &details);
    }
}

fn terms_words(terms: &Terms) -> (u8, [u64; 4]) {
    match terms {
        Terms::TokenBucket { rate, burst } => {
            (1, [burst.get(), rate.tick.get(), rate.tokens, rate.ticks])
        }
        Terms::SlidingWindow { limit, window } => (2, [limit.get(), window.get(), 0, 0]),
        Terms::AlignedWindow { limit, edges: [first, second, third] } => {
            (3, [limit.get(), first.get(), second.get(), third.get()])
        }
        Terms::Concurrency { limit } => (4, [limit.get(), 0, 0, 0]),
        Terms::Penalty { after, within, block } => (5, [after.get(), within.get(), block.get(), 0]),
    }
}

fn op_words(op: &Op) -> (u8, Option<[u64; 3]>) {
    match op {
        Op::Look => (0, None),
        Op::Take => (1, None),
        Op::Hold { lasting, quantum } => (2, Some([0, lasting.get(), quantum.get()])),
        Op::Extend { end, lasting, quantum } => {
            (3, Some([end.get(), lasting.get(), quantum.get()]))
        }
        Op::Release { end } => (4, Some([end.get(), 0, 0])),
        Op::Settle { end, held } => (5, Some([end.get(), held.get(), 0])),
        Op::Reset => (6, Some([0, 0, 0])),
        Op::Strike => (7, None),
    }
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Writes a count; callers keep it within 16 bits.
fn put_u16(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (first, rest) = bytes.split_first_chunk().ok_or(Unreadable)?;
    *bytes = rest;
    Ok(*first)
}

//! The bytes that travel to the script and back; `script/decide.lua` is the other end.
//!
//! Little-endian, without padding. Input: version u8, flags u8, number of checks u16; a check is
//! the number of its asks u16 and the asks; an ask is the place of its key in KEYS u16 (from 1),
//! algorithm u8, operation u8, shadow u8, tokens u64, horizon u64, capacity u64, three more
//! terms u64; holds and what follows them add end (or 0), lasting (or held) and quantum, u64.
//! Answer: version u8, status u8, now u64, generation u64; a check that was decided is the bytes of
//! its `Outcome`, one that was not is status u8 (2 stale, 3 unreadable) and u16 the index of the
//! ask whose counter is unreadable.

use std::collections::HashMap;
use std::io::Write as _;

use sluicegate_limits::counter::{Op, Terms};
use sluicegate_limits::decide::{Ask, BadAnswer, Key, Outcome};
use sluicegate_limits::time::Timestamp;

/// The version of input and answer that this module and the script speak.
const VERSION: u8 = 1;
/// The flag of a server that has `MSETEX`.
const FLAG_MSETEX: u8 = 1;
/// The generation key: see G13.
const GENERATION_KEY: &[u8] = b"sg:generation";

/// One script call.
#[derive(Debug, Default)]
pub struct Packed {
    /// The generation key, then the distinct counter keys.
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
    /// The stored bytes of this ask's counter are not a counter.
    BadState {
        /// Index into the check.
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
        pack([].iter().copied(), false)
    }
}

/// The key of a counter in the store.
#[must_use]
pub fn counter_key(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity("sg{255}:".len() + key.hash.len());
    // Writing to a vector cannot fail.
    let _ = write!(bytes, "sg{{{}}}:", key.partition);
    bytes.extend_from_slice(&key.hash);
    bytes
}

/// Packs checks into one call; the counts of checks, asks and keys fit 16 bits.
#[must_use]
pub fn pack<'a>(checks: impl ExactSizeIterator<Item = &'a [Ask]>, msetex: bool) -> Packed {
    let flags = if msetex { FLAG_MSETEX } else { 0 };
    let mut packed = Packed { keys: vec![GENERATION_KEY.to_vec()], input: vec![VERSION, flags] };
    put_u16(&mut packed.input, checks.len());
    let mut places: HashMap<Key, usize> = HashMap::with_capacity(checks.len());
    for check in checks {
        put_u16(&mut packed.input, check.len());
        for ask in check {
            let place = *places.entry(ask.key).or_insert_with(|| {
                packed.keys.push(counter_key(&ask.key));
                packed.keys.len()
            });
            put_u16(&mut packed.input, place);
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
    answer: &[u8],
    checks: impl Iterator<Item = &'a [Ask]>,
) -> Result<Answer, Unreadable> {
    let mut reader = Reader(answer);
    let (version, status) = (reader.byte()?, reader.byte()?);
    let now = Timestamp::new(reader.number()?);
    let generation = Timestamp::new(reader.number()?);
    match (version, status) {
        (VERSION, 0) => {}
        (VERSION, 1) => return Ok(Answer::Late { now }),
        _ => return Err(Unreadable),
    }
    let checks = checks.map(|check| reader.check(check, now)).collect::<Result<_, _>>()?;
    if reader.0.is_empty() {
        Ok(Answer::Decided { now, generation, checks })
    } else {
        Err(Unreadable)
    }
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

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.take().map(u8::from_le_bytes)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        self.take().map(u64::from_le_bytes)
    }

    fn check(
        &mut self,
        check: &[Ask],
        now: Timestamp,
    ) -> Result<Result<Outcome, Undecided>, Unreadable> {
        if let Some(status @ (2 | 3)) = self.0.first() {
            let (_, ask) = (self.byte()?, u16::from_le_bytes(self.take()?));
            let bad = Undecided::BadState { ask: ask.into() };
            return Ok(Err(if *status == 2 { Undecided::Stale } else { bad }));
        }
        let outcome = Outcome::decode(&mut self.0, now)?;
        if outcome.replies.len() == check.len() { Ok(Ok(outcome)) } else { Err(Unreadable) }
    }
}

impl From<BadAnswer> for Unreadable {
    fn from(_: BadAnswer) -> Self {
        Self
    }
}

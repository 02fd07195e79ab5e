//! The bytes of what a store answers to one check: the script sends them, and a record of what
//! happens once keeps them.
//!
//! Little-endian, without padding: whether it passes u8 (1 or 0), the number of replies u16, the
//! replies. A reply is a word u8 (a sum of 1 fits, 2 wait, 4 never, 8 booked), left u64, wait u64,
//! full in u64, hold end u64; where not both are 0, the word says booked and tokens booked before
//! u64 and after u64 follow. So an answer is read without the check that it is to.

use super::{Outcome, Reply};
use crate::counter::Wait;
use crate::time::{Micros, Timestamp, Tokens};

const FITS: u8 = 1;
const WAITS: u8 = 2;
const NEVER: u8 = 4;
const BOOKED: u8 = 8;

/// Bytes that are not an answer to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAnswer;

impl std::fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer of the store has an unknown word or length")
    }
}

impl std::error::Error for BadAnswer {}

impl Outcome {
    /// Appends the bytes of this answer; the instant is not among them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u16::try_from(self.replies.len()).unwrap_or(u16::MAX);
        out.push(self.allowed.into());
        out.extend_from_slice(&count.to_le_bytes());
        self.replies.iter().take(count.into()).for_each(|reply| reply.encode(out));
    }

    /// Reads an answer that was given at `now` off the front of `bytes`.
    ///
    /// # Errors
    /// Too few bytes, or a word that no answer has.
    pub fn decode(bytes: &mut &[u8], now: Timestamp) -> Result<Self, BadAnswer> {
        let allowed = match take(bytes)? {
            [0] => false,
            [1] => true,
            _ => return Err(BadAnswer),
        };
        let count = u16::from_le_bytes(take(bytes)?);
        let replies = (0..count).map(|_| Reply::decode(bytes)).collect::<Result<_, _>>()?;
        Ok(Self { allowed, now, replies })
    }
}

impl Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        let (word, wait) = match self.wait {
            Wait::None => (0, 0),
            Wait::For(wait) => (WAITS, wait.get()),
            Wait::Never => (NEVER, 0),
        };
        let booked = self.booked != [Tokens::ZERO; 2];
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(word | flag(self.allowed, FITS) | flag(booked, BOOKED));
        put(out, &[self.left.get(), wait, self.full_in.get(), self.end.get()]);
        if booked {
            put(out, &self.booked.map(Tokens::get));
        }
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, BadAnswer> {
        let [word] = take(bytes)?;
        let [left, wait, full_in, end] = numbers(bytes)?;
        let wait = match word & (WAITS | NEVER) {
            0 => Wait::None,
            WAITS => Wait::For(Micros::new(wait)),
            NEVER => Wait::Never,
            _ => return Err(BadAnswer),
        };
        let booked = match word & !(FITS | WAITS | NEVER) {
            0 => [Tokens::ZERO; 2],
            BOOKED => numbers(bytes)?.map(Tokens::new),
            _ => return Err(BadAnswer),
        };
        Ok(Self {
            allowed: word & FITS == FITS,
            left: Tokens::new(left),
            wait,
            full_in: Micros::new(full_in),
            end: Timestamp::new(end),
            booked,
            blocked: false,
        })
    }
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn numbers<const N: usize>(bytes: &mut &[u8]) -> Result<[u64; N], BadAnswer> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = u64::from_le_bytes(take(bytes)?);
    }
    Ok(numbers)
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], BadAnswer> {
    let (first, rest) = bytes.split_first_chunk().ok_or(BadAnswer)?;
    *bytes = rest;
    Ok(*first)
}

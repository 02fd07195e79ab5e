//! What a caller keeps of a reservation or a hold: a token that says what was set aside, where,
//! and until when, so that any replica can settle, extend or release it and none has to remember.
//!
//! A token is base64url text: a version, an id, the numbers below, and a MAC. It names counters by
//! their hashes; no value of a request is in it. The numbers are enciphered, since its caller may
//! not be one who learns how many limits apply and what they let pass. Both keys are derived from
//! the key secret. Whoever has a token may end the reservation, as with any handle; nobody can make
//! one.

use std::fmt;
use std::hash::Hasher;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128, SipHasher24};
use sluicegate_limits::charge::derive;
use sluicegate_limits::decide::Key;
use sluicegate_limits::time::{Timestamp, Tokens};

use crate::settings::Secret;

/// The most limits that one reservation holds tokens of.
pub const MAX_HELD: usize = 48;
/// The most characters of a token.
pub const MAX_TOKEN_CHARS: usize = 4_096;

/// Keep these uses of the secret apart from every other one.
const LABEL: &str = "sluicegate reservation token v1";
const CIPHER_LABEL: &str = "sluicegate reservation cipher v1";
const OWNER_LABEL: &str = "sluicegate reservation owner v1";
const VERSION: u8 = 1;
/// The version and the id, which are not enciphered.
const CLEAR_BYTES: usize = 17;
const BLOCK_BYTES: usize = 16;

/// The charge is the cost that the request stated, or that of its endpoint.
const STATED: u8 = 1;
/// It is held in the process that granted it.
const LOCAL: u8 = 2;
/// Its numbers are not those of the limit itself.
const OWN_NUMBERS: u8 = 4;
/// They have a burst.
const BURST: u8 = 8;

/// What was set aside by one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Names it in the store, so that it ends once, and in records.
    pub id: [u8; 16],
    /// The process that granted it: only there is what it holds locally.
    pub process: u64,
    /// When it was granted, on the store's clock.
    pub granted: Timestamp,
    /// On whose account the store remembers its end; see [`Seal::owner`].
    pub owner: u64,
    /// What is held of each counter, at most [`MAX_HELD`].
    pub held: Vec<Held>,
}

/// What is held of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The limit, by [`Limit::id`](sluicegate_limits::policy::Limit::id).
    pub limit_id: u64,
    /// Its counter.
    pub key: Key,
    /// How many tokens.
    pub tokens: Tokens,
    /// Until when, on the store's clock.
    pub end: Timestamp,
    /// Whether the tokens are the cost that the request stated or that of its endpoint, so that
    /// a settlement's actual cost takes their place.
    pub stated: bool,
    /// Whether it is held in the process that granted it and not in the store.
    pub local: bool,
    /// The limit's numbers for the request, where its plan or tenant has its own.
    pub numbers: Option<OwnNumbers>,
}

/// The numbers of a plan or a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnNumbers {
    /// Tokens that pass in one window.
    pub limit: Tokens,
    /// The most that a token bucket passes at once.
    pub burst: Option<Tokens>,
}

/// Makes tokens, and knows its own.
#[derive(Clone)]
pub struct Seal {
    mac: SipHasher24,
    cipher: SipHasher24,
    owner: SipHasher24,
}

/// A token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidToken {
    /// It has more than [`MAX_TOKEN_CHARS`] characters.
    TooLong,
    /// It was not made under this key secret, or it was changed.
    Unknown,
}

impl Seal {
    /// All replicas that share the secret know each other's tokens.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let labels = [LABEL, CIPHER_LABEL, OWNER_LABEL];
        let [mac, cipher, owner] = labels.map(|label| derive(label, secret.expose()));
        Self { mac, cipher, owner }
    }

    /// The number of an owner, by the name and the value of the attribute that tells who it is.
    #[must_use]
    pub fn owner(&self, name: &str, value: &str) -> u64 {
        let mut hasher = self.owner;
        hasher.write(name.as_bytes());
        // No name has such a byte in it.
        hasher.write(b"\0");
        hasher.write(value.as_bytes());
        hasher.finish128().as_u128() as u64
    }

    /// The token of a reservation; of more than [`MAX_HELD`] counters it keeps the first.
    #[must_use]
    pub fn token(&self, reservation: &Reservation) -> String {
        let mut bytes = reservation.encode();
        self.encipher(&mut bytes);
        bytes.extend(self.mac(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says.
    ///
    /// # Errors
    /// [`InvalidToken`], for whatever was not made by [`Self::token`] under the same secret.
    pub fn open(&self, token: &str) -> Result<Reservation, InvalidToken> {
        if token.len() > MAX_TOKEN_CHARS {
            return Err(InvalidToken::TooLong);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken::Unknown)?;
        let (said, mac) = bytes.split_last_chunk_mut().ok_or(InvalidToken::Unknown)?;
        // One comparison of a whole number: it takes equally long wherever they differ.
        if u128::from_le_bytes(*mac) != u128::from_le_bytes(self.mac(said)) {
            return Err(InvalidToken::Unknown);
        }
        self.encipher(said);
        Reservation::decode(said).ok_or(InvalidToken::Unknown)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; BLOCK_BYTES] {
        self.mac.hash(bytes).as_bytes()
    }

    /// Enciphers, or deciphers, what follows the id: a pseudorandom function in counter mode. No
    /// two reservations have one id, so no two have one stream.
    fn encipher(&self, bytes: &mut [u8]) {
        let Some((clear, rest)) = bytes.split_at_mut_checked(CLEAR_BYTES) else { return };
        for (number, block) in (0_u64..).zip(rest.chunks_mut(BLOCK_BYTES)) {
            let mut hasher = self.cipher;
            hasher.write(clear);
            hasher.write(&number.to_le_bytes());
            let stream = hasher.finish128().as_bytes();
            block.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a token has at most {MAX_TOKEN_CHARS} characters"),
            Self::Unknown => f.write_str("no such reservation or hold was granted here"),
        }
    }
}

impl std::error::Error for InvalidToken {}

impl Reservation {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.id);
        bytes.extend(self.process.to_le_bytes());
        bytes.extend(self.granted.get().to_le_bytes());
        bytes.extend(self.owner.to_le_bytes());
        for held in self.held.iter().take(MAX_HELD) {
            held.encode(&mut bytes);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        if bytes.byte()? != VERSION {
            return None;
        }
        let (id, process) = (bytes.take()?, bytes.number()?);
        let (granted, owner) = (Timestamp::new(bytes.number()?), bytes.number()?);
        let mut held = Vec::new();
        while !bytes.0.is_empty() {
            held.push(Held::decode(&mut bytes)?);
        }
        Some(Self { id, process, granted, owner, held })
    }
}

impl Held {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let burst = self.numbers.and_then(|numbers| numbers.burst);
        let flag = |flag, set: bool| if set { flag } else { 0 };
        bytes.push(
            flag(STATED, self.stated)
                | flag(LOCAL, self.local)
                | flag(OWN_NUMBERS, self.numbers.is_some())
                | flag(BURST, burst.is_some()),
        );
        bytes.extend(self.limit_id.to_le_bytes());
        bytes.push(self.key.partition);
        bytes.extend(self.key.hash);
        bytes.extend(self.tokens.get().to_le_bytes());
        bytes.extend(self.end.get().to_le_bytes());
        for number in self.numbers.map(|numbers| numbers.limit).into_iter().chain(burst) {
            bytes.extend(number.get().to_le_bytes());
        }
    }

    fn decode(bytes: &mut Bytes<'_>) -> Option<Self> {
        let flags = bytes.byte()?;
        let limit_id = bytes.number()?;
        let key = Key { partition: bytes.byte()?, hash: bytes.take()? };
        let tokens = Tokens::new(bytes.number()?);
        let end = Timestamp::new(bytes.number()?);
        let mut number = |flag| match flags & flag {
            0 => Some(None),
            _ => bytes.number().map(|number| Some(Tokens::new(number))),
        };
        let (limit, burst) = (number(OWN_NUMBERS)?, number(BURST)?);
        let numbers = limit.map(|limit| OwnNumbers { limit, burst });
        let (stated, local) = (flags & STATED != 0, flags & LOCAL != 0);
        Some(Self { limit_id, key, tokens, end, stated, local, numbers })
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: u8) -> Seal {
        Seal::new(&Secret::new(&[secret; 32]))
    }

    fn any(random: &mut fastrand::Rng, held: usize) -> Reservation {
        let mut id = [0; 16];
        random.fill(&mut id);
        let tokens = |random: &mut fastrand::Rng| Tokens::new(random.u64(..) >> random.u8(0..64));
        let one = |random: &mut fastrand::Rng| Held {
            limit_id: random.u64(..),
            key: Key { partition: random.u8(..), hash: std::array::from_fn(|_| random.u8(..)) },
            tokens: tokens(random),
            end: Timestamp::new(random.u64(..)),
            stated: random.bool(),
            local: random.bool(),
            numbers: random.bool().then(|| OwnNumbers {
                limit: tokens(random),
                burst: random.bool().then(|| tokens(random)),
            }),
        };
        let [process, granted, owner] = std::array::from_fn(|_| random.u64(..));
        let (granted, held) = (Timestamp::new(granted), (0..held).map(|_| one(random)).collect());
        Reservation { id, process, granted, owner, held }
    }

    #[test]
    fn a_token_says_what_was_put_into_it_and_is_bounded() {
        let mut random = fastrand::Rng::new();
        for held in (0..=MAX_HELD).cycle().take(2_000) {
            let reservation = any(&mut random, held);
            let token = seal(1).token(&reservation);
            assert!(token.len() <= MAX_TOKEN_CHARS, "{held} held: {} characters", token.len());
            assert_eq!(seal(1).open(&token), Ok(reservation));
        }
        let largest = OwnNumbers { limit: Tokens::MAX, burst: Some(Tokens::MAX) };
        let mut most = any(&mut random, MAX_HELD + 1);
        most.held.iter_mut().for_each(|held| held.numbers = Some(largest));
        let token = seal(1).token(&most);
        assert!(token.len() <= MAX_TOKEN_CHARS);
        most.held.truncate(MAX_HELD);
        assert_eq!(seal(1).open(&token), Ok(most));
    }

    #[test]
    fn a_token_shows_nothing_but_its_id() {
        let mut random = fastrand::Rng::new();
        let reservation = any(&mut random, MAX_HELD);
        let shown = |reservation: &Reservation| {
            let token = seal(1).token(reservation);
            URL_SAFE_NO_PAD.decode(token).unwrap()
        };
        let (one, clear) = (shown(&reservation), reservation.encode());
        assert_eq!(one[..CLEAR_BYTES], clear[..CLEAR_BYTES]);
        let equal = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a == b).count();
        let (hidden, plain) = (&one[CLEAR_BYTES..], &clear[CLEAR_BYTES..]);
        // One byte in 256 is equal by chance: of some 2,000 bytes about 8.
        assert!(equal(hidden, plain) < plain.len() / 32);
        let other = Reservation { id: any(&mut random, 0).id, ..reservation.clone() };
        assert!(equal(hidden, &shown(&other)[CLEAR_BYTES..]) < plain.len() / 32);
        let zeros = Reservation { process: 0, granted: Timestamp::ZERO, held: Vec::new(), ..other };
        let mut blocks: Vec<_> = vec![0; 4_096];
        blocks.splice(..CLEAR_BYTES, zeros.encode()[..CLEAR_BYTES].iter().copied());
        seal(1).encipher(&mut blocks);
        let mut blocks: Vec<_> = blocks[CLEAR_BYTES..].chunks(BLOCK_BYTES).collect();
        let count = blocks.len();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), count, "no block of the stream is another");
    }

    #[test]
    fn no_other_text_is_a_token() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ .";
        for held in (0..5).cycle().take(20_000) {
            let token = seal(1).token(&any(&mut random, held));
            assert_eq!(seal(2).open(&token), Err(InvalidToken::Unknown), "another secret");
            let mut text = token.clone().into_bytes();
            let at = random.usize(..text.len());
            match random.u8(0..4) {
                0 => text[at] = *random.choice(letters).unwrap(),
                1 => text.truncate(at),
                2 => text.insert(at, *random.choice(letters).unwrap()),
                _ => text.extend_from_within(at..),
            }
            let text = String::from_utf8(text).unwrap();
            assert!(text == token || seal(1).open(&text).is_err(), "{token} changed to {text}");
        }
    }

    #[test]
    fn text_of_any_kind_is_refused_without_a_panic() {
        let mut random = fastrand::Rng::new();
        for length in 0..3_000 {
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let text = URL_SAFE_NO_PAD.encode(bytes);
            assert!(seal(1).open(&text).is_err());
        }
        assert_eq!(seal(1).open(&"A".repeat(MAX_TOKEN_CHARS + 1)), Err(InvalidToken::TooLong));
        for text in ["", "é", "====", "a\0b", " "] {
            assert_eq!(seal(1).open(text), Err(InvalidToken::Unknown), "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_or_of_another_version_is_no_reservation() {
        let whole = any(&mut fastrand::Rng::new(), 1).encode();
        let header = any(&mut fastrand::Rng::new(), 0).encode().len();
        for length in (0..whole.len()).filter(|length| *length != header) {
            assert_eq!(Reservation::decode(&whole[..length]), None, "{length} bytes");
        }
        let other = [&[VERSION + 1], &whole[1..]].concat();
        assert_eq!(Reservation::decode(&other), None);
    }
}

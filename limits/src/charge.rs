//! What a request owes: one charge for each limit that applies, each on one counter.

use std::fmt;
use std::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::attributes::Attributes;
use crate::counter::{Op, Terms};
use crate::decide::{Ask, Key};
use crate::matching::KeyValues;
use crate::policy::{Limit, Mode, Numbers, Policy};
use crate::time::{Micros, Timestamp, Tokens};

/// The longest hold on a counter.
pub const LONGEST_HOLD: Micros = Micros::new(10_000_000);
/// No hold ends later than this from now: the longest hold and a sixteenth of it.
const HORIZON: Micros = Micros::new(LONGEST_HOLD.get() / 16 * 17);
/// A key value longer than this many bytes is used by its hash.
pub const MAX_VALUE_BYTES: usize = 256;
/// The least length of a secret, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// Keeps the hash key for one purpose apart from every other use of the secret.
const HASH_KEY_LABEL: &[u8] = b"sluicegate counter key v1\0";

/// The secret that key hashes are made with: all replicas on one store share it, so that the
/// store sees no personal value and nobody outside can aim at one counter.
#[derive(Clone)]
pub struct KeySecret(SipHasher24);

/// A secret was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSecret {
    /// It has this many bytes, fewer than [`MIN_SECRET_BYTES`].
    TooShort(usize),
}

/// What a request owes one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'p> {
    /// The limit that applies.
    pub limit: &'p Limit,
    /// Its counter for this request.
    pub key: Key,
    /// How many tokens pass, for this request.
    pub numbers: Numbers,
    /// The arithmetic, at the instant that `charges` was asked for.
    pub terms: Terms,
    /// What the request costs.
    pub tokens: Tokens,
}

/// What a request owes, in the order of the policy.
pub type Charges<'p> = Vec<Charge<'p>>;

impl KeySecret {
    /// Takes the secret's bytes.
    ///
    /// # Errors
    /// Fewer than [`MIN_SECRET_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(InvalidSecret::TooShort(bytes.len()));
        }
        Ok(Self::derive(bytes))
    }

    /// A secret for explanations, whose counters nobody stores.
    pub(crate) fn offline() -> Self {
        Self::derive(b"offline")
    }

    fn derive(bytes: &[u8]) -> Self {
        let derived = Sha256::new().chain_update(HASH_KEY_LABEL).chain_update(bytes).finalize();
        let mut key = [0; 16];
        key.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
        Self(SipHasher24::new_with_key(&key))
    }

    /// The counter of a limit for a request with these values of the limit's key attributes.
    fn key(&self, limit: &Limit, values: &KeyValues<'_>) -> Key {
        // The partition depends on the first attribute alone, so that limits with the same first
        // attribute live on one node and are decided in one call.
        let (limit, attributes) = limit.counter();
        let mut partition = Encoder(self.0);
        match attributes.iter().zip(values.iter()).next() {
            None => partition.bytes(limit.as_bytes()),
            Some((name, value)) => partition.attribute(name, value),
        }
        let mut counter = Encoder(self.0);
        counter.bytes(limit.as_bytes());
        counter.number(attributes.len() as u64);
        for (name, value) in attributes.iter().zip(values.iter()) {
            counter.attribute(name, value);
        }
        let [first, ..] = partition.0.finish128().as_bytes();
        Key { partition: first, hash: counter.0.finish128().as_bytes() }
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::TooShort(bytes) = self;
        write!(f, "the key secret has {bytes} bytes: at least {MIN_SECRET_BYTES} random ones")
    }
}

impl std::error::Error for InvalidSecret {}

impl Charge<'_> {
    /// What the store is asked.
    #[must_use]
    pub fn ask(&self, op: Op) -> Ask {
        Ask {
            key: self.key,
            limit_id: self.limit.id,
            max_keys: self.limit.max_keys,
            terms: self.terms,
            op,
            tokens: self.tokens,
            shadow: self.limit.mode == Mode::Shadow,
            horizon: HORIZON,
        }
    }
}

impl Policy {
    /// What a request owes: one charge for each limit that is not disabled, whose `match` holds
    /// and whose key attributes are all present. `cost` is what the caller states, in tokens.
    #[must_use]
    pub fn charges<'p>(
        &'p self,
        attributes: &Attributes,
        cost: Option<Tokens>,
        secret: &KeySecret,
        now: Timestamp,
    ) -> Charges<'p> {
        let request = self.request(attributes, cost);
        let charge = |(limit, values): (&'p Limit, KeyValues<'_>)| Charge {
            limit,
            key: secret.key(limit, &values),
            numbers: limit.numbers,
            terms: limit.terms(&limit.numbers, now),
            tokens: limit.cost_of(&request).0,
        };
        self.applying(&request).map(charge).collect()
    }
}

/// Feeds a hash so that different inputs are different bytes: every part has its length before it.
struct Encoder(SipHasher24);

impl Encoder {
    fn number(&mut self, n: u64) {
        self.0.write(&n.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.bytes(name.as_bytes());
        if value.len() <= MAX_VALUE_BYTES {
            self.bytes(value.as_bytes());
        } else {
            // A length that no short value has marks the hash of a long one.
            self.number(u64::MAX);
            self.0.write(&Sha256::digest(value.as_bytes()));
        }
    }
}

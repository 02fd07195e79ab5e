//! The secret that all replicas on one store share, and the counters' names that it makes.

use std::fmt;
use std::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::decide::Key;
use crate::matching::KeyValues;
use crate::policy::Limit;

/// A key value longer than this many bytes is used by its hash.
pub const MAX_VALUE_BYTES: usize = 256;
/// The least length of a secret, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// Stands for the length of a value that is used by its hash.
const LONG: u64 = u64::MAX;
/// Stands for the length of a value that is missing.
const MISSING: u64 = u64::MAX - 1;

/// What the counters of limits are hashed under.
const COUNTER_LABEL: &str = "sluicegate counter key v1";
/// What the counters of their penalties are hashed under, which have the same names.
const PENALTY_LABEL: &str = "sluicegate penalty key v1";

/// The secret that key hashes are made with: all replicas on one store share it, so that the
/// store sees no personal value and nobody outside can aim at one counter.
#[derive(Clone)]
pub struct KeySecret {
    counters: SipHasher24,
    penalties: SipHasher24,
}

/// A secret was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSecret {
    /// It has this many bytes, fewer than [`MIN_SECRET_BYTES`].
    TooShort(usize),
}

impl KeySecret {
    /// Takes the secret's bytes.
    ///
    /// # Errors
    /// Fewer than [`MIN_SECRET_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(InvalidSecret::TooShort(bytes.len()));
        }
        Ok(Self::of(bytes))
    }

    /// A secret for explanations, whose counters nobody stores.
    pub(crate) fn offline() -> Self {
        Self::of(b"offline")
    }

    fn of(bytes: &[u8]) -> Self {
        Self { counters: derive(COUNTER_LABEL, bytes), penalties: derive(PENALTY_LABEL, bytes) }
    }

    /// The counter of a limit for a request with these values of the limit's key attributes.
    pub(super) fn key(&self, limit: &Limit, values: &KeyValues<'_>) -> Key {
        // The partition depends on the first attribute alone, so that limits with the same first
        // attribute live on one node and are decided in one call.
        let (name, attributes) = limit.counter();
        let mut partition = Encoder(self.counters);
        match attributes.iter().zip(values.iter()).next() {
            None => partition.bytes(name.as_bytes()),
            Some((name, value)) => partition.attribute(name, value),
        }
        let [partition, ..] = partition.0.finish128().as_bytes();
        Key { partition, hash: hash(self.counters, limit, values) }
    }

    /// The counter of the strikes of a limit, beside its counter `key`.
    pub(super) fn penalty_key(&self, limit: &Limit, values: &KeyValues<'_>, key: Key) -> Key {
        Key { hash: hash(self.penalties, limit, values), ..key }
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

/// A hasher, which is a MAC too, whose key is the secret's for one purpose: the label, which no
/// other use of the secret has, keeps them apart.
#[must_use]
pub fn derive(label: &str, secret: &[u8]) -> SipHasher24 {
    let derived = Sha256::new().chain_update(label).chain_update(b"\0").chain_update(secret);
    let mut key = [0; 16];
    key.iter_mut().zip(derived.finalize()).for_each(|(to, from)| *to = from);
    SipHasher24::new_with_key(&key)
}

/// The hash of what names a counter.
fn hash(hasher: SipHasher24, limit: &Limit, values: &KeyValues<'_>) -> [u8; 16] {
    let (name, attributes) = limit.counter();
    let mut counter = Encoder(hasher);
    counter.bytes(name.as_bytes());
    counter.number(attributes.len() as u64);
    for (name, value) in attributes.iter().zip(values.iter()) {
        counter.attribute(name, value);
    }
    counter.0.finish128().as_bytes()
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

    fn attribute(&mut self, name: &str, value: Option<&str>) {
        self.bytes(name.as_bytes());
        // Lengths that no short value has mark the hash of a long one, and that there is none.
        match value {
            None => self.number(MISSING),
            Some(value) if value.len() <= MAX_VALUE_BYTES => self.bytes(value.as_bytes()),
            Some(value) => {
                self.number(LONG);
                self.0.write(&Sha256::digest(value.as_bytes()));
            }
        }
    }
}

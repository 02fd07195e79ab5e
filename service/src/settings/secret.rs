//! Secrets: read from files, shown nowhere.

use std::fmt;
use std::io::Read;
use std::path::Path;

use sluicegate_limits::charge::MIN_SECRET_BYTES;

use crate::random;

/// The most bytes of a secret file.
const MAX_SECRET_BYTES: u64 = 4096;

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps the bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// 32 bytes from the system's random source.
    pub(super) fn random() -> std::io::Result<Self> {
        random::system::<MIN_SECRET_BYTES>().map(|bytes| Self::new(&bytes))
    }

    /// The fixed secret of `development: true`: equal on every replica of a developer's machine.
    pub(super) fn development() -> Self {
        Self::new(b"sluicegate development key secret: known to everybody, for development only")
    }

    /// Reads a secret without the white space around it. The error says what to do about it.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = std::fs::File::open(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
        let mut bytes = Vec::new();
        file.take(MAX_SECRET_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("cannot read {shown}: {e}"))?;
        if bytes.len() as u64 > MAX_SECRET_BYTES {
            return Err(format!("{shown} has more than {MAX_SECRET_BYTES} bytes"));
        }
        let trimmed = bytes.trim_ascii();
        if trimmed.is_empty() {
            return Err(format!("{shown} is empty"));
        }
        Ok(Self::new(trimmed))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

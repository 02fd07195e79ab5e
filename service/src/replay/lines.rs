//! A log line by line, however long its lines are.

use std::io::{self, BufRead};

/// The longest line that is read, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 256 * 1024;
/// What some programs put before UTF-8 text; it is no part of the first line.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines into one buffer of bounded length.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// What it says.
    Text(&'l str),
    /// It has more than [`MAX_LINE_BYTES`].
    TooLong,
    /// It is not UTF-8.
    NotText,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, bytes: 0 }
    }

    /// The number of the last line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Where the log cannot be read on.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        let mut began = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            began = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            too_long |= self.line.len() + part.len() > MAX_LINE_BYTES;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                break;
            }
        }
        if !began {
            return Ok(None);
        }
        self.number += 1;
        let text = match self.number {
            1 => self.line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.line),
            _ => &self.line,
        };
        Ok(Some(if too_long { Line::TooLong } else { line(text) }))
    }
}

fn line(bytes: &[u8]) -> Line<'_> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    str::from_utf8(bytes).map_or(Line::NotText, Line::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn lines_are_whole_whatever_the_buffer_and_never_longer_than_the_bound() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let most = "y".repeat(MAX_LINE_BYTES);
        let text = [b"a\r\n\n", long.as_bytes(), b"\nb\xff\n", most.as_bytes(), b"\nend"].concat();
        for capacity in [1, 7, 1 << 20] {
            let mut lines = Lines::new(BufReader::with_capacity(capacity, &text[..]));
            for expected in [Line::Text("a"), Line::Text(""), Line::TooLong, Line::NotText] {
                assert_eq!(lines.next().unwrap(), Some(expected));
            }
            assert_eq!(lines.next().unwrap(), Some(Line::Text(&most)));
            assert_eq!(lines.next().unwrap(), Some(Line::Text("end")));
            assert_eq!(lines.next().unwrap(), None);
            assert_eq!((lines.number(), lines.bytes()), (6, text.len() as u64));
        }
    }
}

//! `--decisions`: one JSON object a line for each request, in the order of the log.
//!
//! Requests are decided in the order of their times, so a decision may have to wait for that of an
//! earlier line. They wait in bounded number; beyond it they are written as they come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use sluicegate_limits::counter::Wait;
use sluicegate_limits::time::{Timestamp, Tokens};
use sluicegate_limits::verdict::Verdict;

use crate::instant::rfc3339;

/// The most decisions that wait for one of an earlier line, about 60 MB.
const MAX_WAITING: usize = 262_144;

/// The file of decisions.
pub(super) struct Decisions<W: Write = BufWriter<File>> {
    out: W,
    /// The number of the request whose decision is next in the file.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// How many did not get their place.
    out_of_order: u64,
}

/// One line.
#[derive(Debug, Serialize)]
struct Decided<'v> {
    at: String,
    allowed: bool,
    limit_name: Option<&'v str>,
    /// Only on denial.
    reason: Option<&'v str>,
    /// Only on denial; `null` is never.
    retry_after_ms: Option<u64>,
    remaining: Option<u64>,
}

impl Decisions {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write> Decisions<W> {
    fn new(out: W) -> Self {
        Self { out, next: 0, waiting: BTreeMap::new(), out_of_order: 0 }
    }

    /// Writes the decision on the request of this number, from 0, or keeps it until its turn.
    pub(super) fn write(
        &mut self,
        number: u64,
        at: Timestamp,
        verdict: &Verdict,
    ) -> io::Result<()> {
        let decided = Decided {
            at: rfc3339(at),
            allowed: verdict.allowed,
            limit_name: verdict.limit_name(),
            reason: (!verdict.allowed).then_some(&*verdict.reason_text),
            retry_after_ms: verdict.retry_after().and_then(Wait::to_millis_up),
            remaining: verdict.remaining().map(Tokens::get),
        };
        if number <= self.next {
            self.out_of_order += u64::from(number < self.next);
            serde_json::to_writer(&mut self.out, &decided)?;
            self.out.write_all(b"\n")?;
            self.next = self.next.max(number + 1);
            return self.write_waiting();
        }
        let mut line = serde_json::to_vec(&decided)?;
        line.push(b'\n');
        self.waiting.insert(number, line);
        if self.waiting.len() > MAX_WAITING
            && let Some((first, _)) = self.waiting.first_key_value()
        {
            self.next = *first;
            return self.write_waiting();
        }
        Ok(())
    }

    /// Writes what is left; answers how many did not get their place.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        for line in self.waiting.values() {
            self.out.write_all(line)?;
        }
        self.out.flush()?;
        Ok(self.out_of_order)
    }

    /// Writes those whose turn it is.
    fn write_waiting(&mut self) -> io::Result<()> {
        while let Some(line) = self.waiting.remove(&self.next) {
            self.out.write_all(&line)?;
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(numbers: impl Iterator<Item = u64>) -> (Vec<u64>, u64) {
        let mut text = Vec::new();
        let mut decisions = Decisions::new(&mut text);
        for number in numbers {
            let at = Timestamp::new(number * 1_000_000);
            decisions.write(number, at, &Verdict::of(&[], &[])).unwrap();
        }
        let out_of_order = decisions.finish().unwrap();
        let order = String::from_utf8(text).unwrap();
        let order = order.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            crate::instant::parse(line["at"].as_str().unwrap()).unwrap().get() / 1_000_000
        });
        (order.collect(), out_of_order)
    }

    #[test]
    fn decisions_stand_in_the_order_of_the_log() {
        let (order, out_of_order) = written([2, 0, 1, 4, 5, 3].into_iter());
        assert_eq!((order, out_of_order), (vec![0, 1, 2, 3, 4, 5], 0));
    }

    #[test]
    fn no_more_wait_than_the_bound_and_what_comes_after_is_counted() {
        let last = MAX_WAITING as u64 + 2;
        let (order, out_of_order) = written((1..last).chain([0]));
        assert_eq!(order.len() as u64, last);
        assert_eq!((order[0], order.last(), out_of_order), (1, Some(&0), 1));
    }
}

//! Comma-separated values (RFC 4180, a record on one line) whose header names the columns.

use csv_core::{ReadRecordResult, Reader};

use super::super::mapping::{AT, Mapping, Values};

/// The most columns of a line.
const MAX_COLUMNS: usize = 256;

/// The columns that the header names, once it was read.
pub(super) struct Columns {
    reader: Reader,
    /// The slot of each column that is read.
    slots: Option<Vec<Option<usize>>>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Columns {
    pub(super) fn new() -> Self {
        let (text, ends) = (Vec::new(), vec![0; MAX_COLUMNS]);
        Self { reader: Reader::new(), slots: None, text, ends }
    }

    /// Fills the values of a line; the first line is the header.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(super) fn fill(
        &mut self,
        line: &str,
        mapping: &mut Mapping,
        values: &mut Values,
    ) -> Result<bool, String> {
        let count = self.split(line)?;
        let Some(slots) = &self.slots else {
            let header: Vec<&str> = cells(&self.text, &self.ends, count).collect();
            self.slots = Some(columns(&header, mapping)?);
            return Ok(false);
        };
        if count != slots.len() {
            return Err(format!("it has {count} of {} fields", slots.len()));
        }
        for (cell, slot) in cells(&self.text, &self.ends, count).zip(slots) {
            if let Some(slot) = slot {
                values.set(*slot, cell);
            }
        }
        Ok(true)
    }

    /// Splits a line into `text` and `ends`; answers the number of fields.
    fn split(&mut self, line: &str) -> Result<usize, String> {
        self.text.resize(self.text.len().max(line.len() + 1), 0);
        self.reader.reset();
        let mut count = 0;
        let (mut read, mut written) = (0, 0);
        // The end of the line is an input of its own, since the line has lost it.
        for input in [line.as_bytes(), b"\n"] {
            let text = self.text.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(count..).unwrap_or_default();
            let (result, used, out, fields) = self.reader.read_record(input, text, ends);
            (read, written, count) = (read + used, written + out, count + fields);
            match result {
                ReadRecordResult::Record => return Ok(count),
                ReadRecordResult::OutputEndsFull => {
                    return Err(format!("it has more than {MAX_COLUMNS} fields"));
                }
                _ => {}
            }
        }
        Err("a quote is not closed on its line".to_owned())
    }
}

/// The cells of a line that was split.
fn cells<'t>(text: &'t [u8], ends: &'t [usize], count: usize) -> impl Iterator<Item = &'t str> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).take(count).map(|(start, end)| {
        // Quotes are ASCII, so what is between them stays UTF-8.
        text.get(*start..*end).and_then(|cell| str::from_utf8(cell).ok()).unwrap_or_default()
    })
}

/// The slots of the columns that the header names.
fn columns(header: &[&str], mapping: &mut Mapping) -> Result<Vec<Option<usize>>, String> {
    let mut slots = Vec::with_capacity(header.len());
    for (index, cell) in header.iter().enumerate() {
        let name = cell.trim_ascii();
        if header.iter().take(index).any(|other| *other == name) {
            return Err(format!("the header names `{name}` twice"));
        }
        slots.push(mapping.slot_of_column(name));
    }
    if !mapping.reads(AT, &slots) {
        let names = header.join(", ");
        return Err(format!("the header has no column `at`, but {names}; or map one: --map at=…"));
    }
    Ok(slots)
}

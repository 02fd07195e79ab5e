//! Where in a file a part of a scalar's text stands.
//!
//! Spaces and line ends are not told apart, since YAML folds them: what is counted are the other
//! characters. So it is right for every style of scalar.

use std::iter::Peekable;
use std::str::Chars;

use crate::policy::problem::At;
use crate::policy::read::Spanned;

/// Walks through a scalar as it is written.
struct Written<'t> {
    chars: Peekable<Chars<'t>>,
    at: At,
    /// The quote that ends it, if it has one.
    quote: Option<char>,
}

/// The place in the file of a byte of a scalar's text; at its end: behind its last character.
pub(super) fn spot(file_text: &str, scalar: &Spanned<String>, byte: usize) -> At {
    let before = scalar.value.get(..byte).unwrap_or(&scalar.value);
    let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let (skipped, all) = (visible(before), visible(&scalar.value));
    let mut written = Written::new(file_text, scalar.at);
    let mut end = scalar.at;
    for nth in 0..all {
        let Some(at) = written.next_visible() else { return end };
        if nth == skipped {
            return at;
        }
        end = written.at;
    }
    end
}

impl<'t> Written<'t> {
    fn new(file_text: &'t str, at: At) -> Self {
        let text = file_text.strip_prefix('\u{feff}').unwrap_or(file_text);
        let nth = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
        let start: usize = text.split_inclusive('\n').take(nth(at.line)).map(str::len).sum();
        let line = text.get(start..).unwrap_or_default();
        let into = line.char_indices().nth(nth(at.column)).map_or(line.len(), |(into, _)| into);
        let mut chars = line.get(into..).unwrap_or_default().chars().peekable();
        let quote = chars.next_if(|c| matches!(c, '"' | '\''));
        let column = at.column + u32::from(quote.is_some());
        Self { chars, at: At { column, ..at }, quote }
    }

    /// The place of the next character that is not a space, behind which the walk then is.
    fn next_visible(&mut self) -> Option<At> {
        loop {
            let at = self.at;
            if !self.unit()?.is_whitespace() {
                return Some(at);
            }
        }
    }

    /// The next character, with what stands for it where it is escaped.
    fn unit(&mut self) -> Option<char> {
        let c = self.step()?;
        match (self.quote, c) {
            (Some('\''), '\'') => self.chars.next_if_eq(&'\'').map(|_| {
                self.at.column += 1;
                c
            }),
            (Some('"'), '"') => None,
            (Some('"'), '\\') => {
                let escaped = self.step()?;
                let digits = match escaped {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    'n' | 't' | 'r' | ' ' | '\n' => return Some(' '),
                    _ => 0,
                };
                (0..digits).try_for_each(|_| self.step().map(drop))?;
                Some(escaped)
            }
            _ => Some(c),
        }
    }

    fn step(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.at = match c {
            '\n' => At { line: self.at.line + 1, column: 1 },
            _ => At { column: self.at.column + 1, ..self.at },
        };
        Some(c)
    }
}

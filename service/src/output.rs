//! What is printed: by the command line, the log and the records.
//!
//! Names, reasons, files and the answers of servers may hold characters that a terminal obeys
//! (ESC, CR) or that change what people see (overrides of direction, signs without width). They
//! are shown escaped, here and nowhere else, so that nobody can forget it: a page is made of lines,
//! and what stands in a line cannot end it. Only the colours of ours go out as they are.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};

/// Where something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output: the answer.
    Out,
    /// Standard error: everything else.
    Err,
}

/// The colours of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    BoldRed,
    BoldYellow,
}

/// Lines for people, of which no part can make another line or obey.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    stream: Stream,
    colours: bool,
}

/// Standard error for programs: JSON, in which every such character has a form of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonErrors;

/// Fields of the log as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields;

impl Stream {
    /// Whether a person reads it.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Out => io::stdout().is_terminal(),
            Self::Err => io::stderr().is_terminal(),
        }
    }

    /// Writes what is clean. A reader that went away is no reason to panic.
    fn write(self, text: &str) {
        let _ = match self {
            Self::Out => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Err => io::stderr().lock().write_all(text.as_bytes()),
        };
    }

    /// Prints one line.
    pub(crate) fn line(self, text: impl Display) {
        self.page(|page| {
            page.line(text);
        });
    }

    /// Prints a page.
    pub(crate) fn page(self, fill: impl FnOnce(&mut Page)) {
        let mut page = Page { text: String::new(), stream: self, colours: self.is_terminal() };
        fill(&mut page);
        page.stream.write(&page.text);
    }

    /// Prints what clap made of words that are our own or clean, in its own colours.
    pub(crate) fn ours(self, words: &clap::builder::StyledStr) {
        if self.is_terminal() {
            self.write(&words.ansi().to_string());
        } else {
            self.write(&words.to_string());
        }
    }
}

impl Page {
    /// A part of a line.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        // Nothing that is written to memory fails, and what cannot say itself says nothing.
        let _ = write!(Escaping(&mut self.text), "{text}");
        self
    }

    /// A part of a line in a colour, where a person reads.
    pub(crate) fn painted(&mut self, colour: Colour, text: impl Display) -> &mut Self {
        if !self.colours {
            return self.text(text);
        }
        self.text.push_str(colour.begins());
        self.text(text);
        self.text.push_str("\x1b[0m");
        self
    }

    /// Ends a line.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.text.push('\n');
        self
    }

    /// A whole line.
    pub(crate) fn line(&mut self, text: impl Display) -> &mut Self {
        self.text(text).end()
    }

    /// What is known of a panic, and how it came to it where RUST_BACKTRACE asks for that.
    fn panicked(&mut self, said: Option<&str>, place: Option<&str>) {
        let (said, place) = (said.unwrap_or("no text"), place.unwrap_or("some place"));
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("-");
        self.line(format_args!("error: thread {name} panicked at {place}: {said}"));
        self.line("  this is a mistake in Sluicegate: please report it");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            self.lines(trace.to_string().lines());
        }
    }

    /// Whole lines.
    pub(crate) fn lines<T: Display>(&mut self, lines: impl IntoIterator<Item = T>) -> &mut Self {
        for line in lines {
            self.line(line);
        }
        self
    }
}

impl Colour {
    const fn begins(self) -> &'static str {
        match self {
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Blue => "\x1b[34m",
            Self::BoldRed => "\x1b[1;31m",
            Self::BoldYellow => "\x1b[1;33m",
        }
    }
}

/// Prints a value as JSON on several lines. Our own types always have such a form.
pub(crate) fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    Stream::Out.write(&format!("{}\n", shown_json(&text)));
}

/// From now on a panic is told in lines like everything else.
pub(crate) fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = || payload.downcast_ref::<String>().map(String::as_str);
        let said = payload.downcast_ref::<&str>().copied().or_else(text);
        let place = panic.location().map(ToString::to_string);
        Stream::Err.page(|page| page.panicked(said, place.as_deref()));
    }));
}

/// The text as it is shown to people: with each character escaped that is not one to read.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let _ = Escaping(&mut shown).write_str(text);
    shown.into()
}

/// The same in JSON, whose lines are ends of lines.
fn shown_json(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_hidden(c) {
            shown.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown.into()
}

/// Whether a character is none that people read: it is obeyed, changes what stands beside it, or
/// cannot be seen.
fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // After another character, so that an accent that belongs to it is no reason.
    let mut pair = String::from("a");
    pair.push(c);
    pair.escape_debug().nth(1) == Some('\\')
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_hidden(c) {
                self.0.extend(c.escape_debug());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

impl Write for JsonErrors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(shown_json(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Standard error for the lines of the log, whose [`Fields`] are clean.
pub(crate) fn log_lines() -> impl Write {
    io::stderr()
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let each = format::debug_fn(|writer, field, value| match field.name() {
            "message" => write!(writer, "{}", shown(&format!("{value:?}"))),
            name => write!(writer, "{name}={}", shown(&format!("{value:?}"))),
        });
        tracing_subscriber::field::MakeExt::delimited(each, " ").format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control and format characters, line and paragraph separators, as Unicode lists them.
    const HIDDEN: [std::ops::RangeInclusive<char>; 22] = [
        '\0'..='\u{1f}',
        '\u{7f}'..='\u{9f}',
        '\u{ad}'..='\u{ad}',
        '\u{600}'..='\u{605}',
        '\u{61c}'..='\u{61c}',
        '\u{6dd}'..='\u{6dd}',
        '\u{70f}'..='\u{70f}',
        '\u{890}'..='\u{891}',
        '\u{8e2}'..='\u{8e2}',
        '\u{180e}'..='\u{180e}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
        '\u{110bd}'..='\u{110bd}',
        '\u{110cd}'..='\u{110cd}',
        '\u{13430}'..='\u{1343f}',
        '\u{1bca0}'..='\u{1bca3}',
        '\u{1d173}'..='\u{1d17a}',
        '\u{e0001}'..='\u{e0001}',
        '\u{e0020}'..='\u{e007f}',
    ];

    #[test]
    fn what_is_not_to_be_read_is_escaped_and_the_rest_is_not() {
        for c in HIDDEN.into_iter().flatten() {
            let text = format!("a{c}b");
            let (people, program) = (shown(&text), shown_json(&text));
            assert!(people.starts_with("a\\") && !people.contains(c), "{people}");
            assert_eq!(shown(&people), people, "twice is once");
            if c == '\n' {
                continue;
            }
            assert!(program.starts_with("a\\u") && !program.contains(c), "{program}");
            let read: String = serde_json::from_str(&format!("\"{program}\"")).unwrap();
            assert_eq!(read, text);
        }
        for text in ["Ωμέγα", "naïve", "nai\u{308}ve", "हिन्दी", "日本語 €", "✓ ├─ ▓░ é\\n \"'"]
        {
            assert_eq!((&*shown(text), &*shown_json(text)), (text, text));
        }
    }

    #[test]
    fn a_panic_is_told_in_lines() {
        let mut page = Page { text: String::new(), stream: Stream::Err, colours: true };
        page.panicked(Some("bad \u{1b}[2J\nok"), Some("a.rs:1:2"));
        let first = page.text.lines().next().unwrap();
        assert!(first.ends_with("panicked at a.rs:1:2: bad \\u{1b}[2J\\nok"), "{first}");
    }

    #[test]
    fn a_line_stays_one_and_only_our_own_colours_go_out() {
        for colours in [false, true] {
            let mut page = Page { text: String::new(), stream: Stream::Out, colours };
            page.painted(Colour::Red, "\x1b[2J\r\nok").text(": \u{202e}x").end().line("y\n\tz");
            let (on, off) = if colours { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            let expected = format!("{on}\\u{{1b}}[2J\\r\\nok{off}: \\u{{202e}}x\ny\\n\\tz\n");
            assert_eq!(page.text, expected);
        }
    }
}

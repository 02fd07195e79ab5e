//! The text of a `when` to a condition: bounds, the syntax by `cel`'s parser, places of problems.

use cel::Env;
use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::ParseErrors;

use super::Condition;
use super::lower::Lowering;
use super::spot::spot;
use crate::attributes::Paths;
use crate::policy::keys::MAX_CONDITION_BYTES;
use crate::policy::problem::{Problems, code, shown};
use crate::policy::read::Spanned;

/// The deepest nesting of brackets. The parser takes up to 200 KiB of stack for each level in a
/// build without optimisation, and threads have 2 MiB.
const MAX_DEPTH: usize = 8;
/// The most operators: chains of them take stack too.
const MAX_OPERATORS: usize = 512;
/// How deep the parser itself goes.
const PARSER_DEPTH: u16 = 64;

/// What is wrong with a condition, and where in its text.
pub(super) struct Fault {
    /// The byte of the text.
    pub(super) at: usize,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) is_warning: bool,
}

/// Reads the text of a `when`, for an upstream that reads paths so. Problems are placed in the
/// file's text, at the very spot.
pub(in crate::policy) fn read(
    when: &Spanned<String>,
    file_text: &str,
    paths: &Paths,
    problems: &mut Problems,
) -> Option<Condition> {
    let mut faults = Vec::new();
    let condition = condition(&when.value, paths, &mut faults);
    for fault in faults {
        // Looking for a spot walks through the file: not for problems that nobody lists.
        let listed = problems.has_room();
        let at = if listed { spot(file_text, when, fault.at) } else { when.at };
        if fault.is_warning {
            problems.warning(at, fault.code, fault.message, &fault.help);
        } else {
            problems.error(at, fault.code, fault.message, &fault.help);
        }
    }
    condition
}

/// Reads a condition, or says what is wrong with it.
fn condition(text: &str, paths: &Paths, faults: &mut Vec<Fault>) -> Option<Condition> {
    let parsed = bounded(text).and_then(|()| parse(text));
    match parsed {
        Ok((expression, places)) => Lowering::new(text, paths, &places, faults).lower(&expression),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), Fault> {
    // Without macros `has` is a call like any other; ours takes whole attributes, not fields.
    let parser = Env::default().with_optional_support(false).parser();
    let parsed = parser.max_recursion_depth(PARSER_DEPTH).parse_with_source_info(text);
    parsed.map_err(|errors| syntax(text, &errors))
}

/// Refuses what would cost the parser much time or stack, and forms of texts that are not used.
fn bounded(text: &str) -> Result<(), Fault> {
    if text.len() > MAX_CONDITION_BYTES {
        let message = format!("a condition of {} bytes", text.len());
        return Err(Fault::out_of_range(
            0,
            message,
            format!("at most {MAX_CONDITION_BYTES} bytes"),
        ));
    }
    let (mut depth, mut operators, mut last, mut next) = (0_usize, 0, ' ', 0);
    while let Some((at, rest)) = text.get(next..).map(|rest| (next, rest))
        && let Some(c) = rest.chars().next()
    {
        next = at + c.len_utf8();
        match c {
            '"' | '\'' if last.is_alphanumeric() || last == c => {
                let message = "bytes, raw texts and triple quotes are not used".to_owned();
                return Err(Fault::new(at, message, "write a plain \"text\""));
            }
            '"' | '\'' => next += quoted(rest, c).ok_or_else(|| Fault::broken_text(at))?,
            '/' if rest.starts_with("//") => next = at + rest.find('\n').unwrap_or(rest.len()),
            '(' | '[' | '{' => {
                depth += 1;
                operators += 1;
                if depth > MAX_DEPTH {
                    let message = "brackets are nested too deep".to_owned();
                    let help = format!("at most {MAX_DEPTH} levels");
                    return Err(Fault::out_of_range(at, message, help));
                }
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' => {}
            // `&&` and `==` are one operator each.
            c if c.is_ascii_punctuation() && c != '_' && c != last => operators += 1,
            _ => {}
        }
        last = c;
        if operators > MAX_OPERATORS {
            let message = format!("more than {MAX_OPERATORS} operators");
            return Err(Fault::out_of_range(at, message, "use `in`, or more limits".to_owned()));
        }
    }
    Ok(())
}

/// The bytes of a text behind its opening quote, the closing one included. `None` for what the
/// parser takes for no text: it would go on behind the quote, and read as code what counts for
/// nothing here.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        let (digits, radix) = match c {
            c if c == quote => return Some(at),
            '\n' | '\r' => return None,
            '\\' => match chars.next()?.1 {
                'x' | 'X' => (2, 16),
                'u' => (4, 16),
                'U' => (8, 16),
                '0'..='3' => (2, 8),
                c if "abfnrtv\"'\\?`".contains(c) => continue,
                _ => return None,
            },
            _ => continue,
        };
        if !(0..digits).all(|_| chars.next().is_some_and(|(_, c)| c.is_digit(radix))) {
            return None;
        }
    }
    None
}

/// What the parser did not understand, in our words.
fn syntax(text: &str, errors: &ParseErrors) -> Fault {
    let Some(first) = errors.errors.iter().find(|error| error.pos.0 > 0) else {
        let help = format!("at most {PARSER_DEPTH} levels");
        return Fault::out_of_range(0, "a condition that is nested too deep".to_owned(), help);
    };
    if first.msg.contains("ecursion limit") {
        let help = format!("at most {PARSER_DEPTH} levels");
        return Fault::out_of_range(0, "a condition that is nested too deep".to_owned(), help);
    }
    let at = byte_of(text, first.pos);
    if first.msg.starts_with("invalid") {
        let message = format!("`{}` is not a number that fits", shown(token(text, at)));
        return Fault::new(at, message, "digits, and a point and digits after it: 70 or 0.5");
    }
    // The parser may have taken the first half of an operator.
    let taken = text.get(..at).unwrap_or_default();
    let at = taken.trim_end_matches(is_operator).len();
    let token = token(text, at);
    if token.is_empty() {
        let message = "the condition ends too early".to_owned();
        return Fault::new(at, message, "a part is missing, or a `)` or `]`");
    }
    let before = text.get(..at).unwrap_or_default().split_whitespace().next_back();
    let known = |word| WORDS.iter().find(|(wrong, _)| *wrong == word);
    if let Some((wrong, right)) = known(token).or_else(|| before.and_then(known)) {
        let message = format!("`{wrong}` is not understood here");
        let help = format!("did you mean `{right}`?");
        let at = if token == *wrong {
            at
        } else {
            text.get(..at).map_or(at, |t| t.trim_end().len() - wrong.len())
        };
        return Fault::new(at, message, &help);
    }
    if token.starts_with(['"', '\'']) {
        return Fault::broken_text(at);
    }
    let message = format!("`{}` is not understood here", shown(token));
    Fault::new(at, message, "as in: country != \"XX\" && claims.risk_score <= 70")
}

/// What other languages write, and what is meant.
const WORDS: [(&str, &str); 9] = [
    ("=", "=="),
    ("===", "=="),
    ("<>", "!="),
    ("&", "&&"),
    ("|", "||"),
    ("and", "&&"),
    ("or", "||"),
    ("not", "!"),
    ("is", "=="),
];

/// The word, or the run of operator characters, that begins at a byte.
pub(super) fn token(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = match rest.chars().next() {
        Some(c) if is_word(c) => rest.find(|c| !is_word(c)),
        Some(c) if is_operator(c) => rest.find(|c| !is_operator(c)),
        Some('"' | '\'') => None,
        Some(c) => Some(c.len_utf8()),
        None => None,
    };
    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
}

fn is_operator(c: char) -> bool {
    "=<>!&|".contains(c)
}

/// The byte at a line and column, both from 1, of the parser.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let before = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let rest = text.get(start..).unwrap_or_default();
    start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}

impl Fault {
    pub(super) fn new(at: usize, message: String, help: &str) -> Self {
        let help = help.to_owned();
        Self { at, code: code::BAD_CONDITION, message, help, is_warning: false }
    }

    fn broken_text(at: usize) -> Self {
        let message = "a text that does not end, or has an unknown escape".to_owned();
        Self::new(at, message, "close the quotes; write `\\\\` for a backslash")
    }

    fn out_of_range(at: usize, message: String, help: String) -> Self {
        Self { at, code: code::OUT_OF_RANGE, message, help, is_warning: false }
    }
}

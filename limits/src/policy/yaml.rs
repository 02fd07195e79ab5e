//! YAML text to a tree of values with their places, bounded in size, depth and aliases.
//!
//! The language is read from the parser's events, not through serde: events keep the place, the
//! quotes and the spelling of every scalar, and reading goes on after the first mistake.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::problem::{At, Problems, code, shown};

/// The largest limits file, in bytes.
pub const MAX_FILE_BYTES: usize = 8 << 20;
/// The most values in one limits file, aliases counted as often as they are used.
const MAX_NODES: usize = 500_000;
/// The deepest nesting: three times what the language needs.
const MAX_DEPTH: usize = 16;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    pub(crate) at: At,
    pub(crate) value: Value<'t>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value<'t> {
    /// A scalar: its text, and whether it stood there without quotes.
    Scalar { text: Cow<'t, str>, plain: bool },
    /// A list.
    List(Vec<Node<'t>>),
    /// A map in the order of the file; keys may repeat.
    Map(Vec<(Node<'t>, Node<'t>)>),
}

/// A list or map that has begun and not ended.
struct Open<'t> {
    node: Node<'t>,
    anchor: usize,
    key: Option<Node<'t>>,
}

struct Builder<'t> {
    open: Vec<Open<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    root: Option<Node<'t>>,
    budget: Budget,
}

/// What was read so far.
#[derive(Default)]
struct Budget {
    nodes: usize,
    bytes: usize,
}

/// Why reading stopped: where, with which code, and what to say.
struct Stop {
    at: At,
    code: &'static str,
    message: String,
    help: &'static str,
}

/// Reads one document. `None` where there is none or a problem was reported.
pub(crate) fn read<'t>(text: &'t str, problems: &mut Problems) -> Option<Node<'t>> {
    // A byte order mark is not content.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match tree(text) {
        Ok(root) => root,
        Err(Stop { at, code, message, help }) => {
            problems.error(at, code, message, help);
            None
        }
    }
}

/// Whether a text is one YAML document within the bounds above; no tag, merge key or second
/// document.
///
/// # Errors
/// What stopped the reading, and where.
pub fn check(text: &str) -> Result<(), String> {
    let stopped = |stop: Stop| {
        let At { line, column, .. } = stop.at;
        format!("{} at line {line} column {column}", stop.message)
    };
    tree(text.strip_prefix('\u{feff}').unwrap_or(text)).map(drop).map_err(stopped)
}

/// Whether two texts are documents within the bounds above that say the same: equal values in
/// equal order, quoted or not alike. Comments, layout and the kind of quotes are nothing.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    let read = |text| tree(text).ok();
    match (read(one), read(other)) {
        (Some(Some(one)), Some(Some(other))) => one.says_as(&other),
        (one, other) => matches!((one, other), (Some(None), Some(None))),
    }
}

fn tree(text: &str) -> Result<Option<Node<'_>>, Stop> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes", text.len());
        return Err(Stop::too_large(At::START, message, "at most 8 MiB: split it into files"));
    }
    let mut builder =
        Builder { open: vec![], anchors: HashMap::new(), root: None, budget: Budget::default() };
    let mut documents = 0;
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| Stop::syntax(&error, text))?;
        let at = place(&span);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Stop {
                        at,
                        code: code::SYNTAX,
                        message: "a second document begins here".into(),
                        help: "a limits file is one document: remove `---`, or use two files",
                    });
                }
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            other => builder.event(other, at)?,
        }
    }
    Ok(builder.root)
}

impl Node<'_> {
    fn says_as(&self, other: &Node<'_>) -> bool {
        match (&self.value, &other.value) {
            (
                Value::Scalar { text: one, plain: as_one },
                Value::Scalar { text: other, plain: as_other },
            ) => one == other && as_one == as_other,
            (Value::List(one), Value::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.says_as(b))
            }
            (Value::Map(one), Value::Map(other)) => {
                let same =
                    |((key, value), (as_key, as_value)): (&(_, _), &(Node<'_>, Node<'_>))| {
                        Node::says_as(key, as_key) && Node::says_as(value, as_value)
                    };
                one.len() == other.len() && one.iter().zip(other).all(same)
            }
            _ => false,
        }
    }
}

impl<'t> Builder<'t> {
    fn event(&mut self, event: Event<'t>, at: At) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.is_some(), at)?;
                let plain = matches!(style, ScalarStyle::Plain);
                self.add(Node { at, value: Value::Scalar { text, plain } }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                no_tag(tag.is_some(), at)?;
                self.begin(Node { at, value: Value::List(vec![]) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                no_tag(tag.is_some(), at)?;
                self.begin(Node { at, value: Value::Map(vec![]) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.add(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(Stop {
                        at,
                        code: code::UNSUPPORTED_YAML,
                        message: "an alias inside of what it stands for".into(),
                        help: "",
                    });
                };
                // Counted before it is copied: this is what stops an alias bomb.
                let (nodes, bytes) = size(node);
                self.budget.count(at, nodes, bytes)?;
                let node = node.clone();
                self.attach(node)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            let message = "lists and maps are nested too deep".to_owned();
            return Err(Stop::too_large(node.at, message, "the language nests four levels"));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    /// Adds a value that is complete, and remembers it where it has an anchor.
    fn add(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Stop> {
        let bytes = match &node.value {
            Value::Scalar { text, .. } => text.len(),
            Value::List(_) | Value::Map(_) => 0,
        };
        self.budget.count(node.at, 1, bytes)?;
        if anchor != 0 {
            let (nodes, bytes) = size(&node);
            self.budget.count(node.at, nodes, bytes)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node<'t>) -> Result<(), Stop> {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::Map(entries) => match open.key.take() {
                None => open.key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            Value::List(entries) => entries.push(node),
            Value::Scalar { .. } => {}
        }
        Ok(())
    }
}

impl Budget {
    fn count(&mut self, at: At, nodes: usize, bytes: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > MAX_NODES || self.bytes > 2 * MAX_FILE_BYTES {
            let message = format!("more than {MAX_NODES} values, aliases counted at every use");
            return Err(Stop::too_large(at, message, "split the file, or use fewer aliases"));
        }
        Ok(())
    }
}

impl Stop {
    fn too_large(at: At, message: String, help: &'static str) -> Self {
        Self { at, code: code::TOO_LARGE, message, help }
    }

    fn syntax(error: &ScanError, text: &str) -> Self {
        let marker = error.marker();
        let at = At { line: number(marker.line()), column: number(marker.col() + 1) };
        let line = text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
        let tab = line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
        let help = if tab {
            "YAML is indented with spaces, not tabs"
        } else {
            "a text with `: `, `#`, `*`, `{` or `[` in it needs quotes; a cut off file ends so too"
        };
        Self { at, code: code::SYNTAX, message: shown(&error.kind().to_string()), help }
    }
}

fn no_tag(tagged: bool, at: At) -> Result<(), Stop> {
    if !tagged {
        return Ok(());
    }
    Err(Stop {
        at,
        code: code::UNSUPPORTED_YAML,
        message: "a tag (`!…`) stands here".into(),
        help: "the language has no tags; a text that begins with `!` needs quotes",
    })
}

/// How many values a tree has, and how many bytes of text.
fn size(node: &Node<'_>) -> (usize, usize) {
    let add = |(nodes, bytes): (usize, usize), child: &Node<'_>| {
        let (more, text) = size(child);
        (nodes.saturating_add(more), bytes.saturating_add(text))
    };
    match &node.value {
        Value::Scalar { text, .. } => (1, text.len()),
        Value::List(entries) => entries.iter().fold((1, 0), add),
        Value::Map(entries) => entries.iter().flat_map(|(k, v)| [k, v]).fold((1, 0), add),
    }
}

fn place(span: &Span) -> At {
    At { line: number(span.start.line()), column: number(span.start.col() + 1) }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX).max(1)
}

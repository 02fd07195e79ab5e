//! `attributes:`: where each attribute of a gateway's request comes from, besides its address.

use std::collections::BTreeMap;

use sluicegate_limits::attributes::canonical_name;

use super::reader::Section;

/// The most attributes that the settings may map.
const MAX_MAPPED: usize = 48;
/// Facts of the request itself, which no header may overwrite.
const OF_THE_REQUEST: [&str; 4] = ["method", "path", "endpoint", "grpc_method"];

/// Where one attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeSource {
    /// A request header; its name is lower case.
    Header(String),
    /// A claim of the gateway's verified JWT; a dot steps into an object.
    Claim(String),
    /// An entry of the route's context extensions.
    Context(String),
    /// `true` where the named attribute is present, else `false`.
    Present(String),
    /// The size of the body, of a gateway that copies a request's `Transfer-Encoding` into this
    /// header, in lower case, and removes a client's own.
    TransferEncoding(String),
}

/// Reads the whole section.
pub(super) fn read(section: &mut Section<'_>) -> BTreeMap<String, AttributeSource> {
    let names = section.remaining();
    if names.len() > MAX_MAPPED {
        section.wrong_here(format!("at most {MAX_MAPPED} attributes can be mapped"), None);
    }
    let mut sources = BTreeMap::new();
    for name in names {
        if OF_THE_REQUEST.contains(&name.as_str()) {
            section.wrong(&name, "is a fact of the request itself and cannot be mapped", None);
        }
        if canonical_name(&name).is_err() {
            section.wrong(&name, "an attribute name has letters, digits and `_ . -`", None);
        }
        let mut one = section.section(&name);
        let source = source(&mut one, &name);
        one.finish();
        if let Some(source) = source {
            sources.insert(name, source);
        }
    }
    for (name, source) in &sources {
        if let AttributeSource::Present(of) = source
            && !sources.contains_key(of)
        {
            let help = "name an attribute that this section maps".to_owned();
            section.wrong(&format!("{name}.present"), "names no mapped attribute", Some(help));
        }
    }
    sources
}

fn source(one: &mut Section<'_>, name: &str) -> Option<AttributeSource> {
    let header = header_name(one, "header").map(AttributeSource::Header);
    let claim = one.text("claim").map(AttributeSource::Claim);
    let context = one.text("context").map(AttributeSource::Context);
    let present = one.text("present").map(AttributeSource::Present);
    let encoding = header_name(one, "transfer_encoding").map(AttributeSource::TransferEncoding);
    if encoding.is_some() && name != "request_size" {
        one.wrong("transfer_encoding", "belongs to `request_size` alone", None);
    }
    let mut all = [header, claim, context, present, encoding].into_iter().flatten();
    let first = all.next();
    if first.is_none() || all.next().is_some() {
        let help = "one of `header`, `claim`, `context`, `present`, `transfer_encoding`".to_owned();
        one.wrong_here("needs exactly one source".to_owned(), Some(help));
    }
    first
}

/// The name of a header in lower case.
pub(super) fn header_name(one: &mut Section<'_>, key: &str) -> Option<String> {
    let name = one.text(key)?.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        one.wrong(key, "is not the name of a header", None);
    }
    Some(name)
}

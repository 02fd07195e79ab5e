//! The JUnit report: what build servers read.

use std::io;
use std::path::Path;

use quick_xml::events::{BytesDecl, BytesText, Event};
use quick_xml::writer::Writer;

use super::report::{Outcome, Report, told};

/// Writes the report to a file.
pub(super) fn write(path: &Path, report: &Report) -> io::Result<()> {
    std::fs::write(path, xml(report)?)
}

fn xml(report: &Report) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let count = |outcomes: &[Outcome]| outcomes.len().to_string();
    writer
        .create_element("testsuites")
        .with_attribute(("tests", &*count(&report.outcomes)))
        .with_attribute(("failures", &*report.failed().to_string()))
        .write_inner_content(|writer| report.files().try_for_each(|file| suite(writer, file)))?;
    Ok(writer.into_inner())
}

fn suite(writer: &mut Writer<Vec<u8>>, outcomes: &[Outcome]) -> io::Result<()> {
    let file = outcomes.first().map_or("", |outcome| &outcome.place.file);
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    writer
        .create_element("testsuite")
        .with_attribute(("name", &*clean(file)))
        .with_attribute(("tests", &*outcomes.len().to_string()))
        .with_attribute(("failures", &*failed.to_string()))
        .write_inner_content(|writer| outcomes.iter().try_for_each(|one| case(writer, one)))?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, outcome: &Outcome) -> io::Result<()> {
    let (file, name) = (clean(&outcome.place.file), clean(&outcome.name));
    let element = writer
        .create_element("testcase")
        .with_attribute(("name", &*name))
        .with_attribute(("classname", &*file))
        .with_attribute(("file", &*file))
        .with_attribute(("line", &*outcome.place.line.to_string()));
    let Some(failure) = &outcome.failure else {
        return element.write_empty().map(drop);
    };
    let message = format!("expected {}, got {}", failure.expected, failure.got);
    let text = format!("{}\n\n{}", told(failure).join("\n"), failure.explanation);
    let inner = |writer: &mut Writer<Vec<u8>>| {
        let element =
            writer.create_element("failure").with_attribute(("message", &*clean(&message)));
        element.write_text_content(BytesText::new(&clean(&text))).map(drop)
    };
    element.write_inner_content(inner).map(drop)
}

/// Text without the characters that XML cannot have, however they are written.
fn clean(text: &str) -> String {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect()
}

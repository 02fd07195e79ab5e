//! `cargo xtask fuzz`: runs the fuzz test of the service with the counts of the asked form.

use crate::Outcome;
use crate::runner::real_test;

/// Messages at each door, policy files, and header blocks for each tracer: the short form, which
/// CI runs.
const SHORT: [&str; 3] = ["10000", "1000", "200"];
/// The same for `--full`.
const FULL: [&str; 3] = ["1000000", "100000", "20000"];

/// Starts `service/tests/real/fuzz.rs`, which holds the generators and the checks.
pub(crate) fn command(args: &[String]) -> Outcome<()> {
    let [messages, files, blocks] = match args {
        [] => SHORT,
        [full] if full == "--full" => FULL,
        _ => return Err("takes only --full".to_owned()),
    };
    println!(
        "fuzz: {messages} messages at each door, {files} policy files, {blocks} header blocks \
         through Envoy with each tracer"
    );
    let counts = [
        ("SLUICEGATE_FUZZ_MESSAGES", messages),
        ("SLUICEGATE_FUZZ_FILES", files),
        ("SLUICEGATE_FUZZ_BLOCKS", blocks),
    ];
    real_test("fuzz::", &[], &counts)
}

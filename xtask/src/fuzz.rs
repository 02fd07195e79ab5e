//! `cargo xtask fuzz`: runs the fuzz test of the service with the counts of the asked form.

use crate::Outcome;
use crate::runner::exports;
use crate::workspace::{Workspace, cargo, run};

/// Messages at each door, and policy files: the short form, which CI runs.
const SHORT: [&str; 2] = ["10000", "1000"];
/// The same for `--full`.
const FULL: [&str; 2] = ["1000000", "100000"];

/// Starts `service/tests/real/fuzz.rs`, which holds the generators and the checks.
pub(crate) fn command(args: &[String]) -> Outcome<()> {
    let [messages, files] = match args {
        [] => SHORT,
        [full] if full == "--full" => FULL,
        _ => return Err("takes only --full".to_owned()),
    };
    let workspace = Workspace::find()?;
    println!("fuzz: {messages} messages at each door, {files} policy files");
    let mut fuzz = cargo();
    fuzz.args([
        "test",
        "--package",
        "sluicegate",
        "--test",
        "real",
        "--",
        "--nocapture",
        "--test-threads=1",
        "fuzz::",
    ]);
    fuzz.env("SLUICEGATE_FUZZ_MESSAGES", messages).env("SLUICEGATE_FUZZ_FILES", files);
    run(fuzz.envs(exports(&workspace)?).current_dir(&workspace.root), "the fuzz test")
}

//! `cargo xtask floods`: the floods of clients and strangers in full, with a release build.

use crate::Outcome;
use crate::runner::real_test;

/// Starts `service/tests/real/floods.rs`, which `cargo xtask test` runs in short.
pub(crate) fn command(args: &[String]) -> Outcome<()> {
    if !args.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    real_test("floods::", &["--release"], &[("SLUICEGATE_FLOODS", "full")])
}

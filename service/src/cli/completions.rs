//! `sluicegate completions`: a script that completes this command line in a shell.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::aot::{Shell as Script, generate};

use super::{Arguments, Exit, print};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// The shells that a script can be for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(completions: &Completions) -> Exit {
    let script = match completions.shell {
        Shell::Bash => Script::Bash,
        Shell::Zsh => Script::Zsh,
        Shell::Fish => Script::Fish,
    };
    let mut text = Vec::new();
    generate(script, &mut Arguments::command(), "sluicegate", &mut text);
    print(&String::from_utf8_lossy(&text).trim_end());
    Exit::Yes
}

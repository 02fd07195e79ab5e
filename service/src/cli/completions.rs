//! `sluicegate completions`: a script that completes this command line in a shell.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::aot::{Shell as Script, generate};

use super::{Arguments, Exit};
use crate::output::Stream;

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
    let text = text(script);
    Stream::Out.page(|page| {
        page.lines(text.trim_end().lines());
    });
    Exit::Yes
}

fn text(script: Script) -> String {
    let mut text = Vec::new();
    generate(script, &mut Arguments::command(), "sluicegate", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::shown;

    #[test]
    fn scripts_are_printed_as_they_are() {
        for script in [Script::Bash, Script::Zsh, Script::Fish] {
            for line in text(script).lines() {
                assert_eq!(shown(line), line);
            }
        }
    }
}

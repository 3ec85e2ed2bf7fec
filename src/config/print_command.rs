//! Commands that only print: `config`, `completions`, `man`.

use super::merged_args::{self, MergedArgs};
use super::{EarlyExit, Serve, check, command_texts, show};
use clap::{ArgMatches, Subcommand};
use clap_complete::Shell;
use std::io::Write;

/// Commands that only print.
#[derive(Debug, Subcommand)]
pub enum PrintCommand {
    /// Check or show the settings that `curlew serve` would use.
    #[command(subcommand)]
    Config(Settings),
    /// Print shell completions: source <(curlew completions bash).
    Completions { shell: Shell },
    /// Print the manual page of curlew or of a command: curlew man serve | man -l -.
    Man { command: Option<String> },
}

#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Check whether `curlew serve` would accept the settings; exit code 0 or 2.
    ///
    /// Checks every line of the file, every variable, and the files that settings name, and prints one line per error.
    /// Accepts the flags of `curlew serve`.
    Check(Box<Serve>),
    /// Print every setting as TOML, with the source of its value; secrets are masked.
    ///
    /// The output is a valid file for --config. Accepts the flags of `curlew serve`.
    Show(Box<Serve>),
}

impl PrintCommand {
    /// Returns the output, or the error.
    pub fn run(self, definition: clap::Command, matches: &ArgMatches, merged: &MergedArgs) -> EarlyExit {
        let (command, matches, _) = merged_args::innermost(&definition, matches);
        match self {
            Self::Config(Settings::Check(serve)) => check::check(&serve, &definition, command, matches, merged),
            Self::Config(Settings::Show(_)) => EarlyExit::Output(show::show(command, matches, merged)),
            Self::Completions { shell } => EarlyExit::Output(completions(definition, shell)),
            Self::Man { command } => manual(definition, command.as_deref()),
        }
    }
}

/// Hides the settings of `serve` in the help of `config check` and `config show`, which accept them too.
pub fn hide_serve_settings(definition: clap::Command) -> clap::Command {
    let hide =
        |command: clap::Command| command.mut_args(|arg| if arg.get_id() == "config" { arg } else { arg.hide(true) });
    definition.mut_subcommand("config", |config| config.mut_subcommand("check", hide).mut_subcommand("show", hide))
}

/// Returns the definition for `-h`, which omits the variables: their names follow from those of the flags.
pub fn short_help(definition: clap::Command) -> clap::Command {
    definition.mut_args(|arg| arg.hide_env(true)).mut_subcommands(short_help)
}

fn completions(mut definition: clap::Command, shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut definition, "curlew", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn manual(mut definition: clap::Command, command: Option<&str>) -> EarlyExit {
    definition.build();
    let page = match command {
        None => Some(definition.clone()),
        Some(name) => definition.find_subcommand(name).cloned(),
    };
    let Some(page) = page else {
        let names: Vec<_> = definition.get_subcommands().map(clap::Command::get_name).collect();
        let command = command.unwrap_or_default();
        return EarlyExit::Error(format!(
            "{command} is not a command of curlew; the commands are {}",
            names.join(", ")
        ));
    };
    let sections = command_texts::manual_sections(&page);
    let mut out = Vec::new();
    // The section of the examples replaces the text after the help.
    match clap_mangen::Man::new(page.after_help(None::<&str>))
        .render(&mut out)
        .and_then(|()| out.write_all(sections.as_bytes()))
    {
        Ok(()) => EarlyExit::Output(String::from_utf8_lossy(&out).into_owned()),
        Err(e) => EarlyExit::Error(format!("cannot write the manual: {e}")),
    }
}

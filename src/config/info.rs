//! Commands that only tell: about the settings, to a shell, to `man`.

use super::layers::{self, Layers};
use super::{EarlyExit, Serve, check, show};
use clap::{ArgMatches, Subcommand};
use clap_complete::Shell;

#[derive(Debug, Subcommand)]
pub enum InfoCommand {
    /// Check or show the settings that `curlew serve` would have.
    #[command(subcommand)]
    Config(Settings),
    /// Print a shell's completions: source <(curlew completions bash).
    Completions { shell: Shell },
    /// Print the manual of curlew or one of its commands: curlew man serve | man -l -.
    Man { command: Option<String> },
}

#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Say whether `curlew serve` would take the settings; exit code 0 or 2.
    ///
    /// Every line of the file and every variable is checked, and the files that settings name; what is wrong is a line
    /// each. Takes the flags of `curlew serve` too.
    Check(Box<Serve>),
    /// Print every setting as TOML, with where its value comes from; secrets are masked.
    ///
    /// What is printed is a file that --config takes. Takes the flags of `curlew serve` too.
    Show(Box<Serve>),
}

impl InfoCommand {
    pub fn tell(self, definition: clap::Command, matches: &ArgMatches, layers: &Layers) -> EarlyExit {
        let (command, matches, _) = layers::innermost(&definition, matches);
        match self {
            Self::Config(Settings::Check(serve)) => check::check(&serve, command, matches, layers),
            Self::Config(Settings::Show(_)) => EarlyExit::Shown(show::show(command, matches, layers)),
            Self::Completions { shell } => EarlyExit::Shown(completions(definition, shell)),
            Self::Man { command } => manual(definition, command.as_deref()),
        }
    }
}

/// `config check` and `config show` take what `serve` takes, and their help need not say it again.
pub fn without_what_serve_says(definition: clap::Command) -> clap::Command {
    let hide =
        |command: clap::Command| command.mut_args(|arg| if arg.get_id() == "config" { arg } else { arg.hide(true) });
    definition.mut_subcommand("config", |config| config.mut_subcommand("check", hide).mut_subcommand("show", hide))
}

/// What `-h` shows: without the variables, whose names follow from the flags'.
pub fn in_short(definition: clap::Command) -> clap::Command {
    definition.mut_args(|arg| arg.hide_env(true)).mut_subcommands(in_short)
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
        return EarlyExit::Refused(format!("{command} is no command of curlew: there are {}", names.join(", ")));
    };
    let mut out = Vec::new();
    match clap_mangen::Man::new(page).render(&mut out) {
        Ok(()) => EarlyExit::Shown(String::from_utf8_lossy(&out).into_owned()),
        Err(e) => EarlyExit::Refused(format!("cannot write the manual: {e}")),
    }
}

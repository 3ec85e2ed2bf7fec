//! Why the process ends before it begins: help that was asked for, or what is wrong.

use super::error_line::one_line;
use super::layers::{Layers, Origin};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use std::ffi::OsString;
use std::fmt;

/// Ends the process before it does anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarlyExit {
    /// Help, or what else was only to be shown, for standard output; exit code 0.
    Shown(String),
    /// One line for standard error that says what was given, what is allowed, what to do; exit code 2. Only
    /// `curlew config check` has a line for each thing that is wrong.
    Refused(String),
}

impl EarlyExit {
    /// What is to be told.
    pub(super) fn lines(&self) -> &str {
        match self {
            Self::Shown(text) | Self::Refused(text) => text,
        }
    }

    /// clap's several lines as one.
    pub(super) fn of_clap(error: &clap::Error, definition: &Command, layers: &Layers) -> Self {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ) {
            return Self::Shown(error.render().to_string());
        }
        let mut line = one_line(error);
        let (command, words) = asked(definition, &layers.args);
        if let Some(place) = place(error, command, layers) {
            line.push_str(&format!(" (from {place})"));
        }
        line.push_str(&format!("; `curlew {words}--help` shows what is allowed"));
        Self::Refused(line)
    }

    /// The first of what is wrong with a file: who only wants to start need not read on.
    pub(super) fn of_file(first: &str, more: usize) -> Self {
        Self::Refused(match more {
            0 => first.to_owned(),
            _ => format!("{first} (and {more} more: `curlew config check` shows all)"),
        })
    }
}

/// The command that the arguments begin with, and its words, each followed by a blank.
fn asked<'a>(mut command: &'a Command, args: &[OsString]) -> (&'a Command, String) {
    let mut words = String::new();
    for arg in args.iter().skip(1) {
        let Some(found) = arg.to_str().and_then(|name| command.find_subcommand(name)) else { break };
        command = found;
        words.push_str(&format!("{} ", found.get_name()));
    }
    (command, words)
}

/// Where a refused value comes from, if it was not typed.
fn place(error: &clap::Error, command: &Command, layers: &Layers) -> Option<String> {
    let arg = refused_setting(error, command)?;
    match layers.origin(arg.get_id().as_str()) {
        Origin::Variable => Some(format!("the environment, {}", arg.get_env()?.to_string_lossy())),
        Origin::File(line) => Some(format!("{}:{line}", layers.file.as_ref()?.path.display())),
        Origin::Flag | Origin::Default => None,
    }
}

/// The flag of `command` that `error` is about.
fn refused_setting<'a>(error: &clap::Error, command: &'a Command) -> Option<&'a Arg> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() == ErrorKind::UnknownArgument {
        return None;
    }
    let long = shown.split_whitespace().next()?.strip_prefix("--")?;
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// The variable whose value `error` refuses, by the id of its setting.
pub fn refused_variable(error: &clap::Error, definition: &Command, layers: &Layers) -> Option<String> {
    let id = refused_setting(error, asked(definition, &layers.args).0)?.get_id().as_str();
    (layers.origin(id) == Origin::Variable).then(|| id.to_owned())
}

impl fmt::Display for EarlyExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(text) => f.write_str(text),
            Self::Refused(lines) => write!(f, "curlew: {}", lines.replace('\n', "\ncurlew: ")),
        }
    }
}

//! Ends the process before it runs a command: with help, other output, or an error.

use super::error_line::one_line;
use super::layers::{Layers, Origin};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use std::ffi::OsString;
use std::fmt;

/// Why no command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarlyExit {
    /// Help or other output, for standard output; exit code 0.
    Shown(String),
    /// One line for standard error with the given value, what is allowed, and the remedy; exit code 2. `curlew config check`
    /// has one line per error.
    Refused(String),
}

impl EarlyExit {
    /// The text.
    pub(super) fn lines(&self) -> &str {
        match self {
            Self::Shown(text) | Self::Refused(text) => text,
        }
    }

    /// Joins clap's lines into one.
    pub(super) fn from_clap(error: &clap::Error, definition: &Command, layers: &Layers) -> Self {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ) {
            return Self::Shown(error.render().to_string());
        }
        let mut line = one_line(error);
        let (command, words) = named_command(definition, &layers.args);
        if let Some(source) = source_of(error, command, layers) {
            line.push_str(&format!(" (from {source})"));
        }
        line.push_str(&format!("; `curlew {words}--help` shows what is allowed"));
        Self::Refused(line)
    }

    /// The first error of a file and the number of further ones, which `curlew config check` prints.
    pub(super) fn from_file_errors(first: &str, more: usize) -> Self {
        Self::Refused(match more {
            0 => first.to_owned(),
            _ => format!("{first} (and {more} more: `curlew config check` shows all)"),
        })
    }
}

/// Returns the command that the arguments name, and its words, each followed by a blank.
fn named_command<'a>(mut command: &'a Command, args: &[OsString]) -> (&'a Command, String) {
    let mut words = String::new();
    for arg in args.iter().skip(1) {
        let Some(found) = arg.to_str().and_then(|name| command.find_subcommand(name)) else { break };
        command = found;
        words.push_str(&format!("{} ", found.get_name()));
    }
    (command, words)
}

/// Returns the source of an invalid value, unless it is a flag.
fn source_of(error: &clap::Error, command: &Command, layers: &Layers) -> Option<String> {
    let arg = invalid_setting(error, command)?;
    match layers.origin(arg.get_id().as_str()) {
        Origin::Variable => Some(format!("the environment, {}", arg.get_env()?.to_string_lossy())),
        Origin::File(line) => Some(format!("{}:{line}", layers.file.as_ref()?.path.display())),
        Origin::Flag | Origin::Default => None,
    }
}

/// Returns the flag of `command` whose value is invalid.
fn invalid_setting<'a>(error: &clap::Error, command: &'a Command) -> Option<&'a Arg> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() == ErrorKind::UnknownArgument {
        return None;
    }
    let long = shown.split_whitespace().next()?.strip_prefix("--")?;
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// Returns the id of the setting whose variable has an invalid value.
pub fn invalid_variable(error: &clap::Error, definition: &Command, layers: &Layers) -> Option<String> {
    let id = invalid_setting(error, named_command(definition, &layers.args).0)?.get_id().as_str();
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

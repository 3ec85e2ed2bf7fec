//! The end of a process that prints help, other output or an error instead of running a command.

use super::error_line::one_line;
use super::merged_args::{MergedArgs, SettingSource};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use std::ffi::OsString;
use std::fmt;

/// The text to print instead of running a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarlyExit {
    /// Help or other output, for standard output. The exit code is 0.
    Output(String),
    /// One line for standard error with the value as given, the allowed values, and the remedy. The exit code is 2. For
    /// the settings file and `curlew config check`, one line per error.
    Error(String),
}

impl EarlyExit {
    /// Turns help into output, and clap's error into one line with the source of the value.
    pub(super) fn from_clap(error: &clap::Error, definition: &Command, merged: &MergedArgs) -> Self {
        if matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ) {
            return Self::Output(error.render().to_string());
        }
        let mut line = one_line(error);
        let (command, words) = named_command(definition, &merged.args);
        if let Some(source) = source_of(error, command, merged) {
            line.push_str(&format!(" (from {source})"));
        }
        line.push_str(&format!("; `curlew {words}--help` shows what is allowed"));
        Self::Error(line)
    }

    /// Returns the errors of a file, one per line.
    pub(super) fn from_file_errors(errors: &[String]) -> Self {
        Self::Error(errors.join("\n"))
    }
}

/// Returns the innermost command in the arguments, and its words, each followed by a blank.
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
fn source_of(error: &clap::Error, command: &Command, merged: &MergedArgs) -> Option<String> {
    let arg = invalid_setting(error, command)?;
    match merged.source(arg.get_id().as_str()) {
        SettingSource::Variable => Some(format!("the environment, {}", arg.get_env()?.to_string_lossy())),
        SettingSource::File(line) => Some(format!("{}:{line}", merged.file.as_ref()?.path.display())),
        SettingSource::Flag | SettingSource::Default => None,
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
pub fn invalid_variable(error: &clap::Error, definition: &Command, merged: &MergedArgs) -> Option<String> {
    let id = invalid_setting(error, named_command(definition, &merged.args).0)?.get_id().as_str();
    (merged.source(id) == SettingSource::Variable).then(|| id.to_owned())
}

impl fmt::Display for EarlyExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(text) => f.write_str(text),
            Self::Error(lines) => write!(f, "curlew: {}", lines.replace('\n', "\ncurlew: ")),
        }
    }
}

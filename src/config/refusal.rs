//! Why the process ends before it begins: help that was asked for, or one line about what is wrong.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::fmt;

/// Ends the process before it does anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Help or version, for standard output; exit code 0.
    Shown(String),
    /// One line for standard error that says what was given, what is allowed, what to do; exit code 2.
    Refused(String),
}

impl Stop {
    /// clap's several lines as one.
    pub(super) fn of_clap(error: &clap::Error, args: &[OsString]) -> Self {
        let text = error.render().to_string();
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return Self::Shown(text);
        }
        let mut line = String::new();
        let lines = text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"));
        for part in lines.filter(|l| !l.is_empty()) {
            let part = part.strip_prefix("error: ").unwrap_or(part);
            let joint = match part {
                _ if line.is_empty() => "",
                _ if part.starts_with("tip: ") => "; ",
                _ => " ",
            };
            line.push_str(joint);
            line.push_str(part.strip_prefix("tip: ").unwrap_or(part));
        }
        if let Some(variable) = variable_of(error, args) {
            line.push_str(&format!(" (from the environment, {variable})"));
        }
        let command =
            args.get(1).and_then(|a| a.to_str()).filter(|a| matches!(*a, "serve" | "consume" | "produce" | "export"));
        let command = command.map(|c| format!("{c} ")).unwrap_or_default();
        line.push_str(&format!("; `curlew {command}--help` shows what is allowed"));
        Self::Refused(line)
    }
}

/// The variable that a refused value comes from, if it was not typed.
fn variable_of(error: &clap::Error, args: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = argument.split_whitespace().next()?;
    let typed = args.iter().any(|a| a.to_str().is_some_and(|a| a == flag || a.starts_with(&format!("{flag}="))));
    let name = flag.strip_prefix("--")?.replace('-', "_").to_uppercase();
    (error.kind() != ErrorKind::UnknownArgument && !typed).then(|| format!("CURLEW_{name}"))
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(text) => f.write_str(text),
            Self::Refused(line) => write!(f, "curlew: {line}"),
        }
    }
}

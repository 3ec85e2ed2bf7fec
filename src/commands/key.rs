//! `curlew key`: generates keys and hashes passwords, and prints their entries for an auth file.

use super::error::CommandError;
use super::exit;
use crate::auth::{Digest, Password, TopicPattern, new_key};
use crate::config::{KeyAction, KeyCommand, NewKey};
use crate::secret::Secret;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use time::format_description::well_known::Rfc3339;

/// Prints a new key or a hashed password, with its entry.
pub fn key(settings: KeyCommand) -> ExitCode {
    exit(run(&settings.action).and_then(|text| {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(CommandError::Stdout)
    }))
}

/// Returns the text to print.
fn run(action: &KeyAction) -> Result<String, CommandError> {
    match action {
        KeyAction::New(entry) => {
            let key = new_key()?;
            let shown = key.reveal();
            let lines = lines(entry, "sha256", &Digest::of(shown).hex());
            Ok(format!(
                "{shown}\n\n# The line above is the key, which is shown only once. Add these lines to the auth file:\n{lines}"
            ))
        }
        KeyAction::Password(entry) => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map_err(CommandError::Stdin)?;
            let password = Secret::new(line.trim_end_matches(['\r', '\n']));
            if password.reveal().chars().count() < MIN_CHARS {
                return Err(CommandError::ShortPassword(MIN_CHARS));
            }
            Ok(lines(entry, "argon2", &Password::hash(&password)?))
        }
    }
}

/// Minimum length of a password. Shorter ones can be guessed despite argon2.
const MIN_CHARS: usize = 8;

/// Returns an entry for the auth file.
fn lines(entry: &NewKey, kind: &str, hash: &str) -> String {
    let is_unrestricted = [&entry.produce, &entry.consume, &entry.manage].iter().all(|patterns| patterns.is_empty());
    let list = |patterns: &[TopicPattern]| match patterns {
        [] if is_unrestricted => r#"["*"]"#.to_owned(),
        patterns => format!("[{}]", patterns.iter().map(|p| format!("\"{p}\"")).collect::<Vec<_>>().join(", ")),
    };
    let name = quoted(&entry.name);
    let mut lines = format!("[[key]]\nname = {name}\n{kind} = \"{hash}\"\n");
    lines += &format!("produce = {}\nconsume = {}\n", list(&entry.produce), list(&entry.consume));
    if !entry.manage.is_empty() {
        lines += &format!("manage = {}\n", list(&entry.manage));
    }
    if entry.metrics {
        lines += "metrics = true\n";
    }
    if let Some(end) = entry.expires.and_then(|end| end.format(&Rfc3339).ok()) {
        lines += &format!("expires = {end}\n");
    }
    lines
}

/// Returns `text` as a TOML string. Names contain no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

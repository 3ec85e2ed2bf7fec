//! `curlew key`: keys and passwords, with their lines for an auth file.

use super::exit;
use crate::auth::{Digest, Password, TopicPattern, new_key};
use crate::config::{KeyCommand, Make, NewKey};
use crate::secret::Secret;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use time::format_description::well_known::Rfc3339;

pub fn key(settings: KeyCommand) -> ExitCode {
    exit(make(&settings.make).and_then(|text| {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|e| format!("cannot write to standard output: {e}"))
    }))
}

/// What is printed.
fn make(make: &Make) -> Result<String, String> {
    match make {
        Make::New(entry) => {
            let key = new_key()?;
            let shown = key.reveal();
            let lines = lines(entry, "sha256", &Digest::of(shown).hex());
            Ok(format!(
                "{shown}\n\n# The line above is the key: it is shown only now. These are for the auth file:\n{lines}"
            ))
        }
        Make::Password(entry) => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map_err(|e| format!("cannot read standard input: {e}"))?;
            let password = Secret::new(line.trim_end_matches(['\r', '\n']));
            if password.reveal().chars().count() < SHORTEST {
                return Err(format!("the password on standard input is shorter than {SHORTEST} characters"));
            }
            Ok(lines(entry, "argon2", &Password::hash(&password)?))
        }
    }
}

/// Shorter ones are guessed, argon2 or not.
const SHORTEST: usize = 8;

fn lines(entry: &NewKey, kind: &str, hash: &str) -> String {
    let everything = [&entry.produce, &entry.consume, &entry.manage].iter().all(|patterns| patterns.is_empty());
    let list = |patterns: &[TopicPattern]| match patterns {
        [] if everything => r#"["*"]"#.to_owned(),
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

/// As a string of TOML; there are no control characters in a name.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

//! `curlew config show`: prints every setting as TOML, with its source.

use super::merged_args::{MergedArgs, SettingSource, is_path};
use super::user_info;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fmt::Write;

/// Returns all settings of `command` as TOML. Secrets are masked, and unset settings are comments.
pub fn show(command: &Command, matches: &ArgMatches, merged: &MergedArgs) -> String {
    let file = merged.file.as_ref().map(|file| file.path.display().to_string());
    let mut out = String::from("# Settings of `curlew serve`: flag before environment before file before default.\n");
    let _ = match &file {
        Some(file) => writeln!(out, "# File: {file}"),
        None => writeln!(out, "# File: none (./curlew.toml does not exist, and --config is not given)"),
    };
    let settings = || command.get_arguments().filter(|arg| arg.get_env().is_some() && arg.get_id() != "config");
    for heading in headings(settings()) {
        let _ = writeln!(out, "\n# {heading}");
        for arg in settings().filter(|arg| self::heading(arg) == heading) {
            let source = match merged.source(arg.get_id().as_str()) {
                SettingSource::Flag => "flag".to_owned(),
                SettingSource::Variable => arg.get_env().unwrap_or_default().to_string_lossy().into_owned(),
                SettingSource::File(line) => format!("{}:{line}", file.as_deref().unwrap_or_default()),
                SettingSource::Default => "default".to_owned(),
            };
            out.push_str(&line(arg, matches, &source));
        }
    }
    out
}

/// Returns the headings in the order of their first setting.
fn headings<'a>(settings: impl Iterator<Item = &'a Arg>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for heading in settings.map(heading) {
        if !seen.contains(&heading) {
            seen.push(heading);
        }
    }
    seen
}

fn heading(arg: &Arg) -> &str {
    arg.get_help_heading().unwrap_or("Other")
}

fn line(arg: &Arg, matches: &ArgMatches, source: &str) -> String {
    let name = arg.get_long().unwrap_or_default();
    let raw = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
    let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    if values.is_empty() {
        return format!("# {name} = {}  # not set\n", if is_list { "[]" } else { "\"\"" });
    }
    if is_secret(arg) {
        return format!("# {name} = \"***\"  # {source}, masked\n");
    }
    let written: Vec<String> = values.iter().map(|value| to_toml(arg, &shareable(arg, value))).collect();
    let written = if is_list { format!("[{}]", written.join(", ")) } else { written.join(", ") };
    format!("{name} = {written}  # {source}\n")
}

/// Returns whether `--help` hides the value of the setting's variable, as it does for secrets.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

fn is_url(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "URL"))
}

/// Returns a value without its secret part. Paths become absolute, since the output may be stored in another directory.
fn shareable(arg: &Arg, value: &str) -> String {
    match std::path::absolute(value) {
        Ok(path) if is_path(arg) => path.display().to_string(),
        _ if is_url(arg) || value.contains("://") => user_info::mask_in_url(value),
        _ => value.to_owned(),
    }
}

fn to_toml(arg: &Arg, value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number || (matches!(arg.get_action(), ArgAction::SetTrue) && matches!(value, "true" | "false")) {
        return value.to_owned();
    }
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

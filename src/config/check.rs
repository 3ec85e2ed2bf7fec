//! `curlew config check`: reports what `curlew serve` would reject.

use super::merged_args::{self, MergedArgs, SettingSource, is_path};
use super::{EarlyExit, Serve};
use clap::{Arg, ArgMatches, Command, ValueHint};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Checks combinations of settings, and the files that they name. Individual values were checked during parsing.
pub fn check(
    settings: &Serve,
    definition: &Command,
    command: &Command,
    matches: &ArgMatches,
    merged: &MergedArgs,
) -> EarlyExit {
    let mut errors = merged.errors.clone();
    let mut unread = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_path(arg) && arg.get_id() != "config") {
        let unreadable = unreadable_files(arg, matches, merged);
        if !unreadable.is_empty() {
            unread.push(arg.get_id().as_str());
        }
        errors.extend(unreadable);
    }
    errors.extend(settings.check().err().map(|error| error.to_string()));
    // A file that cannot be read is reported once.
    let read = settings.file_errors().into_iter().filter(|(ids, _)| !ids.iter().any(|id| unread.contains(id)));
    errors.extend(read.filter_map(|(_, error)| error));
    if !errors.is_empty() {
        return EarlyExit::Error(errors.join("\n"));
    }
    let sources = command.get_arguments().map(|arg| merged.source(arg.get_id().as_str()));
    let from_file = sources.filter(|source| matches!(source, SettingSource::File(_))).count();
    let mut output = match &merged.file {
        Some(file) => format!("{} is fine: it sets {from_file} of the settings\n", file.path.display()),
        None => "the settings are fine; there is no file\n".to_owned(),
    };
    for line in misspelled_variables(definition) {
        output.push_str(&line);
        output.push('\n');
    }
    EarlyExit::Output(output)
}

/// Returns a line for each variable that is probably a misspelled setting. Others are no error: Kubernetes sets variables
/// like CURLEW_SERVICE_HOST for a service named curlew.
fn misspelled_variables(definition: &Command) -> Vec<String> {
    const PREFIX: &str = "CURLEW_";
    let settings = merged_args::settings(definition);
    let known: Vec<_> = settings.values().filter_map(|arg| arg.get_env()?.to_str()?.strip_prefix(PREFIX)).collect();
    let is_known = |name: &str| known.contains(&name) || name == "CONFIG";
    let mut given: Vec<_> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    given.sort_unstable();
    let unknown = given.iter().filter_map(|name| name.strip_prefix(PREFIX)).filter(|name| !is_known(name));
    unknown
        .filter_map(|name| {
            let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
            let nearest = known.iter().copied().min_by_key(distance)?;
            let is_near = distance(&nearest) <= name.len().div_ceil(4).min(3);
            is_near.then(|| {
                format!("note: {PREFIX}{name} is not a setting and is ignored; a similar one is {PREFIX}{nearest}")
            })
        })
        .collect()
}

/// Returns an error for each unreadable file of `arg`.
fn unreadable_files(arg: &Arg, matches: &ArgMatches, merged: &MergedArgs) -> Vec<String> {
    let id = arg.get_id().as_str();
    let prefix = match merged.source(id) {
        // The files of default settings are optional.
        SettingSource::Default => return Vec::new(),
        SettingSource::File(line) => merged.file.as_ref().map(|file| format!("{}:{line}: ", file.path.display())),
        SettingSource::Variable => arg.get_env().map(|name| format!("{}: ", name.to_string_lossy())),
        SettingSource::Flag => None,
    };
    let paths = matches.get_raw(id).into_iter().flatten().map(Path::new);
    let error = |path: &Path| {
        let reason = unreadable(path, arg.get_value_hint())?;
        let name = arg.get_long().unwrap_or(id);
        Some(format!("{}{name}: {} {reason}", prefix.as_deref().unwrap_or_default(), path.display()))
    };
    paths.filter_map(error).collect()
}

fn unreadable(path: &Path, hint: ValueHint) -> Option<String> {
    if hint == ValueHint::DirPath {
        // `serve` creates a missing directory.
        return (path.exists() && !path.is_dir()).then(|| "is not a directory".to_owned());
    }
    let read = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
    read.err().map(|e| format!("cannot be read: {e}"))
}

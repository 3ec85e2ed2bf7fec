//! `curlew config check`: reports what `curlew serve` would reject.

use super::merged_args::{MergedArgs, SettingSource, is_path};
use super::{EarlyExit, Serve};
use clap::{Arg, ArgMatches, Command, ValueHint};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Checks combinations of settings, and the files that they name. The single values were checked when they were parsed.
pub fn check(settings: &Serve, command: &Command, matches: &ArgMatches, merged: &MergedArgs) -> EarlyExit {
    let mut faults = merged.faults.clone();
    let mut unread = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_path(arg) && arg.get_id() != "config") {
        let unreadable = unreadable_files(arg, matches, merged);
        if !unreadable.is_empty() {
            unread.push(arg.get_id().as_str());
        }
        faults.extend(unreadable);
    }
    faults.extend(settings.check().err().map(|stop| stop.lines().to_owned()));
    // An unreadable file is reported once, not again for its content.
    let read = settings.file_errors().into_iter().filter(|(ids, _)| !ids.iter().any(|id| unread.contains(id)));
    faults.extend(read.filter_map(|(_, fault)| fault));
    if !faults.is_empty() {
        return EarlyExit::Error(faults.join("\n"));
    }
    let sources = command.get_arguments().map(|arg| merged.source(arg.get_id().as_str()));
    let of_file = sources.filter(|source| matches!(source, SettingSource::File(_))).count();
    EarlyExit::Output(match &merged.file {
        Some(file) => format!("{} is fine: it sets {of_file} of the settings\n", file.path.display()),
        None => "the settings are fine; there is no file\n".to_owned(),
    })
}

/// Returns an error for each unreadable file of `arg`.
fn unreadable_files(arg: &Arg, matches: &ArgMatches, merged: &MergedArgs) -> Vec<String> {
    let id = arg.get_id().as_str();
    let prefix = match merged.source(id) {
        // Files of defaults are optional.
        SettingSource::Default => return Vec::new(),
        SettingSource::File(line) => merged.file.as_ref().map(|file| format!("{}:{line}: ", file.path.display())),
        SettingSource::Variable => arg.get_env().map(|name| format!("{}: ", name.to_string_lossy())),
        SettingSource::Flag => None,
    };
    let paths = matches.get_raw(id).into_iter().flatten().map(Path::new);
    let fault = |path: &Path| {
        let what = unreadable(path, arg.get_value_hint())?;
        let name = arg.get_long().unwrap_or(id);
        Some(format!("{}{name}: {} {what}", prefix.as_deref().unwrap_or_default(), path.display()))
    };
    paths.filter_map(fault).collect()
}

fn unreadable(path: &Path, hint: ValueHint) -> Option<String> {
    if hint == ValueHint::DirPath {
        // A missing folder is created by `serve`.
        return (path.exists() && !path.is_dir()).then(|| "is not a folder".to_owned());
    }
    let read = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
    read.err().map(|e| format!("cannot be read: {e}"))
}

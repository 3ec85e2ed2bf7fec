//! `curlew config check`: what `curlew serve` would refuse, before it is started.

use super::layers::{Layers, Origin, is_path};
use super::{EarlyExit, Serve};
use clap::{Arg, ArgMatches, Command, ValueHint};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Each value was read by itself: what is left is how they fit together, and the files that they name.
pub fn check(settings: &Serve, command: &Command, matches: &ArgMatches, layers: &Layers) -> EarlyExit {
    let mut faults = layers.faults.clone();
    let mut unread = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_path(arg) && arg.get_id() != "config") {
        let missing = missing(arg, matches, layers);
        if !missing.is_empty() {
            unread.push(arg.get_id().as_str());
        }
        faults.extend(missing);
    }
    faults.extend(settings.check().err().map(|stop| stop.lines().to_owned()));
    // A file that cannot be read was named, and holds nothing.
    let read = settings.faults().into_iter().filter(|(ids, _)| !ids.iter().any(|id| unread.contains(id)));
    faults.extend(read.filter_map(|(_, fault)| fault));
    if !faults.is_empty() {
        return EarlyExit::Refused(faults.join("\n"));
    }
    let origins = command.get_arguments().map(|arg| layers.origin(arg.get_id().as_str()));
    let of_file = origins.filter(|origin| matches!(origin, Origin::File(_))).count();
    EarlyExit::Shown(match &layers.file {
        Some(file) => format!("{} is fine: it sets {of_file} of the settings\n", file.path.display()),
        None => "the settings are fine; there is no file\n".to_owned(),
    })
}

/// Each file of `arg` that cannot be read.
fn missing(arg: &Arg, matches: &ArgMatches, layers: &Layers) -> Vec<String> {
    let id = arg.get_id().as_str();
    let place = match layers.origin(id) {
        // What is not named need not be there.
        Origin::Default => return Vec::new(),
        Origin::File(line) => layers.file.as_ref().map(|file| format!("{}:{line}: ", file.path.display())),
        Origin::Variable => arg.get_env().map(|name| format!("{}: ", name.to_string_lossy())),
        Origin::Flag => None,
    };
    let paths = matches.get_raw(id).into_iter().flatten().map(Path::new);
    let fault = |path: &Path| {
        let what = unreadable(path, arg.get_value_hint())?;
        let name = arg.get_long().unwrap_or(id);
        Some(format!("{}{name}: {} {what}", place.as_deref().unwrap_or_default(), path.display()))
    };
    paths.filter_map(fault).collect()
}

fn unreadable(path: &Path, hint: ValueHint) -> Option<String> {
    if hint == ValueHint::DirPath {
        // One that is not there yet is made.
        return (path.exists() && !path.is_dir()).then(|| "is no folder".to_owned());
    }
    let read = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
    read.err().map(|e| format!("cannot be read: {e}"))
}

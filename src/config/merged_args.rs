//! The precedence flag, environment, file, default: entries of the file become flags unless a flag or variable is set.

use super::file::{ConfigText, DEFAULT_PATH, FileEntry, FileError, FileValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The source of a setting's value, by rising precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SettingSource {
    #[default]
    Default,
    /// The settings file, with the line.
    File(usize),
    Variable,
    Flag,
}

/// The arguments, extended by the file's entries, and the source of each setting.
#[derive(Debug, Default)]
pub struct MergedArgs {
    pub args: Vec<OsString>,
    pub file: Option<ConfigText>,
    /// Errors of the file, one line each. Invalid entries are not added to the arguments.
    pub faults: Vec<String>,
    /// Entries of the file that a variable overrides, as lines for the log.
    pub overridden: Vec<String>,
    /// Keys are the ids of arguments.
    sources: BTreeMap<String, SettingSource>,
}

impl MergedArgs {
    /// The source of the setting with this id.
    pub fn source(&self, id: &str) -> SettingSource {
        self.sources.get(id).copied().unwrap_or_default()
    }

    /// Inserts the file's settings as flags, after the name of the command.
    pub fn new(definition: &Command, mut args: Vec<OsString>) -> Self {
        // Invalid arguments are reported later, by the parse of the extended arguments, which has better messages.
        let Ok(typed) = definition.clone().ignore_errors(true).try_get_matches_from(&args) else {
            return Self { args, ..Self::default() };
        };
        let (command, matches, depth) = innermost(definition, &typed);
        let path = if takes_a_file(command) { path(command, matches) } else { None };
        let mut merged = Self::default();
        let mut refused = |faults: Vec<FileError>| merged.faults.extend(faults.iter().map(FileError::to_string));
        let mut file = path.and_then(|path| ConfigText::read(&path).map_err(&mut refused).ok());
        if let Some(file) = &mut file {
            refused(remove_invalid(definition, command, file));
        }
        let mut of_file = Vec::new();
        for arg in command.get_arguments() {
            let entry = file.as_ref().and_then(|file| file.entry(arg.get_long()?));
            let source = source(arg, matches, entry);
            match (source, &file, entry) {
                (SettingSource::File(_), Some(file), Some(entry)) => of_file.extend(flags(arg, entry, &file.path)),
                (SettingSource::Variable, Some(file), Some(entry)) => {
                    let variable = arg.get_env().unwrap_or_default().to_string_lossy();
                    let line = file.fault(entry, format!("{}: {variable} overrides it", entry.name));
                    merged.overridden.push(line.to_string());
                }
                _ => {}
            }
            merged.sources.insert(arg.get_id().to_string(), source);
        }
        if let Some(file) = &file
            && merged.source("config") == SettingSource::Default
        {
            of_file.push(flag("config", file.path.as_os_str()));
        }
        let behind = (depth + 1).min(args.len());
        args.splice(behind..behind, of_file);
        Self { args, file, ..merged }
    }
}

/// Returns the innermost subcommand, its arguments, and its depth.
pub fn innermost<'a>(mut command: &'a Command, mut matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches, usize) {
    let mut depth = 0;
    while let Some((name, under)) = matches.subcommand()
        && let Some(found) = command.find_subcommand(name)
    {
        (command, matches, depth) = (found, under, depth + 1);
    }
    (command, matches, depth)
}

fn takes_a_file(command: &Command) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == "config")
}

/// Returns the path of the named file, or of the one in the working directory if it exists.
fn path(command: &Command, matches: &ArgMatches) -> Option<PathBuf> {
    let variable = || {
        let config = command.get_arguments().find(|arg| arg.get_id() == "config")?;
        config.get_env().and_then(std::env::var_os).map(PathBuf::from)
    };
    // A file that cannot be examined counts as existing, so that its settings are not ignored silently.
    let exists = |path: &PathBuf| !matches!(path.symlink_metadata(), Err(e) if e.kind() == ErrorKind::NotFound);
    let default = || Some(PathBuf::from(DEFAULT_PATH)).filter(exists);
    matches.get_one::<PathBuf>("config").cloned().or_else(variable).or_else(default)
}

fn source(arg: &Arg, typed: &ArgMatches, entry: Option<&FileEntry>) -> SettingSource {
    if typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
        SettingSource::Flag
    } else if arg.get_env().is_some_and(|name| std::env::var_os(name).is_some()) {
        SettingSource::Variable
    } else {
        entry.map_or(SettingSource::Default, |entry| SettingSource::File(entry.line))
    }
}

/// Returns the settings that a file may contain: each flag of any command that has a variable, except --config itself.
pub fn settings(definition: &Command) -> BTreeMap<&str, &Arg> {
    let own = definition.get_arguments().filter(|arg| arg.get_env().is_some() && arg.get_id() != "config");
    let own = own.filter_map(|arg| Some((arg.get_long()?, arg)));
    definition.get_subcommands().flat_map(settings).chain(own).collect()
}

/// Removes entries with unknown names and with values that their flag rejects, and returns the errors.
fn remove_invalid(definition: &Command, command: &Command, file: &mut ConfigText) -> Vec<FileError> {
    let known = settings(definition);
    let own = settings(command);
    // Values are checked one by one, without the environment.
    let alone = command.clone().mut_args(|arg| arg.env(None::<&str>));
    let what = |entry: &FileEntry| match (known.get(entry.name.as_str()), own.get(entry.name.as_str())) {
        (None, _) => Some(unknown(&entry.name, known.keys().copied())),
        (_, Some(arg)) => value_error(&alone, arg, entry, &file.path),
        // A setting of another command.
        (Some(_), None) => None,
    };
    let checked: Vec<_> = file.entries.iter().map(|entry| Some(file.fault(entry, what(entry)?))).collect();
    let mut is_right = checked.iter().map(Option::is_none);
    file.entries.retain(|_| is_right.next().unwrap_or_default());
    checked.into_iter().flatten().collect()
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let as_flag = name.to_lowercase().replace('_', "-");
    let score = |known: &str| strsim::jaro_winkler(&as_flag, known);
    let nearest = known.max_by(|a, b| score(a).total_cmp(&score(b))).filter(|nearest| score(nearest) > 0.7);
    let nearest = nearest.map(|nearest| format!("; a similar one is {nearest}")).unwrap_or_default();
    format!("{name} is not a setting{nearest}; `curlew config show` lists all")
}

/// Returns the error of the entry's flag for its value.
fn value_error(alone: &Command, arg: &Arg, entry: &FileEntry, file: &Path) -> Option<String> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let takes_many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
    let name = &entry.name;
    match &entry.value {
        FileValue::Bool(_) if is_switch => return None,
        _ if is_switch => return Some(format!("{name}: give true or false")),
        FileValue::Many(_) if !takes_many => return Some(format!("{name}: give one value, not a list")),
        _ => {}
    }
    use clap::error::ErrorKind::{ArgumentConflict, DisplayHelp, MissingRequiredArgument};
    let words = std::iter::once(alone.get_name().into()).chain(flags(arg, entry, file));
    let error = alone.clone().no_binary_name(false).try_get_matches_from(words).err()?;
    // Required and conflicting settings are checked later, with all sources.
    let fits = matches!(error.kind(), MissingRequiredArgument | ArgumentConflict | DisplayHelp);
    (!fits).then(|| super::error_line::one_line(&error))
}

/// Returns `entry` as flags. Paths are relative to the folder of the file.
fn flags(arg: &Arg, entry: &FileEntry, file: &Path) -> Vec<OsString> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Vec::from_iter((entry.value == FileValue::Bool(true)).then(|| format!("--{}", entry.name).into()));
    }
    let texts = entry.value.texts();
    match arg.get_value_delimiter() {
        Some(delimiter) if !texts.is_empty() => {
            vec![flag(&entry.name, texts.join(&delimiter.to_string()).as_ref())]
        }
        _ if is_path(arg) => texts.iter().map(|text| flag(&entry.name, relative_to(file, text).as_os_str())).collect(),
        _ => texts.iter().map(|text| flag(&entry.name, text.as_ref())).collect(),
    }
}

fn flag(name: &str, value: &std::ffi::OsStr) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

/// Whether the value of `arg` is a path.
pub fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

fn relative_to(file: &Path, path: &str) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty() && *folder != Path::new("."));
    folder.map_or_else(|| path.into(), |folder| folder.join(path).components().collect())
}

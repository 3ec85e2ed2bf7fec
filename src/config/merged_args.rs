//! Merges the settings file into the arguments. A flag overrides a variable, which overrides the file, which overrides the
//! default: an entry of the file becomes a flag, unless its flag or its variable is set.

use super::file::{ConfigText, DEFAULT_PATH, FileEntry, FileError, FileFault, FileValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The source of a setting's value, in ascending order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SettingSource {
    #[default]
    Default,
    /// The settings file, with the line number.
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
    pub errors: Vec<String>,
    /// Entries of the file that a variable overrides, as lines for the log.
    pub overridden: Vec<String>,
    /// Keys are the ids of arguments.
    sources: BTreeMap<String, SettingSource>,
}

impl MergedArgs {
    /// Returns the source of the setting with this id.
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
        let mut report = |errors: Vec<FileError>| merged.errors.extend(errors.iter().map(FileError::to_string));
        let mut file = path.and_then(|path| ConfigText::read(&path).map_err(&mut report).ok());
        if let Some(file) = &mut file {
            report(remove_invalid(definition, command, file));
        }
        let mut file_flags = Vec::new();
        for arg in command.get_arguments() {
            // A flag without a variable is no setting: --partitions of `topics create` is not the one of `serve`.
            let settings = file.as_ref().filter(|_| arg.get_env().is_some());
            let entry = settings.and_then(|file| file.entry(arg.get_long()?));
            let source = source(arg, matches, entry);
            match (source, &file, entry) {
                (SettingSource::File(_), Some(file), Some(entry)) => file_flags.extend(flags(arg, entry, &file.path)),
                (SettingSource::Variable, Some(file), Some(entry)) => {
                    let variable = arg.get_env().unwrap_or_default().to_string_lossy();
                    let (path, FileEntry { name, line, .. }) = (file.path.display(), entry);
                    merged.overridden.push(format!("{path}:{line}: {name}: {variable} overrides it"));
                }
                _ => {}
            }
            merged.sources.insert(arg.get_id().to_string(), source);
        }
        if let Some(file) = &file
            && merged.source("config") == SettingSource::Default
        {
            file_flags.push(flag("config", file.path.as_os_str()));
        }
        let after_command = (depth + 1).min(args.len());
        args.splice(after_command..after_command, file_flags);
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

/// Returns the path given by --config or its variable, or [`DEFAULT_PATH`] if that file exists.
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

/// Returns the settings that a file may contain: the flags of all commands that have a variable, except --config.
pub fn settings(definition: &Command) -> BTreeMap<&str, &Arg> {
    let own = definition.get_arguments().filter(|arg| arg.get_env().is_some() && arg.get_id() != "config");
    let own = own.filter_map(|arg| Some((arg.get_long()?, arg)));
    definition.get_subcommands().flat_map(settings).chain(own).collect()
}

/// Removes entries with unknown names and with values that their flag rejects, and returns the errors.
fn remove_invalid(definition: &Command, command: &Command, file: &mut ConfigText) -> Vec<FileError> {
    let known = settings(definition);
    let own = settings(command);
    // Without the environment, clap reports only the value being checked.
    let alone = command.clone().mut_args(|arg| arg.env(None::<&str>));
    let fault = |entry: &FileEntry| match (known.get(entry.name.as_str()), own.get(entry.name.as_str())) {
        (None, _) => Some(unknown(&entry.name, known.keys().copied())),
        (_, Some(arg)) => value_error(&alone, arg, entry, &file.path),
        // A setting of another command.
        (Some(_), None) => None,
    };
    let checked: Vec<_> = file.entries.iter().map(|entry| Some(file.error(entry, fault(entry)?))).collect();
    let mut is_valid = checked.iter().map(Option::is_none);
    file.entries.retain(|_| is_valid.next().unwrap_or_default());
    checked.into_iter().flatten().collect()
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> FileFault {
    let as_flag = name.to_lowercase().replace('_', "-");
    let score = |known: &str| strsim::jaro_winkler(&as_flag, known);
    let nearest = known.max_by(|a, b| score(a).total_cmp(&score(b))).filter(|nearest| score(nearest) > 0.7);
    FileFault::UnknownSetting { name: name.to_owned(), similar: nearest.map(str::to_owned) }
}

/// Checks the value of an entry with the parser of its flag.
fn value_error(alone: &Command, arg: &Arg, entry: &FileEntry, file: &Path) -> Option<FileFault> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let takes_many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
    match &entry.value {
        FileValue::Bool(_) if is_switch => return None,
        _ if is_switch => return Some(FileFault::NotBool(entry.name.clone())),
        FileValue::Many(_) if !takes_many => return Some(FileFault::List(entry.name.clone())),
        _ => {}
    }
    use clap::error::ErrorKind::{ArgumentConflict, DisplayHelp, MissingRequiredArgument};
    let words = std::iter::once(alone.get_name().into()).chain(flags(arg, entry, file));
    let error = alone.clone().no_binary_name(false).try_get_matches_from(words).err()?;
    // Missing and conflicting settings are checked later, when the settings of all sources are known.
    let fits = matches!(error.kind(), MissingRequiredArgument | ArgumentConflict | DisplayHelp);
    (!fits).then(|| FileFault::InvalidValue(super::error_line::one_line(&error)))
}

/// Returns `entry` as flags. Paths are relative to the directory of the file.
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

/// Returns whether the value of `arg` is a path.
pub fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

fn relative_to(file: &Path, path: &str) -> PathBuf {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty() && *dir != Path::new("."));
    dir.map_or_else(|| path.into(), |dir| dir.join(path).components().collect())
}

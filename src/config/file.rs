//! `curlew.toml`: settings by the names of their flags, with their lines.

use crate::os::small_file;
use clap::{Args, ValueHint};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// The settings file that is used if it exists and --config is not given.
pub const DEFAULT_PATH: &str = "./curlew.toml";

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Settings file in TOML; ./curlew.toml if it exists.
    ///
    /// Names are those of the flags: listen = "0.0.0.0:8080", no-auto-create = true, cors-origin = ["https://a"]. Flags
    /// override the environment, which overrides the file. Paths are relative to its folder. /dev/null: no file.
    #[arg(long, env = "CURLEW_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Lines for the log about entries that a variable overrides, which is easily overlooked when editing the file.
    #[arg(skip)]
    pub overridden: Vec<String>,
}

/// A parsed settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    pub path: PathBuf,
    /// Ordered by line.
    pub entries: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    pub name: String,
    /// Counted from 1.
    pub line: usize,
    pub value: FileValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileValue {
    Bool(bool),
    One(String),
    Many(Vec<String>),
}

/// An error of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    path: PathBuf,
    /// `None`: the whole file.
    line: Option<usize>,
    what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        write!(f, ": {}", self.what)
    }
}

impl ConfigText {
    pub fn read(path: &Path) -> Result<Self, Vec<FileError>> {
        let text = small_file::read_once_text(path).map_err(|e| {
            let what = format!("cannot be read: {e}; name another with --config");
            vec![FileError { path: path.to_owned(), line: None, what }]
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Vec<FileError>> {
        let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let fault = |at: Option<usize>, what: &str| {
            let what = what.lines().collect::<Vec<_>>().join("; ");
            FileError { path: path.to_owned(), line: at.map(line), what }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|e| fault(e.span().map(|s| s.start), e.message())).collect());
        }
        let mut file = Self { path: path.to_owned(), entries: Vec::new() };
        let mut faults = Vec::new();
        for (name, value) in table.get_ref() {
            let at = name.span().start;
            match FileValue::of(value.get_ref()) {
                Ok(value) => file.entries.push(FileEntry { name: name.get_ref().to_string(), line: line(at), value }),
                Err(what) => faults.push(fault(Some(at), &format!("{}: {what}", name.get_ref()))),
            }
        }
        file.entries.sort_by_key(|entry| entry.line);
        if faults.is_empty() { Ok(file) } else { Err(faults) }
    }

    pub fn entry(&self, name: &str) -> Option<&FileEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub fn fault(&self, entry: &FileEntry, what: String) -> FileError {
        FileError { path: self.path.clone(), line: Some(entry.line), what }
    }
}

impl FileValue {
    fn of(value: &DeValue<'_>) -> Result<Self, String> {
        Ok(match value {
            DeValue::Boolean(yes) => Self::Bool(*yes),
            DeValue::Array(items) => {
                Self::Many(items.iter().map(|item| scalar(item.get_ref())).collect::<Result<_, _>>()?)
            }
            other => Self::One(scalar(other)?),
        })
    }

    /// Returns the values as texts; a single value is a list of one.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Bool(true) => vec!["true"],
            Self::Bool(false) => vec!["false"],
            Self::One(text) => vec![text],
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| format!("{} is too large a number", number.as_str()))?
            .to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => return Err("a setting cannot be a list of lists".to_owned()),
        DeValue::Table(_) => {
            return Err("settings are not grouped in [sections] or {tables}; use the flag's full name".to_owned());
        }
    })
}

#[cfg(test)]
mod tests;

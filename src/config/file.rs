//! Parses `curlew.toml`, where settings have the names of their flags. Keeps the line numbers, which errors name.

use crate::os::small_file;
use clap::{Args, ValueHint};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// The default settings file, which need not exist.
pub const DEFAULT_PATH: &str = "./curlew.toml";

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Settings file in TOML; ./curlew.toml if it exists.
    ///
    /// Names are those of the flags: listen = "0.0.0.0:8080", no-auto-create = true, cors-origin = ["https://a"]. Flags
    /// override the environment, which overrides the file. Paths are relative to its directory. Give /dev/null
    /// to use no file.
    #[arg(long, env = "CURLEW_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Lines for the log about entries that a variable overrides. Someone who edits the file may overlook the variable.
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
    /// The line number, from 1.
    pub line: usize,
    pub value: FileValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileValue {
    Bool(bool),
    One(String),
    Many(Vec<String>),
}

/// An error with its position: `PATH:LINE: …`.
#[derive(Debug, Error)]
pub struct FileError {
    path: PathBuf,
    /// `None` for an error of the complete file.
    line: Option<usize>,
    #[source]
    fault: FileFault,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        write!(f, ": {}", self.fault)
    }
}

/// An error in a settings file or in one of its entries.
#[derive(Debug, Error)]
pub enum FileFault {
    #[error("cannot be read: {0}; name another with --config")]
    Unreadable(#[source] io::Error),
    /// The message of the TOML parser, as one line.
    #[error("{0}")]
    Syntax(String),
    #[error("{name}: {source}")]
    Type { name: String, source: ValueTypeError },
    #[error("{name} is not a setting{}; `curlew config show` lists all", or_similar(.similar.as_deref()))]
    UnknownSetting { name: String, similar: Option<String> },
    /// The setting is a switch.
    #[error("{0}: give true or false")]
    NotBool(String),
    /// The setting has a single value.
    #[error("{0}: give one value, not a list")]
    List(String),
    /// The message of the setting's parser, as one line with the name and the value.
    #[error("{0}")]
    InvalidValue(String),
}

fn or_similar(similar: Option<&str>) -> String {
    similar.map(|name| format!("; a similar one is {name}")).unwrap_or_default()
}

/// A TOML value that cannot be the value of a setting.
#[derive(Debug, Error)]
pub enum ValueTypeError {
    #[error("{0} is too large a number")]
    HugeNumber(String),
    #[error("a setting cannot be a list of lists")]
    NestedList,
    #[error("settings are not grouped in [sections] or {{tables}}; use the flag's full name")]
    Table,
}

impl ConfigText {
    pub fn read(path: &Path) -> Result<Self, Vec<FileError>> {
        let text = small_file::read_once_text(path)
            .map_err(|e| vec![FileError { path: path.to_owned(), line: None, fault: FileFault::Unreadable(e) }])?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Vec<FileError>> {
        let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let error = |line: Option<usize>, fault: FileFault| FileError { path: path.to_owned(), line, fault };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let syntax = |e: &toml::de::Error| {
                let message = e.message().lines().collect::<Vec<_>>().join("; ");
                error(e.span().map(|span| line(span.start)), FileFault::Syntax(message))
            };
            return Err(errors.iter().map(syntax).collect());
        }
        let mut file = Self { path: path.to_owned(), entries: Vec::new() };
        let mut errors = Vec::new();
        for (name, value) in table.get_ref() {
            let (line, name) = (line(name.span().start), name.get_ref().to_string());
            match FileValue::of(value.get_ref()) {
                Ok(value) => file.entries.push(FileEntry { name, line, value }),
                Err(source) => errors.push(error(Some(line), FileFault::Type { name, source })),
            }
        }
        file.entries.sort_by_key(|entry| entry.line);
        if errors.is_empty() { Ok(file) } else { Err(errors) }
    }

    pub fn entry(&self, name: &str) -> Option<&FileEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Returns an error at the line of `entry`.
    pub fn error(&self, entry: &FileEntry, fault: FileFault) -> FileError {
        FileError { path: self.path.clone(), line: Some(entry.line), fault }
    }
}

impl FileValue {
    fn of(value: &DeValue<'_>) -> Result<Self, ValueTypeError> {
        Ok(match value {
            DeValue::Boolean(yes) => Self::Bool(*yes),
            DeValue::Array(items) => {
                Self::Many(items.iter().map(|item| scalar(item.get_ref())).collect::<Result<_, _>>()?)
            }
            other => Self::One(scalar(other)?),
        })
    }

    /// Returns the values as texts. A single value is a list of one.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Bool(true) => vec!["true"],
            Self::Bool(false) => vec!["false"],
            Self::One(text) => vec![text],
            Self::Many(texts) => texts.iter().map(String::as_str).collect(),
        }
    }
}

/// Returns a value as the text that its flag would have.
fn scalar(value: &DeValue<'_>) -> Result<String, ValueTypeError> {
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| ValueTypeError::HugeNumber(number.as_str().to_owned()))?
            .to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => return Err(ValueTypeError::NestedList),
        DeValue::Table(_) => return Err(ValueTypeError::Table),
    })
}

#[cfg(test)]
mod tests;

//! The log: one line per event on standard error, UTC, ours at the chosen level and others' warnings. Lines that a
//! request causes name it.

mod json;
mod panics;
mod plain;
mod request;
mod text;

pub use request::{RequestId, current, while_serving, while_working};

use clap::ValueEnum;
use log::{LevelFilter, Log, Metadata};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line: `ts`, `level`, `target`, `message`, `request` and what else there is.
    Json,
    /// Warnings as a command on a terminal says its own errors.
    #[value(skip)]
    Plain,
}

/// Whose lines are written.
#[derive(Debug, Clone, Copy)]
struct Levels {
    own: LevelFilter,
    others: LevelFilter,
}

impl Levels {
    fn admits(self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let own = target == "curlew" || target.starts_with("curlew::");
        metadata.level() <= if own { self.own } else { self.others }
    }
}

/// Starts logging; a second call changes nothing.
pub fn start(level: LevelFilter, format: LogFormat) {
    let levels = Levels { own: level, others: level.min(LevelFilter::Warn) };
    let lines: Box<dyn Log> = match format {
        LogFormat::Text => Box::new(text::TextLogger::new(levels)),
        LogFormat::Json => Box::new(json::JsonLogger(levels)),
        LogFormat::Plain => Box::new(plain::Plain(levels)),
    };
    if log::set_boxed_logger(lines).is_err() {
        return;
    }
    log::set_max_level(level);
    panics::log_them();
}

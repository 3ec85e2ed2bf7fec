//! The log: one line per event on standard error, with times in UTC. Libraries log only warnings and errors. Lines that belong to
//! a request contain its id.

mod json;
mod panics;
mod plain;
mod request;
mod text;

pub use request::{RequestId, current, while_serving, while_working};

use clap::ValueEnum;
use log::{LevelFilter, Log, Metadata};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line: `ts`, `level`, `target`, `message`, `request`, and the event's own fields.
    Json,
    /// Warnings of terminal commands, in the form of their errors: `curlew: MESSAGE`.
    #[value(skip)]
    Plain,
}

/// The level for Curlew's own lines and for those of libraries.
#[derive(Debug, Clone, Copy)]
struct Levels {
    own: LevelFilter,
    others: LevelFilter,
}

impl Levels {
    fn allow(self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let own = target == "curlew" || target.starts_with("curlew::");
        metadata.level() <= if own { self.own } else { self.others }
    }
}

/// Installs the logger and the panic hook. A second call has no effect.
pub fn start(level: LevelFilter, format: LogFormat) {
    let levels = Levels { own: level, others: level.min(LevelFilter::Warn) };
    let lines: Box<dyn Log> = match format {
        LogFormat::Text => Box::new(text::TextLogger::new(levels)),
        LogFormat::Json => Box::new(json::JsonLogger(levels)),
        LogFormat::Plain => Box::new(plain::PlainLogger(levels)),
    };
    if log::set_boxed_logger(lines).is_err() {
        return;
    }
    log::set_max_level(level);
    panics::install_hook();
}

//! Lines of terminal commands: `curlew: MESSAGE`, without time and level.

use super::Levels;
use crate::os::terminal_escapes::Destination;
use log::{Log, Metadata, Record};
use std::io::{Write, stderr};

/// Writes messages without time and level.
pub struct PlainLogger(pub Levels);

impl Log for PlainLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.allow(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // A closed standard error is not a failure of the command.
            let line = record.args().to_string();
            let _ = writeln!(stderr(), "curlew: {}", Destination::of(&stderr()).text(&line));
        }
    }

    fn flush(&self) {}
}

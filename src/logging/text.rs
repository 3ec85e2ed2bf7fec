//! Lines for people.

use super::{Levels, current};
use log::{Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where standard error is a pipe that nobody reads, a line cannot be printed and `eprintln` panics;
/// that must not end what only wanted to log.
pub struct TextLogger {
    lines: SimpleLogger,
    levels: Levels,
}

impl TextLogger {
    pub fn new(levels: Levels) -> Self {
        let lines = SimpleLogger::new().with_level(levels.own.max(levels.others)).with_utc_timestamps();
        Self { lines, levels }
    }

    fn write(&self, record: &Record<'_>) {
        let Some(request) = current() else { return self.lines.log(record) };
        // What a message is about, it says; only which request it belongs to is for all of them alike.
        let words = format_args!("{} request={request}", record.args());
        self.lines.log(&Record::builder().metadata(record.metadata().clone()).args(words).build());
    }
}

impl Log for TextLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.admits(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = catch_unwind(AssertUnwindSafe(|| self.write(record)));
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

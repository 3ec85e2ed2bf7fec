//! Text lines, for people.

use super::{Levels, current};
use log::{Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes lines with time, level and target. `SimpleLogger` prints them with `eprintln`, which panics if standard error is a
/// closed pipe. The panic is caught, so that it does not end the thread that logs.
pub struct TextLogger {
    logger: SimpleLogger,
    levels: Levels,
}

impl TextLogger {
    /// Creates a logger for these levels.
    pub fn new(levels: Levels) -> Self {
        let logger = SimpleLogger::new().with_level(levels.own.max(levels.others)).with_utc_timestamps();
        Self { logger, levels }
    }

    fn write(&self, record: &Record<'_>) {
        let Some(request) = current() else { return self.logger.log(record) };
        // The message contains the key-value data already, so only the request id is added.
        let text = format_args!("{} request={request}", record.args());
        self.logger.log(&Record::builder().metadata(record.metadata().clone()).args(text).build());
    }
}

impl Log for TextLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.allow(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let _ = catch_unwind(AssertUnwindSafe(|| self.write(record)));
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

//! The log: one line per event on standard error, UTC, ours at the chosen level and others' warnings.

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Starts logging; a second call changes nothing.
pub fn start(level: LevelFilter) {
    let lines = SimpleLogger::new()
        .with_level(level.min(LevelFilter::Warn))
        .with_module_level("curlew", level)
        .with_utc_timestamps();
    let most = lines.max_level();
    if log::set_boxed_logger(Box::new(Unbreakable(lines))).is_ok() {
        log::set_max_level(most);
    }
}

/// Where standard error is a pipe that nobody reads, a line cannot be printed and `eprintln` panics;
/// that must not end what only wanted to log.
struct Unbreakable(SimpleLogger);

impl Log for Unbreakable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
    }

    fn flush(&self) {
        self.0.flush();
    }
}

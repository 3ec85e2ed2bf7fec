//! Lines of a command on a terminal: `curlew: MESSAGE`, without time and level.

use super::Levels;
use crate::os::terminal::Destination;
use log::{Log, Metadata, Record};
use std::io::{Write, stderr};

pub struct Plain(pub Levels);

impl Log for Plain {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.admits(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Whether anybody reads it changes nothing.
            let line = record.args().to_string();
            let _ = writeln!(stderr(), "curlew: {}", Destination::of(&stderr()).text(&line));
        }
    }

    fn flush(&self) {}
}

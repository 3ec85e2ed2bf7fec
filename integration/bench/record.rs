//! The records of the benchmark: 200 bytes of JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a record's value in bytes.
pub const LENGTH: usize = 200;

/// Occurs once in each record, and nowhere else in a stream.
pub const MARK: u8 = b'#';

const STAMP: usize = 16;

/// Returns the time since the epoch. Other programs use the same clock.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Creates a record with the current time.
pub fn record() -> Vec<u8> {
    let mut record =
        format!(r##"{{"device":"thermometer-17","at":"#{:0STAMP$}","note":""##, now().as_micros()).into_bytes();
    record.resize(LENGTH - 2, b'x');
    record.extend_from_slice(b"\"}");
    record
}

/// Reads the timestamp of a record that starts at its [`MARK`], or `None` if it is incomplete.
pub fn stamp(marked: &[u8]) -> Option<Duration> {
    let digits = marked.get(1..=STAMP)?;
    let micros = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Some(Duration::from_micros(micros.expect("a timestamp after each mark")))
}

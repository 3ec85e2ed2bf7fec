//! The records of the benchmark: 200 bytes of JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a record's value in bytes.
pub const LENGTH: usize = 200;

/// Stands once in a record, and nowhere else in a stream.
pub const MARK: u8 = b'#';

const STAMP: usize = 16;

/// Time since the epoch: other programs have the same clock.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// A record made now.
pub fn record() -> Vec<u8> {
    let mut record =
        format!(r##"{{"device":"thermometer-17","at":"#{:0STAMP$}","note":""##, now().as_micros()).into_bytes();
    record.resize(LENGTH - 2, b'x');
    record.extend_from_slice(b"\"}");
    record
}

/// When a record was made, from its [`MARK`] on; `None`: its end has not come yet.
pub fn stamp(marked: &[u8]) -> Option<Duration> {
    let digits = marked.get(1..=STAMP)?;
    let micros = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Some(Duration::from_micros(micros.expect("a stamp after each mark")))
}

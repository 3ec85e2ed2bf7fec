//! The records of machines: two numbers each, with the machine as the key.

use crate::load::post;
use crate::publisher::Connection;
use crate::record::MARK;
use curlew_integration::bridge::Bridge;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Records per request while a topic is filled.
const BATCH: u64 = 2_000;
/// Connections that fill a topic in turn, so that a request need not wait for the fsync of the previous one.
const CONNECTIONS: usize = 4;
/// Interval between two requests at a fixed rate.
const TICK: Duration = Duration::from_millis(50);

/// The records of a topic, by their number.
#[derive(Clone, Copy)]
pub struct MachineRecords {
    /// Number of keys. Consecutive records have different keys.
    pub machines: u64,
    /// The timestamp of the first record; each following record is a millisecond later. `None`: the time of the write.
    pub first: Option<i64>,
}

/// Returns the temperature of a record, in hundredths of a degree. All records together have at most 3,000 values.
pub fn hundredths(number: u64) -> u64 {
    2_000 + number.wrapping_mul(7_919) % 3_000
}

impl MachineRecords {
    /// Returns a request that writes the records with these numbers. Each record contains the byte [`MARK`] once.
    fn request(&self, topic: &str, numbers: Range<u64>) -> Vec<u8> {
        let mark = char::from(MARK);
        let mut body = String::from("{\"records\":[");
        for number in numbers {
            let (machine, temperature) = (number % self.machines, hundredths(number));
            let (degrees, rest, pressure) = (temperature / 100, temperature % 100, 1_000 + number % 30);
            let time = self.first.map_or(String::new(), |first| format!(",\"timestamp\":{}", first + number as i64));
            body.push_str(&format!(
                r#"{{"key":"machine-{machine:03}","value":{{"temperature":{degrees}.{rest:02},"pressure":{pressure},"unit":"{mark}"}}{time}}},"#
            ));
        }
        body.pop();
        body.push_str("]}");
        post(&format!("/topics/{topic}"), "application/vnd.kafka.json.v2+json", body.as_bytes())
    }

    /// Writes this number of records as fast as possible.
    pub fn fill(&self, port: u16, topic: &str, records: u64) {
        let mut connections: VecDeque<_> = (0..CONNECTIONS).map(|_| Connection::open(port)).collect();
        let mut first = 0;
        while first < records {
            let end = (first + BATCH).min(records);
            let mut connection = connections.pop_front().expect("a connection");
            connection.read_responses();
            connection.write(&self.request(topic, first..end), 1);
            connections.push_back(connection);
            first = end;
        }
        connections.iter_mut().for_each(Connection::read_responses);
    }

    /// Writes `rate` records per second. Returns their number.
    pub fn publish(&self, port: u16, topic: &str, rate: u64, length: Duration) -> u64 {
        let mut connection = Connection::open(port);
        let (started, mut published) = (Instant::now(), 0);
        while started.elapsed() < length {
            std::thread::sleep(TICK);
            let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
            connection.read_responses();
            connection.write(&self.request(topic, published..due), 1);
            published = due;
        }
        connection.read_responses();
        published
    }
}

/// Starts a bridge with an embedded log that keeps everything. The directory must outlive it.
pub fn bridge() -> (TempDir, Bridge) {
    // Not in the system's directory for temporary files, which may be in memory.
    let directory = tempfile::tempdir_in("target").expect("temporary directory");
    let bridge = Bridge::embedded(&directory.path().join("data"), &["--retention-bytes", "unlimited"]);
    (directory, bridge)
}

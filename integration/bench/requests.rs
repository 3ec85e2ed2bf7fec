//! Small produce requests beside a bare warp route.

use crate::Size;
use crate::load::{self, Connections, Outcome};
use crate::rivals::RECORD;
use crate::table::{TURNS, compare, line, median};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::Process;
use curlew_integration::{eventually, free_port, http};
use std::process::Command;
use std::time::Duration;

const ROWS: [(usize, Connections); 5] = [
    (1, Connections::Kept),
    (16, Connections::Kept),
    (64, Connections::Kept),
    (256, Connections::Kept),
    (64, Connections::NewForEveryRequest),
];

pub fn measure(kafka: &Kafka, size: &Size) {
    let topic = kafka.fresh("requests", 1);
    let bridge = Bridge::start(&kafka.bootstrap());
    let folder = tempfile::tempdir().expect("temp folder");
    let warp_port = free_port();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["bare-warp", &warp_port.to_string()]);
    let _bare_warp = Process::start("bare warp", command, &folder.path().join("log"));
    eventually("bare warp is up", Duration::from_secs(5), || http::try_connect(warp_port).map_err(|e| e.to_string()));

    let request = load::post(&format!("/topics/{topic}"), "application/json", &record());
    let run = |port, (at_once, connections), length| load::run(port, &request, at_once, connections, length);
    // The broker's JVM has to warm up; what comes first is not counted.
    for row in ROWS {
        run(bridge.port, row, size.length / 2);
    }
    for row in ROWS {
        let title = match row.1 {
            Connections::Kept => format!("produce 200 bytes, {} connections kept", row.0),
            Connections::NewForEveryRequest => format!("produce 200 bytes, new connections, {} at a time", row.0),
        };
        compare(
            &title,
            "requests/s",
            vec![
                ("curlew", Box::new(|| run(bridge.port, row, size.length).per_second)),
                ("bare warp, no Kafka", Box::new(|| run(warp_port, row, size.length / 2).per_second)),
            ],
        );
    }
    let alone: Vec<Outcome> = (0..TURNS).map(|_| run(bridge.port, ROWS[0], size.length)).collect();
    println!("produce 200 bytes, time to the receipt with one connection, ms");
    for (name, part) in [("curlew, p50", 0.5), ("curlew, p99", 0.99)] {
        line(name, median(alone.iter().map(|outcome| outcome.percentile(part)).collect()), "ms");
    }
}

/// JSON of as many bytes as the records of the other rows.
pub fn record() -> Vec<u8> {
    let mut record = br#"{"device":"thermometer-17","celsius":21.5,"note":""#.to_vec();
    record.resize(RECORD - 2, b'x');
    record.extend_from_slice(b"\"}");
    record
}

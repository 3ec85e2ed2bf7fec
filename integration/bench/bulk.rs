//! Producing many records through one connection.

use crate::Size;
use crate::record::{LENGTH, record};
use crate::rivals::{producer_performance, records_per_second};
use crate::table::Table;
use curlew_integration::bridge::Bridge;
use curlew_integration::http;
use curlew_integration::kafka::Kafka;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let lines = directory.path().join("lines");
    let mut line = record();
    assert_eq!(line.len(), LENGTH);
    line.push(b'\n');
    std::fs::write(&lines, line.repeat(size.produced)).expect("lines");

    let bootstrap = kafka.bootstrap();
    let bridge = Bridge::start(&bootstrap);
    let [ours, javas, kcats] = ["ndjson", "java", "kcat"].map(|name| kafka.fresh(name, 1));
    table.compare(
        "produce 200 bytes a record, one connection, acks=all",
        "records/s",
        vec![
            ("Curlew, ndjson over HTTP", Box::new(|| ndjson(bridge.port, &ours, &line, size.produced))),
            ("ProducerPerformance", Box::new(|| producer_performance(&bootstrap, &javas, size.produced))),
            (
                "kcat -P",
                Box::new(|| {
                    let arguments = ["-P", "-b", &bootstrap, "-t", &kcats, "-X", "acks=all"];
                    records_per_second(Path::new("kcat"), &arguments, Some(&lines), size.produced)
                }),
            ),
        ],
    );
}

/// Lines per write.
const BATCH: usize = 250;

/// Streams lines and reads every receipt. Returns records per second, from the first line to the last receipt.
pub fn ndjson(port: u16, topic: &str, line: &[u8], records: usize) -> f64 {
    let records = records.next_multiple_of(BATCH);
    let mut writer = http::connect(port);
    let reader = writer.try_clone().expect("socket");
    let head = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
    http::write_head(&mut writer, "POST", &format!("/topics/{topic}?receipts=stream"), &head).expect("head");
    let started = Instant::now();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let together = BATCH;
            let chunk =
                [format!("{:x}\r\n", line.len() * together).as_bytes(), &line.repeat(together), b"\r\n"].concat();
            for _ in 0..records / together {
                writer.write_all(&chunk).expect("lines");
            }
            writer.write_all(b"0\r\n\r\n").expect("end");
        });
        let answer = http::read_head(reader).expect("answer");
        assert_eq!(answer.status, 200);
        let receipts = answer.into_body().split(b'\n').map(|receipt| receipt.expect("receipt"));
        let mut acknowledged = 0;
        for receipt in receipts {
            assert!(receipt.starts_with(b"{") && contains_offset(&receipt), "{}", String::from_utf8_lossy(&receipt));
            acknowledged += 1;
        }
        assert_eq!(acknowledged, records);
    });
    records as f64 / started.elapsed().as_secs_f64()
}

fn contains_offset(receipt: &[u8]) -> bool {
    receipt.windows(9).any(|name| name == b"\"offset\":")
}

//! Small produce requests, compared with a bare warp route.

use crate::Size;
use crate::bare_warp::BareWarp;
use crate::load::{self, Connections, LoadResult};
use crate::record::{LENGTH, record};
use crate::table::{ROUNDS, Table, median};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::Kafka;

const ROWS: [(usize, Connections); 5] = [
    (1, Connections::Kept),
    (16, Connections::Kept),
    (64, Connections::Kept),
    (256, Connections::Kept),
    (64, Connections::NewForEveryRequest),
];

pub fn measure(kafka: &Kafka, size: &Size, table: &mut Table) {
    let topic = kafka.fresh("requests", 1);
    let bridge = Bridge::start(&kafka.bootstrap());
    let warp = BareWarp::start();
    let request = load::post(&format!("/topics/{topic}"), "application/json", &record());
    let run = |port, (at_once, connections), length| load::run(port, &request, at_once, connections, length);
    // Warms up the JVM of the broker; not counted.
    for row in ROWS {
        run(bridge.port, row, size.length / 2);
    }
    for row in ROWS {
        let title = match row.1 {
            Connections::Kept => format!("produce {LENGTH} bytes, {} connections kept", row.0),
            Connections::NewForEveryRequest => format!("produce {LENGTH} bytes, new connections, {} at a time", row.0),
        };
        table.compare(
            &title,
            "requests/s",
            vec![
                ("Curlew", Box::new(|| run(bridge.port, row, size.length).per_second)),
                ("bare warp, no Kafka", Box::new(|| run(warp.port, row, size.length / 2).per_second)),
            ],
        );
    }
    let alone: Vec<LoadResult> = (0..ROUNDS).map(|_| run(bridge.port, ROWS[0], size.length)).collect();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let ours = median(alone.iter().map(|outcome| outcome.percentile(part)).collect());
        table.row(&format!("… one connection, until the receipt, {name}"), "ms", ours, &[]);
    }
}

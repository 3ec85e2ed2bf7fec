//! Opening a page that shows the latest record of every key: a snapshot, compared with reading the complete topic.

use crate::Size;
use crate::machines::{self, MachineRecords};
use crate::reading::read_stream;
use crate::table::{ROUNDS, Table, median, number};
use std::time::Duration;

/// Records per key.
const UPDATES: u64 = 10;
/// Time from one viewer to the next. Snapshots of the same topic are at least 100 ms apart.
const PAUSE: Duration = Duration::from_millis(500);

pub fn measure(size: &Size, table: &mut Table) {
    let (_directory, mut bridge) = machines::bridge();
    let (keys, records) = (size.keys, size.keys * UPDATES);
    MachineRecords { machines: keys, first: None }.fill(bridge.port, "machines", records);
    let (mut first, mut next, mut everything) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sent, mut all) = (0, 0);
    for _ in 0..ROUNDS {
        // The bridge must not have the records in memory.
        assert_eq!(bridge.stop(), Some(0));
        bridge.kill_and_restart();
        let read = |target: &str, expected| {
            let read = read_stream(bridge.port, &format!("/topics/machines/events?until=end&{target}"));
            assert_eq!(read.records, expected, "{target}");
            (read.seconds * 1000.0, read.bytes)
        };
        for milliseconds in [&mut first, &mut next] {
            let took;
            (took, sent) = read("from=snapshot", keys);
            milliseconds.push(took);
            std::thread::sleep(PAUSE);
        }
        let took;
        (took, all) = read("from=earliest", records);
        everything.push(took);
    }
    let everything = median(everything);
    let what = format!("snapshot of {} keys in {} records, first viewer", number(keys as f64), number(records as f64));
    table.row(&what, "ms", median(first), &[("all records", everything)]);
    table.row("… next viewer", "ms", median(next), &[("all records", everything)]);
    table.row("… bytes to a viewer", "MB", sent as f64 / 1e6, &[("all records", all as f64 / 1e6)]);
}

//! Streams of a busy topic that need only the latest record of each key in a second, compared with streams of all records.

use crate::Size;
use crate::machines;
use crate::table::{ROUNDS, Table, median};
use crate::viewers::cpu_beside;

/// Records per second.
const RATE: u64 = 10_000;

pub fn measure(size: &Size, table: &mut Table) {
    let (_directory, mut bridge) = machines::bridge();
    let (length, streams) = (size.length * 2, size.viewers);
    let (mut costs, mut shares) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let targets = ["/topics/machines/events?sample=1s", "/topics/machines/events"];
    for _ in 0..ROUNDS {
        let alone = cpu_beside(&mut bridge, RATE, length, None).0;
        for ((target, costs), shares) in targets.into_iter().zip(&mut costs).zip(&mut shares) {
            let (busy, share) = cpu_beside(&mut bridge, RATE, length, Some((target, streams)));
            costs.push((busy - alone).max(0.0) * 100.0);
            shares.push(share * RATE as f64);
        }
    }
    let ([ours, plain], [sampled, all]) = (costs.map(median), shares.map(median));
    let what = format!("CPU of {streams} streams with sample=1s of {RATE} records/s");
    table.row(&what, "% of a core", ours, &[("without sample", plain)]);
    table.row("… records to each stream", "records/s", sampled, &[("without sample", all)]);
}

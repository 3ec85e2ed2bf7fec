//! Reads every batch once after the start, beside everything else: what is damaged is said before anybody asks for it.

use super::log::EmbeddedLog;
use crate::broker::{BrokerError, FetchPosition, OffsetAt};
use crate::record::{NO_EPOCH, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::{error, info};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes read at a time. Others have their turn in between.
const CHUNK: usize = 1 << 20;
/// This reader holds one chunk at a time, beside the memory budget, which is for what clients cause.
const MEMORY: usize = 16 << 20;

/// Runs until all that was there at its start is read, or `ended` is closed.
pub fn run(log: &EmbeddedLog, ended: &Receiver<()>) {
    let started = Instant::now();
    let memory = Share::new("verify", MEMORY, MEMORY);
    let places: Vec<(TopicName, usize)> =
        log.topics().iter().map(|(name, topic)| (name.clone(), topic.partitions.len())).collect();
    for (topic, partitions) in places {
        for partition in (0..).take(partitions) {
            if !verify_partition(log, &memory, TopicPartition { topic: topic.clone(), partition }, ended) {
                return;
            }
        }
    }
    let records = log.topics().values().flat_map(|topic| &topic.partitions).any(|log| log.end > log.start);
    if records {
        info!("{} is read through once in {} ms", log.describe(), started.elapsed().as_millis());
    }
}

/// False: it is time to end.
fn verify_partition(log: &EmbeddedLog, memory: &Arc<Share>, place: TopicPartition, ended: &Receiver<()>) -> bool {
    let at = |at| log.offset(&place, at);
    let (Ok(mut offset), Ok(end)) = (at(OffsetAt::Earliest), at(OffsetAt::Latest)) else { return true };
    while offset < end {
        let began = Instant::now();
        let (topic, partition) = (place.topic.clone(), place.partition);
        let want = FetchPosition { topic, topic_id: None, partition, offset, leader_epoch: -1, last_epoch: NO_EPOCH };
        let fetched = {
            let _at_work = watchdog::busy();
            log.fetch(&want, CHUNK, memory)
        };
        match fetched {
            Ok(data) if data.next_offset > offset => offset = data.next_offset,
            // Retention was here.
            Err(BrokerError::OffsetOutOfRange(_)) => match at(OffsetAt::Earliest) {
                Ok(start) if start > offset => offset = start,
                _ => return true,
            },
            Err(BrokerError::Damaged(why)) => {
                error!("{why}");
                return true;
            }
            Ok(_) | Err(_) => return true,
        }
        // As long as it took, so that at most half a core and half the disk go into this.
        let pause = began.elapsed().max(Duration::from_millis(1));
        if !matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return false;
        }
    }
    true
}

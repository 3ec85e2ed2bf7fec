//! Verifies every batch once in the background after the start, so that damage is reported before a client reads it.

use super::log::EmbeddedLog;
use crate::broker::{BrokerError, FetchPosition, OffsetAt};
use crate::record::{NO_EPOCH, TopicName, TopicPartition};
use crate::sync::memory_budget::Share;
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use log::{error, info};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number of bytes to read at a time. A pause follows each read.
const CHUNK: usize = 1 << 20;
/// The memory of this reader, which holds one chunk at a time. It is not part of the memory budget, which limits the
/// memory used for clients.
const MEMORY: usize = 16 << 20;

/// Runs until everything that the log holds at the start is verified, or `ended` is closed.
pub fn run(log: &EmbeddedLog, ended: &Receiver<()>) {
    let started = Instant::now();
    let memory = Share::new("verify", MEMORY, MEMORY);
    let partition_counts: Vec<(TopicName, usize)> =
        log.topics().iter().map(|(name, topic)| (name.clone(), topic.partitions.len())).collect();
    for (topic, partitions) in partition_counts {
        for partition in (0..).take(partitions) {
            if !verify_partition(log, &memory, TopicPartition { topic: topic.clone(), partition }, ended) {
                return;
            }
        }
    }
    let records = log.topics().values().flat_map(|topic| &topic.partitions).any(|log| log.end > log.start);
    if records {
        info!("verified {} in {} ms", log.describe(), started.elapsed().as_millis());
    }
}

/// Returns false if `ended` was closed.
fn verify_partition(
    log: &EmbeddedLog,
    memory: &Arc<Share>,
    topic_partition: TopicPartition,
    ended: &Receiver<()>,
) -> bool {
    let at = |at| log.offset(&topic_partition, at);
    let (Ok(mut offset), Ok(end)) = (at(OffsetAt::Earliest), at(OffsetAt::Latest)) else { return true };
    while offset < end {
        let began = Instant::now();
        let (topic, partition) = (topic_partition.topic.clone(), topic_partition.partition);
        let position =
            FetchPosition { topic, topic_id: None, partition, offset, leader_epoch: -1, last_epoch: NO_EPOCH };
        let fetched = {
            let _busy = watchdog::busy();
            log.fetch(&position, CHUNK, memory)
        };
        match fetched {
            Ok(data) if data.next_offset > offset => offset = data.next_offset,
            // Retention has removed the offset.
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
        // The pause is as long as the read, so that verification uses at most half a core and half of the disk's
        // throughput.
        let pause = began.elapsed().max(Duration::from_millis(1));
        if !matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return false;
        }
    }
    true
}

//! The reader of the embedded log, for one thread. Waits for a change of the log while there are no records.

use super::log::EmbeddedLog;
use crate::broker::{BrokerError, FetchLimits, FetchPosition, FetchResult, PartitionReader};
use crate::sync::memory_budget::Share;
use crate::sync::wait_timeout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub struct LogReader {
    log: Arc<EmbeddedLog>,
    memory: Arc<Share>,
    interrupted: Arc<AtomicBool>,
}

impl LogReader {
    pub fn new(log: Arc<EmbeddedLog>, memory: Arc<Share>) -> Self {
        Self { log, memory, interrupted: Arc::default() }
    }

    fn wait_for_news(&self, positions: &[FetchPosition], limits: FetchLimits) {
        let until = Instant::now() + limits.wait;
        let mut topics = self.log.topics();
        while !positions.iter().any(|position| self.log.has_news(&topics, position)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.interrupted.swap(false, Ordering::SeqCst) {
                return;
            }
            topics = wait_timeout(&self.log.changed, topics, left);
        }
    }
}

impl PartitionReader for LogReader {
    fn fetch(&mut self, positions: &[FetchPosition], limits: FetchLimits) -> Result<Vec<FetchResult>, BrokerError> {
        self.wait_for_news(positions, limits);
        let mut left = limits.max_bytes;
        let mut fetched = Vec::with_capacity(positions.len());
        for position in positions {
            if left == 0 {
                // The response is full, but the errors of the remaining positions are still reported.
                if let Err(error) = self.log.check_position(position) {
                    let (topic, partition) = (position.topic.clone(), position.partition);
                    fetched.push(FetchResult { topic, partition, offset: position.offset, result: Err(error) });
                }
                continue;
            }
            let result = self.log.fetch(position, limits.partition_max_bytes.min(left), &self.memory);
            let read = result.iter().flat_map(|data| &data.batches).map(|records| records.memory()).sum();
            fetched.push(FetchResult {
                topic: position.topic.clone(),
                partition: position.partition,
                offset: position.offset,
                result,
            });
            left = left.saturating_sub(read);
        }
        Ok(fetched)
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let (log, interrupted) = (self.log.clone(), self.interrupted.clone());
        Arc::new(move || {
            interrupted.store(true, Ordering::SeqCst);
            // The waiting thread checks the flag under this lock and releases it only to wait, so it misses no
            // interruption.
            let _topics = log.topics();
            log.changed.notify_all();
        })
    }
}

//! Records that go to one partition together, each with whoever waits for it.

use super::encode::{BATCH_HEADER, record_size_bound};
use crate::broker::{BrokerError, DeliveryReport, RecordLocation};
use crate::record::{NewRecord, Offset, Partition, Timestamp};
use std::time::Instant;

/// One record on its way, and who waits for it until when.
#[derive(Debug, Clone)]
pub struct PendingRecord {
    record: NewRecord,
    timestamp: Timestamp,
    receipts: DeliveryReport,
    index: usize,
    deadline: Instant,
    /// At most so many bytes in a batch.
    size: usize,
}

impl PendingRecord {
    /// The record at `index` of its submission; `now` (ms since the epoch) if it has no time of its own.
    pub fn new(record: NewRecord, now: Timestamp, receipts: DeliveryReport, index: usize, deadline: Instant) -> Self {
        let timestamp = record.timestamp.unwrap_or(now);
        let size = record_size_bound(&record);
        Self { record, timestamp, receipts, index, deadline, size }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Rejects a record that is too large for any request, as the Java client does.
    pub fn check_size(&self, max_request_bytes: usize) -> Result<(), BrokerError> {
        let bytes = BATCH_HEADER + self.size;
        if bytes <= max_request_bytes {
            return Ok(());
        }
        Err(BrokerError::TooLarge(format!(
            "the record takes {bytes} bytes, and the bridge sends at most {max_request_bytes} in a request to Kafka \
             (max.request.size in the file of --kafka-config)"
        )))
    }

    pub fn fail(&self, error: BrokerError) {
        self.receipts.settle(self.index, Err(error));
    }
}

/// Entries of one partition, in order. Shared by the queue, which may have to send them again, and
/// the thread that awaits the broker's answer.
#[derive(Debug, Clone, Default)]
pub struct ProducerBatch {
    entries: Vec<PendingRecord>,
    bytes: usize,
}

impl ProducerBatch {
    pub fn push(&mut self, entry: PendingRecord) {
        self.bytes += entry.size;
        self.entries.push(entry);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// At most so many bytes on the wire.
    pub fn bytes(&self) -> usize {
        BATCH_HEADER + self.bytes
    }

    /// Whether the batch stays within `limit` with `entry`, or has none yet: a record too large for
    /// any batch gets one of its own, for the broker to judge.
    pub fn fits(&self, entry: &PendingRecord, limit: usize) -> bool {
        self.entries.is_empty() || self.bytes() + entry.size <= limit
    }

    pub fn entries(&self) -> &[PendingRecord] {
        &self.entries
    }

    pub fn records(&self) -> impl Iterator<Item = (Timestamp, &NewRecord)> {
        self.entries.iter().map(|e| (e.timestamp, &e.record))
    }

    pub fn into_entries(self) -> Vec<PendingRecord> {
        self.entries
    }

    /// Cuts off the second half.
    pub fn split_off_half(&mut self) -> ProducerBatch {
        let second: ProducerBatch = self.entries.split_off(self.entries.len().div_ceil(2)).into_iter().collect();
        self.bytes -= second.bytes;
        second
    }

    /// The first record landed at `base_offset`, the others behind it.
    pub fn settle_written(&self, partition: Partition, base_offset: Option<Offset>) {
        for (n, entry) in self.entries.iter().enumerate() {
            let offset = base_offset.map(|base| base + n as Offset);
            entry.receipts.settle(entry.index, Ok(RecordLocation { partition, offset }));
        }
    }

    pub fn settle_failed(&self, error: &BrokerError) {
        for entry in &self.entries {
            entry.fail(error.clone());
        }
    }
}

impl FromIterator<PendingRecord> for ProducerBatch {
    fn from_iter<I: IntoIterator<Item = PendingRecord>>(entries: I) -> Self {
        let mut batch = Self::default();
        entries.into_iter().for_each(|entry| batch.push(entry));
        batch
    }
}

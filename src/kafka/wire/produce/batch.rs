//! Batches of records for one partition, each with its delivery report.

use super::encode::{BATCH_HEADER, record_size_bound};
use crate::broker::{BrokerError, DeliveryReport, RecordLocation, TooLarge};
use crate::record::{NewRecord, Offset, Partition, Timestamp};
use std::time::Instant;

/// A record to write, its delivery report and its deadline.
#[derive(Debug, Clone)]
pub struct PendingRecord {
    record: NewRecord,
    timestamp: Timestamp,
    receipts: DeliveryReport,
    index: usize,
    deadline: Instant,
    /// Upper bound of the record's size in a batch, in bytes.
    size: usize,
}

impl PendingRecord {
    /// The record at `index` of its submission. `now` (ms since the epoch) is its timestamp if it has none.
    pub fn new(record: NewRecord, now: Timestamp, receipts: DeliveryReport, index: usize, deadline: Instant) -> Self {
        let timestamp = record.timestamp.unwrap_or(now);
        let size = record_size_bound(&record);
        Self { record, timestamp, receipts, index, deadline, size }
    }

    /// Returns when the caller stops waiting for the outcome.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Rejects a record that is too large for any request, as the Java client does.
    pub fn check_size(&self, max_request_bytes: usize) -> Result<(), BrokerError> {
        let bytes = BATCH_HEADER + self.size;
        if bytes <= max_request_bytes {
            return Ok(());
        }
        Err(BrokerError::TooLarge(TooLarge::Request { bytes, limit: max_request_bytes }))
    }

    /// Reports the failure of the record.
    pub fn fail(&self, error: BrokerError) {
        self.receipts.settle(self.index, Err(error));
    }
}

/// Records of one partition, in order. Shared by the queue, which may have to retry them, and the thread that awaits
/// the response.
#[derive(Debug, Clone, Default)]
pub struct ProducerBatch {
    entries: Vec<PendingRecord>,
    bytes: usize,
}

impl ProducerBatch {
    /// Appends a record.
    pub fn push(&mut self, entry: PendingRecord) {
        self.bytes += entry.size;
        self.entries.push(entry);
    }

    /// Returns whether the batch has no records.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Upper bound of the batch's size on the wire, in bytes.
    pub fn bytes(&self) -> usize {
        BATCH_HEADER + self.bytes
    }

    /// Whether `entry` fits within `limit` bytes. An empty batch accepts any record: a record that exceeds the limit is
    /// sent in a separate batch, and the broker decides.
    pub fn fits(&self, entry: &PendingRecord, limit: usize) -> bool {
        self.entries.is_empty() || self.bytes() + entry.size <= limit
    }

    /// Returns the records with their delivery reports.
    pub fn entries(&self) -> &[PendingRecord] {
        &self.entries
    }

    /// Returns the records with their timestamps.
    pub fn records(&self) -> impl Iterator<Item = (Timestamp, &NewRecord)> {
        self.entries.iter().map(|e| (e.timestamp, &e.record))
    }

    /// Takes the batch apart, for instance to build smaller ones.
    pub fn into_entries(self) -> Vec<PendingRecord> {
        self.entries
    }

    /// Splits off the second half.
    pub fn split_off_half(&mut self) -> ProducerBatch {
        let second: ProducerBatch = self.entries.split_off(self.entries.len().div_ceil(2)).into_iter().collect();
        self.bytes -= second.bytes;
        second
    }

    /// Reports the records as written from `base_offset` on.
    pub fn settle_written(&self, partition: Partition, base_offset: Option<Offset>) {
        for (n, entry) in self.entries.iter().enumerate() {
            let offset = base_offset.map(|base| base + n as Offset);
            entry.receipts.settle(entry.index, Ok(RecordLocation { partition, offset }));
        }
    }

    /// Fails every record with `error`.
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

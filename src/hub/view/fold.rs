//! The latest record of every key in one partition.

use crate::record::owned::OwnedRecord;
use crate::record::{Offset, Partition, Position, RecordRef, Timestamp};
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Memory of each record in addition to its copy, in bytes: the rest of [`LatestRecord`], the reference counts, the slot in the
/// set, and the overhead of two allocations.
const ENTRY_BYTES: usize = 96;

/// The latest record of a key. Snapshots share it, and keep it after a later record has replaced it.
#[derive(Debug)]
pub struct LatestRecord {
    /// The partition of the record.
    pub partition: Partition,
    record: OwnedRecord,
    memory: Reservation,
}

impl LatestRecord {
    /// Returns the record. It has a key and a value.
    pub fn record(&self) -> RecordRef<'_> {
        self.record.as_ref()
    }
}

/// A record that is compared and hashed only by its key.
struct ByKey(Arc<LatestRecord>);

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        // As in compaction, records replace those with equal bytes.
        self.0.record().stored_key().unwrap_or_default()
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<[u8]>::borrow(self) == Borrow::<[u8]>::borrow(other)
    }
}

impl Eq for ByKey {}

/// The fold over one partition.
#[derive(Default)]
pub struct PartitionFold {
    latest: HashSet<ByKey>,
    /// The offset to read next. `None`: the start of the log has not been looked up yet.
    pub at: Option<Position>,
    /// The log start offset.
    pub log_start: Offset,
    /// The log start offset at the last call of [`expire`](Self::expire).
    expired_before: Offset,
    bytes: usize,
}

impl PartitionFold {
    /// Applies the next record of the log. Fails if there is no memory for it.
    pub fn apply(&mut self, partition: Partition, record: &RecordRef<'_>, share: &Arc<Share>) -> Result<(), Shortage> {
        let Some(key) = record.stored_key() else { return Ok(()) };
        let replaced = if record.value.is_some() {
            let memory = share.reserve(OwnedRecord::memory_for(record) + ENTRY_BYTES)?;
            self.bytes += memory.bytes();
            let latest = LatestRecord { partition, record: OwnedRecord::copy(record), memory };
            self.latest.replace(ByKey(Arc::new(latest)))
        } else {
            self.latest.take(key)
        };
        self.bytes -= replaced.map_or(0, |replaced| replaced.0.memory.bytes());
        Ok(())
    }

    /// Returns the memory of the latest records, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Updates the log start offset, which never decreases.
    pub fn starts_at(&mut self, log_start: Offset) {
        self.log_start = self.log_start.max(log_start);
    }

    /// Drops the records that are no longer in the log, and those before `oldest`.
    pub fn expire(&mut self, oldest: Option<Timestamp>) {
        if oldest.is_none() && self.log_start == self.expired_before {
            return;
        }
        self.expired_before = self.log_start;
        let (log_start, oldest) = (self.log_start, oldest.unwrap_or(Timestamp::MIN));
        let bytes = &mut self.bytes;
        self.latest.retain(|entry| {
            let record = entry.0.record();
            let is_current = record.offset >= log_start && record.timestamp >= oldest;
            if !is_current {
                *bytes -= entry.0.memory.bytes();
            }
            is_current
        });
    }

    /// Returns the number of keys.
    pub fn keys(&self) -> usize {
        self.latest.len()
    }

    /// Returns the latest records in the order of their offsets.
    pub fn in_order(&self) -> Vec<Arc<LatestRecord>> {
        let mut records: Vec<_> = self.latest.iter().map(|entry| entry.0.clone()).collect();
        records.sort_unstable_by_key(|latest| latest.record().offset);
        records
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;
    use crate::record::Records;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Adds records, each given as key, value and timestamp. `offset` is the offset of the first one.
    pub fn apply(
        fold: &mut PartitionFold,
        share: &Arc<Share>,
        offset: Offset,
        records: &[(Option<u8>, Option<u8>, i64)],
    ) {
        let data: Vec<u8> = (0..=u8::MAX).collect();
        let mut batch = Records::over(data.into());
        let part = |byte: u8| usize::from(byte)..usize::from(byte) + 1;
        for (at, (key, value, timestamp)) in records.iter().enumerate() {
            batch.push(offset + at as i64, *timestamp, key.map(part), value.map(part));
        }
        batch.iter().for_each(|record| fold.apply(0, &record, share).unwrap());
    }

    proptest! {
        #[test]
        fn the_fold_keeps_the_latest_record_of_each_key_and_accounts_for_its_memory(
            records in prop::collection::vec((prop::option::of(0u8..8), prop::option::of(0u8..100), 0i64..50), 0..200),
            log_start in 0i64..250,
            oldest in prop::option::of(0i64..60),
        ) {
            let share = Share::new("test", 1 << 20, 1 << 20);
            let mut fold = PartitionFold::default();
            apply(&mut fold, &share, 0, &records);
            fold.starts_at(log_start);
            fold.expire(oldest);
            let mut expected = BTreeMap::new();
            for (offset, (key, value, timestamp)) in (0i64..).zip(&records) {
                if let Some(key) = key {
                    expected.insert(*key, (offset, *value, *timestamp));
                }
            }
            expected.retain(|_, (offset, value, timestamp)| {
                value.is_some() && *offset >= log_start && *timestamp >= oldest.unwrap_or(0)
            });
            let found: BTreeMap<_, _> = fold.in_order().iter().map(|latest| {
                let record = latest.record();
                (record.key.unwrap()[0], (record.offset, record.value.map(|value| value[0]), record.timestamp))
            }).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(fold.bytes(), share.used());
            drop(fold);
            prop_assert_eq!(share.used(), 0);
        }
    }
}

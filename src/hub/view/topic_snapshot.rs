//! The latest records of a topic at one position of each partition.

use super::fold::{LatestRecord, PartitionFold};
use crate::record::{Offset, Position, TopicId};
use crate::sync::memory_budget::{Reservation, Share, Shortage};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

/// A copy of the folds of a topic. It does not change while its records are sent to streams.
#[derive(Debug)]
pub struct TopicSnapshot {
    /// The id of the topic.
    pub id: TopicId,
    /// The position in each partition at which a stream continues after the snapshot.
    pub positions: Vec<Position>,
    /// The latest records. Those of one partition are in the order of their offsets. Partitions are merged by
    /// timestamp: if a key moved to another partition because partitions were added, its newer record comes last.
    pub records: Vec<Arc<LatestRecord>>,
    log_starts: Vec<Offset>,
    _memory: Reservation,
}

impl TopicSnapshot {
    /// Creates a snapshot that shares the records of `partitions`. Every partition must have a position.
    pub fn of(id: TopicId, partitions: &[PartitionFold], share: &Arc<Share>) -> Result<Self, Shortage> {
        let keys: usize = partitions.iter().map(PartitionFold::keys).sum();
        let bytes = keys * size_of::<Arc<LatestRecord>>();
        let positions: Vec<_> = partitions.iter().filter_map(|partition| partition.at).collect();
        // Room for the lists of the partitions, and for the merged list.
        let mut memory = share.reserve(2 * bytes)?;
        let records = merge(partitions.iter().map(PartitionFold::in_order).collect());
        memory.shrink(bytes);
        let log_starts = partitions.iter().map(|partition| partition.log_start).collect();
        Ok(Self { id, positions, records, log_starts, _memory: memory })
    }

    /// Whether a snapshot of `partitions` would be the same.
    pub fn is_of(&self, id: TopicId, partitions: &[PartitionFold]) -> bool {
        self.id == id
            && self.positions.iter().copied().map(Some).eq(partitions.iter().map(|partition| partition.at))
            && self.log_starts.iter().eq(partitions.iter().map(|partition| &partition.log_start))
    }
}

fn merge(mut partitions: Vec<Vec<Arc<LatestRecord>>>) -> Vec<Arc<LatestRecord>> {
    if partitions.len() == 1 {
        return partitions.pop().unwrap_or_default();
    }
    let mut merged = Vec::with_capacity(partitions.iter().map(Vec::len).sum());
    let mut rest: Vec<_> = partitions.into_iter().map(|records| records.into_iter().peekable()).collect();
    let mut next: BinaryHeap<_> = rest
        .iter_mut()
        .enumerate()
        .filter_map(|(at, records)| Some(Reverse((records.peek()?.record().timestamp, at))))
        .collect();
    while let Some(mut first) = next.peek_mut() {
        let Reverse((timestamp, at)) = &mut *first;
        let Some(records) = rest.get_mut(*at) else { break };
        merged.extend(records.next());
        match records.peek() {
            Some(following) => *timestamp = following.record().timestamp,
            None => drop(PeekMut::pop(first)),
        }
    }
    merged
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fold::tests::apply;
    use super::*;

    #[test]
    fn a_key_that_moved_to_another_partition_comes_last_with_its_newer_record() {
        let share = Share::new("test", 1 << 20, 1 << 20);
        let mut folds = [PartitionFold::default(), PartitionFold::default(), PartitionFold::default()];
        apply(&mut folds[0], &share, 0, &[(Some(1), Some(10), 500), (Some(2), Some(11), 100)]);
        apply(
            &mut folds[2],
            &share,
            0,
            &[(Some(3), Some(12), 200), (Some(1), Some(13), 400), (Some(2), Some(14), 600)],
        );
        folds.iter_mut().for_each(|fold| fold.at = Some(Position::from(5)));
        let snapshot = TopicSnapshot::of(None, &folds, &share).unwrap();
        // Out-of-order timestamps do not change the order within a partition.
        let values: Vec<_> = snapshot.records.iter().map(|latest| latest.record().value.unwrap()[0]).collect();
        assert_eq!(values, [12, 13, 10, 11, 14]);
        assert_eq!(snapshot.positions, [Position::from(5); 3]);
        drop((folds, snapshot));
        assert_eq!(share.used(), 0);
    }
}

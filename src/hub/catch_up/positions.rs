//! Positions in the logs of the partitions that a stream reads.

use super::task::CatchUpTask;
use crate::broker::{Broker, BrokerError, OffsetAt};
use crate::record::{Offset, Partition, Position, TopicPartition};

/// The index of a topic of the stream, a partition, and a position in it.
pub type PartitionPosition = (usize, Partition, Position);

/// Returns the partitions that the stream reads in existing topics, each with the index of its topic.
fn places(task: &CatchUpTask) -> Vec<(usize, TopicPartition)> {
    let selection = task.stream.encoder.cursor.selection();
    (task.stream.topics.iter().enumerate())
        .filter_map(|(topic, known)| Some((topic, known.here()?)))
        .flat_map(|(topic, info)| {
            let selected = info.partitions.iter().map(|p| p.partition).filter(|p| selection.contains(*p));
            selected.map(move |partition| (topic, TopicPartition { topic: info.name.clone(), partition }))
        })
        .collect()
}

/// Looks up the position `at` in each partition that the stream reads.
pub fn positions(task: &CatchUpTask, at: OffsetAt, broker: &dyn Broker) -> Result<Vec<PartitionPosition>, BrokerError> {
    let places = places(task);
    let wanted: Vec<_> = places.iter().map(|(_, place)| (place.clone(), at)).collect();
    let found = broker.positions(&wanted);
    places.into_iter().zip(found).map(|((topic, place), offset)| Ok((topic, place.partition, offset?))).collect()
}

/// Returns the position `count` offsets before the end of each partition, or its start.
pub fn positions_before_end(
    task: &CatchUpTask,
    count: Offset,
    broker: &dyn Broker,
) -> Result<Vec<PartitionPosition>, BrokerError> {
    // Retention may move the start past the position, which is then the start.
    let (starts, ends) = (positions(task, OffsetAt::Earliest, broker)?, positions(task, OffsetAt::Latest, broker)?);
    let before = |(start, end): (PartitionPosition, PartitionPosition)| {
        let (topic, partition, Position { next, .. }) = end;
        (topic, partition, Position::from(start.2.next.max(next.saturating_sub(count))))
    };
    Ok(starts.into_iter().zip(ends).map(before).collect())
}

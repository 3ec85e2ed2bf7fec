//! The positions that a reader fetches, by the leader that serves them.

use crate::broker::{BrokerError, FetchPosition, NodeId, Staleness, TopicInfo};
use crate::record::{Partition, Position, TopicPartition};
use std::collections::BTreeMap;

/// The positions to fetch from each leader.
pub type PositionsByLeader = BTreeMap<NodeId, Vec<FetchPosition>>;

/// Groups positions by leader. Returns an error if a partition has no leader, or is missing in the metadata.
pub fn by_leader<'t>(
    positions: impl IntoIterator<Item = (&'t TopicInfo, Partition, Position)>,
) -> Result<PositionsByLeader, BrokerError> {
    let mut by_leader = PositionsByLeader::new();
    for (topic, partition, at) in positions {
        let (leader, position) = fetch_position(topic, partition, at)?;
        by_leader.entry(leader).or_default().push(position);
    }
    Ok(by_leader)
}

/// Returns the leader of a partition, and the position to fetch from it.
pub fn fetch_position(
    topic: &TopicInfo,
    partition: Partition,
    at: Position,
) -> Result<(NodeId, FetchPosition), BrokerError> {
    let info = usize::try_from(partition).ok().and_then(|index| topic.partitions.get(index));
    let leader = info.and_then(|info| Some((info.leader?, info.leader_epoch)));
    let without = || Staleness::NoLeader(TopicPartition { topic: topic.name.clone(), partition });
    let (leader, leader_epoch) = leader.ok_or_else(without)?;
    let position = FetchPosition {
        topic: topic.name.clone(),
        topic_id: topic.id,
        partition,
        offset: at.next,
        leader_epoch,
        last_epoch: at.epoch,
    };
    Ok((leader, position))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::broker::PartitionInfo;
    use crate::record::TopicName;

    #[test]
    fn positions_are_grouped_by_leader_and_a_partition_without_one_is_an_error() {
        let leaders = [Some(7), Some(8), Some(7), None];
        let info = |(partition, leader)| PartitionInfo { partition, leader, leader_epoch: 10 + partition };
        let partitions = (0..).zip(leaders).map(info).collect();
        let topic = TopicInfo { name: TopicName::new("t").unwrap(), id: None, partitions };
        let at = |partition: Partition| (&topic, partition, Position { next: 5, epoch: 3 });
        let found = by_leader([2, 1, 0].map(at)).unwrap();
        let place = |position: &FetchPosition| (position.partition, position.leader_epoch, position.offset);
        let found: Vec<_> = found.iter().map(|(leader, of)| (*leader, of.iter().map(place).collect())).collect();
        assert_eq!(found, [(7, vec![(2, 12, 5), (0, 10, 5)]), (8, vec![(1, 11, 5)])]);
        for partition in [3, 4, -1] {
            let error = by_leader([at(0), at(partition)]).unwrap_err();
            assert!(matches!(error, BrokerError::StaleMetadata(Staleness::NoLeader(_))), "{partition}: {error:?}");
        }
    }
}

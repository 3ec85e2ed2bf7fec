//! The work of a computation in pieces, each of which takes one turn of a thread.

use super::plan::LogBlock;
use crate::broker::{BrokerError, FetchPosition, NodeId, Staleness, TopicInfo};
use crate::hub::subscription::Filter;
use crate::record::{NO_EPOCH, Offset, Partition, Position, Timestamp, TopicName, TopicPartition};
use crate::series::{SeriesQuery, SeriesTable};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the topic is looked up while it is followed.
pub const METADATA_AGE: Duration = Duration::from_secs(5);

/// One piece of work.
pub struct SeriesTask {
    /// The generation of the computation that it belongs to.
    pub generation: u32,
    pub name: TopicName,
    pub query: Arc<SeriesQuery>,
    pub filter: Arc<Filter>,
    /// The steps whose readings count.
    pub steps: Range<i64>,
    pub kind: TaskKind,
}

pub enum TaskKind {
    /// Look up the topic, and where its partitions end, now or at a time.
    Open { end: Option<Timestamp> },
    /// Look up the offsets of a time.
    LookUp { at: Timestamp, partitions: usize },
    /// Read a block.
    Read { block: LogBlock, topic: TopicInfo },
    /// Read what was written since.
    Follow(Box<FollowPass>),
}

/// Reads every partition to the end that it had when the pass started.
#[derive(Clone)]
pub struct FollowPass {
    /// When the pass started, by the clocks of this process and of the machine.
    pub started: (Instant, Timestamp),
    pub topic: TopicInfo,
    /// When the topic was looked up.
    pub looked_up: Instant,
    /// Where each partition is read next.
    pub positions: Vec<Position>,
    /// The ends; `None` until they are looked up.
    pub ends: Option<Vec<Offset>>,
}

impl FollowPass {
    /// The partitions that were not read to their end, and where they are read next.
    pub fn behind(&self) -> impl Iterator<Item = (Partition, Position)> {
        let places = self.positions.iter().zip(self.ends.iter().flatten()).zip(0..);
        places
            .filter(|((position, end), _)| position.next < **end)
            .map(|((position, _), partition)| (partition, *position))
    }

    pub fn is_complete(&self) -> bool {
        self.ends.is_some() && self.behind().next().is_none()
    }
}

/// What came of a task.
pub enum TaskOutcome {
    Opened {
        topic: TopicInfo,
        ends: Vec<Position>,
        started: (Instant, Timestamp),
    },
    LookedUp {
        at: Timestamp,
        offsets: Vec<Offset>,
    },
    /// `block.next` is where reading continues.
    Read {
        block: LogBlock,
        tables: Vec<SeriesTable>,
        result: Result<(), BrokerError>,
    },
    /// The positions of `pass` are where reading continues.
    Followed {
        pass: Box<FollowPass>,
        tables: Vec<SeriesTable>,
        result: Result<(), BrokerError>,
    },
    Failed(BrokerError),
}

/// What to fetch of a partition, and from which broker.
pub fn position_of(
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

/// A position in the past, where the leader epochs are not known.
pub fn without_epoch(next: Offset) -> Position {
    Position { next, epoch: NO_EPOCH }
}

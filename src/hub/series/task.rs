//! The tasks of a computation, each of which takes one turn of a thread.

use super::plan::LogBlock;
use crate::broker::{BrokerError, TopicInfo};
use crate::hub::subscription::Filter;
use crate::record::{NO_EPOCH, Offset, Partition, Position, Timestamp, TopicName};
use crate::series::{SeriesQuery, SeriesTable, StateNames};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval between look-ups of a topic that is followed.
pub const METADATA_AGE: Duration = Duration::from_secs(5);

/// One piece of work.
pub struct SeriesTask {
    /// The generation of the computation.
    pub generation: u32,
    /// The topic.
    pub name: TopicName,
    /// The definition of the series.
    pub query: Arc<SeriesQuery>,
    /// The filter that records must match.
    pub filter: Arc<Filter>,
    /// The names of states, shared by all tasks of the generation.
    pub states: Arc<StateNames>,
    /// The steps whose readings are kept.
    pub steps: Range<i64>,
    /// The work.
    pub kind: TaskKind,
}

/// The work of a task.
pub enum TaskKind {
    /// Look up the topic, and the end offsets of its partitions: the current ones, or those at the time `end`.
    Open { end: Option<Timestamp> },
    /// Look up the offset of the time `at` in each partition.
    LookUp { at: Timestamp, partitions: usize },
    /// Read a block.
    Read { block: LogBlock, topic: TopicInfo },
    /// Read the records that were written since the last pass.
    Follow(Box<FollowPass>),
}

/// A pass that reads every partition up to the end that it had when the pass started.
#[derive(Clone)]
pub struct FollowPass {
    /// The start of the pass, by the monotonic and by the system clock.
    pub started: (Instant, Timestamp),
    /// The topic, as it was at the last look-up.
    pub topic: TopicInfo,
    /// The time of the last look-up of the topic.
    pub looked_up: Instant,
    /// The next position of each partition.
    pub positions: Vec<Position>,
    /// The end offset of each partition. `None` until they are looked up.
    pub ends: Option<Vec<Offset>>,
}

impl FollowPass {
    /// Returns the partitions that have not been read to their end, with their next positions.
    pub fn behind(&self) -> impl Iterator<Item = (Partition, Position)> {
        let places = self.positions.iter().zip(self.ends.iter().flatten()).zip(0..);
        places
            .filter(|((position, end), _)| position.next < **end)
            .map(|((position, _), partition)| (partition, *position))
    }

    /// Whether every partition has been read to its end.
    pub fn is_complete(&self) -> bool {
        self.ends.is_some() && self.behind().next().is_none()
    }
}

/// The result of a task.
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
    /// Reading continues at `block.next`.
    Read {
        block: LogBlock,
        tables: Vec<SeriesTable>,
        result: Result<(), BrokerError>,
    },
    /// Reading continues at the positions of `pass`.
    Followed {
        pass: Box<FollowPass>,
        tables: Vec<SeriesTable>,
        result: Result<(), BrokerError>,
    },
    Failed(BrokerError),
}

/// Returns a position without a leader epoch, because the epoch of an old record is unknown.
pub fn without_epoch(next: Offset) -> Position {
    Position { next, epoch: NO_EPOCH }
}

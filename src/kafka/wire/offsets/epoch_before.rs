//! The leader epoch of the record before a position.
//!
//! ListOffsets returns a different epoch. At the log end it returns the current leader epoch, in which no record may have
//! been written yet; for a timestamp, the epoch of the record at that position. A cursor with that epoch would refer to a
//! record that no log has, and would be reported as truncated after the next election.

use super::{OffsetQuery, PATIENCE};
use crate::broker::{BrokerError, FetchPosition, NodeId, Remedy};
use crate::kafka::wire::fetch::epochs::{VERSION, end_of, request};
use crate::kafka::wire::pool::ConnectionPool;
use crate::record::{Epoch, NO_EPOCH, Offset, Position};

/// The maximum number of steps from the returned epoch back to the epoch of the record before the position. Usually 0
/// or 1 suffices, unless a transaction stays open across elections. If more are needed, the epoch stays unknown.
const MAX_STEPS: usize = 8;

/// Replaces the epoch of each position found for this group by that of the record before it, by requesting the ends of
/// earlier epochs.
pub fn find_epochs(pool: &ConnectionPool, leader: NodeId, queries: &mut [OffsetQuery<'_>], group: Vec<usize>) {
    let mut open = group;
    for _ in 0..MAX_STEPS {
        let positions: Vec<(usize, FetchPosition)> =
            open.iter().filter_map(|index| Some((*index, queries.get(*index)?.epoch_before()?))).collect();
        if positions.is_empty() {
            return;
        }
        let requested: Vec<&FetchPosition> = positions.iter().map(|(_, position)| position).collect();
        let response = pool.call(leader, VERSION, |_| request(&requested), PATIENCE);
        open.clear();
        for (index, position) in &positions {
            let Some(query) = queries.get_mut(*index) else { continue };
            let end = response.as_ref().map_err(Clone::clone).and_then(|response| end_of(response, position));
            if query.narrow(end) == Narrowing::Continue {
                open.push(*index);
            }
        }
    }
    for index in open {
        if let Some(Ok(position)) = queries.get_mut(index).and_then(|query| query.result.as_mut())
            && position.epoch > 0
        {
            position.epoch = NO_EPOCH;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Narrowing {
    Done,
    Continue,
}

impl OffsetQuery<'_> {
    /// The request for the epoch before the current one, if there can be one.
    fn epoch_before(&self) -> Option<FetchPosition> {
        let Some(Ok(Position { next, epoch })) = self.result else { return None };
        (epoch > 0).then(|| FetchPosition {
            topic: self.topic_partition.topic.clone(),
            topic_id: None,
            partition: self.topic_partition.partition,
            offset: next,
            leader_epoch: self.leader_epoch,
            last_epoch: epoch - 1,
        })
    }

    /// Applies `end`: the largest epoch before the current one, and its end offset.
    fn narrow(&mut self, end: Result<(Epoch, Offset), BrokerError>) -> Narrowing {
        let Some(Ok(position)) = &mut self.result else { return Narrowing::Done };
        match end {
            Ok((before, end)) if before >= 0 && end >= position.next => {
                position.epoch = before.min(position.epoch - 1);
                return Narrowing::Continue;
            }
            Ok((_, end)) if (0..position.next).contains(&end) => {}
            Err(error) if error.remedy() != Remedy::GiveUp => (self.result, self.last_error) = (None, Some(error)),
            // The broker keeps no epochs of the log, or access rules deny the request.
            Ok(_) | Err(_) => position.epoch = NO_EPOCH,
        }
        Narrowing::Done
    }
}

//! The leader epoch of the record before a position.
//!
//! ListOffsets returns another one: for the end of a log that of its leader, under which nothing may be written yet, and
//! for a time that of the record at the position. A cursor with such an epoch would claim a record that no log has, and be
//! told of a truncation after the next election.

use super::{OffsetQuery, PATIENCE};
use crate::broker::{BrokerError, FetchPosition, NodeId, Remedy};
use crate::kafka::wire::fetch::epochs::{VERSION, end_of, request};
use crate::kafka::wire::pool::ConnectionPool;
use crate::record::{Epoch, NO_EPOCH, Offset, Position};

/// Epochs that may lie between the one returned and the one of the record before, which is 0 or 1 but for transactions
/// that stay open over elections. Behind more of them nothing is claimed.
const MOST: usize = 8;

/// Sets the epochs of the positions that were found for this group, each by asking where the epochs before it end.
pub fn find_epochs(pool: &ConnectionPool, leader: NodeId, questions: &mut [OffsetQuery<'_>], group: Vec<usize>) {
    let mut open = group;
    for _ in 0..MOST {
        let wants: Vec<(usize, FetchPosition)> =
            open.iter().filter_map(|index| Some((*index, questions.get(*index)?.epoch_before()?))).collect();
        if wants.is_empty() {
            return;
        }
        let asked: Vec<&FetchPosition> = wants.iter().map(|(_, want)| want).collect();
        let answer = pool.call(leader, VERSION, |_| request(&asked), PATIENCE);
        open.clear();
        for (index, want) in &wants {
            let Some(question) = questions.get_mut(*index) else { continue };
            let end = answer.as_ref().map_err(Clone::clone).and_then(|answer| end_of(answer, want));
            if question.narrow(end) == Narrowed::GoOn {
                open.push(*index);
            }
        }
    }
    for index in open {
        if let Some(Ok(place)) = questions.get_mut(index).and_then(|question| question.result.as_mut())
            && place.epoch > 0
        {
            place.epoch = NO_EPOCH;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Narrowed {
    Known,
    GoOn,
}

impl OffsetQuery<'_> {
    /// Asks for the epoch before the one that was found, where there can be one.
    fn epoch_before(&self) -> Option<FetchPosition> {
        let Some(Ok(Position { next, epoch })) = self.result else { return None };
        (epoch > 0).then(|| FetchPosition {
            topic: self.place.topic.clone(),
            topic_id: None,
            partition: self.place.partition,
            offset: next,
            leader_epoch: self.leader_epoch,
            last_epoch: epoch - 1,
        })
    }

    /// `end`: the largest of the epochs before the one that was found, and where it ends.
    fn narrow(&mut self, end: Result<(Epoch, Offset), BrokerError>) -> Narrowed {
        let Some(Ok(place)) = &mut self.result else { return Narrowed::Known };
        match end {
            Ok((before, end)) if before >= 0 && end >= place.next => {
                place.epoch = before.min(place.epoch - 1);
                return Narrowed::GoOn;
            }
            Ok((_, end)) if (0..place.next).contains(&end) => {}
            Err(error) if error.remedy() != Remedy::GiveUp => (self.result, self.trouble) = (None, Some(error)),
            // The broker keeps no epochs of the log, or may not be asked.
            Ok(_) | Err(_) => place.epoch = NO_EPOCH,
        }
        Narrowed::Known
    }
}

//! Checks whether a stream has reached its end.

use super::Encoder;
use crate::record::{Offset, Partition};
use std::collections::HashMap;

impl Encoder {
    /// Whether everything that was requested has been delivered: a number of records, or every partition up to its end.
    pub fn is_finished(&self) -> bool {
        let at_ends = |ends: &HashMap<_, _>| ends.keys().all(|(topic, partition)| self.has_ended(*topic, *partition));
        self.bounds.remaining == Some(0) || self.bounds.ends.as_ref().is_some_and(at_ends)
    }

    /// Whether this stream gets no more records of a partition.
    pub fn has_ended(&self, topic: usize, partition: Partition) -> bool {
        self.is_at_end(topic, partition) && !self.bounds.unconfirmed.contains(&(topic, partition))
    }

    /// Makes the stream wait for a fetch to confirm each end that the cursor has reached already.
    pub fn confirm_ends(&mut self) {
        let until = self.bounds.until.as_ref().map(|until| &until.reached);
        let ends = self.bounds.ends.iter().chain(until).flatten().map(|(place, _)| *place);
        let reached = ends.filter(|(topic, partition)| self.is_at_end(*topic, *partition));
        self.bounds.unconfirmed = reached.collect();
    }

    fn is_at_end(&self, topic: usize, partition: Partition) -> bool {
        self.cursor.next(topic, partition).is_none_or(|next| next >= self.end_of(topic, partition))
    }

    pub(super) fn end_of(&self, topic: usize, partition: Partition) -> Offset {
        match (&self.bounds.ends, &self.bounds.until) {
            (Some(ends), _) => ends.get(&(topic, partition)).copied().unwrap_or(0),
            (None, Some(until)) => until.reached.get(&(topic, partition)).copied().unwrap_or(Offset::MAX),
            (None, None) => Offset::MAX,
        }
    }

    /// Whether every partition has reached the time at which the stream ends, and has ended.
    pub fn has_reached_its_time(&self) -> bool {
        let has_ended = |topic| {
            let mut partitions = self.cursor.offsets(topic).peekable();
            partitions.peek().is_some() && partitions.all(|(partition, _)| self.has_ended(topic, partition))
        };
        self.bounds.until.is_some() && (0..self.cursor.topics().len()).all(has_ended)
    }
}

//! Waits for the next record of a partition without occupying a thread or a connection to the broker: the wait is a live
//! stream whose frames only signal that there is something to read.

use crate::broker::BrokerError;
use crate::cursor::{Cursor, Selection};
use crate::hub::{ClientTag, Filter, Format, Gap, Hub, Mailbox, Missing, Rejected, Start, Subscription, Until};
use crate::record::{Offset, Partition, RecordRef, TopicName, TopicPartition};
use std::future::poll_fn;
use std::sync::Arc;

/// A subscription to one partition. Records that arrive between `of` and `wait` are not missed.
pub struct Arrival(Mailbox);

impl Arrival {
    /// Subscribes from `offset`, the current end of the log. An error of the broker, a gap and the end of the topic end the
    /// wait as well: the next read finds the cause.
    pub fn of(hub: &Hub, client: ClientTag, partition: &TopicPartition, offset: Offset) -> Result<Self, Rejected> {
        let topics = vec![partition.topic.clone()];
        let selection = Selection::of(vec![partition.partition]);
        let start_offsets = vec![(partition.topic.clone(), partition.partition, offset)];
        let start = Cursor::at(start_offsets, topics.clone(), selection.clone()).map_or(Start::Latest, Start::End);
        let subscription = Subscription {
            topics,
            selection,
            start,
            filter: Filter::default(),
            missing: Missing::Refuse,
            until: Until::Forever,
            limit: None,
            format: Arc::new(Signal),
        };
        Ok(Self(hub.subscribe_for(client, subscription)?))
    }

    pub async fn wait(mut self) {
        drop(poll_fn(|cx| self.0.poll_next(cx)).await);
    }
}

/// The format of the stream: one byte for each event that ends the wait.
struct Signal;

const SIGNAL: u8 = b'\n';

impl Format for Signal {
    fn name(&self) -> &str {
        "arrival"
    }

    fn uses_ids(&self) -> bool {
        false
    }

    fn record(&self, out: &mut Vec<u8>, _: &TopicName, _: Partition, _: &RecordRef<'_>, _: &str) {
        out.push(SIGNAL);
    }

    fn bound(&self, _: &RecordRef<'_>) -> usize {
        1
    }

    fn checkpoint(&self, _: &mut Vec<u8>, _: &str) {}

    fn gap(&self, out: &mut Vec<u8>, _: &Gap, _: &str) {
        out.push(SIGNAL);
    }

    fn problem(&self, out: &mut Vec<u8>, _: &BrokerError) {
        out.push(SIGNAL);
    }
}

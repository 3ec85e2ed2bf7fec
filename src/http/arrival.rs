//! Waiting for the next record of a partition, without a thread and without a connection to the broker: as one more
//! stream of the live flow, whose frames only say that there is something to read.

use crate::broker::BrokerError;
use crate::cursor::{Cursor, Selection};
use crate::hub::{ClientTag, Filter, Format, Gap, Hub, Mailbox, Missing, Rejected, Start, Subscription, Until};
use crate::record::{Offset, Partition, RecordRef, TopicName, TopicPartition};
use std::future::poll_fn;
use std::sync::Arc;

/// Opened first, then awaited: records that come in between are not missed.
pub struct Arrival(Mailbox);

impl Arrival {
    /// Of a record at `offset`, where the log has just ended, or after it. An error of the broker, a gap or the end of the topic count as well: the
    /// read that follows finds out which.
    pub fn of(hub: &Hub, client: ClientTag, place: &TopicPartition, offset: Offset) -> Result<Self, Rejected> {
        let topics = vec![place.topic.clone()];
        let selection = Selection::of(vec![place.partition]);
        let places = vec![(place.topic.clone(), place.partition, offset)];
        let start = Cursor::at(places, topics.clone(), selection.clone()).map_or(Start::Latest, Start::End);
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

/// A byte for everything that ends the wait.
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

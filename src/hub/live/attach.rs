//! Adds a new feed to the tails of its topics.

use super::feed::Feed;
use super::tail::{Tail, TailPartition};
use crate::cursor::{Cursor, IdTag};
use crate::hub::stream::state::TopicState;
use crate::record::{Position, TopicName};
use std::sync::Arc;

/// Creates the tail of a topic that no feed reads yet. Its partitions get their positions from the first feed.
pub fn new_tail(name: TopicName, topic: &TopicState) -> Tail {
    match topic {
        TopicState::Here(info) => Tail::new(name, info.id, info.partitions.iter().map(TailPartition::unread).collect()),
        TopicState::Unknown | TopicState::Missing | TopicState::Away(_) => Tail::new(name, None, Vec::new()),
    }
}

/// Adds a feed to a tail, and moves the feed's cursor to the position of the tail. Both happen under one lock, so no batch is
/// delivered in between. A partition that no feed reads yet starts at the position of the cursor.
pub fn attach(feed: &Arc<Feed>, cursor: &mut Cursor, topic: usize, tail: &Tail) {
    let mut state = tail.state();
    let feed_cursor = cursor.clone();
    cursor.set_id(topic, IdTag::of(state.id));
    cursor.clear(topic);
    while let Some(number) = cursor.next_partition(topic)
        && let Some(partition) = state.partition(number)
    {
        let start = feed_cursor.position(topic, number).unwrap_or(Position::from(0));
        if partition.position.is_none() {
            (partition.position, partition.epoch) = (Some(start.next), start.epoch);
        }
        cursor.add_position(topic, Position { next: partition.position.unwrap_or(start.next), epoch: partition.epoch });
    }
    state.feeds.push(feed.clone());
}

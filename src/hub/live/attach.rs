//! How a feed begins to read its topics.

use super::feed::Feed;
use super::tail::{Tail, TailPartition};
use crate::cursor::{Cursor, IdTag};
use crate::hub::catch_up::task::TopicState;
use crate::record::{Position, TopicName};
use std::sync::Arc;

/// A tail that nobody reads yet. Its partitions get a position with the first feed that wants them.
pub fn new_tail(name: TopicName, topic: &TopicState) -> Tail {
    match topic {
        TopicState::Here(info) => Tail::new(name, info.id, info.partitions.iter().map(TailPartition::unread).collect()),
        TopicState::NotYet | TopicState::Missing | TopicState::Away(_) => Tail::new(name, None, Vec::new()),
    }
}

/// Gives a topic's batches to the feed from now on, and moves the feed's places to where the tail is: in one step,
/// so that no batch comes between. Partitions that nobody reads yet will be read from the cursor's place on.
pub fn attach(feed: &Arc<Feed>, cursor: &mut Cursor, topic: usize, tail: &Tail) {
    let mut state = tail.state();
    let own = cursor.clone();
    cursor.set_id(topic, IdTag::of(state.id));
    cursor.clear(topic);
    while let Some(partition) = cursor.next_partition(topic)
        && let Some(place) = state.partition(partition)
    {
        let wanted = own.position(topic, partition).unwrap_or(Position::from(0));
        if place.position.is_none() {
            (place.position, place.epoch) = (Some(wanted.next), wanted.epoch);
        }
        cursor.add_position(topic, Position { next: place.position.unwrap_or(wanted.next), epoch: place.epoch });
    }
    state.feeds.push(feed.clone());
}

//! Handles topics that are missing. They may have been deleted, or be in the middle of being recreated.
//!
//! Streams keep their positions in a missing topic for a while. If the topic returns with the same id, because a broker did
//! not know it yet, they continue there. If it returns with another id, they report a gap. After `topic_patience` the positions
//! are discarded, and streams without another topic end.

use super::feed::Feed;
use super::registry::Live;
use super::tail::{Tail, TailState};
use crate::broker::BrokerError;
use crate::cursor::IdTag;
use crate::hub::subscription::Missing;
use crate::sync::lock;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Live {
    /// Tells the streams of a topic that it is missing. They continue with their other topics.
    pub fn wait_for(&self, tail: &Tail) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            state.away_since = Some(Instant::now());
            // Stops the fetches. The leaders are set again when the topic is back.
            state.partitions.iter_mut().for_each(|partition| partition.leader = None);
            state.feeds.clone()
        };
        feeds.iter().for_each(|feed| feed.waits_for(&tail.name));
    }

    /// Discards the positions in a topic that has been missing for too long, and ends streams without another topic.
    pub fn give_up(&self, tail: &Tail, error: &BrokerError) {
        let feeds = {
            let _in_order = lock(&tail.dispatch);
            let mut state = tail.state();
            (state.id, state.away_since, state.misses) = (None, None, 0);
            state.partitions.clear();
            let feeds = state.feeds.clone();
            drop(state);
            feeds.iter().for_each(|feed| feed.recreated(&tail.name, IdTag::default(), 0));
            feeds
        };
        let is_refused = |feed: &&Arc<Feed>| feed.key.missing == Missing::Refuse && self.has_no_partitions(feed);
        feeds.iter().filter(is_refused).for_each(|feed| feed.fail(error));
    }

    fn has_no_partitions(&self, feed: &Feed) -> bool {
        let tails = lock(&self.registry).tails_of(&feed.key);
        tails.into_iter().flatten().all(|tail| tail.state().partitions.is_empty())
    }
}

impl TailState {
    /// Whether the topic existed before, and has been missing for at least `patience`.
    pub fn is_away_for(&self, patience: Duration) -> bool {
        self.away_since.is_some_and(|since| since.elapsed() >= patience)
    }
}

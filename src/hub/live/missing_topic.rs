//! Topics that are gone, perhaps only for a moment: deleted, and maybe about to be recreated.
//!
//! The streams of a topic that was there keep their places in it for a while. A topic that comes back under its own id
//! (a broker that did not know it yet) goes on there; another one of its name is a gap. When the while is over, the
//! places are given up, and a stream that has no other topic ends.

use super::feed::Feed;
use super::registry::Live;
use super::tail::{Tail, TailState};
use crate::broker::BrokerError;
use crate::cursor::IdTag;
use crate::hub::lock;
use crate::hub::subscription::Missing;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Live {
    /// The topic is not there. Its streams are told, and read their other topics.
    pub fn wait_for(&self, tail: &Tail) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            state.away_since = Some(Instant::now());
            // Nobody is asked for its records; the leaders are set again when it is back.
            state.partitions.iter_mut().for_each(|place| place.leader = None);
            state.feeds.clone()
        };
        feeds.iter().for_each(|feed| feed.waits_for(&tail.name));
    }

    /// The topic has been away for too long: its places are given up, and streams that have no other topic end.
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
        let is_empty = |feed: &Arc<Feed>| feed.tails.iter().all(|tail| tail.state().partitions.is_empty());
        let ends = feeds.iter().filter(|feed| feed.key.missing == Missing::Refuse && is_empty(feed));
        ends.for_each(|feed| feed.fail(error));
    }
}

impl TailState {
    pub fn is_away_for(&self, patience: Duration) -> bool {
        self.away_since.is_some_and(|since| since.elapsed() >= patience)
    }
}

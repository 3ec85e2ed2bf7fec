//! Sends the records that sampled feeds have held back for too long, because no later record has ended the interval.

use super::registry::Live;
use crate::sync::lock;
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, after, never, select};
use std::sync::Arc;
use std::time::Duration;

/// Shortest and longest pause between two checks of the feeds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub struct SampleClock {
    pub live: Arc<Live>,
    /// Closed when the hub shuts down.
    pub ended: Receiver<()>,
}

impl SampleClock {
    pub fn run(&self) {
        while !self.live.is_closing() {
            let pause = self.send_overdue().map_or_else(never, after);
            select! {
                recv(self.live.sampled_feeds) -> _ => {}
                recv(self.ended) -> _ => return,
                recv(pause) -> _ => {}
            }
        }
    }

    /// Sends the overdue records of sampled feeds. Returns the pause before the next check, or `None` if there is no
    /// sampled feed.
    fn send_overdue(&self) -> Option<Duration> {
        let _busy = watchdog::busy();
        let feeds: Vec<_> =
            lock(&self.live.registry).feeds.values().filter(|feed| feed.key.filter.sample.is_some()).cloned().collect();
        feeds.iter().for_each(|feed| feed.send_overdue());
        let shortest = feeds.iter().filter_map(|feed| feed.key.filter.sample).min()?;
        Some((shortest / 8).clamp(PAUSES.0, PAUSES.1))
    }
}

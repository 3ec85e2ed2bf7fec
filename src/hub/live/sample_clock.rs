//! Sends the records that sampled feeds have held back for too long, because no later record has ended the interval.

use super::feed::Feed;
use super::registry::Live;
use crate::hub::stream::chunk_budget::{CHUNK, ChunkSize, SMALL};
use crate::hub::stream::encoder::{EncodeLimits, Flow};
use crate::hub::stream::time_budget::TimeBudget;
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

impl Feed {
    /// Sends the records that have been held back for longer than an interval.
    fn send_overdue(&self) {
        let mut state = self.state();
        if state.members.is_empty() {
            state.last_join = None;
            return state.encoder.forget_held();
        }
        for place in state.encoder.overdue_places() {
            loop {
                self.evict_full(&mut state);
                if state.members.is_empty() {
                    state.last_join = None;
                    return state.encoder.forget_held();
                }
                let most = if self.chunk_size(&mut state) == ChunkSize::Ahead { CHUNK } else { SMALL };
                let (mut out, mut memory) = (Vec::new(), self.settings.chunk_budget.empty_reservation());
                let budget = TimeBudget::new(Duration::MAX);
                let mut limits = EncodeLimits { most, budget: &budget, memory: &mut memory };
                let flow = state.encoder.write_overdue(&mut out, place, &mut limits);
                if out.is_empty() {
                    if matches!(flow, Flow::Short(_)) {
                        self.evict(&mut state, |_| true);
                    }
                    break;
                }
                state.last_join = None;
                self.send(&mut state, self.settings.chunk_budget.hold_paid(out, memory));
                if flow == Flow::Finished {
                    return state.complete();
                }
            }
        }
    }
}

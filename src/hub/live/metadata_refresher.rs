//! Refreshes the metadata of live topics: leaders, new partitions, recreated and deleted topics. Owns the fetch threads.

use super::fetch_loop::LeaderFetcher;
use super::registry::{Live, Wakeup};
use super::tail::{Tail, TailState};
use crate::broker::{Broker, BrokerError, NodeId, TopicInfo};
use crate::cursor::IdTag;
use crate::hub::counts::RequestKind;
use crate::hub::stream::encoder::CHECKPOINT_INTERVAL;
use crate::sync::backoff::Backoff;
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, at, select};
use log::{debug, error, info, warn};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of consecutive look-ups that must fail to find a topic before it counts as missing.
const MISSES: u32 = 2;

/// Interval between look-ups while streams wait for a topic.
const WAITING_REFRESH: Duration = Duration::from_secs(1);

/// The work of the `metadata` thread.
pub struct MetadataRefresher {
    /// The live flow.
    pub live: Arc<Live>,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Interval between look-ups.
    pub refresh: Duration,
    /// How long streams wait for a deleted topic to reappear.
    pub topic_patience: Duration,
    /// Maximum size of a live fetch, in bytes.
    pub max_bytes: usize,
    /// Called whenever the live flow drops unused feeds.
    pub on_tidy: Box<dyn Fn() + Send>,
    /// Closed when the hub shuts down.
    pub ended: Receiver<()>,
}

impl MetadataRefresher {
    /// Runs until the hub shuts down.
    pub fn run(&self) {
        let mut readers = HashMap::new();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut due = Instant::now() + self.refresh;
        let mut tidied = Instant::now();
        while !self.live.is_closing() {
            let busy = watchdog::busy();
            self.assign(&mut readers);
            drop(busy);
            let wakeup = select! {
                recv(self.live.wakeups) -> wakeup => wakeup.ok(),
                recv(self.ended) -> _ => return,
                recv(at(due.min(tidied + CHECKPOINT_INTERVAL))) -> now => now.ok().filter(|now| *now >= due).map(|_| Wakeup::Metadata),
            };
            // Checkpoints are due even if topics are rarely looked up.
            if wakeup == Some(Wakeup::Metadata) || tidied.elapsed() >= CHECKPOINT_INTERVAL {
                self.live.tidy();
                (self.on_tidy)();
                tidied = Instant::now();
            }
            if wakeup != Some(Wakeup::Metadata) {
                due = due.min(Instant::now() + self.interval());
                continue;
            }
            due = Instant::now()
                + match self.look_up() {
                    Ok(()) => {
                        backoff.reset();
                        self.interval()
                    }
                    Err(error) => {
                        debug!("cannot look up topics: {error}");
                        self.live.counts.count_error(RequestKind::Metadata, &error);
                        backoff.pause(fastrand::f64())
                    }
                };
            // Errors occur in groups. One look-up serves all of them.
            if self.ended.recv_timeout(Duration::from_millis(50))
                == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
            {
                return;
            }
        }
    }

    /// Returns the time until the next look-up.
    fn interval(&self) -> Duration {
        let waits = |state: &TailState| state.partitions.is_empty() || state.away_since.is_some();
        let waiting = self.live.tails().iter().any(|tail| waits(&tail.state()));
        if waiting { self.refresh.min(WAITING_REFRESH) } else { self.refresh }
    }

    /// Starts a fetch thread for each leader of a live partition, and tells all threads about new partitions.
    fn assign(&self, readers: &mut HashMap<NodeId, LeaderFetcher>) {
        let tails = self.live.tails();
        let leaders: BTreeSet<_> = tails
            .iter()
            .flat_map(|tail| tail.state().partitions.iter().filter_map(|p| p.leader).collect::<Vec<_>>())
            .collect();
        readers.retain(|leader, reader| {
            let ended = reader.has_ended();
            if ended {
                error!("the thread that fetches from broker {leader} has ended and is restarted; please report this");
            }
            !ended
        });
        for leader in leaders {
            if let std::collections::hash_map::Entry::Vacant(entry) = readers.entry(leader) {
                match LeaderFetcher::start(leader, self.live.clone(), self.broker.clone(), self.max_bytes) {
                    Ok(reader) => drop(entry.insert(reader)),
                    Err(error) => error!("cannot start a thread that fetches from broker {leader}: {error}"),
                }
            }
        }
        readers.iter().for_each(|(leader, reader)| reader.update(&self.live.fetch_positions(*leader)));
    }

    fn look_up(&self) -> Result<(), BrokerError> {
        let _busy = watchdog::busy();
        let tails = self.live.tails();
        if tails.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = tails.iter().map(|tail| tail.name.clone()).collect();
        for (tail, found) in tails.iter().zip(self.broker.topics(&names)?) {
            match found {
                Ok(info) => self.update(tail, &info),
                Err(error @ BrokerError::UnknownTopic(_)) => self.miss(tail, &error),
                Err(error) => info!("cannot look up topic {:?}: {error}", tail.name),
            }
        }
        Ok(())
    }

    fn update(&self, tail: &Tail, found: &TopicInfo) {
        let id = IdTag::of(found.id);
        let recreated = {
            let mut state = tail.state();
            state.misses = 0;
            let old = IdTag::of(state.id);
            // Only the topic id proves that a topic which was missing has not been recreated.
            let is_back = state.away_since.take().is_some() && !(old.is_known() && id.is_known());
            let shrunk = found.partitions.len() < state.partitions.len();
            // Partitions are never removed. Fewer partitions mean that the topic was recreated or, if the id is the same, that
            // the metadata is outdated.
            is_back || old.differs(id) || (shrunk && (old != id || !id.is_known()))
        };
        if recreated {
            warn!("topic {:?} was recreated; its streams restart at its beginning", tail.name);
            self.live.recreate(tail, found);
            return;
        }
        let grown = {
            let mut state = tail.state();
            for (partition, info) in state.partitions.iter_mut().zip(&found.partitions) {
                if (partition.leader, partition.leader_epoch) != (info.leader, info.leader_epoch) {
                    (partition.leader, partition.leader_epoch) = (info.leader, info.leader_epoch);
                    partition.paused_until = None;
                }
            }
            found.partitions.len() > state.partitions.len()
        };
        if grown {
            info!("topic {:?} has {} partitions now", tail.name, found.partitions.len());
            self.live.grow(tail, found);
        }
    }

    fn miss(&self, tail: &Tail, error: &BrokerError) {
        let mut state = tail.state();
        state.misses += 1;
        if state.partitions.is_empty() {
            // Its streams are waiting for it already.
            return;
        }
        let (misses, is_away) = (state.misses, state.away_since.is_some());
        let is_over = state.is_away_for(self.topic_patience);
        drop(state);
        if is_over {
            warn!("topic {:?} is still missing; its streams discard their positions in it", tail.name);
            self.live.give_up(tail, error);
        } else if !is_away && misses >= MISSES {
            warn!("topic {:?} is missing; its streams wait for it", tail.name);
            self.live.wait_for(tail);
        } else if !is_away {
            // The topic may be in the middle of being recreated, so it is looked up again soon.
            self.live.wake_refresher(Wakeup::Metadata);
        }
    }
}

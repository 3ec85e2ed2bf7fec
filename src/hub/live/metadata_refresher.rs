//! Keeps the metadata of live topics fresh: leaders, new partitions, topics that were recreated or deleted. Owns the fetch
//! threads.

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

/// Look-ups in a row that must miss a topic before its live streams wait for it.
const MISSES: u32 = 2;

/// How often a topic that streams wait for is looked up.
const WAITING_REFRESH: Duration = Duration::from_secs(1);

pub struct MetadataRefresher {
    pub live: Arc<Live>,
    pub broker: Arc<dyn Broker>,
    pub refresh: Duration,
    /// How long streams wait for a deleted topic to reappear.
    pub topic_patience: Duration,
    pub max_bytes: usize,
    /// Called whenever the live flow drops what it no longer needs.
    pub on_tidy: Box<dyn Fn() + Send>,
    /// Closed when the hub shuts down.
    pub ended: Receiver<()>,
}

impl MetadataRefresher {
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
            // At least once per interval, however seldom topics are looked up.
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
                        debug!("topics cannot be looked up: {error}");
                        self.live.counts.count_error(RequestKind::Metadata, &error);
                        backoff.pause(fastrand::f64())
                    }
                };
            // Errors come in groups; one look-up serves all of them.
            if self.ended.recv_timeout(Duration::from_millis(50))
                == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
            {
                return;
            }
        }
    }

    fn interval(&self) -> Duration {
        let waits = |state: &TailState| state.partitions.is_empty() || state.away_since.is_some();
        let waiting = self.live.tails().iter().any(|tail| waits(&tail.state()));
        if waiting { self.refresh.min(WAITING_REFRESH) } else { self.refresh }
    }

    /// Starts a fetch thread for each leader of a live partition, and wakes those whose partitions have changed.
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
                Err(error) => info!("topic {:?} cannot be looked up: {error}", tail.name),
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
            // Only its id proves that a topic that was missing is the same one.
            let is_back = state.away_since.take().is_some() && !(old.is_known() && id.is_known());
            let shrunk = found.partitions.len() < state.partitions.len();
            // Partitions are never removed: fewer of them mean another topic, or, under the same id, old metadata.
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
            // Its streams are waiting already.
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
            // A second look-up soon distinguishes a deleted topic from one that is being recreated.
            self.live.wake_refresher(Wakeup::Metadata);
        }
    }
}

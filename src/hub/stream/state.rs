//! What a stream keeps while it changes between catching up and the live flow.

use super::chunk_budget::ChunkBudget;
use super::encoder::Encoder;
use super::feed_key::FeedKey;
use super::mailbox::MailboxSender;
use crate::broker::{FetchPosition, TopicInfo};
use crate::hub::counts::HubCounts;
use crate::record::{NO_EPOCH, Partition, Timestamp};
use crate::sync::memory_budget::Reservation;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// What all streams have in common.
#[derive(Debug)]
pub struct StreamSettings {
    /// Longest id that a client can send back, in bytes.
    pub max_id_bytes: usize,
    /// Pays for chunks that wait for clients.
    pub chunk_budget: ChunkBudget,
    pub counts: Arc<HubCounts>,
    /// How long records from before the `until` of a stream may take to arrive, in milliseconds.
    pub until_delay: Timestamp,
}

impl StreamSettings {
    /// Whether no more records from before this time are expected.
    pub fn is_over(&self, time: Timestamp, now: Timestamp) -> bool {
        time.saturating_add(self.until_delay) <= now
    }
}

/// One stream that has no feed yet, or has left it.
pub struct StreamState {
    pub key: FeedKey,
    pub encoder: Encoder,
    pub sender: MailboxSender,
    pub settings: Arc<StreamSettings>,
    /// In the order of the cursor.
    pub topics: Vec<TopicState>,
    /// Bytes sent since the stream began to catch up.
    pub sent: usize,
    /// Leader epochs under which the leader confirmed the cursor's position though it returned no record: by topic and
    /// partition.
    confirmed: HashMap<(usize, Partition), i32>,
}

/// What a stream knows about one of its topics.
#[derive(Debug, Clone)]
pub enum TopicState {
    /// Not looked up yet.
    Unknown,
    /// It does not exist, and the stream waits for it.
    Missing,
    /// It existed, and is missing since then. The stream keeps its positions in it for a while.
    Away(Instant),
    Here(TopicInfo),
}

impl TopicState {
    pub fn here(&self) -> Option<&TopicInfo> {
        match self {
            Self::Here(info) => Some(info),
            Self::Unknown | Self::Missing | Self::Away(_) => None,
        }
    }
}

/// The CPU cost of one turn of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Light,
    /// The filter has used up the time of a turn. Such streams take turns per client, and never on all threads.
    Heavy,
}

/// Whether other streams take the same turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Alone,
    /// The streams that left the live flow together with this one.
    SameFeed,
}

impl StreamState {
    pub fn new(key: FeedKey, encoder: Encoder, sender: MailboxSender, settings: Arc<StreamSettings>) -> Self {
        let topics = vec![TopicState::Unknown; encoder.cursor.topics().len()];
        Self { key, encoder, sender, settings, topics, sent: 0, confirmed: HashMap::new() }
    }

    /// Sends frames that only this stream gets.
    pub fn send(&mut self, frames: Vec<u8>) {
        self.send_shared(self.settings.chunk_budget.hold(frames));
    }

    /// Sends frames that `memory` was reserved for while they were written.
    pub fn send_paid(&mut self, frames: Vec<u8>, memory: Reservation) {
        self.send_shared(self.settings.chunk_budget.hold_paid(frames, memory));
    }

    /// Sends frames that other streams get as well.
    pub fn send_shared(&mut self, frames: Bytes) {
        self.sent += frames.len();
        if !frames.is_empty() {
            let chunk = self.encoder.chunk(frames);
            self.settings.counts.delivered.add(chunk.records, chunk.bytes.len() as u64);
            self.sender.send(chunk);
        }
    }

    /// Remembers that the leader of this epoch has the record before the wanted offset.
    pub fn confirm(&mut self, topic: usize, position: &FetchPosition) {
        if position.last_epoch != NO_EPOCH {
            self.confirmed.insert((topic, position.partition), position.leader_epoch);
        }
    }

    pub fn is_confirmed(&self, topic: usize, partition: Partition, leader_epoch: i32) -> bool {
        self.confirmed.get(&(topic, partition)) == Some(&leader_epoch)
    }
}

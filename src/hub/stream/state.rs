//! The state of a stream outside the live flow.

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

/// Settings and counters that all streams share.
#[derive(Debug)]
pub struct StreamSettings {
    /// Maximum length of an id, in bytes: clients send it back in a header.
    pub max_id_bytes: usize,
    /// Limits the memory of chunks that wait for clients.
    pub chunk_budget: ChunkBudget,
    /// The counters of the hub.
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

/// A stream that has not joined a feed yet, or has left it.
pub struct StreamState {
    /// The feed that the stream can join.
    pub key: FeedKey,
    /// Writes the frames, and tracks the position.
    pub encoder: Encoder,
    /// Sends the frames to the client.
    pub sender: MailboxSender,
    /// Shared by all streams.
    pub settings: Arc<StreamSettings>,
    /// The states of the topics, in the order of the cursor.
    pub topics: Vec<TopicState>,
    /// Number of bytes sent since the stream began to catch up.
    pub sent: usize,
    /// The leader epoch of the leader that last confirmed the cursor's position without returning a record, by topic and
    /// partition.
    confirmed: HashMap<(usize, Partition), i32>,
}

/// The state of a topic, as a stream knows it.
#[derive(Debug, Clone)]
pub enum TopicState {
    /// Not looked up yet.
    Unknown,
    /// The topic does not exist. The stream waits for it, or reads its other topics.
    Missing,
    /// The topic existed before, and has been missing since this time. The stream keeps its positions in it for a while.
    Away(Instant),
    /// The topic exists.
    Here(TopicInfo),
}

impl TopicState {
    /// Returns the metadata of a topic that exists.
    pub fn here(&self) -> Option<&TopicInfo> {
        match self {
            Self::Here(info) => Some(info),
            Self::Unknown | Self::Missing | Self::Away(_) => None,
        }
    }
}

/// How much CPU time the turns of a stream take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The last turn stayed within its time budget.
    Light,
    /// The filter has used up the time budget of a turn. Such streams run on at most half of the threads.
    Heavy,
}

/// Whether the turns of a stream can serve other streams too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnSharing {
    /// No other stream is at the same position.
    Alone,
    /// Streams of the same feed left the live flow together with this one, so they are at the same position.
    SameFeed,
}

impl StreamState {
    /// Creates the state of a stream whose topics have not been looked up yet.
    pub fn new(key: FeedKey, encoder: Encoder, sender: MailboxSender, settings: Arc<StreamSettings>) -> Self {
        let topics = vec![TopicState::Unknown; encoder.cursor.topics().len()];
        Self { key, encoder, sender, settings, topics, sent: 0, confirmed: HashMap::new() }
    }

    /// Sends frames of this stream alone.
    pub fn send(&mut self, frames: Vec<u8>) {
        self.send_shared(self.settings.chunk_budget.hold(frames));
    }

    /// Like [`send`](Self::send), for frames for which `memory` was reserved while they were written.
    pub fn send_paid(&mut self, frames: Vec<u8>, memory: Reservation) {
        self.send_shared(self.settings.chunk_budget.hold_paid(frames, memory));
    }

    /// Sends frames that other streams get too, and that are charged to the budget already.
    pub fn send_shared(&mut self, frames: Bytes) {
        self.sent += frames.len();
        if !frames.is_empty() {
            let chunk = self.encoder.chunk(frames);
            self.settings.counts.delivered.add(chunk.records, chunk.bytes.len() as u64);
            self.sender.send(chunk);
        }
    }

    /// Marks a position as accepted by the leader of this epoch, which therefore has the record before the offset.
    pub fn confirm(&mut self, topic: usize, position: &FetchPosition) {
        if position.last_epoch != NO_EPOCH {
            self.confirmed.insert((topic, position.partition), position.leader_epoch);
        }
    }

    /// Whether the leader of this epoch has accepted the position in a partition.
    pub fn is_confirmed(&self, topic: usize, partition: Partition, leader_epoch: i32) -> bool {
        self.confirmed.get(&(topic, partition)) == Some(&leader_epoch)
    }
}

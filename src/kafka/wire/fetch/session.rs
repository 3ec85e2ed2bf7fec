//! Incremental fetch sessions (KIP-227): the broker remembers what a reader's long polls ask for, over its connections
//! too, so that a request names only what has changed since the last one, and an answer only what there is to say.

use super::epochs::wire_epoch;
use crate::broker::{FetchLimits, FetchPosition};
use crate::record::{Partition, TopicName};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;
use std::time::Duration;

/// From 7 on there are sessions.
const SESSIONS: i16 = 7;
/// From 13 on topics are named by their ids (KIP-516), which all must be known then.
pub const BY_NAME: i16 = 12;
pub const BY_ID: i16 = 17;
/// From 12 on a log that has diverged from what was read says so (KIP-595).
pub const DIVERGENCE: i16 = 12;
const READ_COMMITTED: i8 = 1;

/// The epoch that asks for a new session, and ends the one that is named.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request without a session.
const FINAL_EPOCH: i32 = -1;

/// What one request asks for, in the words of the protocol.
type SessionPartitions = HashMap<SessionKey, FetchPartition>;
/// As the broker tells places apart: by name or by id, and nil stands for the other. A topic made anew is the same place
/// by name, and must not be forgotten under its old id after it was asked for under its new one.
type SessionKey = (TopicName, uuid::Uuid, Partition);

/// Our side of a session.
#[derive(Debug, Default)]
pub struct FetchSession {
    /// 0: the broker has given none.
    id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the broker remembers.
    known: SessionPartitions,
    /// A broker does not take topics by name and by id in one session.
    version: i16,
}

impl FetchSession {
    /// The next request. A fetch that does not wait is for once, and leaves the session as it is.
    pub fn request(&mut self, positions: &[FetchPosition], limits: FetchLimits, version: i16) -> FetchRequest {
        let request = FetchRequest::default()
            .with_max_wait_ms(millis(self.wait(limits, version)))
            .with_min_bytes(1)
            .with_max_bytes(clamp(limits.max_bytes))
            .with_isolation_level(READ_COMMITTED);
        if version < SESSIONS || limits.wait.is_zero() {
            return request.with_session_epoch(FINAL_EPOCH).with_topics(topics(asked(positions, limits, version)));
        }
        if version != self.version {
            self.lost();
            self.version = version;
        }
        let asked = asked(positions, limits, version);
        let request = request.with_session_id(self.id).with_session_epoch(self.epoch);
        if self.epoch == INITIAL_EPOCH {
            self.known = asked.iter().cloned().collect();
            return request.with_topics(topics(asked));
        }
        let now: SessionPartitions = asked.iter().cloned().collect();
        let gone = self.known.keys().filter(|place| !now.contains_key(*place)).cloned().collect();
        let changed = asked.into_iter().filter(|(place, ask)| self.known.get(place) != Some(ask)).collect();
        self.known = now;
        request.with_topics(topics(changed)).with_forgotten_topics_data(forgotten(gone))
    }

    /// Takes note of an answer to a request of this session. `Forgotten`: the broker has lost the session, and the
    /// same must be asked in a new one.
    pub fn answered(&mut self, answer: &FetchResponse, limits: FetchLimits) -> SessionResult {
        if self.version < SESSIONS || limits.wait.is_zero() {
            return SessionResult::Valid;
        }
        let forgotten = [
            ResponseError::FetchSessionIdNotFound,
            ResponseError::InvalidFetchSessionEpoch,
            ResponseError::FetchSessionTopicIdError,
        ];
        if forgotten.iter().any(|error| error.code() == answer.error_code) {
            let began = self.epoch == INITIAL_EPOCH;
            self.lost();
            // A broker that refuses to begin one would do so again.
            return if began { SessionResult::Valid } else { SessionResult::Forgotten };
        }
        if answer.error_code != 0 || answer.session_id == 0 {
            // The broker has no place for another session: it may have one the next time.
            self.lost();
            self.id = 0;
            return SessionResult::Valid;
        }
        self.id = answer.session_id;
        // Epochs go round to the first after the one that begins a session.
        self.epoch = self.epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        SessionResult::Valid
    }

    /// A request that begins a session does not wait where the broker has given one before: cut off while it waited, it
    /// would leave a session that nobody knows of.
    fn wait(&self, limits: FetchLimits, version: i16) -> Duration {
        let begins = version >= SESSIONS && (self.epoch == INITIAL_EPOCH || version != self.version);
        if begins && self.id != 0 { Duration::ZERO } else { limits.wait }
    }

    /// An answer did not come, so nobody knows what the broker remembers. The next request begins a new session; it
    /// names the old one, which the broker then forgets.
    pub fn lost(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.known = SessionPartitions::new();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionResult {
    Valid,
    Forgotten,
}

fn asked(positions: &[FetchPosition], limits: FetchLimits, version: i16) -> Vec<(SessionKey, FetchPartition)> {
    let ask = |position: &FetchPosition| {
        FetchPartition::default()
            .with_partition(position.partition)
            .with_current_leader_epoch(position.leader_epoch)
            .with_fetch_offset(position.offset)
            .with_last_fetched_epoch(if version >= DIVERGENCE { wire_epoch(position.last_epoch) } else { -1 })
            .with_partition_max_bytes(clamp(limits.partition_max_bytes))
    };
    let id = |position: &FetchPosition| {
        if version > BY_NAME { position.topic_id.unwrap_or_default() } else { uuid::Uuid::nil() }
    };
    let place = |position: &FetchPosition| (position.topic.clone(), id(position), position.partition);
    positions.iter().map(|position| (place(position), ask(position))).collect()
}

/// In the order of the positions: where an answer's bytes are limited, the first come first. In a session the broker keeps
/// an order of its own, and moves what it has sent to the end.
fn topics(asked: Vec<(SessionKey, FetchPartition)>) -> Vec<FetchTopic> {
    by_topic(asked, |name, id| FetchTopic::default().with_topic(name.into()).with_topic_id(id), |t| &mut t.partitions)
}

fn forgotten(gone: Vec<SessionKey>) -> Vec<ForgottenTopic> {
    let numbered = gone
        .into_iter()
        .map(|place| {
            let number = place.2;
            (place, number)
        })
        .collect();
    by_topic(
        numbered,
        |name, id| ForgottenTopic::default().with_topic(name.into()).with_topic_id(id),
        |t| &mut t.partitions,
    )
}

fn by_topic<P, T>(
    places: Vec<(SessionKey, P)>,
    new: impl Fn(StrBytes, uuid::Uuid) -> T,
    partitions: impl Fn(&mut T) -> &mut Vec<P>,
) -> Vec<T> {
    let mut topics: Vec<T> = Vec::new();
    let mut index = HashMap::new();
    for ((name, id, _), partition) in places {
        let at = *index.entry((name.clone(), id)).or_insert_with(|| {
            topics.push(new(StrBytes::from_string(name.as_str().to_owned()), id));
            topics.len() - 1
        });
        if let Some(topic) = topics.get_mut(at) {
            partitions(topic).push(partition);
        }
    }
    topics
}

fn clamp(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;

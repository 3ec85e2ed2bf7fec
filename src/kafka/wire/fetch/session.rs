//! Incremental fetch sessions (KIP-227): the broker remembers the partitions of a reader's long polls, also across
//! connections. A request then lists only changed partitions, and a response only those with news.

use super::epochs::{DIVERGENCE, wire_epoch};
use crate::broker::{FetchLimits, FetchPosition};
use crate::record::{Partition, TopicName};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashMap;
use std::time::Duration;

/// First version with sessions.
const SESSIONS: i16 = 7;
/// Last version that names topics. Later ones use topic ids (KIP-516), all of which must be known.
pub const BY_NAME: i16 = 12;
/// Newest supported version of Fetch.
pub const BY_ID: i16 = 17;
const READ_COMMITTED: i8 = 1;

/// Session epoch that starts a new session and closes the named one.
const INITIAL_EPOCH: i32 = 0;
/// Session epoch of a request without a session.
const FINAL_EPOCH: i32 = -1;

/// The partitions of one request, as protocol structures.
type SessionPartitions = HashMap<SessionKey, FetchPartition>;
/// Identifies a partition as the broker does: by topic id, or before topic ids (Fetch v13) by name, with the nil id. The
/// real id must not be part of the key then: after the topic is recreated, one request would both forget and add the
/// same name.
type SessionKey = (TopicName, uuid::Uuid, Partition);

/// The client side of a session.
#[derive(Debug, Default)]
pub struct FetchSession {
    /// The id of the session, or 0 without a session.
    id: i32,
    /// Session epoch of the next request.
    epoch: i32,
    /// The partitions that the broker remembers.
    known: SessionPartitions,
    /// A session cannot mix topics by name and by id.
    version: i16,
}

impl FetchSession {
    /// Builds the next request. A fetch that does not wait is sent outside the session and leaves it unchanged.
    pub fn request(&mut self, positions: &[FetchPosition], limits: FetchLimits, version: i16) -> FetchRequest {
        let request = FetchRequest::default()
            .with_max_wait_ms(millis(self.wait(limits, version)))
            .with_min_bytes(1)
            .with_max_bytes(clamp(limits.max_bytes))
            .with_isolation_level(READ_COMMITTED);
        if version < SESSIONS || limits.wait.is_zero() {
            return request.with_session_epoch(FINAL_EPOCH).with_topics(topics(requested(positions, limits, version)));
        }
        if version != self.version {
            self.lost();
            self.version = version;
        }
        let requested = requested(positions, limits, version);
        let request = request.with_session_id(self.id).with_session_epoch(self.epoch);
        if self.epoch == INITIAL_EPOCH {
            self.known = requested.iter().cloned().collect();
            return request.with_topics(topics(requested));
        }
        let now: SessionPartitions = requested.iter().cloned().collect();
        let gone = self.known.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let changed = requested.into_iter().filter(|(key, ask)| self.known.get(key) != Some(ask)).collect();
        self.known = now;
        request.with_topics(topics(changed)).with_forgotten_topics_data(forgotten(gone))
    }

    /// Applies the response to a request of this session. Returns `Forgotten` if the broker has lost the session; then
    /// the request must be repeated in a new one.
    pub fn apply_response(&mut self, response: &FetchResponse, limits: FetchLimits) -> SessionResult {
        if self.version < SESSIONS || limits.wait.is_zero() {
            return SessionResult::Valid;
        }
        let forgotten = [
            ResponseError::FetchSessionIdNotFound,
            ResponseError::InvalidFetchSessionEpoch,
            ResponseError::FetchSessionTopicIdError,
        ];
        if forgotten.iter().any(|error| error.code() == response.error_code) {
            let began = self.epoch == INITIAL_EPOCH;
            self.lost();
            // A broker that rejects a new session would do so again.
            return if began { SessionResult::Valid } else { SessionResult::Forgotten };
        }
        if response.error_code != 0 || response.session_id == 0 {
            // The broker has no free session; it may have one next time.
            self.lost();
            self.id = 0;
            return SessionResult::Valid;
        }
        self.id = response.session_id;
        // Session epochs wrap to the first one after the initial epoch.
        self.epoch = self.epoch.checked_add(1).unwrap_or(INITIAL_EPOCH + 1);
        SessionResult::Valid
    }

    /// Returns how long the broker may delay the response. A request that starts a session does not wait if the broker
    /// has granted one before: if it were interrupted, the broker would keep a session whose id is unknown here.
    fn wait(&self, limits: FetchLimits, version: i16) -> Duration {
        let begins = version >= SESSIONS && (self.epoch == INITIAL_EPOCH || version != self.version);
        if begins && self.id != 0 { Duration::ZERO } else { limits.wait }
    }

    /// Notes that a response was lost, so the partitions remembered by the broker are unknown. The next request
    /// starts a new session and names the old one, which the broker then closes.
    pub fn lost(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.known = SessionPartitions::new();
    }
}

/// Whether the response to a request of a session can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionResult {
    Valid,
    Forgotten,
}

fn requested(positions: &[FetchPosition], limits: FetchLimits, version: i16) -> Vec<(SessionKey, FetchPartition)> {
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
    let key = |position: &FetchPosition| (position.topic.clone(), id(position), position.partition);
    positions.iter().map(|position| (key(position), ask(position))).collect()
}

/// Groups partitions by topic in the order of the positions: if the size of a response is limited, the first ones take
/// precedence. In a session the broker keeps its own order and moves partitions that it has sent to the end.
fn topics(requested: Vec<(SessionKey, FetchPartition)>) -> Vec<FetchTopic> {
    by_topic(
        requested,
        |name, id| FetchTopic::default().with_topic(name.into()).with_topic_id(id),
        |t| &mut t.partitions,
    )
}

fn forgotten(gone: Vec<SessionKey>) -> Vec<ForgottenTopic> {
    let numbered = gone
        .into_iter()
        .map(|key| {
            let number = key.2;
            (key, number)
        })
        .collect();
    by_topic(
        numbered,
        |name, id| ForgottenTopic::default().with_topic(name.into()).with_topic_id(id),
        |t| &mut t.partitions,
    )
}

fn by_topic<P, T>(
    keyed: Vec<(SessionKey, P)>,
    new: impl Fn(StrBytes, uuid::Uuid) -> T,
    partitions: impl Fn(&mut T) -> &mut Vec<P>,
) -> Vec<T> {
    let mut topics: Vec<T> = Vec::new();
    let mut index = HashMap::new();
    for ((name, id, _), partition) in keyed {
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

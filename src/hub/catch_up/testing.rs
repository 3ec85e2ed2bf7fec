//! Tasks for tests of the pool's parts.
#![allow(clippy::unwrap_used)]

use super::task::{CatchUpSettings, CatchUpTask};
use crate::broker::BrokerError;
use crate::cursor::{Cursor, Selection};
use crate::hub::live::feed::Evicted;
use crate::hub::stream::bounds::Bounds;
use crate::hub::stream::chunk_budget::ChunkBudget;
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::feed_key::FeedKey;
use crate::hub::stream::mailbox::{Mailbox, mailbox};
use crate::hub::stream::slot::StreamSlot;
use crate::hub::stream::state::{StreamSettings, StreamState, TurnSharing, Weight};
use crate::hub::{ClientTag, Filter, Format, FormatChoice, Gap, Missing};
use crate::record::{Partition, RecordRef, TopicName};
use crate::sync::memory_budget::MemoryBudget;
use std::sync::Arc;
use std::time::Duration;

struct Silent;

impl Format for Silent {
    fn name(&self) -> &str {
        "silent"
    }
    fn uses_ids(&self) -> bool {
        false
    }
    fn record(&self, _: &mut Vec<u8>, _: &TopicName, _: Partition, _: &RecordRef<'_>, _: &str) {}
    fn checkpoint(&self, _: &mut Vec<u8>, _: &str) {}
    fn gap(&self, _: &mut Vec<u8>, _: &Gap, _: &str) {}
    fn problem(&self, _: &mut Vec<u8>, _: &BrokerError) {}
}

/// Returns the task of an evicted stream that shares its turns, and the mailbox of its client.
pub fn evicted_task(client: u64) -> (Box<CatchUpTask>, Mailbox) {
    let topic = TopicName::new("t").unwrap();
    let (filter, format) = (Arc::new(Filter::default()), Arc::new(Silent));
    let mut cursor = Cursor::new(vec![topic.clone()], Selection::All);
    cursor.add_position(0, 0);
    let key = FeedKey {
        topics: vec![topic],
        selection: Selection::All,
        filter: filter.clone(),
        format: format.name().to_owned(),
        choice: FormatChoice::Fixed,
        missing: Missing::Refuse,
        until: None,
        private: None,
    };
    let settings = StreamSettings {
        max_id_bytes: 128,
        chunk_budget: ChunkBudget::new(&MemoryBudget::new(0), 0),
        counts: Arc::default(),
        until_delay: 0,
    };
    let slot = StreamSlot::take(&Arc::default(), 1).unwrap();
    let (sender, mailbox) = mailbox(ClientTag(client), slot, format.clone(), settings.counts.clone());
    let encoder = Encoder::new(cursor, filter, format, Bounds::default());
    let stream = StreamState::new(key, encoder, sender, Arc::new(settings));
    let evicted = Evicted { stream, behind: 0, weight: Weight::Light, sharing: TurnSharing::SameFeed };
    let settings = CatchUpSettings {
        read_bytes: 1,
        chunk_bytes: 1,
        ahead: 0,
        topic_patience: Duration::ZERO,
        lag_tracker: Arc::default(),
    };
    (CatchUpTask::evicted(evicted, Arc::new(settings)), mailbox)
}

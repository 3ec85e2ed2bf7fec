use super::*;
use crate::broker::PartitionInfo;
use crate::cursor::{Cursor, Selection};
use crate::hub::live::join::JoinOutcome;
use crate::hub::stream::bounds::Bounds;
use crate::hub::stream::chunk_budget::{ChunkBudget, ChunkSize};
use crate::hub::stream::encoder::Encoder;
use crate::hub::stream::feed_key::FeedKey;
use crate::hub::stream::mailbox::{Mailbox, mailbox};
use crate::hub::stream::slot::StreamSlot;
use crate::hub::stream::state::{StreamSettings, StreamState, TopicState};
use crate::hub::{ClientTag, Filter, Format, FormatChoice, Gap, Missing, Settings};
use crate::record::{Partition, RecordRef, Records, TopicName};
use crate::sync::memory_budget::MemoryBudget;

struct Named(&'static str);

impl Format for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn uses_ids(&self) -> bool {
        false
    }
    fn record(&self, out: &mut Vec<u8>, _: &TopicName, _: Partition, _: &RecordRef<'_>, _: &str) {
        out.extend(b"record\n");
    }
    fn checkpoint(&self, _: &mut Vec<u8>, _: &str) {}
    fn gap(&self, _: &mut Vec<u8>, _: &Gap, _: &str) {}
    fn problem(&self, _: &mut Vec<u8>, _: &BrokerError) {}
}

/// Returns the key of a feed with every record of topic `t`.
fn key(format: &'static str) -> FeedKey {
    FeedKey {
        topics: vec![TopicName::new("t").unwrap()],
        selection: Selection::All,
        filter: Arc::default(),
        format: format.to_owned(),
        missing: Missing::Refuse,
        choice: FormatChoice::Fixed,
        until: None,
        private: None,
    }
}

/// Opens a live stream with this key.
fn join(live: &Live, format: &'static str, key: FeedKey) -> Mailbox {
    let mut cursor = Cursor::new(key.topics.clone(), key.selection.clone());
    cursor.add_position(0, 0);
    let settings = StreamSettings {
        max_id_bytes: 128,
        chunk_budget: ChunkBudget::new(&MemoryBudget::default(), 1 << 20),
        counts: live.counts.clone(),
        until_delay: 0,
    };
    let slot = StreamSlot::take(&Arc::default(), 1).unwrap();
    let format = Arc::new(Named(format));
    let (sender, mailbox) = mailbox(ClientTag(1), slot, format.clone(), live.counts.clone());
    let encoder = Encoder::new(cursor, key.filter.clone(), format, Bounds::default());
    let partitions = vec![PartitionInfo { partition: 0, leader: Some(1), leader_epoch: 0 }];
    let topic = TopicInfo { name: key.topics[0].clone(), id: None, partitions };
    let mut stream = StreamState::new(key, encoder, sender, Arc::new(settings));
    stream.topics = vec![TopicState::Here(topic)];
    assert_eq!(live.join(&mut stream, ChunkSize::Ahead), JoinOutcome::Live);
    mailbox
}

#[test]
fn streams_of_all_records_stay_live_in_every_format_when_no_time_is_left_for_filters() {
    let live = Live::new(&Settings::default(), Arc::default(), Arc::new(drop));
    let filter = Arc::new(Filter { key: Some(b"k".to_vec()), ..Filter::default() });
    let rows = [
        ("value", key("value"), 1),
        ("record", key("record"), 1),
        ("waits for the topic", FeedKey { missing: Missing::Wait, ..key("value") }, 1),
        ("filtered", FeedKey { filter, ..key("value") }, 0),
        ("with a limit", FeedKey { private: Some(1), ..key("value") }, 0),
        ("one partition", FeedKey { selection: Selection::Only(vec![0]), ..key("value") }, 0),
    ];
    let _clients: Vec<_> = rows
        .iter()
        .map(|(_, key, _)| join(&live, if key.format == "value" { "value" } else { "record" }, key.clone()))
        .collect();
    let tail = live.tail(&rows[0].1.topics[0]).unwrap();
    let wanted = live.fetch_positions(1).remove(0);
    let mut records = Records::over(bytes::Bytes::new());
    records.push(0, 0, None, None);
    let data = PartitionData { batches: vec![records], next_offset: 1, end: 1, ..PartitionData::default() };
    live.deliver(&tail, &wanted, data, &TimeBudget::new(Duration::ZERO));
    let registry = lock(&live.registry);
    for (name, key, streams) in rows {
        assert_eq!(registry.feeds[&key].state().members.len(), streams, "{name}");
    }
}

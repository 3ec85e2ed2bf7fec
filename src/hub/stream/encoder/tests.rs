use super::*;
use crate::cursor::IdTag;
use crate::hub::stream::gap::Loss;
use crate::hub::{Gap, GapReason};
use crate::record::{EpochSpan, RecordRef, Records, TopicName};
use crate::sync::memory_budget::Share;

struct Ids;

impl Format for Ids {
    fn name(&self) -> &str {
        "ids"
    }
    fn uses_ids(&self) -> bool {
        true
    }
    fn record(&self, out: &mut Vec<u8>, _: &TopicName, _: Partition, _: &RecordRef<'_>, id: &str) {
        self.checkpoint(out, id);
    }
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str) {
        out.extend_from_slice(id.as_bytes());
    }
    fn gap(&self, _: &mut Vec<u8>, _: &Gap, _: &str) {}
    fn problem(&self, _: &mut Vec<u8>, _: &BrokerError) {}
}

#[test]
fn a_slow_filter_moves_the_id_and_keeps_the_epoch_of_the_records_that_it_has_passed() {
    const RECORDS: Offset = 1100;
    let topic = TopicName::new("t").unwrap();
    let mut cursor = Cursor::new(vec![topic.clone()], Default::default());
    cursor.add_position(0, 0);
    let filter = Filter { key: Some(b"no record has it".to_vec()), ..Filter::default() };
    let mut encoder = Encoder::new(cursor, Arc::new(filter), Arc::new(Ids), Bounds::default());
    let mut records = Records::over(Bytes::new());
    (0..RECORDS).for_each(|offset| records.push(offset, 0, None, None));
    let mut epochs = EpochSpan::default();
    epochs.begin(0, 5);
    epochs.begin(500, 7);
    let batches = [records];
    let input = FilterInput::new(&topic, 0, &batches).with_epochs(&epochs);
    let budget = TimeBudget::new(Duration::ZERO);
    let (mut ids, mut memory) = (Vec::new(), Share::new("chunks", 0, 0).empty_reservation());
    // One record per turn, because the budget is spent.
    for next in 1..RECORDS {
        let limits = EncodeLimits { most: usize::MAX, budget: &budget, memory: &mut memory };
        encoder.records(&mut ids, 0, &input, RECORDS, limits);
        let epoch = if next <= 500 { 5 } else { 7 };
        assert_eq!(encoder.cursor.position(0, 0), Some(Position { next, epoch }));
    }
    let written = String::from_utf8(std::mem::take(&mut ids)).unwrap();
    let mut at = encoder.cursor.clone();
    let mut at = |next| {
        at.set(0, 0, Position { next, epoch: 7 });
        at.text().to_owned()
    };
    assert_eq!(written, at(Offset::try_from(CHECKPOINT_OFFSETS).unwrap()), "one checkpoint after so many");
    encoder.checkpoint_if_passed(&mut ids);
    assert_eq!(String::from_utf8(ids).unwrap(), at(RECORDS - 1), "and one before a pause");
}

#[test]
fn a_gap_counts_only_if_it_is_written() {
    let topic = TopicName::new("t").unwrap();
    let share = Share::new("samples", 1 << 20, 1 << 20);
    let filter = Arc::new(Filter { sample: Some(Duration::from_secs(3600)), ..Filter::default() });
    let mut records = Records::over(Bytes::new());
    records.push(0, 0, None, None);
    let batches = [records];
    let input = FilterInput::new(&topic, 0, &batches);
    let loss = Loss { to: Position::from(5), reason: GapReason::Retention, end: 5 };
    for (remaining, gaps) in [(Some(1), 0), (Some(2), 1), (None, 1)] {
        for is_recreated in [false, true] {
            let mut cursor = Cursor::new(vec![topic.clone()], Default::default());
            cursor.add_position(0, 0);
            let bounds = Bounds { remaining, ..Bounds::default() };
            let mut encoder = Encoder::new(cursor, filter.clone(), Arc::new(Ids), bounds).sampling(&share);
            let (mut out, mut memory) = (Vec::new(), share.empty_reservation());
            let budget = TimeBudget::new(Duration::MAX);
            let limits = EncodeLimits { most: usize::MAX, budget: &budget, memory: &mut memory };
            encoder.records(&mut out, 0, &input, 1, limits);
            assert!(out.is_empty(), "the record is held");
            let counted = match is_recreated {
                true => encoder.recreated(&mut out, 0, IdTag::default(), 1),
                false => encoder.gap(&mut out, 0, 0, loss),
            };
            assert_eq!(counted, gaps, "{remaining:?}");
            assert!(!out.is_empty(), "the held record is written");
        }
    }
}

#[test]
fn a_topic_that_had_no_partitions_has_no_gap() {
    let cursor = Cursor::new(vec![TopicName::new("t").unwrap()], Default::default());
    let mut encoder = Encoder::new(cursor, Arc::new(Filter::default()), Arc::new(Ids), Bounds::default());
    let mut out = Vec::new();
    assert_eq!(encoder.recreated(&mut out, 0, IdTag::default(), 2), 0);
    assert!(out.is_empty());
    assert_eq!(encoder.cursor.offsets(0).count(), 2, "the stream reads the new partitions");
}

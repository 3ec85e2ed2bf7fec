//! Tests of the embedded log through the `Broker` trait, in a real directory.

#![allow(clippy::unwrap_used)]

use super::testing::TempDir;
use super::*;
use crate::broker::{Acks, AutoCreate, DeliveryReport, DeliveryResult, FetchLimits, FetchPosition};
use crate::record::{Epoch, NO_EPOCH, NewRecord, Offset, Timestamp};
use crate::sync::memory_budget::MemoryBudget;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

fn settings(scratch: &TempDir) -> EmbeddedSettings {
    EmbeddedSettings {
        folder: scratch.path().join("data"),
        partitions: 1,
        retention_time: Duration::MAX,
        retention_bytes: u64::MAX,
    }
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn record(value: &str, timestamp: Option<Timestamp>) -> NewRecord {
    NewRecord { value: Some(value.to_owned().into()), timestamp, ..NewRecord::default() }
}

fn produce(broker: &Embedded, topic: &str, acks: Acks, records: Vec<NewRecord>) -> Vec<DeliveryResult> {
    let (done, outcomes) = bounded(1);
    let (submit, submissions) = bounded(1);
    let receipts = DeliveryReport::new(records.len(), move |outcomes| done.send(outcomes).unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let auto_create = AutoCreate::Ask;
    submit.send(Submission { topic: name(topic), acks, auto_create, records, deadline, receipts }).unwrap();
    drop(submit);
    broker.write_all(submissions);
    outcomes.recv().unwrap()
}

fn offsets(outcomes: Vec<DeliveryResult>) -> Vec<Option<Offset>> {
    outcomes.into_iter().map(|outcome| outcome.unwrap().offset).collect()
}

fn at_offset(topic: &str, offset: Offset) -> FetchPosition {
    FetchPosition { topic: name(topic), topic_id: None, partition: 0, offset, leader_epoch: -1, last_epoch: NO_EPOCH }
}

fn fetch(broker: &Embedded, at_offset: &FetchPosition) -> Result<Vec<(Offset, String)>, BrokerError> {
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    let fetched = broker
        .reader(0, &MemoryBudget::default().live)
        .fetch(std::slice::from_ref(at_offset), limits)?
        .remove(0)
        .result?;
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    Ok(fetched.batches.iter().flat_map(|b| b.iter().map(|r| (r.offset, text(r.value))).collect::<Vec<_>>()).collect())
}

fn at(broker: &Embedded, topic: &str, at: OffsetAt) -> Offset {
    broker.offsets(&[(TopicPartition { topic: name(topic), partition: 0 }, at)]).remove(0).unwrap()
}

#[test]
fn a_topic_is_created_with_the_settings_that_the_log_has() {
    let scratch = TempDir::new();
    let retention_time = std::time::Duration::from_secs(60);
    let broker = Embedded::open(EmbeddedSettings { retention_time, ..settings(&scratch) }).unwrap();
    let new = |topic: &str| NewTopic::named(name(topic));
    let created = broker.create_topic(&NewTopic { partitions: Some(3), replication_factor: Some(1), ..new("a") });
    assert_eq!(created, Ok(CreatedTopic { partitions: Some(3), replication_factor: Some(1) }));
    assert_eq!(broker.create_topic(&new("b")), Ok(CreatedTopic { partitions: Some(1), replication_factor: Some(1) }));
    assert_eq!(broker.create_topic(&new("a")), Err(BrokerError::TopicExists(name("a"))));
    let configs = [("retention.ms".to_owned(), "1".to_owned())].into();
    for (invalid, word) in [
        (NewTopic { partitions: Some(1001), ..new("c") }, "1000"),
        (NewTopic { partitions: Some(0), ..new("c") }, "1000"),
        (NewTopic { replication_factor: Some(2), ..new("c") }, "replication factor is 1"),
        (NewTopic { configs, ..new("c") }, "\"retention.ms\""),
    ] {
        let Err(BrokerError::InvalidTopic(why)) = broker.create_topic(&invalid) else { panic!("{invalid:?}") };
        assert!(why.to_string().contains(word), "{why}");
    }
    assert_eq!(broker.replicas(&name("a")).unwrap(), vec![vec![Replica { broker: 0, in_sync: true }]; 3]);
    let configs =
        |topic: &str, setting: &str| broker.topic_configs(&name(topic)).unwrap().get(setting).cloned().flatten();
    assert_eq!(configs("a", "retention.ms").as_deref(), Some("60000"));
    assert_eq!((configs("a", "retention.bytes"), configs("b", "retention.bytes").as_deref()), (None, Some("-1")));
    let missing = broker.topic_configs(&name("c"));
    assert_eq!((missing, broker.brokers()), (Err(BrokerError::UnknownTopic(name("c"))), Ok(vec![0])));
}

#[test]
fn every_file_is_owner_only_even_in_a_readable_folder() {
    let scratch = TempDir::new();
    let folder = settings(&scratch).folder;
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let _broker = Embedded::open(settings(&scratch)).unwrap();
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
    assert!(files.iter().any(|file| file.file_name() == "log.redb"));
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn acknowledged_records_are_there_after_reopening() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_eq!(
        offsets(produce(&broker, "t", Acks::All, vec![record("a", None), record("b", None)])),
        [Some(0), Some(1)]
    );
    assert_eq!(offsets(produce(&broker, "t", Acks::Leader, vec![record("c", None)])), [Some(2)]);
    assert_eq!(offsets(produce(&broker, "t", Acks::None, vec![record("d", None)])), [None]);
    let before = broker.list_topics().unwrap();
    drop(broker);
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_eq!(broker.list_topics().unwrap(), before);
    let expected = [(1, "b".to_owned()), (2, "c".to_owned()), (3, "d".to_owned())];
    assert_eq!(fetch(&broker, &at_offset("t", 1)).unwrap(), expected);
    assert_eq!(offsets(produce(&broker, "t", Acks::All, vec![record("e", None)])), [Some(4)]);
}

#[test]
fn a_record_that_is_too_large_fails_without_failing_others() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    let large = record(&"x".repeat(group_commit::MAX_RECORD), None);
    let outcomes = produce(&broker, "t", Acks::All, vec![record("a", None), large, record("b", None)]);
    assert!(matches!(outcomes[..], [Ok(_), Err(BrokerError::TooLarge(_)), Ok(_)]), "{outcomes:?}");
    assert_eq!(fetch(&broker, &at_offset("t", 0)).unwrap(), [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[test]
fn a_record_at_the_limit_is_accepted_and_the_error_names_the_exact_limit() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    let sized = |bytes: usize| NewRecord { key: Some("key".into()), ..record(&"x".repeat(bytes - 3), None) };
    let outcome = produce(&broker, "t", Acks::All, vec![sized(2 << 20)]).remove(0);
    let words = outcome.unwrap_err().to_string();
    let limit: usize = words.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(produce(&broker, "t", Acks::All, vec![sized(limit)])[0].is_ok(), "{words}");
    assert!(produce(&broker, "t", Acks::All, vec![sized(limit + 1)])[0].is_err(), "{words}");
}

#[test]
fn the_largest_record_fits_the_smallest_budget_and_is_charged_once() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    const BYTES: usize = 1_000_000;
    produce(&broker, "t", Acks::All, vec![record(&"x".repeat(BYTES), None)]);
    let memory = MemoryBudget::new(crate::sync::memory_budget::MIN);
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    for share in [&memory.live, &memory.catch_up, &memory.pages] {
        let data = broker.reader(0, share).fetch(&[at_offset("t", 0)], limits).unwrap().remove(0).result.unwrap();
        assert_eq!(data.next_offset, 1);
        assert!((BYTES..BYTES + 1000).contains(&share.used()), "{} bytes of {}", share.used(), share.name());
    }
}

#[test]
fn a_timestamp_more_than_an_hour_ahead_is_rejected_as_kafka_rejects_it() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    let now = crate::record::now();
    let minutes = |minutes: i64| Some(now + minutes * 60_000);
    let times = [None, minutes(-1_000_000), minutes(59), minutes(62), Some(4_291_747_200_000), Some(now * 1_000_000)];
    let outcomes = produce(&broker, "t", Acks::All, times.map(|time| record("x", time)).to_vec());
    let (good, bad) = outcomes.split_at(3);
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    for outcome in bad {
        let Err(BrokerError::InvalidRecord(why)) = outcome else { panic!("{outcome:?}") };
        assert!(
            why.to_string().contains("an hour ahead") && why.to_string().contains("milliseconds since the epoch"),
            "{why}"
        );
    }
}

#[test]
fn a_future_timestamp_in_an_older_log_does_not_match_every_search() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    broker.create_topic(&NewTopic { partitions: Some(1), ..NewTopic::named(name("t")) }).unwrap();
    let (now, hour) = (crate::record::now(), 60 * 60 * 1000);
    let store = |time: Timestamp, appended: Timestamp| {
        let mut batch = batch::StoredBatch::new(at(&broker, "t", OffsetAt::Latest));
        batch.push(&record("x", Some(time)), appended);
        let append = log::Append { topic: name("t"), partition: 0, batches: vec![batch] };
        broker.log.begin_write().unwrap().append(vec![append], appended, || {}).unwrap();
    };
    // Appends of 24 hours and of 2 hours ago.
    for appended in [now - 24 * hour, now - 2 * hour] {
        for time in [4_291_747_200_000, now * 1_000_000, appended] {
            store(time, appended);
        }
    }
    assert_eq!(at(&broker, "t", OffsetAt::Time(now - hour)), 6);
    assert_eq!(at(&broker, "t", OffsetAt::Time(now - 3 * hour)), 5);
    assert_eq!(at(&broker, "t", OffsetAt::Time(now - 25 * hour)), 2);
    produce(&broker, "t", Acks::All, vec![record("now", None)]);
    assert_eq!(at(&broker, "t", OffsetAt::Time(now - hour)), 6);
    assert_eq!(at(&broker, "t", OffsetAt::Time(now + 2 * hour)), 7);
}

#[test]
fn a_time_finds_the_first_record_of_that_time_or_later_even_if_clocks_jump() {
    let scratch = TempDir::new();
    // Small segments.
    let broker = Embedded::open(EmbeddedSettings { retention_bytes: 1 << 20, ..settings(&scratch) }).unwrap();
    let times = [100, 5000, 200, 300, 50, 6000];
    let padding = "x".repeat(100 << 10);
    for time in times {
        produce(&broker, "t", Acks::All, vec![record(&padding, Some(time))]);
    }
    for from in [0, 100, 101, 250, 5000, 5001, 6000, 6001] {
        let expected = times.iter().position(|time| *time >= from).unwrap_or(times.len());
        assert_eq!(at(&broker, "t", OffsetAt::Time(from)), expected as Offset, "{from}");
    }
}

#[test]
fn retention_by_size_moves_the_start_and_earlier_offsets_are_out_of_range() {
    let scratch = TempDir::new();
    let small = EmbeddedSettings { retention_bytes: 512 << 10, ..settings(&scratch) };
    let broker = Embedded::open(small.clone()).unwrap();
    for _ in 0..40 {
        produce(&broker, "t", Acks::All, vec![record(&"x".repeat(40 << 10), None)]);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while at(&broker, "t", OffsetAt::Earliest) < 20 {
        assert!(Instant::now() < deadline, "nothing was removed");
        std::thread::yield_now();
    }
    // Apply retention completely, so that the log start offset no longer moves.
    retention::run_once(&broker.log, crate::record::now());
    assert!(matches!(fetch(&broker, &at_offset("t", 0)), Err(BrokerError::OffsetOutOfRange(_))));
    let (start, end) = (at(&broker, "t", OffsetAt::Earliest), at(&broker, "t", OffsetAt::Latest));
    assert_eq!((fetch(&broker, &at_offset("t", start)).unwrap()[0].0, end), (start, 40));
    drop(broker);
    let broker = Embedded::open(small).unwrap();
    assert!(at(&broker, "t", OffsetAt::Earliest) >= start);
    assert_eq!(at(&broker, "t", OffsetAt::Latest), 40);
}

#[test]
fn retention_by_age_empties_a_log_and_its_offsets_continue() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record("a", None), record("b", None)]);
    broker.log.begin_write().unwrap().trim(&name("t"), 0, 1).unwrap();
    drop(broker);
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_eq!((at(&broker, "t", OffsetAt::Earliest), at(&broker, "t", OffsetAt::Latest)), (2, 2));
    assert_eq!(offsets(produce(&broker, "t", Acks::All, vec![record("c", None)])), [Some(2)]);
}

#[test]
fn a_recreated_topic_has_another_id() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record("old", None)]);
    let topic_id = broker.list_topics().unwrap()[0].id;
    broker.delete_topic(&name("t")).unwrap();
    assert!(matches!(fetch(&broker, &at_offset("t", 0)), Err(BrokerError::UnknownTopic(_))));
    produce(&broker, "t", Acks::All, vec![record("new", None)]);
    assert!(matches!(fetch(&broker, &FetchPosition { topic_id, ..at_offset("t", 0) }), Err(BrokerError::Recreated(_))));
    assert_eq!(fetch(&broker, &at_offset("t", 0)).unwrap(), [(0, "new".to_owned())]);
}

#[test]
fn a_waiting_reader_wakes_on_append_and_on_interruption() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    broker.create_topic(&NewTopic { partitions: Some(1), ..NewTopic::named(name("t")) }).unwrap();
    let limits = FetchLimits { wait: Duration::from_secs(60), max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    let mut reader = broker.reader(0, &MemoryBudget::default().live);
    let interrupt = reader.interrupter();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let woken = reader.fetch(&[at_offset("t", 0)], limits).unwrap().remove(0).result.unwrap();
            let interrupted = reader.fetch(&[at_offset("t", 1)], limits).unwrap().remove(0).result.unwrap();
            (woken.next_offset, interrupted.next_offset)
        });
        produce(&broker, "t", Acks::All, vec![record("a", None)]);
        while !waiting.is_finished() {
            // Interrupts only after the append, because an interruption could end the first fetch without a record.
            if at(&broker, "t", OffsetAt::Latest) == 1 {
                interrupt();
            }
            std::thread::yield_now();
        }
        let (woken, interrupted) = waiting.join().unwrap();
        assert_eq!((woken, interrupted), (1, 1));
    });
}

#[test]
fn the_error_for_a_changed_record_names_the_file_and_other_records_are_readable() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record("intact", None)]);
    produce(&broker, "t", Acks::All, vec![record(&"needle".repeat(1000), None)]);
    produce(&broker, "u", Acks::All, vec![record("intact", None)]);
    drop(broker);
    change(&scratch, |bytes| {
        let found = bytes.windows(6).position(|w| w == b"needle").unwrap();
        bytes[found] ^= 1;
    });
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_eq!(fetch(&broker, &at_offset("t", 0)).unwrap(), [(0, "intact".to_owned())]);
    let Err(BrokerError::Damaged(said)) = fetch(&broker, &at_offset("t", 1)) else {
        panic!("the damaged record was read")
    };
    let expected = ["log.redb is damaged", "t/0 at offset 1", "copy of the directory"];
    assert!(expected.iter().all(|part| said.to_string().contains(part)), "{said}");
    assert_eq!(fetch(&broker, &at_offset("u", 0)).unwrap(), [(0, "intact".to_owned())]);
}

#[test]
fn damage_is_found_soon_after_the_start_without_a_reader() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record(&"needle".repeat(1000), None)]);
    drop(broker);
    change(&scratch, |bytes| {
        let found = bytes.windows(6).position(|w| w == b"needle").unwrap();
        bytes[found] ^= 1;
    });
    let broker = Embedded::open(settings(&scratch)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while broker.ready().is_ok() {
        assert!(Instant::now() < deadline, "nothing was found");
        std::thread::yield_now();
    }
    assert!(matches!(broker.ready(), Err(BrokerError::Damaged(why)) if why.to_string().contains("t/0 at offset 0")));
}

fn change(scratch: &TempDir, change: impl FnOnce(&mut Vec<u8>)) {
    let file = scratch.path().join("data/log.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    change(&mut bytes);
    std::fs::write(&file, bytes).unwrap();
}

/// All records of all topics, or the first error.
fn everything(broker: &Embedded) -> Result<Vec<(TopicName, Offset, String)>, BrokerError> {
    let mut all = Vec::new();
    for topic in broker.list_topics()? {
        let (mut offset, end) =
            (at(broker, topic.name.as_str(), OffsetAt::Earliest), at(broker, topic.name.as_str(), OffsetAt::Latest));
        while offset < end {
            let records = fetch(broker, &at_offset(topic.name.as_str(), offset))?;
            offset = records.last().map(|(offset, _)| offset + 1).unwrap();
            all.extend(records.into_iter().map(|(offset, value)| (topic.name.clone(), offset, value)));
        }
    }
    Ok(all)
}

#[test]
fn a_byte_changed_anywhere_is_an_error_or_changes_nothing() {
    let scratch = TempDir::new();
    let broker = Embedded::open(EmbeddedSettings { partitions: 1, ..settings(&scratch) }).unwrap();
    for number in 0..30 {
        produce(&broker, ["t", "u", "v"][number % 3], Acks::All, vec![record(&format!("{number}").repeat(200), None)]);
    }
    broker.log.begin_write().unwrap().trim(&name("u"), 0, 1).unwrap();
    let sound = everything(&broker).unwrap();
    drop(broker);
    let file = scratch.path().join("data/log.redb");
    let bytes = std::fs::read(&file).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut found = 0;
    for _ in 0..300 {
        let at = used[fastrand::usize(..used.len())];
        let mut changed = bytes.clone();
        changed[at] ^= 1 << fastrand::u8(..8);
        std::fs::write(&file, changed).unwrap();
        let Ok(broker) = Embedded::open(settings(&scratch)) else {
            found += 1;
            continue;
        };
        match everything(&broker) {
            Ok(all) => assert_eq!(all, sound, "byte {at}"),
            Err(_) => found += 1,
        }
    }
    // Most non-zero bytes are in pages of earlier transactions.
    assert!(found > 3, "only {found} of 300 were found");
}

#[test]
fn a_failed_write_leaves_nothing_behind_and_the_log_continues() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record("a", None)]);
    let spoilt = |changes: &store::Changes| {
        let place = keys::PartitionKey { topic: 0, partition: 0 };
        changes.append(place, vec![(1, b"half".to_vec())], &[])?;
        Err(redb::Error::Io(std::io::ErrorKind::StorageFull.into()))
    };
    let failed = broker.log.begin_write().unwrap().commit(4, spoilt, || {}).unwrap_err();
    assert!(
        matches!(BrokerError::from(failed), BrokerError::DiskFull(why) if why.to_string().contains("no space left on the disk"))
    );
    assert_eq!(fetch(&broker, &at_offset("t", 0)).unwrap(), [(0, "a".to_owned())]);
    assert_eq!(offsets(produce(&broker, "t", Acks::All, vec![record("b", None)])), [Some(1)]);
    assert_eq!(fetch(&broker, &at_offset("t", 1)).unwrap(), [(1, "b".to_owned())]);
}

#[test]
fn a_write_after_an_unknown_outcome_appends_after_what_is_stored() {
    let scratch = TempDir::new();
    let broker = Embedded::open(settings(&scratch)).unwrap();
    produce(&broker, "t", Acks::All, vec![record("a", None)]);
    broker.log.close();
    {
        // A write that succeeded although its outcome is unknown.
        let store = store::BatchStore::open(&settings(&scratch).folder).unwrap();
        let mut batch = batch::StoredBatch::new(1);
        batch.push(&record("landed", None), 0);
        let grown = store.load().unwrap()[&name("t")].partitions[0].clone();
        let grown = grown.grown(std::slice::from_ref(&batch), 0, broker.log.segment_limits());
        let place = keys::PartitionKey { topic: 0, partition: 0 };
        store.write(|changes| changes.append(place, vec![(1, batch.finish())], &grown), || {}).unwrap();
    }
    assert_eq!(offsets(produce(&broker, "t", Acks::All, vec![record("b", None)])), [Some(2)]);
    let there = fetch(&broker, &at_offset("t", 0)).unwrap();
    assert_eq!(there, [(0, "a".to_owned()), (1, "landed".to_owned()), (2, "b".to_owned())]);
}

/// Fetches at `next`, after a record of `epoch`.
fn fetch_after(broker: &Embedded, next: Offset, epoch: Epoch) -> Result<Vec<(Offset, String)>, BrokerError> {
    fetch(broker, &FetchPosition { last_epoch: epoch, ..at_offset("t", next) })
}

fn position(broker: &Embedded, at: OffsetAt) -> Position {
    broker.positions(&[(TopicPartition { topic: name("t"), partition: 0 }, at)]).remove(0).unwrap()
}

fn latest(broker: &Embedded) -> Position {
    position(broker, OffsetAt::Latest)
}

fn many(broker: &Embedded, what: &str, count: usize) {
    produce(broker, "t", Acks::All, (0..count).map(|n| record(&format!("{what} {n}"), None)).collect());
}

fn truncated_to(end: Offset, result: Result<Vec<(Offset, String)>, BrokerError>) {
    assert!(matches!(&result, Err(BrokerError::Truncated { end: found, .. }) if *found == end), "{result:?}");
}

#[test]
fn a_restored_older_copy_that_has_grown_diverges() {
    // The copy was made during the last opening, or before it.
    for reopened in [false, true] {
        let (scratch, copy) = (TempDir::new(), TempDir::new());
        let file = settings(&scratch).folder.join("log.redb");
        let mut broker = Embedded::open(settings(&scratch)).unwrap();
        many(&broker, "same", 5);
        let common = latest(&broker);
        assert_eq!(position(&broker, OffsetAt::Time(i64::MAX)), common);
        assert_eq!(position(&broker, OffsetAt::Time(0)), Position::from(0));
        drop(broker);
        std::fs::copy(&file, copy.path().join("log.redb")).unwrap();
        broker = Embedded::open(settings(&scratch)).unwrap();
        many(&broker, "lost", 15);
        // Without reopening, the copy knows the epoch under which the lost records were written.
        let cursor = if reopened { latest(&broker) } else { Position { next: 20, epoch: common.epoch } };
        assert_eq!(cursor.next, 20);
        drop(broker);
        std::fs::copy(copy.path().join("log.redb"), &file).unwrap();
        broker = Embedded::open(settings(&scratch)).unwrap();
        assert_eq!(fetch_after(&broker, 5, common.epoch), Ok(Vec::new()));
        many(&broker, "new", 20);
        truncated_to(if reopened { 0 } else { 5 }, fetch_after(&broker, cursor.next, cursor.epoch));
        assert_eq!(fetch_after(&broker, 5, common.epoch).unwrap().len(), 20);
        assert_eq!(fetch_after(&broker, 20, NO_EPOCH).unwrap().len(), 5, "without an epoch nothing is checked");
    }
}

#[test]
fn reopening_a_log_is_not_a_truncation() {
    let scratch = TempDir::new();
    let mut cursors = Vec::new();
    for round in 0..4 {
        let broker = Embedded::open(settings(&scratch)).unwrap();
        if round != 2 {
            many(&broker, "r", 3);
        }
        cursors.push(latest(&broker));
        for cursor in &cursors {
            assert!(fetch_after(&broker, cursor.next, cursor.epoch).is_ok(), "{cursor:?}");
        }
    }
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_ne!(cursors[0].epoch, cursors[1].epoch);
    let all = FetchLimits { wait: Duration::ZERO, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    let data = broker
        .reader(0, &MemoryBudget::default().live)
        .fetch(&[at_offset("t", 1)], all)
        .unwrap()
        .remove(0)
        .result
        .unwrap();
    let epochs: Vec<_> = [2, 3, 4, 6, 9].map(|next| data.epochs.before(next)).to_vec();
    let of = |round: usize| Some(cursors[round].epoch);
    assert_eq!(epochs, [of(0), of(0), of(1), of(1), of(3)]);
    // Retention keeps the epochs of what is left.
    broker.log.begin_write().unwrap().trim(&name("t"), 0, 1).unwrap();
    let end = latest(&broker);
    drop(broker);
    let broker = Embedded::open(settings(&scratch)).unwrap();
    assert_eq!((latest(&broker), fetch_after(&broker, end.next, end.epoch)), (end, Ok(Vec::new())));
}

#[test]
fn a_log_that_is_reopened_often_keeps_few_epochs_and_recognizes_other_copies() {
    let (scratch, copy) = (TempDir::new(), TempDir::new());
    let file = settings(&scratch).folder.join("log.redb");
    let open = || Embedded::open(settings(&scratch)).unwrap();
    let epochs = |broker: &Embedded| broker.log.topics()[&name("t")].partitions[0].epochs.clone();
    let broker = open();
    many(&broker, "same", 1000);
    let oldest = latest(&broker);
    // Creates the state of a log that was opened once for each offset in `starts`, with one append each time.
    let opened = |broker: &Embedded, starts: std::ops::Range<Offset>| {
        let place = keys::PartitionKey { topic: 0, partition: 0 };
        let new = |start| topics::NewEpoch { epoch: start, start, merged: None };
        let begin =
            |changes: &store::Changes| starts.clone().try_for_each(|start| changes.begin_epoch(place, new(start)));
        broker.log.begin_write().unwrap().commit(0, begin, || {}).unwrap();
    };
    opened(&broker, 700..950);
    drop(broker);
    std::fs::copy(&file, copy.path().join("log.redb")).unwrap();
    let broker = open();
    assert_eq!(epochs(&broker).len(), 251);
    opened(&broker, 950..1000);
    drop(broker);
    let broker = open();
    many(&broker, "new", 1);
    let after = epochs(&broker);
    assert_eq!((after.len(), after[0], after[1]), (topics::MAX_EPOCHS, (745, 0), (746, 746)));
    drop(broker);
    // The stored epochs are the same, and match their checksum.
    let broker = open();
    assert_eq!(epochs(&broker), after);
    let end = latest(&broker);
    for (next, epoch) in [(1, 745), (745, 745), (746, 745), (900, 899), (end.next, end.epoch)] {
        assert!(fetch_after(&broker, next, epoch).is_ok(), "offset {next} after epoch {epoch}");
    }
    // Forgotten epochs, and an offset past the end of its epoch.
    truncated_to(0, fetch_after(&broker, oldest.next, oldest.epoch));
    truncated_to(0, fetch_after(&broker, 720, 719));
    truncated_to(746, fetch_after(&broker, 747, 745));
    many(&broker, "new", 1);
    assert_eq!(epochs(&broker).len(), topics::MAX_EPOCHS);
    drop(broker);
    std::fs::copy(copy.path().join("log.redb"), &file).unwrap();
    let broker = open();
    many(&broker, "other", 100);
    // The copy knows the epochs that it contains, but not later ones.
    assert!(fetch_after(&broker, 745, 745).is_ok());
    truncated_to(0, fetch_after(&broker, 1000, 999));
    truncated_to(0, fetch_after(&broker, end.next, end.epoch));
}

#[test]
fn a_folder_of_the_previous_format_is_upgraded() {
    let scratch = TempDir::new();
    drop(Embedded::open(settings(&scratch)).unwrap());
    let format = settings(&scratch).folder.join("format");
    std::fs::write(&format, "curlew-data 2\n").unwrap();
    drop(Embedded::open(settings(&scratch)).unwrap());
    assert_eq!(std::fs::read_to_string(format).unwrap(), "curlew-data 3\n");
}

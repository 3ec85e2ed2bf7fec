//! The contract of the `Broker` trait, checked for every implementation: the embedded log, the wire driver on Kafka 4.4
//! and 3.9, and the crate driver on 3.9, each with its limitations.

use crate::SOON;
use bytes::Bytes;
use crossbeam_channel::bounded;
use curlew::broker::*;
use curlew::embedded::{Embedded, EmbeddedSettings};
use curlew::kafka::{self, Driver};
use curlew::record::partitioner::partition_for_key;
use curlew::record::*;
use curlew_integration::kafka::Kafka;
use curlew_integration::{eventually, fresh_topic};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cannot {
    Headers,
    Timestamps,
    TopicIds,
    /// Interrupt a waiting fetch.
    Interruption,
    /// An empty key is read as no key.
    EmptyKeys,
    DeleteTopics,
    /// Create topics, or describe brokers, replicas and configurations.
    Administration,
}

/// Creates a topic with this many partitions.
type Create = dyn Fn(&str, usize) + Sync;
type Delete = dyn Fn(&str) + Sync;

/// A broker, how to create and delete its topics, and its limitations.
struct BrokerUnderTest {
    broker: Arc<dyn Broker>,
    create: Box<Create>,
    /// Deletes a topic if the broker itself cannot.
    delete: Option<Box<Delete>>,
    cannot: &'static [Cannot],
}

fn embedded() -> (BrokerUnderTest, TempDir) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let settings = EmbeddedSettings {
        folder: directory.path().join("data"),
        partitions: 1,
        retention_time: Duration::MAX,
        retention_bytes: u64::MAX,
    };
    let log = Arc::new(Embedded::open(settings).expect("the log opens"));
    let create = log.clone();
    let broker_under_test = BrokerUnderTest {
        broker: log,
        create: Box::new(move |topic, partitions| created(create.as_ref(), topic, partitions)),
        delete: None,
        cannot: &[],
    };
    (broker_under_test, directory)
}

fn of_kafka(kafka: &'static Kafka, driver: Driver, cannot: &'static [Cannot]) -> BrokerUnderTest {
    BrokerUnderTest {
        broker: kafka::connect(&kafka::KafkaSettings::plain(&[&kafka.bootstrap()], driver)),
        create: Box::new(|topic, partitions| kafka.create(topic, partitions)),
        delete: cannot
            .contains(&Cannot::DeleteTopics)
            .then(|| Box::new(|topic: &str| kafka.delete(topic)) as Box<Delete>),
        cannot,
    }
}

#[test]
fn the_embedded_log_conforms() {
    let (broker_under_test, _directory) = embedded();
    broker_under_test.conforms();
}

#[test]
fn the_wire_driver_on_4_4_conforms() {
    of_kafka(Kafka::shared(), Driver::Wire, &[]).conforms();
}

#[test]
fn the_wire_driver_on_3_9_conforms() {
    of_kafka(Kafka::shared_old(), Driver::Wire, &[]).conforms();
}

#[test]
fn the_crate_driver_on_3_9_conforms_within_the_limits_of_its_protocol() {
    let cannot = &[
        Cannot::Headers,
        Cannot::Timestamps,
        Cannot::TopicIds,
        Cannot::Interruption,
        Cannot::EmptyKeys,
        Cannot::DeleteTopics,
        Cannot::Administration,
    ];
    of_kafka(Kafka::shared_old(), Driver::Crate, cannot).conforms();
}

fn created(broker: &dyn Broker, topic: &str, partitions: usize) {
    let partitions = partitions.try_into().ok();
    broker.create_topic(&NewTopic { partitions, ..NewTopic::named(name(topic)) }).expect("created");
}

fn name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("a topic name")
}

fn record(value: impl Into<Bytes>) -> NewRecord {
    NewRecord { value: Some(value.into()), ..NewRecord::default() }
}

/// Copies a fetched record.
fn owned(record: RecordRef<'_>) -> (Offset, NewRecord) {
    let own = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
    let headers = record.headers().map(|(name, value)| {
        let name = String::from_utf8(name.to_vec()).expect("UTF-8");
        Header { name, value: value.map(Bytes::copy_from_slice) }
    });
    let new = NewRecord {
        partition: None,
        key: own(record.key),
        value: own(record.value),
        headers: headers.collect(),
        timestamp: Some(record.timestamp),
    };
    (record.offset, new)
}

impl BrokerUnderTest {
    fn conforms(&self) {
        self.records_are_read_as_they_were_written();
        self.acks_decide_what_is_reported();
        self.a_key_chooses_the_same_partition_as_the_java_client();
        self.unknown_topics_and_partitions_are_named_in_the_error();
        self.one_record_too_large_fails_alone();
        self.a_timestamp_finds_the_first_record_of_that_time_or_later();
        self.a_waiting_reader_wakes();
        self.a_recreated_topic_has_another_id();
        self.a_created_topic_has_its_partitions_replicas_and_settings();
    }

    fn can(&self, what: Cannot) -> bool {
        !self.cannot.contains(&what)
    }

    fn fresh(&self, topic: &str, partitions: usize) -> String {
        let topic = fresh_topic(topic);
        (self.create)(&topic, partitions);
        eventually("the topic exists", SOON, || self.info(&topic).map_err(|e| e.to_string()));
        topic
    }

    fn info(&self, topic: &str) -> Result<TopicInfo, BrokerError> {
        let topic = name(topic);
        let info = self.broker.topics(std::slice::from_ref(&topic))?.remove(0)?;
        match info.partitions.iter().find(|partition| partition.leader.is_none()) {
            None => Ok(info),
            Some(info) => Err(Staleness::NoLeader(TopicPartition { topic, partition: info.partition }).into()),
        }
    }

    fn produce(&self, topic: &str, acks: Acks, records: Vec<NewRecord>) -> Vec<DeliveryResult> {
        let (done, outcomes) = bounded(1);
        let (submit, submissions) = bounded(1);
        let receipts = DeliveryReport::new(records.len(), move |outcomes| drop(done.send(outcomes)));
        let (deadline, auto_create) = (Instant::now() + SOON, AutoCreate::Never);
        submit.send(Submission { topic: name(topic), acks, auto_create, records, deadline, receipts }).expect("sent");
        drop(submit);
        self.broker.write_all(submissions);
        outcomes.recv_timeout(2 * SOON).expect("an outcome for each")
    }

    fn reader(&self, topic: &str) -> Box<dyn PartitionReader> {
        let leader = self.info(topic).expect("the topic exists").partitions[0].leader;
        self.broker.reader(leader.expect("a leader"), &curlew::sync::memory_budget::MemoryBudget::default().live)
    }

    fn position(&self, topic: &str, offset: Offset) -> FetchPosition {
        FetchPosition {
            topic: name(topic),
            topic_id: None,
            partition: 0,
            offset,
            leader_epoch: -1,
            last_epoch: NO_EPOCH,
        }
    }

    fn fetch(&self, position: &FetchPosition) -> Result<PartitionData, BrokerError> {
        let limits = FetchLimits { wait: Duration::from_secs(2), max_bytes: 4 << 20, partition_max_bytes: 4 << 20 };
        let mut reader = self.reader(position.topic.as_str());
        eventually("an answer for the partition", SOON, || {
            match reader.fetch(std::slice::from_ref(position), limits).map(|mut fetched| fetched.pop()) {
                Ok(Some(fetched)) => Ok(fetched.result),
                other => Err(format!("{other:?}")),
            }
        })
    }

    fn read(&self, topic: &str, from: Offset) -> Vec<(Offset, NewRecord)> {
        let data = self.fetch(&self.position(topic, from)).expect("records");
        data.batches.iter().flat_map(|records| records.iter().map(owned).collect::<Vec<_>>()).collect()
    }

    fn at(&self, topic: &str, at: OffsetAt) -> Result<Offset, BrokerError> {
        self.broker.offsets(&[(TopicPartition { topic: name(topic), partition: 0 }, at)]).remove(0)
    }

    fn records_are_read_as_they_were_written(&self) {
        let topic = self.fresh("as-sent", 1);
        assert_eq!((self.at(&topic, OffsetAt::Earliest), self.at(&topic, OffsetAt::Latest)), (Ok(0), Ok(0)));
        let header = |name: &str, value: Option<&'static str>| Header {
            name: name.into(),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
        };
        let mut sent = vec![
            record("plain"),
            NewRecord { key: Some("key".into()), ..record("keyed") },
            NewRecord { key: Some("key".into()), ..NewRecord::default() },
            NewRecord { key: self.can(Cannot::EmptyKeys).then(Bytes::new), ..record("") },
            record(vec![0, 159, 146, 150]),
        ];
        if self.can(Cannot::Headers) {
            let headers = vec![header("a", Some("1")), header("a", Some("2")), header("b", None), header("", Some(""))];
            sent.push(NewRecord { headers, ..record("with headers") });
        }
        if self.can(Cannot::Timestamps) {
            sent.push(NewRecord { timestamp: Some(now() - 12_345), ..record("of then") });
        }
        let outcomes = self.produce(&topic, Acks::All, sent.clone());
        let places = (0..).map(|offset| Ok(RecordLocation { partition: 0, offset: Some(offset) }));
        assert_eq!(outcomes, places.take(sent.len()).collect::<Vec<_>>());
        for from in 0..sent.len() {
            let read = self.read(&topic, from as Offset);
            assert_eq!(read.len(), sent.len() - from);
            for ((offset, read), (number, sent)) in read.into_iter().zip(sent.iter().enumerate().skip(from)) {
                assert_eq!(offset, number as Offset);
                let time = sent.timestamp.or(read.timestamp);
                assert_eq!(read, NewRecord { timestamp: time, ..sent.clone() });
                assert!(!self.can(Cannot::Timestamps) || (now() - time.expect("a time")).abs() < 60_000);
            }
        }
        assert_eq!(self.at(&topic, OffsetAt::Latest), Ok(sent.len() as Offset));
    }

    fn acks_decide_what_is_reported(&self) {
        let topic = self.fresh("acks", 1);
        let offset = |acks| self.produce(&topic, acks, vec![record("v")]).remove(0).expect("written").offset;
        assert_eq!((offset(Acks::All), offset(Acks::Leader), offset(Acks::None)), (Some(0), Some(1), None));
        eventually("the third record is written", SOON, || match self.at(&topic, OffsetAt::Latest) {
            Ok(3) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    fn a_key_chooses_the_same_partition_as_the_java_client(&self) {
        let topic = self.fresh("keys", 3);
        assert_eq!(self.info(&topic).expect("the topic exists").partitions.len(), 3);
        let keys: Vec<String> = (0..30).map(|n| format!("key {n}")).collect();
        let keyed = |key: &String| NewRecord { key: Some(key.clone().into()), ..record("v") };
        let outcomes = self.produce(&topic, Acks::All, keys.iter().map(keyed).collect());
        for (key, outcome) in keys.iter().zip(outcomes) {
            assert_eq!(outcome.expect("written").partition, partition_for_key(key.as_bytes(), 3), "{key}");
        }
    }

    fn unknown_topics_and_partitions_are_named_in_the_error(&self) {
        let missing = name(&fresh_topic("missing"));
        let unknown = BrokerError::UnknownTopic(missing.clone());
        assert_eq!(self.broker.topics(std::slice::from_ref(&missing)), Ok(vec![Err(unknown.clone())]));
        assert_eq!(self.produce(missing.as_str(), Acks::All, vec![record("v")]), [Err(unknown)]);
        let topic = self.fresh("there", 1);
        let partition = TopicPartition { topic: name(&topic), partition: 7 };
        let to_seven = NewRecord { partition: Some(7), ..record("v") };
        assert_eq!(self.produce(&topic, Acks::All, vec![to_seven]), [Err(BrokerError::UnknownPartition(partition))]);
        let listed = self.broker.list_topics().expect("a list");
        assert!(listed.iter().any(|info| info.name == name(&topic)) && listed.iter().all(|info| info.name != missing));
        self.produce(&topic, Acks::All, vec![record("v")]);
        let beyond = self.fetch(&self.position(&topic, 99)).map(|data| data.next_offset);
        assert!(matches!(beyond, Err(BrokerError::OffsetOutOfRange(_))), "{beyond:?}");
    }

    fn one_record_too_large_fails_alone(&self) {
        let topic = self.fresh("large", 1);
        let large = record(vec![b'x'; 3 << 19]);
        let outcomes = self.produce(&topic, Acks::All, vec![record("a"), large, record("b")]);
        assert!(matches!(outcomes[..], [Ok(_), Err(BrokerError::TooLarge(_)), Ok(_)]), "{outcomes:?}");
        let values: Vec<_> = self.read(&topic, 0).into_iter().filter_map(|(_, record)| record.value).collect();
        assert_eq!(values, ["a", "b"]);
    }

    fn a_timestamp_finds_the_first_record_of_that_time_or_later(&self) {
        if !self.can(Cannot::Timestamps) {
            return;
        }
        let topic = self.fresh("times", 1);
        let base = now() - 100_000;
        // Timestamps of a clock that jumps.
        let times = [100, 5000, 200, 300, 50, 6000];
        for time in times {
            let record = NewRecord { timestamp: Some(base + time), ..record("v") };
            self.produce(&topic, Acks::All, vec![record]).remove(0).expect("written");
        }
        for timestamp in [0, 100, 101, 250, 5000, 5001, 6000, 6001] {
            let expected = times.iter().position(|time| *time >= timestamp).unwrap_or(times.len());
            assert_eq!(self.at(&topic, OffsetAt::Time(base + timestamp)), Ok(expected as Offset), "{timestamp}");
        }
    }

    fn a_waiting_reader_wakes(&self) {
        let topic = self.fresh("waits", 1);
        let wait = Duration::from_secs(if self.can(Cannot::Interruption) { 60 } else { 3 });
        let limits = FetchLimits { wait, max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
        let mut reader = self.reader(&topic);
        let interrupt = reader.interrupter();
        let read_until = |reader: &mut Box<dyn PartitionReader>, offset| {
            eventually("the record comes", SOON, || {
                let fetched = reader.fetch(&[self.position(&topic, offset)], limits).map_err(|e| e.to_string())?;
                let arrived = fetched.into_iter().filter_map(|f| f.result.ok()).any(|data| data.next_offset > offset);
                if arrived { Ok(()) } else { Err("nothing".to_owned()) }
            });
        };
        let began = Instant::now();
        let (arrived, has_come) = bounded(1);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                read_until(&mut reader, 0);
                arrived.send(()).expect("the test waits");
                // No record arrives: only the interruption ends the fetch.
                reader.fetch(&[self.position(&topic, 1)], limits).map(drop)
            });
            self.produce(&topic, Acks::All, vec![record("v")]).remove(0).expect("written");
            has_come.recv_timeout(2 * SOON).expect("a record");
            eventually("the interruption ends it", SOON, || {
                interrupt();
                if reading.is_finished() { Ok(()) } else { Err("it waits".to_owned()) }
            });
            reading.join().expect("reads").expect("an interruption is no error");
        });
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    }

    fn a_created_topic_has_its_partitions_replicas_and_settings(&self) {
        let topic = fresh_topic("created");
        let new =
            |topic: &str| NewTopic { partitions: Some(2), replication_factor: Some(1), ..NewTopic::named(name(topic)) };
        let created = self.broker.create_topic(&new(&topic));
        if !self.can(Cannot::Administration) {
            for unsupported in [
                created.map(drop),
                self.broker.brokers().map(drop),
                self.broker.replicas(&name(&topic)).map(drop),
                self.broker.topic_configs(&name(&topic)).map(drop),
            ] {
                assert!(matches!(unsupported, Err(BrokerError::Unsupported(_))), "{unsupported:?}");
            }
            return;
        }
        assert_eq!(created, Ok(CreatedTopic { partitions: Some(2), replication_factor: Some(1) }));
        // The topic can be used at once.
        assert_eq!(self.info(&topic).expect("it exists").partitions.len(), 2);
        self.produce(&topic, Acks::All, vec![record("first")]).remove(0).expect("written");
        let [broker] = self.broker.brokers().expect("brokers")[..] else { panic!("one broker is running") };
        let replicas = self.broker.replicas(&name(&topic)).expect("replicas");
        assert_eq!(replicas, vec![vec![Replica { broker, in_sync: true }]; 2]);
        let configs = self.broker.topic_configs(&name(&topic)).expect("configs");
        assert_eq!(configs.get("cleanup.policy"), Some(&Some("delete".to_owned())), "{configs:?}");
        assert!(configs.contains_key("retention.ms"), "{configs:?}");
        assert_eq!(self.broker.create_topic(&new(&topic)), Err(BrokerError::TopicExists(name(&topic))));
        let other = fresh_topic("rejected");
        let configs = [("no.such.setting".to_owned(), "1".to_owned())].into();
        for (invalid, word) in [
            (NewTopic { replication_factor: Some(9), ..new(&other) }, "eplication factor"),
            (NewTopic { configs, ..new(&other) }, "no.such.setting"),
        ] {
            let Err(BrokerError::InvalidTopic(why)) = self.broker.create_topic(&invalid) else { panic!("{invalid:?}") };
            assert!(why.to_string().contains(word), "{why}");
        }
        for missing in
            [self.broker.replicas(&name(&other)).map(drop), self.broker.topic_configs(&name(&other)).map(drop)]
        {
            assert_eq!(missing, Err(BrokerError::UnknownTopic(name(&other))));
        }
    }

    fn a_recreated_topic_has_another_id(&self) {
        let topic = self.fresh("recreated", 1);
        self.produce(&topic, Acks::All, vec![record("old")]).remove(0).expect("written");
        let old = self.info(&topic).expect("the topic exists").id;
        match &self.delete {
            None => self.broker.delete_topic(&name(&topic)).expect("deleted"),
            Some(delete) => {
                let refused = self.broker.delete_topic(&name(&topic));
                assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
                delete(&topic);
            }
        }
        eventually("it is gone", SOON, || match self.info(&topic) {
            Err(BrokerError::UnknownTopic(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if self.delete.is_none() {
            let again = self.broker.delete_topic(&name(&topic));
            assert!(matches!(again, Err(BrokerError::UnknownTopic(_))), "{again:?}");
        }
        (self.create)(&topic, 1);
        let new = eventually("the new topic exists", SOON, || self.info(&topic).map_err(|e| e.to_string())).id;
        assert_eq!(old.is_some(), self.can(Cannot::TopicIds));
        if self.can(Cannot::TopicIds) {
            assert_ne!(old, new);
            let stale =
                self.fetch(&FetchPosition { topic_id: old, ..self.position(&topic, 0) }).map(|data| data.next_offset);
            assert!(matches!(stale, Err(BrokerError::Recreated(_) | BrokerError::StaleMetadata(_))), "{stale:?}");
        }
        assert_eq!(self.at(&topic, OffsetAt::Latest), Ok(0));
    }
}

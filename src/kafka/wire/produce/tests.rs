//! The producer against a fake broker.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::broker::{Acks, AutoCreate, BrokerError, DeliveryReport, DeliveryResult, RecordLocation, WriteState};
use crate::kafka::wire::testing::{
    self, API_VERSIONS, Impostor, METADATA, ReceivedRequest, metadata, next_request, respond_to, text,
};
use crate::record::{NewRecord, Partition, TopicName};
use bytes::Bytes;
use crossbeam_channel::Sender;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

const PRODUCE: i16 = 0;
const INIT_PRODUCER_ID: i16 = 22;
const CREATE_TOPICS: i16 = 19;
const DESCRIBE_CONFIGS: i16 = 32;
const SOON: Duration = Duration::from_secs(10);

/// One partition of a Produce v3 request.
#[derive(Debug, Clone, PartialEq)]
struct ReceivedBatch {
    acks: i16,
    topic: String,
    partition: Partition,
    batch: Vec<u8>,
}

impl ReceivedBatch {
    /// Producer id, epoch and base sequence of the batch.
    fn stamp(&self) -> &[u8] {
        &self.batch[43..57]
    }

    fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.batch[53..57].try_into().unwrap())
    }

    fn records(&self) -> i32 {
        i32::from_be_bytes(self.batch[57..61].try_into().unwrap())
    }
}

fn parse(requested: &ReceivedRequest) -> Vec<ReceivedBatch> {
    let mut rest = &requested.body[2..];
    let mut take = |len: usize| {
        let (head, tail) = rest.split_at(len);
        rest = tail;
        head.to_vec()
    };
    let int = |bytes: Vec<u8>| bytes.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let acks = i16::from_be_bytes(take(2).try_into().unwrap());
    take(4);
    let mut batches = Vec::new();
    for _ in 0..int(take(4)) {
        let len = int(take(2));
        let topic = String::from_utf8(take(len)).unwrap();
        for _ in 0..int(take(4)) {
            let partition = int(take(4)) as Partition;
            let len = int(take(4));
            batches.push(ReceivedBatch { acks, topic: topic.clone(), partition, batch: take(len) });
        }
    }
    batches
}

/// A Produce v3 response with an error code and base offset for each partition.
fn produced(parts: &[(ReceivedBatch, i16, i64)], throttle_ms: i32) -> Vec<u8> {
    let mut body = (parts.len() as i32).to_be_bytes().to_vec();
    for (batches, error, offset) in parts {
        text(&mut body, &batches.topic);
        body.extend(1i32.to_be_bytes());
        body.extend(batches.partition.to_be_bytes());
        body.extend(error.to_be_bytes());
        body.extend(offset.to_be_bytes());
        body.extend((-1i64).to_be_bytes());
    }
    body.extend(throttle_ms.to_be_bytes());
    body
}

enum Do {
    /// Responds with this code and base offset for each partition.
    Answer(i16, i64),
    /// Responds with this code and base offset, and throttles the client for this many ms.
    Throttle(i64, i32),
    HangUp,
    Nothing,
}

/// A broker of Kafka 0.11 with topic `t` of one partition, and the requests that it received.
struct Broker {
    impostor: Impostor,
    batches: Arc<Mutex<Vec<ReceivedBatch>>>,
    lookups: Arc<AtomicUsize>,
    /// Whether the broker leaves requests for producer ids unanswered.
    withholds_ids: Arc<AtomicBool>,
    /// Whether the broker grants a producer id only to a client that requests metadata meanwhile.
    ids_beside_metadata: Arc<AtomicBool>,
    /// The broker closes the connection on a larger Produce request, and counts these.
    largest: Arc<AtomicUsize>,
    hang_ups: Arc<AtomicUsize>,
}

impl Broker {
    fn start(decide: impl Fn(usize, &ReceivedBatch) -> Do + Send + Sync + 'static) -> Self {
        Self::start_with(decide, |own| metadata(&[(1, own)], &[("t", 0, &[1])]))
    }

    /// `describe` builds the metadata from the broker's address.
    fn start_with(
        decide: impl Fn(usize, &ReceivedBatch) -> Do + Send + Sync + 'static,
        describe: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::start_creating("true", &[], decide, describe)
    }

    /// Starts a broker with this value of `auto.create.topics.enable`, which rejects the topics in `rejected` with
    /// these reasons.
    fn start_creating(
        auto_create: &'static str,
        rejected: &'static [(&'static str, &'static str)],
        decide: impl Fn(usize, &ReceivedBatch) -> Do + Send + Sync + 'static,
        describe: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let batches: Arc<Mutex<Vec<ReceivedBatch>>> = Arc::default();
        let (lookups, withholds_ids) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let address = Arc::new(OnceLock::<String>::new());
        let (noted, asked_for, own) = (batches.clone(), lookups.clone(), address.clone());
        let ids_beside_metadata = Arc::<AtomicBool>::default();
        let (withheld, beside) = (withholds_ids.clone(), ids_beside_metadata.clone());
        let (largest, hang_ups) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::<AtomicUsize>::default());
        let (most, closed) = (largest.clone(), hang_ups.clone());
        let impostor = Impostor::start(move |mut stream| {
            while let Some(requested) = next_request(&mut stream) {
                let body = match requested.key {
                    API_VERSIONS => {
                        let mut body = vec![0, 0, 6];
                        let apis = [(PRODUCE, 3i16), (METADATA, 4), (INIT_PRODUCER_ID, 0)];
                        for (key, max) in apis.into_iter().chain([(CREATE_TOPICS, 4), (DESCRIBE_CONFIGS, 1)]) {
                            body.extend([key.to_be_bytes(), [0, 0], max.to_be_bytes()].concat());
                            body.push(0);
                        }
                        body.extend([0; 5]);
                        body
                    }
                    METADATA => {
                        asked_for.fetch_add(1, Ordering::SeqCst);
                        describe(own.wait())
                    }
                    DESCRIBE_CONFIGS => {
                        let mut body = [&[0; 4][..], &1i32.to_be_bytes(), &[0, 0, 0xff, 0xff, 4]].concat();
                        text(&mut body, "1");
                        body.extend(1i32.to_be_bytes());
                        text(&mut body, "auto.create.topics.enable");
                        text(&mut body, auto_create);
                        body.extend([0; 7]);
                        body
                    }
                    CREATE_TOPICS => {
                        let mut body = [&[0; 4][..], &(rejected.len() as i32).to_be_bytes()].concat();
                        for (topic, why) in rejected {
                            text(&mut body, topic);
                            body.extend(17i16.to_be_bytes());
                            text(&mut body, why);
                        }
                        body
                    }
                    INIT_PRODUCER_ID if withheld.load(Ordering::SeqCst) => continue,
                    INIT_PRODUCER_ID
                        if beside.load(Ordering::SeqCst) && !asks_for_metadata_beside(&stream, &asked_for) =>
                    {
                        return;
                    }
                    INIT_PRODUCER_ID => [&[0; 6][..], &77i64.to_be_bytes(), &[0; 2]].concat(),
                    PRODUCE if requested.body.len() > most.load(Ordering::SeqCst) => {
                        closed.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    PRODUCE => {
                        let (mut answers, mut throttle) = (Vec::new(), 0);
                        for part in parse(&requested) {
                            let number = {
                                let mut noted = noted.lock().unwrap();
                                noted.push(part.clone());
                                noted.len() - 1
                            };
                            match decide(number, &part) {
                                Do::Answer(code, offset) => answers.push((part, code, offset)),
                                Do::Throttle(offset, ms) => {
                                    answers.push((part, 0, offset));
                                    throttle = ms;
                                }
                                Do::HangUp => return,
                                Do::Nothing => {}
                            }
                        }
                        if answers.is_empty() {
                            continue;
                        }
                        produced(&answers, throttle)
                    }
                    other => panic!("request {other}"),
                };
                respond_to(&mut stream, requested.correlation, &body);
            }
        });
        address.set(impostor.address.clone()).unwrap();
        Self { impostor, batches, lookups, withholds_ids, ids_beside_metadata, largest, hang_ups }
    }

    fn batches(&self) -> Vec<ReceivedBatch> {
        self.batches.lock().unwrap().clone()
    }
}

/// Whether another lookup arrives before the client on `stream` gives up.
fn asks_for_metadata_beside(stream: &std::net::TcpStream, lookups: &AtomicUsize) -> bool {
    let before = lookups.load(Ordering::SeqCst);
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    while lookups.load(Ordering::SeqCst) == before {
        if matches!(stream.peek(&mut [0]), Ok(0)) {
            return false;
        }
    }
    stream.set_read_timeout(None).unwrap();
    true
}

/// A producer and its thread, which ends when this is dropped.
struct Producer {
    cluster: Arc<ClusterClient>,
    submissions: Option<Sender<Submission>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Producer {
    fn start(bootstrap: &str, settings: ProducerSettings) -> Self {
        let (submissions, taken) = bounded(100);
        let cluster = Arc::new(ClusterClient::new(testing::settings(&[bootstrap])));
        let its = cluster.clone();
        let thread = thread::spawn(move || write_all(&its, &settings, &taken));
        Self { cluster, submissions: Some(submissions), thread: Some(thread) }
    }

    fn submit(&self, topic: &str, acks: Acks, values: &[&str], within: Duration) -> Receiver<Vec<DeliveryResult>> {
        self.submit_to(topic, AutoCreate::Never, acks, values, within)
    }

    /// Sends one record with acks=all to a topic that Kafka should create.
    fn create(&self, topic: &str, within: Duration) -> DeliveryResult {
        let outcomes = self.submit_to(topic, AutoCreate::Ask, Acks::All, &["a"], within);
        outcomes.recv_timeout(SOON).unwrap().remove(0)
    }

    fn submit_to(
        &self,
        topic: &str,
        auto_create: AutoCreate,
        acks: Acks,
        values: &[&str],
        within: Duration,
    ) -> Receiver<Vec<DeliveryResult>> {
        let (report, outcomes) = bounded(1);
        let record =
            |value: &&str| NewRecord { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..NewRecord::default() };
        let submission = Submission {
            topic: TopicName::new(topic).unwrap(),
            acks,
            auto_create,
            records: values.iter().map(record).collect(),
            deadline: Instant::now() + within,
            receipts: DeliveryReport::new(values.len(), move |outcomes| report.send(outcomes).unwrap()),
        };
        self.submissions.as_ref().unwrap().send(submission).unwrap();
        outcomes
    }

    fn send(&self, acks: Acks, value: &str) -> DeliveryResult {
        self.submit("t", acks, &[value], SOON).recv_timeout(SOON).unwrap().remove(0)
    }

    fn end(mut self) {
        drop(self.submissions.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn at(offset: Option<i64>) -> DeliveryResult {
    Ok(RecordLocation { partition: 0, offset })
}

#[test]
fn records_get_their_offsets_and_batches_their_sequences() {
    let broker = Broker::start(|number, _| Do::Answer(0, number as i64 * 10));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let outcomes = producer.submit("t", Acks::All, &["a", "b"], SOON).recv_timeout(SOON).unwrap();
    assert_eq!(outcomes, [at(Some(0)), at(Some(1))]);
    assert_eq!(producer.send(Acks::All, "c"), at(Some(10)));
    let batches = broker.batches();
    assert_eq!(batches.iter().map(ReceivedBatch::base_sequence).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(batches.iter().map(|g| g.acks).collect::<Vec<_>>(), [-1, -1]);
    producer.end();
}

#[test]
fn a_batch_whose_response_was_lost_is_retried_with_the_same_sequence() {
    let broker = Broker::start(|number, _| if number == 1 { Do::HangUp } else { Do::Answer(0, number as i64) });
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    assert_eq!(producer.send(Acks::All, "a"), at(Some(0)));
    assert_eq!(producer.send(Acks::All, "b"), at(Some(2)));
    let batches = broker.batches();
    assert_eq!(batches[1].batch, batches[2].batch);
    producer.end();
}

#[test]
fn a_record_on_which_the_broker_hangs_up_is_too_large_and_affects_no_other() {
    const LIMIT: usize = 500_000;
    let broker = Broker::start(|number, batches| match batches.batch.len() {
        LIMIT.. => Do::HangUp,
        _ => Do::Answer(0, number as i64),
    });
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    producer.send(Acks::All, "first").unwrap();
    let poison = "x".repeat(LIMIT);
    // The other records of its submission are in the same batch.
    let same = producer.submit("t", Acks::All, &["before", &poison, "behind"], SOON);
    let neighbour = producer.submit("t", Acks::All, &["neighbour"], SOON);
    let same = same.recv_timeout(SOON).unwrap();
    assert!(matches!(&same[..], [Ok(_), Err(BrokerError::TooLarge(_)), Ok(_)]), "{same:?}");
    let Err(BrokerError::TooLarge(why)) = &same[1] else { return };
    assert!(why.to_string().contains("socket.request.max.bytes"), "{why}");
    assert!(neighbour.recv_timeout(SOON).unwrap()[0].is_ok());
    producer.end();
}

#[test]
fn a_batch_on_which_the_broker_hangs_up_is_split_until_it_fits() {
    const LIMIT: usize = 300_000;
    let broker = Broker::start(|_, batches| match batches.batch.len() {
        LIMIT.. => Do::HangUp,
        _ => Do::Answer(0, batches.base_sequence().into()),
    });
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let value = "x".repeat(LIMIT / 3);
    let outcomes = producer.submit("t", Acks::All, &[&value[..]; 8], SOON).recv_timeout(SOON).unwrap();
    assert_eq!(outcomes, (0..8).map(|offset| at(Some(offset))).collect::<Vec<_>>());
    producer.end();
}

#[test]
fn a_hang_up_on_a_size_that_was_accepted_before_does_not_reject_the_record() {
    let broker = Broker::start(|number, _| if (1..=6).contains(&number) { Do::HangUp } else { Do::Answer(0, 5) });
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    producer.send(Acks::All, &"x".repeat(200_000)).unwrap();
    assert_eq!(producer.send(Acks::All, &"x".repeat(199_000)), at(Some(5)));
    producer.end();
}

#[test]
fn a_record_above_the_largest_request_is_rejected_before_it_is_sent() {
    let broker = Broker::start(|_, _| Do::Answer(0, 0));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let too_large = producer.send(Acks::All, &"x".repeat(1_048_576));
    assert!(
        matches!(&too_large, Err(BrokerError::TooLarge(why)) if why.to_string().contains("max.request.size")),
        "{too_large:?}"
    );
    assert_eq!(producer.send(Acks::All, &"x".repeat(1_048_000)), at(Some(0)));
    assert_eq!(broker.batches().len(), 1);
    producer.end();
}

#[test]
fn batches_that_a_silent_broker_has_not_answered_go_to_the_new_leader() {
    let led_by = Arc::new(std::sync::atomic::AtomicI32::new(1));
    let (leader, reported) = (led_by.clone(), led_by.clone());
    let describe = move |_: &str| metadata(&[], &[("t", 0, &[reported.load(Ordering::SeqCst)])]);
    let heir = Broker::start_with(|_, _| Do::Answer(0, 7), describe);
    let address = heir.impostor.address.clone();
    let frozen = Broker::start_with(
        move |number, _| {
            if number == 0 {
                return Do::Answer(0, 6);
            }
            led_by.store(2, Ordering::SeqCst);
            Do::Nothing
        },
        move |own| metadata(&[(1, own), (2, &address)], &[("t", 0, &[leader.load(Ordering::SeqCst)])]),
    );
    let settings = ProducerSettings { request_timeout: Duration::from_secs(600), ..ProducerSettings::default() };
    let producer = Producer::start(&frozen.impostor.address, settings);
    assert_eq!(producer.send(Acks::All, "a"), at(Some(6)));
    assert_eq!(producer.send(Acks::All, "b"), at(Some(7)));
    assert_eq!(heir.batches()[0].batch, frozen.batches()[1].batch, "with the same sequence");
    producer.end();
}

#[test]
fn without_sequences_a_batch_whose_response_was_lost_is_not_retried() {
    let broker = Broker::start(|number, _| if number == 0 { Do::HangUp } else { Do::Answer(0, number as i64) });
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    assert_eq!(producer.send(Acks::Leader, "a"), Err(BrokerError::TimedOut(WriteState::Maybe)));
    assert_eq!(producer.send(Acks::Leader, "b"), at(Some(1)));
    assert_eq!(broker.batches().len(), 2);
    assert_eq!(broker.batches()[0].stamp(), [0xff; 14]);
    producer.end();
}

#[test]
fn without_acks_a_record_is_settled_when_it_is_sent() {
    let broker = Broker::start(|_, _| Do::Nothing);
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    assert_eq!(producer.send(Acks::None, "a"), at(None));
    producer.end();
}

#[test]
fn records_gather_while_a_request_is_in_flight() {
    let broker = Broker::start(|number, _| {
        // Long enough for the other records to be submitted; their requests are counted, not timed.
        thread::sleep(Duration::from_millis(if number == 1 { 100 } else { 0 }));
        Do::Answer(0, 0)
    });
    let settings = ProducerSettings { linger: SOON, ..ProducerSettings::default() };
    let producer = Producer::start(&broker.impostor.address, settings);
    producer.send(Acks::All, "first").unwrap();
    let outcomes: Vec<_> = (0..50).map(|_| producer.submit("t", Acks::All, &["x"], SOON)).collect();
    outcomes.into_iter().for_each(|o| drop(o.recv_timeout(SOON).unwrap()));
    let sizes: Vec<i32> = broker.batches().iter().map(ReceivedBatch::records).collect();
    assert!(sizes.len() <= 4, "{sizes:?}");
    assert_eq!(sizes.iter().sum::<i32>(), 51);
    producer.end();
}

#[test]
fn a_former_leader_causes_a_lookup() {
    let broker = Broker::start(|number, _| Do::Answer(if number == 0 { 6 } else { 0 }, 5));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    assert_eq!(producer.send(Acks::All, "a"), at(Some(5)));
    assert_eq!(broker.lookups.load(Ordering::SeqCst), 2);
    let batches = broker.batches();
    assert_eq!(batches[0].stamp(), batches[1].stamp());
    producer.end();
}

#[test]
fn a_missing_topic_is_cached_for_a_while() {
    let broker = Broker::start(|_, _| Do::Answer(0, 0));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let missing = || Err(BrokerError::UnknownTopic(TopicName::new("nowhere").unwrap()));
    let send = || producer.submit("nowhere", Acks::All, &["a"], SOON).recv_timeout(SOON).unwrap();
    assert_eq!(send(), [missing()]);
    let lookups = broker.lookups.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(send(), [missing()]);
    }
    assert!(broker.lookups.load(Ordering::SeqCst) <= lookups + 1);
    assert_eq!(producer.send(Acks::All, "a"), at(Some(0)));
    producer.end();
}

#[test]
fn a_throttling_broker_gets_no_request_during_the_pause() {
    const PAUSE: i32 = 300;
    let broker = Broker::start(|number, _| Do::Throttle(number as i64, if number == 0 { PAUSE } else { 0 }));
    // The second record waits for the first response, which contains the throttle time.
    let settings = ProducerSettings { linger: SOON, ..ProducerSettings::default() };
    let producer = Producer::start(&broker.impostor.address, settings);
    producer.send(Acks::All, "a").unwrap();
    let answered = Instant::now();
    assert_eq!(producer.send(Acks::All, "b"), at(Some(1)));
    // The pause started before the first outcome arrived here.
    assert!(answered.elapsed() > Duration::from_millis(PAUSE as u64 / 2), "{:?}", answered.elapsed());
    producer.end();
}

#[test]
fn a_topic_that_kafka_takes_long_to_create_is_waited_for() {
    let requested = OnceLock::<Instant>::new();
    let describe = move |own: &str| {
        // Longer than two seconds, after which an earlier version gave up.
        let exists = requested.get_or_init(Instant::now).elapsed() > Duration::from_millis(2500);
        metadata(&[(1, own)], &[if exists { ("slow", 0, &[1]) } else { ("slow", 3, &[]) }])
    };
    let broker = Broker::start_with(|_, _| Do::Answer(0, 0), describe);
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    assert_eq!(producer.create("slow", SOON), at(Some(0)));
    producer.end();
}

#[test]
fn a_topic_that_is_not_created_in_time_is_not_reported_as_missing() {
    let broker = Broker::start_with(|_, _| Do::Nothing, |own| metadata(&[(1, own)], &[("never", 3, &[])]));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let never = TopicName::new("never").unwrap();
    assert_eq!(producer.create("never", Duration::from_secs(1)), Err(BrokerError::NotCreatedYet(never)));
    producer.end();
}

#[test]
fn without_automatic_creation_a_missing_topic_is_soon_reported() {
    let describe = |own: &str| metadata(&[(1, own)], &[("nowhere", 3, &[])]);
    let broker = Broker::start_creating("false", &[], |_, _| Do::Nothing, describe);
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let nowhere = TopicName::new("nowhere").unwrap();
    assert_eq!(producer.create("nowhere", Duration::from_secs(600)), Err(BrokerError::UnknownTopic(nowhere)));
    producer.end();
}

#[test]
fn a_topic_that_kafka_rejects_fails_with_its_reason_at_once() {
    const WHY: &str = "Topic 'c.d_e' collides with existing topics: c_d.e";
    for code in [3, 17] {
        let describe = move |own: &str| metadata(&[(1, own)], &[("c.d_e", code, &[])]);
        let broker = Broker::start_creating("true", &[("c.d_e", WHY)], |_, _| Do::Nothing, describe);
        let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
        let rejected = BrokerError::InvalidRecord(format!("topic c.d_e: {WHY}").into());
        assert_eq!(producer.create("c.d_e", Duration::from_secs(600)), Err(rejected));
        producer.end();
    }
}

#[test]
fn during_an_outage_records_wait_a_while_and_are_then_rejected() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = ProducerSettings { unavailable_after: Duration::from_millis(300), ..ProducerSettings::default() };
    let producer = Producer::start(&closed, settings);
    let started = Instant::now();
    assert!(matches!(producer.send(Acks::All, "a"), Err(BrokerError::Unavailable(_))));
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(matches!(producer.send(Acks::All, "b"), Err(BrokerError::Unavailable(_))));
    producer.end();
}

#[test]
fn records_at_a_silent_broker_are_in_doubt_at_the_deadline_and_do_not_delay_shutdown() {
    let broker = Broker::start(|_, _| Do::Nothing);
    let settings = ProducerSettings { request_timeout: Duration::from_secs(600), ..ProducerSettings::default() };
    let producer = Producer::start(&broker.impostor.address, settings);
    let outcomes = producer.submit("t", Acks::All, &["a"], Duration::from_secs(1));
    producer.end();
    assert_eq!(outcomes.recv_timeout(SOON).unwrap(), [Err(BrokerError::TimedOut(WriteState::Maybe))]);
}

#[test]
fn records_submitted_before_shutdown_are_written() {
    let broker = Broker::start(|number, _| Do::Answer(0, number as i64));
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let outcomes: Vec<_> = (0..20).map(|_| producer.submit("t", Acks::All, &["x"; 5], SOON)).collect();
    producer.end();
    for outcome in outcomes {
        assert!(outcome.try_recv().unwrap().iter().all(Result::is_ok));
    }
}

#[test]
fn a_panic_of_a_producer_thread_is_counted_and_becomes_an_error() {
    let before = watchdog::panics();
    let failed = panic_as_error::<()>(|| panic!("a bug"));
    assert!(matches!(failed, Err(BrokerError::Internal(why)) if why.to_string().contains("panicked")));
    assert_eq!(panic_as_error(|| Ok(1)), Ok(1));
    assert!(watchdog::panics() > before);
}

#[test]
fn a_deleted_topic_does_not_count_as_unwritable() {
    const NOT_LEADER: i16 = 6;
    let deleted = Arc::<AtomicBool>::default();
    let is_deleted = deleted.clone();
    let broker = Broker::start_with(
        |_, _| Do::Answer(NOT_LEADER, -1),
        move |own| {
            let topic = [("t", 0, &[1i32][..])];
            metadata(&[(1, own)], if is_deleted.load(Ordering::SeqCst) { &[] } else { &topic })
        },
    );
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let outcomes = producer.submit("t", Acks::All, &["a"], SOON);
    let wait_for = |waits: bool| {
        let deadline = Instant::now() + SOON;
        while producer.cluster.backlogs().stuck_since.is_some() != waits {
            assert!(Instant::now() < deadline, "waiting for {waits}");
            thread::yield_now();
        }
    };
    wait_for(true);
    deleted.store(true, Ordering::SeqCst);
    assert!(matches!(&outcomes.recv_timeout(SOON).unwrap()[0], Err(BrokerError::UnknownTopic(_))));
    wait_for(false);
    producer.end();
}

#[test]
fn a_producer_id_comes_from_another_broker_where_the_leader_is_silent_about_it() {
    let other = Broker::start_with(|_, _| Do::Nothing, |_| metadata(&[], &[("t", 0, &[1])]));
    let address = other.impostor.address.clone();
    let leader =
        Broker::start_with(|_, _| Do::Answer(0, 5), move |own| metadata(&[(1, own), (2, &address)], &[("t", 0, &[1])]));
    leader.withholds_ids.store(true, Ordering::SeqCst);
    let producer = Producer::start(&leader.impostor.address, ProducerSettings::default());
    let written = producer.submit("t", Acks::All, &["a"], SOON * 3);
    assert_eq!(written.recv_timeout(SOON * 6).unwrap(), [at(Some(5))]);
    assert_eq!(leader.batches()[0].stamp()[..8], 77i64.to_be_bytes());
    producer.end();
}

#[test]
fn leaders_are_looked_up_while_a_broker_is_slow_with_a_producer_id() {
    let broker = Broker::start(|_, _| Do::Answer(0, 5));
    broker.ids_beside_metadata.store(true, Ordering::SeqCst);
    let settings = ProducerSettings { metadata_refresh: Duration::from_millis(50), ..ProducerSettings::default() };
    let producer = Producer::start(&broker.impostor.address, settings);
    assert_eq!(producer.send(Acks::All, "a"), at(Some(5)));
    producer.end();
}

#[test]
fn small_batches_do_not_repeatedly_form_requests_that_the_broker_hangs_up_on() {
    const PARTITIONS: usize = 40;
    let broker = Broker::start_with(
        |number, _| Do::Answer(0, number as i64),
        |own| metadata(&[(1, own)], &[("t", 0, &[1; PARTITIONS])]),
    );
    broker.largest.store(300_000, Ordering::SeqCst);
    let producer = Producer::start(&broker.impostor.address, ProducerSettings::default());
    let value = Bytes::from(vec![b'x'; 20_000]);
    let rounds = 8;
    for _ in 0..rounds {
        let (report, outcomes) = bounded(1);
        let record = |partition| NewRecord {
            partition: Some(partition as Partition),
            value: Some(value.clone()),
            ..NewRecord::default()
        };
        let submission = Submission {
            topic: TopicName::new("t").unwrap(),
            acks: Acks::All,
            auto_create: AutoCreate::Never,
            records: (0..PARTITIONS).map(record).collect(),
            deadline: Instant::now() + SOON * 3,
            receipts: DeliveryReport::new(PARTITIONS, move |outcomes| report.send(outcomes).unwrap()),
        };
        producer.submissions.as_ref().unwrap().send(submission).unwrap();
        let outcomes = outcomes.recv_timeout(SOON * 6).unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    producer.end();
    assert_eq!(broker.batches().len(), PARTITIONS * rounds, "each record once");
    let hang_ups = broker.hang_ups.load(Ordering::SeqCst);
    // The growing requests exceed the limit a few times before their size settles.
    assert!(hang_ups < rounds / 2, "{hang_ups} connections were closed in {rounds} rounds");
}

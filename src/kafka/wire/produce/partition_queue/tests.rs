#![allow(clippy::unwrap_used)]

use super::*;
use crate::broker::{DeliveryReport, DeliveryResult, ErrorResponse, ErrorSubject, RecordLocation};
use crate::record::{NewRecord, Offset};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Mutex;

const ID: i64 = 77;

const ANY_ROOM: RequestCapacity =
    RequestCapacity { occupancy: Occupancy::Shared, left: usize::MAX, accepted: usize::MAX };

fn unsent() -> BrokerError {
    BrokerError::TimedOut(WriteState::No)
}

fn too_large() -> BrokerError {
    let message = "max.message.bytes".to_owned();
    BrokerError::TooLarge(ErrorResponse { code: 10, subject: ErrorSubject::Cluster, message }.into())
}

/// A broker's log of one partition, with the rules of Kafka's `ProducerAppendInfo` and the last five batches of each
/// producer.
#[derive(Default)]
struct Log {
    records: Vec<u32>,
    producers: HashMap<i64, Known>,
    /// The largest batch that the broker accepts, in records. A batch with a `POISON` record is too large as well.
    max_records: usize,
    poison: Option<u32>,
    too_large: TooLarge,
}

/// The broker's reaction to an oversized batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum TooLarge {
    #[default]
    Refuse,
    HangUp,
}

struct Known {
    epoch: i16,
    last: Vec<(i32, i32, Offset)>,
}

/// A record whose number ends in this digit is too large for any batch.
const POISON: u32 = 13;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    At(Offset),
    TooLarge,
    OutOfOrder,
    Fenced,
    NotNow,
    /// The batch is written, but the response leaves that open.
    Unsure,
}

impl Log {
    fn append(&mut self, sent: &SentRequest) -> Verdict {
        let SentRequest { values, stamp, .. } = sent;
        if values.len() > self.max_records || values.iter().any(|v| Some(v % 100) == self.poison) {
            return Verdict::TooLarge;
        }
        let offset = self.records.len() as Offset;
        if stamp.producer_id >= 0 {
            let first = stamp.base_sequence;
            let last = first + values.len() as i32 - 1;
            let known = self.producers.entry(stamp.producer_id);
            let known = known.or_insert(Known { epoch: -1, last: Vec::new() });
            if stamp.producer_epoch < known.epoch {
                return Verdict::Fenced;
            }
            if stamp.producer_epoch > known.epoch {
                if first != 0 && known.epoch >= 0 {
                    return Verdict::OutOfOrder;
                }
                *known = Known { epoch: stamp.producer_epoch, last: Vec::new() };
            } else {
                if let Some((_, _, at)) = known.last.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
                    return Verdict::At(*at);
                }
                if known.last.last().is_none_or(|(_, last, _)| last + 1 != first) {
                    return Verdict::OutOfOrder;
                }
            }
            known.last.push((first, last, offset));
            if known.last.len() > 5 {
                known.last.remove(0);
            }
        }
        self.records.extend(values);
        Verdict::At(offset)
    }
}

#[derive(Clone)]
struct SentRequest {
    number: u64,
    batch: Arc<ProducerBatch>,
    values: Vec<u32>,
    stamp: Stamp,
    sharing: Sharing,
}

/// A queue, a broker, and a network controlled by steps.
struct World {
    queue: PartitionQueue,
    log: Log,
    now: Instant,
    connection: u64,
    on_the_way: VecDeque<SentRequest>,
    answers: VecDeque<(SentRequest, Verdict)>,
    /// Batches that were sent on broken connections, and are still in the broker's queue.
    lingering: VecDeque<SentRequest>,
    outcomes: Arc<Mutex<HashMap<u32, DeliveryResult>>>,
    pushed: u32,
    refuse: u32,
    unsure: u32,
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Send,
    /// The broker processes a request.
    Arrive,
    /// The client receives a response.
    Answer,
    /// The connection breaks; true: the broker still receives its requests later.
    Break(bool),
    Linger,
    /// The broker rejects batches this many times.
    Refuse(u8),
    Unsure,
    Later(u16),
    /// No broker responds for too long.
    Down,
}

impl World {
    fn new(delivery: Delivery, max_records: usize) -> Self {
        Self {
            queue: PartitionQueue::new(delivery, 400),
            log: Log { max_records, poison: Some(POISON), ..Log::default() },
            now: Instant::now(),
            connection: 0,
            on_the_way: VecDeque::new(),
            answers: VecDeque::new(),
            lingering: VecDeque::new(),
            outcomes: Arc::default(),
            pushed: 0,
            refuse: 0,
            unsure: 0,
        }
    }

    fn push(&mut self, records: u32) {
        for _ in 0..records {
            let number = self.pushed;
            self.pushed += 1;
            let outcomes = self.outcomes.clone();
            let receipts = DeliveryReport::new(1, move |all| {
                let twice = outcomes.lock().unwrap().insert(number, all.into_iter().next().unwrap());
                assert_eq!(twice, None);
            });
            let value = Bytes::copy_from_slice(&number.to_be_bytes());
            let record = NewRecord { value: Some(value), ..NewRecord::default() };
            let deadline = self.now + Duration::from_secs(30);
            self.queue.push(PendingRecord::new(record, 0, receipts, 0, deadline), self.now);
        }
    }

    fn send(&mut self) -> bool {
        let mut in_flight = self.on_the_way.iter().chain(self.answers.iter().map(|(sent, _)| sent));
        if in_flight.any(|sent| sent.sharing == Sharing::Alone) {
            return false;
        }
        let vacant = self.on_the_way.is_empty() && self.answers.is_empty();
        let room =
            RequestCapacity { occupancy: if vacant { Occupancy::Vacant } else { Occupancy::Shared }, ..ANY_ROOM };
        let NextBatch::Send(out) = self.queue.next(ConnectionId(self.connection), Some(ID), room, self.now) else {
            return false;
        };
        let value = |bytes: &Bytes| u32::from_be_bytes(bytes[..].try_into().unwrap());
        let values = out.batch.records().map(|(_, r)| value(r.value.as_ref().unwrap())).collect();
        self.on_the_way.push_back(SentRequest {
            number: out.number,
            batch: out.batch,
            values,
            stamp: out.stamp,
            sharing: out.sharing,
        });
        true
    }

    fn arrive(&mut self) {
        let Some(sent) = self.on_the_way.pop_front() else { return };
        let verdict = if self.refuse > 0 {
            self.refuse -= 1;
            Verdict::NotNow
        } else {
            match self.log.append(&sent) {
                Verdict::At(_) if self.unsure > 0 => {
                    self.unsure -= 1;
                    Verdict::Unsure
                }
                verdict => verdict,
            }
        };
        self.answers.push_back((sent, verdict));
    }

    fn answer(&mut self) {
        let Some((sent, verdict)) = self.answers.pop_front() else { return };
        let answer = match verdict {
            Verdict::At(offset) => {
                sent.batch.settle_written(0, Some(offset));
                BatchOutcome::Written
            }
            Verdict::TooLarge if self.log.too_large == TooLarge::HangUp => {
                BatchOutcome::ConnectionClosed { attempt: WriteState::Maybe, request_bytes: 0 }
            }
            Verdict::TooLarge => BatchOutcome::Split(too_large()),
            Verdict::OutOfOrder => BatchOutcome::OutOfOrder,
            Verdict::Fenced => BatchOutcome::Fenced,
            Verdict::NotNow => BatchOutcome::Retry { attempt: WriteState::No },
            Verdict::Unsure => BatchOutcome::Retry { attempt: WriteState::Maybe },
        };
        drop(sent.batch);
        self.queue.on_outcome(sent.number, answer, self.now);
    }

    fn break_link(&mut self, lingers: bool) {
        self.connection += 1;
        let answered: Vec<SentRequest> = self.answers.drain(..).map(|(sent, _)| sent).collect();
        let sent: Vec<SentRequest> = self.on_the_way.drain(..).collect();
        for (n, lost) in answered.iter().chain(&sent).enumerate() {
            let closes = self.queue.batches.iter().find(|s| s.number == lost.number).map_or(0, |s| s.closes);
            // A restart closes the connection too, but only once.
            let answer = match n {
                0 if lingers && closes == 0 => {
                    BatchOutcome::ConnectionClosed { attempt: WriteState::Maybe, request_bytes: 0 }
                }
                _ => BatchOutcome::Retry { attempt: WriteState::Maybe },
            };
            self.queue.on_outcome(lost.number, answer, self.now);
        }
        if lingers {
            self.lingering.extend(sent);
        }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Push(records) => self.push((*records).into()),
            Step::Send => drop(self.send()),
            Step::Arrive => self.arrive(),
            Step::Answer => self.answer(),
            Step::Break(lingers) => self.break_link(*lingers),
            Step::Linger => {
                if let Some(sent) = self.lingering.pop_front() {
                    self.log.append(&sent);
                }
            }
            Step::Refuse(times) => self.refuse = (*times).into(),
            Step::Unsure => self.unsure = 1,
            Step::Down => self.queue.reject_unwritten(&BrokerError::Unavailable("away".into())),
            Step::Later(millis) => {
                self.now += Duration::from_millis((*millis).into());
                self.queue.expire(self.now, &unsent());
            }
        }
    }

    /// The rest of the run has no failures.
    fn finish(&mut self) {
        (self.refuse, self.unsure) = (0, 0);
        for _ in 0..10_000 {
            self.now += Duration::from_millis(1);
            // Back-off takes no rounds, because splitting many batches takes many.
            if self.on_the_way.is_empty()
                && self.answers.is_empty()
                && let Some(end) = self.queue.resume_at()
            {
                self.now = self.now.max(end);
            }
            while self.send() {}
            self.arrive();
            self.answer();
            if self.queue.is_idle() {
                return;
            }
        }
        panic!("never done: {} batches", self.queue.batches.len());
    }

    fn check(&mut self) {
        let outcomes = self.outcomes.lock().unwrap();
        let log = &self.log.records;
        for number in 0..self.pushed {
            let times = log.iter().filter(|r| **r == number).count();
            match outcomes.get(&number).unwrap_or_else(|| panic!("record {number} was never settled")) {
                Ok(RecordLocation { offset: Some(offset), .. }) => {
                    assert_eq!(log[*offset as usize], number, "another record is at the reported offset");
                    assert_eq!(times, 1, "record {number}");
                }
                Err(BrokerError::TimedOut(WriteState::Maybe)) => assert!(times <= 1, "record {number} is there twice"),
                _ => assert_eq!(times, 0, "record {number} was said not to be written"),
            }
        }
    }

    fn check_order(&self) {
        assert!(self.log.records.is_sorted(), "{:?}", self.log.records);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u8..9).prop_map(Step::Push),
        8 => Just(Step::Send),
        8 => Just(Step::Arrive),
        8 => Just(Step::Answer),
        1 => any::<bool>().prop_map(Step::Break),
        1 => Just(Step::Linger),
        1 => (1u8..4).prop_map(Step::Refuse),
        1 => Just(Step::Unsure),
        4 => (0u16..400).prop_map(Step::Later),
        1 => (0u16..20_000).prop_map(Step::Later),
        1 => Just(Step::Down),
    ];
    proptest::collection::vec(step, 1..150)
}

/// Scenarios of at most one second, without a record that is too large.
fn resolvable_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u8..6).prop_map(Step::Push),
        8 => Just(Step::Send),
        8 => Just(Step::Arrive),
        8 => Just(Step::Answer),
        1 => any::<bool>().prop_map(Step::Break),
        1 => Just(Step::Linger),
        1 => (1u8..4).prop_map(Step::Refuse),
        2 => Just(Step::Unsure),
        4 => (0u16..10).prop_map(Step::Later),
    ];
    proptest::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_no_record_is_lost_or_written_twice_or_overtaken(
        steps in steps(),
        max_records in 1usize..12,
        hangs_up in any::<bool>(),
    ) {
        let mut world = World::new(Delivery::Idempotent, max_records);
        world.log.too_large = if hangs_up { TooLarge::HangUp } else { TooLarge::Refuse };
        for step in &steps {
            world.play(step);
        }
        world.finish();
        world.check();
        while let Some(sent) = world.lingering.pop_front() {
            world.log.append(&sent);
        }
        world.check();
        world.check_order();
    }

    /// Broken connections, ambiguous responses, rejections: while the broker keeps its state and there is time left,
    /// every outcome can be resolved.
    #[test]
    fn no_record_stays_in_doubt_while_there_is_time_to_ask(steps in resolvable_steps()) {
        let mut world = World::new(Delivery::Idempotent, 100);
        world.log.poison = None;
        for step in &steps {
            world.play(step);
        }
        world.finish();
        world.check();
        world.check_order();
        for (number, outcome) in outcomes(&world).iter().enumerate() {
            prop_assert!(outcome.is_ok(), "record {} of {}: {:?}", number, world.pushed, outcome);
        }
    }

    #[test]
    fn without_sequences_no_record_is_written_twice_either(steps in steps(), max_records in 1usize..12) {
        let mut world = World::new(Delivery::Single, max_records);
        for step in &steps {
            world.play(step);
        }
        world.finish();
        world.check();
        while let Some(sent) = world.lingering.pop_front() {
            world.log.append(&sent);
        }
        world.check();
    }
}

fn outcomes(world: &World) -> Vec<DeliveryResult> {
    let outcomes = world.outcomes.lock().unwrap();
    (0..world.pushed).map(|n| outcomes.get(&n).cloned().unwrap()).collect()
}

#[test]
fn a_batch_that_later_ones_overtook_is_confirmed_by_its_own_sequence() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(1);
    world.finish();
    // An in-sync follower is killed: the broker times out the first batch before it drops the follower.
    for _ in 0..2 {
        world.push(1);
        assert!(world.send());
    }
    world.unsure = 1;
    (0..2).for_each(|_| world.arrive());
    (0..2).for_each(|_| world.answer());
    world.push(3);
    world.now += Duration::from_secs(1);
    assert!(world.send());
    assert_eq!(world.on_the_way[0].stamp, Stamp { producer_id: ID, producer_epoch: 0, base_sequence: 1 });
    assert!(!world.send(), "no new batch may push it out of the broker's memory");
    world.finish();
    world.check();
    world.check_order();
    assert!(outcomes(&world).iter().all(DeliveryResult::is_ok), "{:?}", outcomes(&world));
}

#[test]
fn only_the_oversized_record_fails() {
    for too_large in [TooLarge::Refuse, TooLarge::HangUp] {
        let mut world = World::new(Delivery::Idempotent, 4);
        world.log.too_large = too_large;
        world.push(20);
        world.finish();
        world.check();
        world.check_order();
        let outcomes = outcomes(&world);
        let failed: Vec<usize> = outcomes.iter().enumerate().filter(|(_, o)| o.is_err()).map(|(n, _)| n).collect();
        assert_eq!(failed, [POISON as usize], "{too_large:?}");
        assert!(matches!(&outcomes[13], Err(BrokerError::TooLarge(why)) if why.to_string().contains("bytes")));
    }
}

#[test]
fn only_the_records_named_by_the_broker_fail() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(4);
    world.send();
    let sent = world.on_the_way.pop_front().unwrap();
    let bad = BrokerError::InvalidRecord("too old".into());
    world.queue.on_outcome(
        sent.number,
        BatchOutcome::InvalidRecords(vec![(1, bad.clone()), (2, bad.clone())]),
        world.now,
    );
    world.finish();
    world.check();
    assert_eq!(world.log.records, [0, 3]);
    assert_eq!(outcomes(&world)[1], Err(bad));
}

#[test]
fn a_new_producer_sends_one_batch_and_then_five() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(40);
    assert!(world.send());
    assert!(!world.send());
    world.arrive();
    world.answer();
    let more = (0..).take_while(|_| world.send()).count();
    assert!(more > 1 && more <= 5, "{more}");
}

#[test]
fn an_expired_batch_is_in_doubt_only_if_it_was_sent() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(1);
    world.send();
    world.push(1);
    world.play(&Step::Later(40_000));
    assert_eq!(outcomes(&world)[0], Err(BrokerError::TimedOut(WriteState::Maybe)));
    assert_eq!(outcomes(&world)[1], Err(BrokerError::TimedOut(WriteState::No)));
    world.arrive();
    world.answer();
    assert!(world.queue.is_idle());
}

#[test]
fn a_batch_in_doubt_outlives_rejected_newer_ones() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(1);
    world.finish();
    world.push(1);
    world.send();
    world.push(1);
    world.send();
    world.arrive();
    let unsent = world.on_the_way.pop_back().unwrap();
    world.queue.on_outcome(unsent.number, BatchOutcome::Retry { attempt: WriteState::No }, world.now);
    world.break_link(false);
    world.play(&Step::Down);
    world.push(1);
    world.finish();
    let outcomes = outcomes(&world);
    assert!(outcomes[1].is_ok() && outcomes[3].is_ok(), "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(BrokerError::Unavailable(_))));
    assert_eq!(world.log.records, [0, 1, 3]);
}

#[test]
fn a_fenced_producer_requests_another_id() {
    let mut world = World::new(Delivery::Idempotent, 100);
    world.push(1);
    world.send();
    let sent = world.on_the_way.pop_front().unwrap();
    world.queue.on_outcome(sent.number, BatchOutcome::Fenced, world.now);
    world.now += Duration::from_secs(2);
    let next = world.queue.next(ConnectionId(0), Some(ID), ANY_ROOM, world.now);
    assert!(matches!(next, NextBatch::NeedsProducerId { stale: Some(ID) }));
    let NextBatch::Send(again) = world.queue.next(ConnectionId(0), Some(ID + 1), ANY_ROOM, world.now) else { panic!() };
    assert_eq!(again.stamp, Stamp { producer_id: ID + 1, producer_epoch: 0, base_sequence: 0 });
}

#[test]
fn a_late_producer_id_is_used_once_no_batch_without_it_is_in_flight() {
    let mut world = World::new(Delivery::Single, 100);
    world.push(2);
    world.send();
    world.queue.enable_sequences();
    world.push(2);
    assert!(!world.send(), "the response to the first says nothing about the producer");
    world.arrive();
    world.answer();
    assert!(world.send());
    assert_eq!(world.on_the_way[0].stamp, Stamp { producer_id: ID, producer_epoch: 0, base_sequence: 0 });
    world.push(2);
    assert!(!world.send(), "the first batch of a producer is sent alone");
    world.finish();
    assert_eq!(world.log.records, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_lost_batch_without_a_producer_id_stays_in_doubt_when_there_is_one_later() {
    let mut world = World::new(Delivery::Single, 100);
    world.push(1);
    world.send();
    world.queue.enable_sequences();
    let sent = world.on_the_way.pop_front().unwrap();
    world.queue.on_outcome(sent.number, BatchOutcome::Retry { attempt: WriteState::Maybe }, world.now);
    assert_eq!(outcomes(&world)[0], Err(BrokerError::TimedOut(WriteState::Maybe)));
}

#[test]
fn sequences_wrap_after_the_largest() {
    assert_eq!(sequence_after(0, 5), 5);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
}

//! The thread that owns all state of producing. It accepts submissions, sends requests, and wakes for responses and
//! deadlines.

mod backlog;
mod metadata;
mod send;
mod timeouts;

use super::batch::PendingRecord;
use super::broker_state::{BrokerState, ConnectionState};
use super::lookup::LookupReply;
use super::outcome::LeaderCheck;
use super::partition_queue::{BatchOutcome, ConnectionId, Delivery, PartitionQueue};
use super::producer_connection::ConnectionEvent;
use super::producer_topic::{Admission, ProducerTopic, reject};
use super::request::{self, PartitionOutcome, QueueId};
use super::{LookupThreads, ProducerEvent, ProducerSettings};
use crate::broker::{Acks, BrokerError, NodeId, Submission};
use crate::kafka::wire::cluster::ClusterClient;
use crate::record::{self, TopicName, TopicPartition};
use crate::sync::watchdog;
use backlog::{BacklogReport, PartitionProgress, Unwritten};
use crossbeam_channel::{Receiver, Sender, never, select};
use std::collections::{BTreeSet, HashMap};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Interval of deadline checks while records or lookups are pending.
const TICK: Duration = Duration::from_millis(20);

/// Maximum number of submissions and events handled before the next send.
const MAX_TAKEN: usize = 512;

/// The state of the producer.
pub struct Producer<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cluster: &'scope ClusterClient,
    settings: &'scope ProducerSettings,
    events: Sender<ProducerEvent>,
    lookups: LookupThreads,
    topics: HashMap<TopicName, ProducerTopic>,
    queues: Vec<PartitionState>,
    /// Queues with records waiting or in flight.
    active: BTreeSet<QueueId>,
    /// First queue of the next round; it advances each time, so that no partition is always last.
    round_start: QueueId,
    brokers: HashMap<NodeId, BrokerState>,
    next_connection: u64,
    producer_id: ProducerId,
    topic_lookup: LookupState,
    creation_lookup: LookupState,
    liveness_lookup: LookupState,
    outage: Option<ProducerOutage>,
    random: fastrand::Rng,
    last_tick: Instant,
    /// When a broker last acknowledged a record.
    last_written: Option<Instant>,
    backlog_report: BacklogReport,
}

struct PartitionState {
    queue: PartitionQueue,
    topic_partition: TopicPartition,
    acks: Acks,
    progress: PartitionProgress,
}

enum ProducerId {
    Missing {
        retry_at: Instant,
    },
    Requested,
    Known(i64),
    /// The broker denies a producer id (ACLs), so `acks=all` is sent without sequence numbers. The request is
    /// repeated at `retry_at`, as ACLs may change.
    Denied {
        retry_at: Option<Instant>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LookupState {
    Idle,
    InFlight,
}

/// A period in which no broker responds.
struct ProducerOutage {
    since: Instant,
    why: BrokerError,
    probe_at: Instant,
}

/// How long the producer thread waits, and for which events.
enum ProducerPause {
    UntilEvent(Instant),
    /// Every broker has a request in flight. New records could only be added to open batches, so submissions do not
    /// wake the thread.
    UntilResponse(Instant),
}

impl<'scope, 'env> Producer<'scope, 'env> {
    /// Creates a producer that starts its connection threads in `scope`. They report to `events`.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        (cluster, settings): (&'scope ClusterClient, &'scope ProducerSettings),
        events: Sender<ProducerEvent>,
        lookups: LookupThreads,
    ) -> Self {
        let now = Instant::now();
        Self {
            scope,
            cluster,
            settings,
            events,
            lookups,
            topics: HashMap::new(),
            queues: Vec::new(),
            active: BTreeSet::new(),
            round_start: QueueId(0),
            brokers: HashMap::new(),
            next_connection: 0,
            producer_id: ProducerId::Missing { retry_at: now },
            topic_lookup: LookupState::Idle,
            creation_lookup: LookupState::Idle,
            liveness_lookup: LookupState::Idle,
            outage: None,
            random: fastrand::Rng::new(),
            last_tick: now,
            last_written: None,
            backlog_report: BacklogReport::nothing(now),
        }
    }

    /// Runs until `submissions` is closed and every record is settled.
    pub fn run(mut self, submissions: &Receiver<Submission>, events: &Receiver<ProducerEvent>) {
        let closed = never();
        let mut open = Some(submissions);
        let mut busy = watchdog::busy();
        loop {
            let pause = self.send_ready(Instant::now());
            if open.is_none() && self.is_settled() {
                break;
            }
            drop(busy);
            let (event, submission) = match pause {
                ProducerPause::UntilResponse(until) if submissions.is_empty() => {
                    (events.recv_deadline(until).ok(), None)
                }
                ProducerPause::UntilResponse(until) | ProducerPause::UntilEvent(until) => select! {
                    recv(open.unwrap_or(&closed)) -> submission => {
                        open = open.filter(|_| submission.is_ok());
                        (None, submission.ok())
                    }
                    recv(events) -> event => (event.ok(), None),
                    default(until.saturating_duration_since(Instant::now())) => (None, None),
                },
            };
            busy = watchdog::busy();
            event.into_iter().for_each(|event| self.handle(event));
            submission.into_iter().chain(submissions.try_iter().take(MAX_TAKEN)).for_each(|s| self.admit(s));
            events.try_iter().take(MAX_TAKEN).for_each(|event| self.handle(event));
            let now = Instant::now();
            if now.saturating_duration_since(self.last_tick) >= TICK {
                self.tick(now);
            }
        }
        // Responses are not awaited once all callers have their outcomes.
        self.brokers.values().for_each(BrokerState::interrupt);
    }

    fn is_settled(&self) -> bool {
        let settled = |id: &QueueId| self.queues.get(id.0).is_none_or(|q| q.queue.is_settled());
        self.active.iter().all(settled) && self.topics.values().all(|t| t.waiting.is_empty())
    }

    fn admit(&mut self, submission: Submission) {
        let now = Instant::now();
        if let Some(why) = self.rejection(now) {
            return reject(&submission, &why);
        }
        let topic = match self.topics.get_mut(&submission.topic) {
            Some(topic) => topic,
            None => self.topics.entry(submission.topic.clone()).or_default(),
        };
        match topic.admit(submission, now) {
            Admission::Route(submission) => self.route(submission, now),
            Admission::Reject(submission, why) => reject(&submission, &why),
            Admission::Queued => {}
        }
    }

    /// Appends records of a known topic to the queues of their partitions.
    fn route(&mut self, submission: Submission, now: Instant) {
        let Submission { topic: name, acks, records, deadline, receipts, .. } = submission;
        let Some(topic) = self.topics.get_mut(&name) else { return };
        let time = record::now();
        for (index, record) in records.into_iter().enumerate() {
            let Some(partition) = topic.partition(&record, &mut self.random) else {
                let topic_partition =
                    TopicPartition { topic: name.clone(), partition: record.partition.unwrap_or_default() };
                receipts.settle(index, Err(BrokerError::UnknownPartition(topic_partition)));
                continue;
            };
            let id = *topic.queues.entry((acks, partition)).or_insert_with(|| {
                let sequences = acks == Acks::All && !matches!(self.producer_id, ProducerId::Denied { .. });
                let delivery = if sequences { Delivery::Idempotent } else { Delivery::Single };
                let queue = PartitionQueue::new(delivery, self.settings.batch_bytes);
                let topic_partition = TopicPartition { topic: name.clone(), partition };
                self.queues.push(PartitionState {
                    queue,
                    topic_partition,
                    acks,
                    progress: PartitionProgress::default(),
                });
                QueueId(self.queues.len() - 1)
            });
            if let Some(partition) = self.queues.get_mut(id.0) {
                let entry = PendingRecord::new(record, time, receipts.clone(), index, deadline);
                if let Err(too_large) = entry.check_size(self.settings.max_request_bytes) {
                    entry.fail(too_large);
                    continue;
                }
                if partition.queue.is_idle() {
                    self.active.insert(id);
                }
                partition.progress.record(now);
                partition.queue.push(entry, now);
            }
        }
    }

    fn handle(&mut self, event: ProducerEvent) {
        let now = Instant::now();
        match event {
            ProducerEvent::Connection(node, id, event) => self.on_connection_event(node, id, event, now),
            ProducerEvent::Lookup(LookupReply::Topics { topics, auto_create, found }) => {
                self.topic_lookup = LookupState::Idle;
                self.apply_topics(topics, auto_create, found, now);
            }
            ProducerEvent::Lookup(LookupReply::Creation { topics, found }) => {
                self.creation_lookup = LookupState::Idle;
                self.apply_creation_checks(topics, found, now);
            }
            ProducerEvent::Lookup(LookupReply::ProducerId(result)) => self.apply_producer_id(result, now),
            ProducerEvent::Lookup(LookupReply::Liveness(result)) => {
                self.liveness_lookup = LookupState::Idle;
                match result {
                    Ok(()) => self.outage = None,
                    Err(why) => self.note_outage(why, now),
                }
            }
        }
    }

    fn on_connection_event(&mut self, node: NodeId, id: ConnectionId, event: ConnectionEvent, now: Instant) {
        let state = self.brokers.entry(node).or_default();
        let current = state.connection_id() == Some(id);
        match event {
            ConnectionEvent::Up(connection) if current => {
                state.connected(connection);
                self.outage = None;
            }
            ConnectionEvent::Up(_) => {}
            ConnectionEvent::Reauthenticated(sender, session) => {
                if let ConnectionState::Up(connection) = &mut state.connection
                    && current
                {
                    connection.reauthenticated(sender, session);
                }
            }
            ConnectionEvent::Responded { outcomes, request_bytes, throttle } => {
                if let ConnectionState::Up(connection) = &mut state.connection
                    && current
                {
                    connection.note_response(throttle, now);
                }
                state.note_response(request_bytes);
                self.on_outcomes(outcomes, now);
            }
            ConnectionEvent::Down { why, lost } => {
                // A connection that is not current was closed by this side.
                let lost = if current { state.on_closed(lost, now) } else { request::as_lost(lost) };
                self.on_outcomes(lost, now);
                if current {
                    self.on_connection_lost(node, why, now);
                }
            }
        }
    }

    fn on_outcomes(&mut self, outcomes: Vec<PartitionOutcome>, now: Instant) {
        for PartitionOutcome { queue, number, outcome, leader } in outcomes {
            let Some(partition) = self.queues.get_mut(queue.0) else { continue };
            let settles = matches!(
                outcome,
                BatchOutcome::Written
                    | BatchOutcome::Split(_)
                    | BatchOutcome::InvalidRecords(_)
                    | BatchOutcome::Failed(_)
            );
            if outcome == BatchOutcome::Written && partition.acks != Acks::None {
                self.last_written = Some(now);
            }
            partition.queue.on_outcome(number, outcome, now);
            if settles {
                let left = if partition.queue.is_idle() { Unwritten::Nothing } else { Unwritten::Some };
                partition.progress.settled(left, now);
            }
            if leader == LeaderCheck::Doubtful
                && let Some(topic) = self.topics.get_mut(&partition.topic_partition.topic)
            {
                topic.schedule_lookup(now);
            }
        }
    }
}

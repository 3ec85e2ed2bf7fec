//! The one thread that owns all state of producing: takes what comes, sends what can be sent, and
//! wakes for answers and deadlines.

mod backlog;
mod metadata;
mod send;
mod timeouts;

use super::answer::Leader;
use super::batch::PendingRecord;
use super::broker_state::{BrokerState, ConnectionState};
use super::lookup::LookupReply;
use super::partition_queue::{BatchOutcome, ConnectionId, Delivery, PartitionQueue};
use super::producer_connection::ConnectionEvent;
use super::producer_topic::{Admission, ProducerTopic, refuse};
use super::request::{self, PartitionOutcome, QueueId};
use super::{LookupThreads, ProducerEvent, ProducerSettings};
use crate::broker::{Acks, BrokerError, NodeId, Submission};
use crate::kafka::wire::cluster::ClusterClient;
use crate::record::{self, TopicName, TopicPartition};
use crate::sync::watchdog;
use backlog::{PartitionProgress, Told, Unwritten};
use crossbeam_channel::{Receiver, Sender, never, select};
use std::collections::{BTreeSet, HashMap};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How often deadlines are looked at while anything waits.
const TICK: Duration = Duration::from_millis(20);

/// Submissions and events taken in a row before something is sent: more wait for the next round.
const INTAKE: usize = 512;

pub struct Producer<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cluster: &'scope ClusterClient,
    settings: &'scope ProducerSettings,
    events: Sender<ProducerEvent>,
    lookups: LookupThreads,
    topics: HashMap<TopicName, ProducerTopic>,
    queues: Vec<PartitionChoice>,
    /// Queues that are not idle.
    active: BTreeSet<QueueId>,
    /// Where the next round begins, so that no partition is always the last.
    turn: QueueId,
    nodes: HashMap<NodeId, BrokerState>,
    next_link: u64,
    producer_id: ProducerId,
    asking_topics: PendingLookup,
    asking_creation: PendingLookup,
    asking_life: PendingLookup,
    down: Option<Down>,
    random: fastrand::Rng,
    last_tick: Instant,
    /// When the broker acknowledged a record last.
    last_written: Option<Instant>,
    told: Told,
}

struct PartitionChoice {
    queue: PartitionQueue,
    place: TopicPartition,
    acks: Acks,
    progress: PartitionProgress,
}

enum ProducerId {
    Wanted {
        from: Instant,
    },
    Asked,
    Have(i64),
    /// The broker gives us none: acks=all goes without sequences. Access rules may change.
    Denied {
        again: Option<Instant>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PendingLookup {
    Idle,
    Asked,
}

/// No broker answers.
struct Down {
    since: Instant,
    why: BrokerError,
    probe_at: Instant,
}

/// What the writer waits for, and until when at the latest.
enum ProducerPause {
    ForAnything(Instant),
    /// Every broker has a request in flight and records gather, so that what comes would only gather
    /// too: it need not wake the writer one by one.
    ForAnswers(Instant),
}

impl<'scope, 'env> Producer<'scope, 'env> {
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
            turn: QueueId(0),
            nodes: HashMap::new(),
            next_link: 0,
            producer_id: ProducerId::Wanted { from: now },
            asking_topics: PendingLookup::Idle,
            asking_creation: PendingLookup::Idle,
            asking_life: PendingLookup::Idle,
            down: None,
            random: fastrand::Rng::new(),
            last_tick: now,
            last_written: None,
            told: Told::nothing(now),
        }
    }

    /// Until `submissions` is closed and everything settled.
    pub fn run(mut self, submissions: &Receiver<Submission>, events: &Receiver<ProducerEvent>) {
        let closed = never();
        let mut open = Some(submissions);
        let mut at_work = watchdog::busy();
        loop {
            let pause = self.send_what_can_be(Instant::now());
            if open.is_none() && self.all_settled() {
                break;
            }
            drop(at_work);
            let (event, submission) = match pause {
                ProducerPause::ForAnswers(until) if submissions.is_empty() => (events.recv_deadline(until).ok(), None),
                ProducerPause::ForAnswers(until) | ProducerPause::ForAnything(until) => select! {
                    recv(open.unwrap_or(&closed)) -> submission => {
                        open = open.filter(|_| submission.is_ok());
                        (None, submission.ok())
                    }
                    recv(events) -> event => (event.ok(), None),
                    default(until.saturating_duration_since(Instant::now())) => (None, None),
                },
            };
            at_work = watchdog::busy();
            event.into_iter().for_each(|event| self.handle(event));
            submission.into_iter().chain(submissions.try_iter().take(INTAKE)).for_each(|s| self.take(s));
            events.try_iter().take(INTAKE).for_each(|event| self.handle(event));
            let now = Instant::now();
            if now.saturating_duration_since(self.last_tick) >= TICK {
                self.tick(now);
            }
        }
        // Requests whose callers have all had their outcome are awaited no longer.
        self.nodes.values().for_each(BrokerState::interrupt);
    }

    fn all_settled(&self) -> bool {
        let settled = |id: &QueueId| self.queues.get(id.0).is_none_or(|q| q.queue.is_settled());
        self.active.iter().all(settled) && self.topics.values().all(|t| t.waiting.is_empty())
    }

    fn take(&mut self, submission: Submission) {
        let now = Instant::now();
        if let Some(why) = self.refusal(now) {
            return refuse(&submission, &why);
        }
        let topic = match self.topics.get_mut(&submission.topic) {
            Some(topic) => topic,
            None => self.topics.entry(submission.topic.clone()).or_default(),
        };
        match topic.take(submission, now) {
            Admission::Route(submission) => self.route(submission, now),
            Admission::Refuse(submission, why) => refuse(&submission, &why),
            Admission::Kept => {}
        }
    }

    /// Puts records of a known topic into the queues of their partitions.
    fn route(&mut self, submission: Submission, now: Instant) {
        let Submission { topic: name, acks, records, deadline, receipts, .. } = submission;
        let Some(topic) = self.topics.get_mut(&name) else { return };
        let time = record::now();
        for (index, record) in records.into_iter().enumerate() {
            let Some(partition) = topic.partition(&record, &mut self.random) else {
                let place = TopicPartition { topic: name.clone(), partition: record.partition.unwrap_or_default() };
                receipts.settle(index, Err(BrokerError::UnknownPartition(place)));
                continue;
            };
            let id = *topic.queues.entry((acks, partition)).or_insert_with(|| {
                let sequences = acks == Acks::All && !matches!(self.producer_id, ProducerId::Denied { .. });
                let delivery = if sequences { Delivery::Idempotent } else { Delivery::Single };
                let queue = PartitionQueue::new(delivery, self.settings.batch_bytes);
                let place = TopicPartition { topic: name.clone(), partition };
                self.queues.push(PartitionChoice { queue, place, acks, progress: PartitionProgress::default() });
                QueueId(self.queues.len() - 1)
            });
            if let Some(placed) = self.queues.get_mut(id.0) {
                let entry = PendingRecord::new(record, time, receipts.clone(), index, deadline);
                if let Err(too_large) = entry.check_size(self.settings.max_request_bytes) {
                    entry.fail(too_large);
                    continue;
                }
                if placed.queue.is_idle() {
                    self.active.insert(id);
                }
                placed.progress.record(now);
                placed.queue.push(entry, now);
            }
        }
    }

    fn handle(&mut self, event: ProducerEvent) {
        let now = Instant::now();
        match event {
            ProducerEvent::Link(node, id, event) => self.link_event(node, id, event, now),
            ProducerEvent::Reply(LookupReply::Topics { asked, auto_create, found }) => {
                self.asking_topics = PendingLookup::Idle;
                self.learn_topics(asked, auto_create, found, now);
            }
            ProducerEvent::Reply(LookupReply::Creation { asked, found }) => {
                self.asking_creation = PendingLookup::Idle;
                self.learn_prospects(asked, found, now);
            }
            ProducerEvent::Reply(LookupReply::ProducerId(answer)) => self.learn_producer_id(answer, now),
            ProducerEvent::Reply(LookupReply::SignOfLife(answer)) => {
                self.asking_life = PendingLookup::Idle;
                match answer {
                    Ok(()) => self.down = None,
                    Err(why) => self.note_down(why, now),
                }
            }
        }
    }

    fn link_event(&mut self, node: NodeId, id: ConnectionId, event: ConnectionEvent, now: Instant) {
        let state = self.nodes.entry(node).or_default();
        let current = state.link_id() == Some(id);
        match event {
            ConnectionEvent::Up(link) if current => {
                state.connected(link);
                self.down = None;
            }
            ConnectionEvent::Up(_) => {}
            ConnectionEvent::Renewed(sender, session) => {
                if let ConnectionState::Up(link) = &mut state.link
                    && current
                {
                    link.renewed(sender, session);
                }
            }
            ConnectionEvent::Answered { answers, request_bytes, throttle } => {
                if let ConnectionState::Up(link) = &mut state.link
                    && current
                {
                    link.answered(throttle, now);
                }
                state.answered(request_bytes);
                self.answered(answers, now);
            }
            ConnectionEvent::Down { why, lost } => {
                // One that is not current was closed from here.
                let lost = if current { state.cut(lost, now) } else { request::uncut(lost) };
                self.answered(lost, now);
                if current {
                    self.link_down(node, why, now);
                }
            }
        }
    }

    fn answered(&mut self, answers: Vec<PartitionOutcome>, now: Instant) {
        for PartitionOutcome { queue, number, answer, leader } in answers {
            let Some(placed) = self.queues.get_mut(queue.0) else { continue };
            let settles = matches!(
                answer,
                BatchOutcome::Written | BatchOutcome::Divide(_) | BatchOutcome::Faulty(_) | BatchOutcome::Failed(_)
            );
            if answer == BatchOutcome::Written && placed.acks != Acks::None {
                self.last_written = Some(now);
            }
            placed.queue.answered(number, answer, now);
            if settles {
                let left = if placed.queue.is_idle() { Unwritten::Nothing } else { Unwritten::Some };
                placed.progress.settled(left, now);
            }
            if leader == Leader::Doubtful
                && let Some(topic) = self.topics.get_mut(&placed.place.topic)
            {
                topic.ask(now);
            }
        }
    }
}

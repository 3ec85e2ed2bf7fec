//! The one thread that owns all state of producing: takes what comes, sends what can be sent, and
//! wakes for answers and deadlines.

use super::batch::Entry;
use super::link::{self, LinkEvent, MAX_REQUESTS, SendOutcome};
use super::lookup::{Question, Reply};
use super::node::{Node, NodeLink};
use super::queue::{Delivery, LinkId, Next, Queue};
use super::request::{Part, PartAnswer, QueueId};
use super::topic::{Intake, Learned, Topic, refuse};
use super::{Event, Settings};
use crate::broker::{Acks, AutoCreate, BrokerError, NodeId, Remedy, Submission, Written};
use crate::kafka::wire::cluster::Cluster;
use crate::record::{Timestamp, TopicName, TopicPartition};
use crossbeam_channel::{Receiver, Sender, never, select};
use std::collections::{BTreeSet, HashMap};
use std::thread::Scope;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often deadlines are looked at while anything waits.
const TICK: Duration = Duration::from_millis(20);

/// Submissions and events taken in a row before something is sent: more wait for the next round.
const INTAKE: usize = 512;

const PRODUCER_ID_AGAIN: Duration = Duration::from_millis(100);
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(1);

pub struct Writer<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cluster: &'scope Cluster,
    settings: &'scope Settings,
    events: Sender<Event>,
    questions: Sender<Question>,
    topics: HashMap<TopicName, Topic>,
    queues: Vec<Placed>,
    /// Queues that are not idle.
    active: BTreeSet<QueueId>,
    /// Where the next round begins, so that no partition is always the last.
    turn: QueueId,
    nodes: HashMap<NodeId, Node>,
    next_link: u64,
    producer_id: ProducerId,
    asking_topics: Asking,
    asking_life: Asking,
    down: Option<Down>,
    random: fastrand::Rng,
    last_tick: Instant,
}

struct Placed {
    queue: Queue,
    place: TopicPartition,
    acks: Acks,
}

enum ProducerId {
    Wanted {
        from: Instant,
    },
    Asked,
    Have(i64),
    /// The broker gives us none: acks=all goes without sequences.
    Denied,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Idle,
    Asked,
}

/// No broker answers.
struct Down {
    since: Instant,
    why: BrokerError,
    probe_at: Instant,
}

impl<'scope, 'env> Writer<'scope, 'env> {
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        (cluster, settings): (&'scope Cluster, &'scope Settings),
        events: Sender<Event>,
        questions: Sender<Question>,
    ) -> Self {
        let now = Instant::now();
        Self {
            scope,
            cluster,
            settings,
            events,
            questions,
            topics: HashMap::new(),
            queues: Vec::new(),
            active: BTreeSet::new(),
            turn: QueueId(0),
            nodes: HashMap::new(),
            next_link: 0,
            producer_id: ProducerId::Wanted { from: now },
            asking_topics: Asking::Idle,
            asking_life: Asking::Idle,
            down: None,
            random: fastrand::Rng::new(),
            last_tick: now,
        }
    }

    /// Until `submissions` is closed and everything settled.
    pub fn run(mut self, submissions: &Receiver<Submission>, events: &Receiver<Event>) {
        let closed = never();
        let mut open = Some(submissions);
        loop {
            let wake = self.send_what_can_be(Instant::now());
            if open.is_none() && self.all_settled() {
                break;
            }
            select! {
                recv(open.unwrap_or(&closed)) -> submission => match submission {
                    Ok(submission) => {
                        self.take(submission);
                        submissions.try_iter().take(INTAKE).for_each(|s| self.take(s));
                    }
                    Err(_) => open = None,
                },
                recv(events) -> event => event.into_iter().for_each(|event| self.handle(event)),
                default(wake.saturating_duration_since(Instant::now())) => {}
            }
            events.try_iter().take(INTAKE).for_each(|event| self.handle(event));
            let now = Instant::now();
            if now.saturating_duration_since(self.last_tick) >= TICK {
                self.tick(now);
            }
        }
        // Requests whose callers have all had their outcome are awaited no longer.
        self.nodes.values().for_each(Node::interrupt);
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
            Intake::Route(submission) => self.route(submission, now),
            Intake::Refuse(submission, why) => refuse(&submission, &why),
            Intake::Kept => {}
        }
    }

    /// Why nothing can be taken: no broker has answered for too long.
    fn refusal(&self, now: Instant) -> Option<BrokerError> {
        let down = self.down.as_ref()?;
        (now.saturating_duration_since(down.since) >= self.settings.unavailable_after).then(|| down.why.clone())
    }

    /// Puts records of a known topic into the queues of their partitions.
    fn route(&mut self, submission: Submission, now: Instant) {
        let Submission { topic: name, acks, records, deadline, receipts, .. } = submission;
        let Some(topic) = self.topics.get_mut(&name) else { return };
        let time = millis_now();
        for (index, record) in records.into_iter().enumerate() {
            let Some(partition) = topic.partition(&record, &mut self.random) else {
                let place = TopicPartition { topic: name.clone(), partition: record.partition.unwrap_or_default() };
                receipts.settle(index, Err(BrokerError::UnknownPartition(place)));
                continue;
            };
            let id = *topic.queues.entry((acks, partition)).or_insert_with(|| {
                let sequences = acks == Acks::All && !matches!(self.producer_id, ProducerId::Denied);
                let delivery = if sequences { Delivery::Idempotent } else { Delivery::Single };
                let queue = Queue::new(delivery, self.settings.batch_bytes);
                let place = TopicPartition { topic: name.clone(), partition };
                self.queues.push(Placed { queue, place, acks });
                QueueId(self.queues.len() - 1)
            });
            if let Some(placed) = self.queues.get_mut(id.0) {
                if placed.queue.is_idle() {
                    self.active.insert(id);
                }
                placed.queue.push(Entry::new(record, time, receipts.clone(), index, deadline), now);
            }
        }
    }

    /// Sends until nothing more may be sent now; then tells when to look again at the latest.
    fn send_what_can_be(&mut self, now: Instant) -> Instant {
        self.ask_for_topics(now);
        self.group_by_leader(now);
        let mut wake = now + if self.is_quiet() { SIGN_OF_LIFE_EVERY } else { TICK };
        let nodes: Vec<NodeId> = self.nodes.iter().filter(|(_, n)| !n.candidates.is_empty()).map(|(n, _)| *n).collect();
        for node in nodes {
            if self.is_connected(node, now) {
                for acks in [Acks::All, Acks::Leader, Acks::None] {
                    while self.may_send(node, acks, now, &mut wake) && self.send_one(node, acks, now) {}
                }
            }
        }
        wake
    }

    fn is_quiet(&self) -> bool {
        self.active.is_empty() && self.topics.values().all(|t| t.waiting.is_empty())
    }

    fn group_by_leader(&mut self, now: Instant) {
        self.nodes.values_mut().for_each(|n| n.candidates.clear());
        let queues = &self.queues;
        self.active.retain(|id| queues.get(id.0).is_some_and(|q| !q.queue.is_idle()));
        for id in self.active.range(self.turn..).chain(self.active.range(..self.turn)) {
            let Some(placed) = self.queues.get(id.0) else { continue };
            let Some(topic) = self.topics.get_mut(&placed.place.topic) else { continue };
            if let Some(leader) = topic.leader(placed.place.partition, now) {
                self.nodes.entry(leader).or_default().candidates.push(*id);
            }
        }
        self.turn = QueueId(self.turn.0.wrapping_add(1) % self.queues.len().max(1));
    }

    /// Whether requests can be sent to `node`; begins to connect where that is due.
    fn is_connected(&mut self, node: NodeId, now: Instant) -> bool {
        let Some(state) = self.nodes.get_mut(&node) else { return false };
        if let NodeLink::Up(link) = &state.link
            && !link.is_open()
        {
            // Closed by the broker for idleness or a restart: nothing is lost, so no reason to wait.
            state.link = NodeLink::Away { retry_at: now };
        }
        match state.link {
            NodeLink::Up(_) => return true,
            NodeLink::Away { retry_at } if retry_at <= now => {}
            _ => return false,
        }
        let id = LinkId(self.next_link);
        self.next_link += 1;
        state.link = NodeLink::Connecting(id);
        let events = self.events.clone();
        // The writer is gone when the channel is closed, and nobody needs to know.
        let tell = move |event| drop(events.send(Event::Link(node, id, event)));
        if let Err(error) = link::connect(self.scope, self.cluster, (node, id), tell) {
            let why = BrokerError::Unavailable(format!("no thread for a connection: {error}"));
            self.link_down(node, why, now);
        } else if matches!(self.producer_id, ProducerId::Wanted { from } if from <= now) {
            self.ask_producer_id(node);
        }
        false
    }

    /// Whether the next request should leave. With none in flight nobody waits; otherwise records
    /// gather until an answer comes, a batch is full, or the oldest has waited for `linger`.
    fn may_send(&self, node: NodeId, acks: Acks, now: Instant, wake: &mut Instant) -> bool {
        let Some(state) = self.nodes.get(&node) else { return false };
        let NodeLink::Up(link) = &state.link else { return false };
        match link.in_flight() {
            0 => return true,
            MAX_REQUESTS.. => return false,
            _ => {}
        }
        let mut gathered = 0;
        for placed in state.candidates.iter().filter_map(|id| self.queues.get(id.0)).filter(|q| q.acks == acks) {
            if placed.queue.resume_at().is_some_and(|at| at > now) {
                continue;
            }
            if placed.queue.has_sealed() {
                return true;
            }
            let Some((bytes, since)) = placed.queue.open() else { continue };
            gathered += bytes;
            if gathered >= self.settings.batch_bytes || now >= since + self.settings.linger {
                return true;
            }
            *wake = (*wake).min(since + self.settings.linger);
        }
        false
    }

    /// Sends one request with what `node`'s partitions have, if they may send anything.
    fn send_one(&mut self, node: NodeId, acks: Acks, now: Instant) -> bool {
        let parts = self.gather(node, acks, now);
        if parts.is_empty() {
            return false;
        }
        for part in &parts {
            if let Some(topic) = self.topics.get_mut(&part.place.topic) {
                topic.batch_sent(part.place.partition);
            }
        }
        let timeout = self.cluster.settings().request_timeout;
        let Some(Node { link: NodeLink::Up(link), .. }) = self.nodes.get_mut(&node) else { return false };
        match link.send(parts, acks, timeout) {
            SendOutcome::Awaited => true,
            SendOutcome::Known(answers) => {
                self.answered(answers, now);
                true
            }
            SendOutcome::Failed { why, lost } => {
                self.answered(lost, now);
                self.link_down(node, why, now);
                false
            }
        }
    }

    fn gather(&mut self, node: NodeId, acks: Acks, now: Instant) -> Vec<Part> {
        let Some(state) = self.nodes.get(&node) else { return Vec::new() };
        let NodeLink::Up(link) = &state.link else { return Vec::new() };
        let id = match &self.producer_id {
            ProducerId::Have(id) => Some(*id),
            _ => None,
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut bytes = 0;
        let mut stale = None;
        for queue in &state.candidates {
            let Some(placed) = self.queues.get_mut(queue.0).filter(|q| q.acks == acks) else { continue };
            match placed.queue.next(link.id, id, now) {
                Next::Send(outgoing) => {
                    bytes += outgoing.batch.bytes();
                    let topic_id = self.topics.get(&placed.place.topic).and_then(Topic::id);
                    parts.push(Part { queue: *queue, place: placed.place.clone(), topic_id, outgoing });
                    if bytes >= self.settings.batch_bytes {
                        break;
                    }
                }
                Next::NeedsProducerId { stale: of } => stale = Some(of),
                Next::Nothing => {}
            }
        }
        if let Some(of) = stale {
            self.needs_producer_id(node, of, now);
        }
        parts
    }

    fn needs_producer_id(&mut self, node: NodeId, stale: Option<i64>, now: Instant) {
        match self.producer_id {
            ProducerId::Have(id) if Some(id) != stale => {}
            ProducerId::Asked | ProducerId::Denied => {}
            ProducerId::Wanted { from } if from > now => {}
            _ => self.ask_producer_id(node),
        }
    }

    fn ask_producer_id(&mut self, node: NodeId) {
        if self.questions.try_send(Question::ProducerId(node)).is_ok() {
            self.producer_id = ProducerId::Asked;
        }
    }

    fn ask_for_topics(&mut self, now: Instant) {
        if self.asking_topics == Asking::Asked {
            return;
        }
        let due: Vec<(&TopicName, AutoCreate)> =
            self.topics.iter().filter_map(|(name, topic)| Some((name, topic.due(now)?))).collect();
        // Those to be made and those not are two questions: the first kind first, the others next.
        let Some(how) =
            due.iter().map(|(_, how)| *how).find(|how| *how == AutoCreate::Ask).or(due.first().map(|d| d.1))
        else {
            return;
        };
        let names: Vec<TopicName> = due.iter().filter(|d| d.1 == how).map(|d| d.0.clone()).collect();
        if self.questions.try_send(Question::Topics(names.clone(), how)).is_ok() {
            self.asking_topics = Asking::Asked;
            names.iter().filter_map(|name| self.topics.get_mut(name).map(Topic::asked)).for_each(drop);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Link(node, id, event) => self.link_event(node, id, event, now),
            Event::Reply(Reply::Topics { asked, auto_create, found }) => {
                self.asking_topics = Asking::Idle;
                self.learn_topics(asked, auto_create, found, now);
            }
            Event::Reply(Reply::ProducerId(answer)) => self.learn_producer_id(answer, now),
            Event::Reply(Reply::SignOfLife(answer)) => {
                self.asking_life = Asking::Idle;
                match answer {
                    Ok(()) => self.down = None,
                    Err(why) => self.note_down(why, now),
                }
            }
        }
    }

    fn link_event(&mut self, node: NodeId, id: LinkId, event: LinkEvent, now: Instant) {
        let state = self.nodes.entry(node).or_default();
        let current = state.link_id() == Some(id);
        match event {
            LinkEvent::Up(link) if current => {
                state.connected(link);
                self.down = None;
            }
            LinkEvent::Up(_) => {}
            LinkEvent::Answered(answers) => {
                if let NodeLink::Up(link) = &mut state.link
                    && current
                {
                    link.answered();
                }
                self.answered(answers, now);
            }
            LinkEvent::Down { why, lost } => {
                self.answered(lost, now);
                if current {
                    self.link_down(node, why, now);
                }
            }
        }
    }

    fn answered(&mut self, answers: Vec<PartAnswer>, now: Instant) {
        for PartAnswer { queue, number, answer, leader } in answers {
            let Some(placed) = self.queues.get_mut(queue.0) else { continue };
            placed.queue.answered(number, answer, now);
            if leader == super::answer::Leader::Doubtful
                && let Some(topic) = self.topics.get_mut(&placed.place.topic)
            {
                topic.ask(now);
            }
        }
    }

    fn link_down(&mut self, node: NodeId, why: BrokerError, now: Instant) {
        let state = self.nodes.entry(node).or_default();
        log::warn!("producing to broker {node}: {why}");
        let hopeless = why.remedy() == Remedy::GiveUp && !matches!(why, BrokerError::Corrupt(_));
        state.disconnected(why.clone(), now);
        for id in std::mem::take(&mut state.candidates) {
            let Some(placed) = self.queues.get_mut(id.0) else { continue };
            if hopeless {
                placed.queue.refuse_unwritten(&why);
            }
            if let Some(topic) = self.topics.get_mut(&placed.place.topic) {
                topic.ask(now);
            }
        }
        if !self.nodes.values().any(|n| matches!(n.link, NodeLink::Up(_))) {
            self.note_down(why, now);
        }
    }

    fn note_down(&mut self, why: BrokerError, now: Instant) {
        let why = match why {
            why @ BrokerError::Unavailable(_) => why,
            other => BrokerError::Unavailable(other.to_string()),
        };
        let down = self.down.get_or_insert(Down { since: now, why: why.clone(), probe_at: now });
        down.why = why;
    }

    fn learn_topics(
        &mut self,
        asked: Vec<TopicName>,
        how: AutoCreate,
        found: Result<Vec<Result<crate::broker::TopicInfo, BrokerError>>, BrokerError>,
        now: Instant,
    ) {
        let found = match found {
            Ok(found) => {
                self.down = None;
                found
            }
            Err(why) => {
                self.note_down(why.clone(), now);
                asked.iter().map(|_| Err(BrokerError::Unavailable(why.to_string()))).collect()
            }
        };
        for (name, found) in asked.into_iter().zip(found) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            match topic.learn(found, how, now) {
                Learned::NotYet => {}
                Learned::Ready => {
                    for submission in std::mem::take(&mut topic.waiting) {
                        self.route(submission, now);
                    }
                }
                Learned::Hopeless(why) => {
                    topic.waiting.drain(..).for_each(|submission| refuse(&submission, &why));
                    for id in topic.queues.values() {
                        if let Some(placed) = self.queues.get_mut(id.0) {
                            placed.queue.abandon(&why);
                        }
                    }
                }
            }
        }
    }

    fn learn_producer_id(&mut self, answer: Result<i64, BrokerError>, now: Instant) {
        self.producer_id = match answer {
            Ok(id) => ProducerId::Have(id),
            Err(why @ (BrokerError::Denied(_) | BrokerError::Unsupported(_))) => {
                log::warn!("no producer id, so acks=all goes without protection from duplicates: {why}");
                self.queues.iter_mut().for_each(|q| q.queue.go_without_sequences());
                ProducerId::Denied
            }
            Err(why) => {
                log::debug!("no producer id yet: {why}");
                ProducerId::Wanted { from: now + PRODUCER_ID_AGAIN }
            }
        };
    }

    /// Deadlines, and probing while nobody answers.
    fn tick(&mut self, now: Instant) {
        self.last_tick = now;
        let refusal = self.refusal(now);
        for id in &self.active {
            let Some(placed) = self.queues.get_mut(id.0) else { continue };
            let leader = self.topics.get_mut(&placed.place.topic).and_then(|t| t.leader(placed.place.partition, now));
            let trouble = leader.and_then(|node| self.nodes.get(&node)?.trouble.clone());
            let trouble = trouble.or_else(|| self.down.as_ref().map(|d| d.why.clone()));
            placed.queue.expire(now, &trouble.unwrap_or(BrokerError::TimedOut(Written::No)));
            if let Some(why) = &refusal {
                placed.queue.refuse_unwritten(why);
            }
        }
        let down = self.down.as_ref().map(|d| d.why.clone());
        for topic in self.topics.values_mut() {
            topic.waiting.retain(|submission| {
                let late = submission.deadline <= now;
                let unsent = || down.clone().unwrap_or(BrokerError::TimedOut(Written::No));
                match refusal.clone().or_else(|| late.then(unsent)) {
                    Some(why) => {
                        refuse(submission, &why);
                        false
                    }
                    None => true,
                }
            });
        }
        self.topics.retain(|_, topic| !topic.is_forgettable(now));
        self.probe(now);
    }

    /// While nobody answers somebody must ask on, or new records would be refused for ever.
    fn probe(&mut self, now: Instant) {
        if let Some(down) = &mut self.down
            && down.probe_at <= now
            && self.asking_life == Asking::Idle
            && self.questions.try_send(Question::SignOfLife).is_ok()
        {
            down.probe_at = now + SIGN_OF_LIFE_EVERY;
            self.asking_life = Asking::Asked;
        }
    }
}

fn millis_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

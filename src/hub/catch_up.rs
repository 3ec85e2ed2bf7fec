//! Streams that are not in the live flow: new ones, those that come back with a cursor, those whose
//! client was too slow. Each reads the log from its own cursor, in turns, on a small pool of threads,
//! until it can join.

use super::gap::find_gap;
use super::job::{AtEnd, Job, Known, Next, Phase};
use super::live::{Joined, Live, Nudge};
use super::lock;
use super::opening;
use super::stretch::Stretch;
use crate::broker::{Broker, BrokerError, FetchLimits, Fetched, NodeId, Reader, Want};
use crossbeam_channel::{Receiver, Sender, at, never, select};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the live flow may stay behind a cursor before we look whether the log still reaches so far.
const AHEAD_TOO_LONG: Duration = Duration::from_secs(1);

/// Between turns of a stream that has read all there is and has to wait for the live flow.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// The pool's queue and its jobs that wait for a time.
pub struct CatchUp {
    live: Arc<Live>,
    broker: Arc<dyn Broker>,
    queue: Receiver<Box<Job>>,
    resume: Sender<Box<Job>>,
    /// Closed when the hub ends.
    ended: Receiver<()>,
    /// Never more than there are streams.
    delayed: Mutex<BinaryHeap<Reverse<Delayed>>>,
}

struct Delayed {
    due: Instant,
    job: Box<Job>,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl CatchUp {
    pub fn new(
        live: Arc<Live>,
        broker: Arc<dyn Broker>,
        (resume, queue): (Sender<Box<Job>>, Receiver<Box<Job>>),
        ended: Receiver<()>,
    ) -> Self {
        Self { live, broker, queue, resume, ended, delayed: Mutex::default() }
    }

    /// One thread of the pool: takes turns for whichever stream is next, until the hub ends.
    pub fn work(&self) {
        let mut readers = HashMap::new();
        while !self.live.is_closing() {
            if let Some(job) = self.next_job() {
                self.take_turn(job, &mut readers);
            }
        }
        // A closed channel keeps what is in it, and a job that nobody takes would keep its stream open.
        lock(&self.delayed).clear();
        self.queue.try_iter().for_each(drop);
    }

    fn next_job(&self) -> Option<Box<Job>> {
        let due = {
            let mut delayed = lock(&self.delayed);
            if delayed.peek().is_some_and(|first| first.0.due <= Instant::now()) {
                return delayed.pop().map(|first| first.0.job);
            }
            delayed.peek().map(|first| first.0.due)
        };
        let due = due.map_or_else(never, at);
        select! {
            recv(self.queue) -> job => job.ok(),
            recv(self.ended) -> _ => None,
            recv(due) -> _ => None,
        }
    }

    fn take_turn(&self, job: Box<Job>, readers: &mut HashMap<NodeId, Box<dyn Reader>>) {
        if job.post.is_closed() {
            return;
        }
        if job.post.is_full() {
            let post = job.post.clone();
            post.park(job);
            return;
        }
        match self.step(job, readers) {
            Next::Done => {}
            // There is a place for every stream's job; a full queue ends the stream, and it comes back with its cursor.
            Next::Again(job) => drop(self.resume.try_send(job)),
            Next::Later(mut job, pause) => {
                job.checkpoint();
                let due = Instant::now() + pause;
                lock(&self.delayed).push(Reverse(Delayed { due, job }));
            }
        }
    }

    fn step(&self, mut job: Box<Job>, readers: &mut HashMap<NodeId, Box<dyn Reader>>) -> Next {
        match &job.phase {
            Phase::Opening(_) => return opening::open(job, &self.live, &*self.broker),
            Phase::LookingUp => return opening::look_up(job, &*self.broker),
            Phase::Reading { at_end } => {
                if job.may_join() && (*at_end == AtEnd::Yes || self.live.place_of(&job.key).is_some()) {
                    match self.live.join(job) {
                        Joined::Live | Joined::Finished => return Next::Done,
                        Joined::Ahead(job) => return self.wait_for_flow(job),
                        Joined::Behind(behind) => job = behind,
                    }
                    job.ahead_since = None;
                    if job.topics.iter().any(|topic| matches!(topic, Known::NotYet)) {
                        job.phase = Phase::LookingUp;
                        return Next::Again(job);
                    }
                }
            }
        }
        if job.encoder.is_finished() {
            return job.finish();
        }
        self.read(job, readers)
    }

    /// The cursor is further on than the live flow, as right after another bridge or a lost partition.
    fn wait_for_flow(&self, mut job: Box<Job>) -> Next {
        let since = *job.ahead_since.get_or_insert_with(Instant::now);
        if since.elapsed() > AHEAD_TOO_LONG {
            // Reading on finds out whether the log ends before the cursor.
            job.ahead_since = None;
            self.live.nudge(Nudge::Metadata);
            job.phase = Phase::LookingUp;
        }
        Next::Later(job, IDLE_PAUSE)
    }

    fn read(&self, mut job: Box<Job>, readers: &mut HashMap<NodeId, Box<dyn Reader>>) -> Next {
        let Some(by_leader) = wants(&job) else {
            job.phase = Phase::LookingUp;
            return job.later();
        };
        job.turn += 1;
        job.idle += 1;
        let mut at_end = AtEnd::Yes;
        let leaders = by_leader.len().max(1);
        let first = job.turn % leaders;
        let in_turn: Vec<_> = by_leader.into_iter().collect();
        for (leader, mut wants) in in_turn.iter().cycle().skip(first).take(leaders).cloned() {
            if job.post.is_full() {
                at_end = AtEnd::No;
                break;
            }
            let rotation = job.turn % wants.len();
            wants.rotate_left(rotation);
            let reader = readers.entry(leader).or_insert_with(|| self.broker.reader(leader));
            let bytes = job.settings.read_bytes;
            let limits = FetchLimits { wait: Duration::ZERO, max_bytes: bytes, partition_max_bytes: bytes };
            let fetched = match reader.fetch(&wants, limits) {
                Ok(fetched) => fetched,
                Err(error) => {
                    job.phase = Phase::LookingUp;
                    return job.retry(&error);
                }
            };
            if let Err(error) = self.write(&mut job, fetched, &mut at_end) {
                job.phase = Phase::LookingUp;
                return job.retry(&error);
            }
            if job.encoder.is_finished() {
                return job.finish();
            }
        }
        job.backoff.reset();
        job.phase = Phase::Reading { at_end };
        // The first time it is worth trying to join at once.
        if job.idle > 1 { Next::Later(job, IDLE_PAUSE) } else { Next::Again(job) }
    }

    fn write(&self, job: &mut Job, fetched: Vec<Fetched>, at_end: &mut AtEnd) -> Result<(), BrokerError> {
        let mut out = Vec::new();
        let mut failed = Ok(());
        for Fetched { topic: name, partition, offset, result } in fetched {
            let Some(topic) = job.encoder.cursor.topic_index(&name) else { continue };
            match result {
                Ok(data) => {
                    if data.next_offset < data.end {
                        *at_end = AtEnd::No;
                    }
                    if data.next_offset > offset {
                        job.idle = 0;
                    }
                    let stretch = Stretch::new(&name, partition, &data.batches);
                    job.encoder.records(&mut out, topic, &stretch, data.next_offset);
                    job.failures = 0;
                }
                Err(BrokerError::OffsetOutOfRange(place)) => {
                    *at_end = AtEnd::No;
                    match find_gap(&*self.broker, &place, offset) {
                        Ok(Some((to, reason))) => {
                            job.encoder.gap(&mut out, topic, partition, to, reason);
                        }
                        Ok(None) => {
                            failed = Err(BrokerError::StaleMetadata(format!("{place} moved while it was read")))
                        }
                        Err(error) => failed = Err(error),
                    }
                }
                Err(BrokerError::Recreated(_) | BrokerError::UnknownTopic(_)) => {
                    failed = Err(BrokerError::StaleMetadata(format!("topic {name:?} is not what it was")));
                }
                Err(error) => failed = Err(error),
            }
            if job.encoder.is_finished() {
                break;
            }
        }
        job.send(out);
        failed
    }
}

/// What to fetch next, by leader; `None` where a partition has no known leader.
fn wants(job: &Job) -> Option<BTreeMap<NodeId, Vec<Want>>> {
    let mut by_leader: BTreeMap<NodeId, Vec<Want>> = BTreeMap::new();
    for (topic, info) in job.topics.iter().enumerate() {
        let Some(info) = info.here() else { continue };
        for (partition, offset) in job.encoder.cursor.places(topic) {
            if job.encoder.has_ended(topic, partition) {
                continue;
            }
            let place = info.partitions.get(usize::try_from(partition).ok()?)?;
            let want = Want {
                topic: info.name.clone(),
                topic_id: info.id,
                partition,
                offset,
                leader_epoch: place.leader_epoch,
            };
            by_leader.entry(place.leader?).or_default().push(want);
        }
    }
    Some(by_leader)
}

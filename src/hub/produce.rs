//! The way in: records of all callers go through one bounded queue to one writer thread.

use super::Rejected;
use super::counts::{HubCounts, Sizes};
use crate::broker::{Acks, AutoCreate, Broker, DeliveryReport, DeliveryResult, Submission};
use crate::record::{NewRecord, TopicName};
use crate::sync::worker::Worker;
use crate::sync::{lock, read_lock, write_lock};
use crossbeam_channel::{Sender, bounded};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// Maximum number of queued submissions. Their bytes have a limit too. A submission beyond either limit is rejected.
const SLOTS: usize = 16 * 1024;

/// The queue and the writer thread.
pub struct ProduceBridge {
    /// `None` once the hub shuts down.
    queue: RwLock<Option<Sender<Submission>>>,
    bytes: Arc<Budget>,
    counts: Arc<HubCounts>,
    timeout: Duration,
    worker: Mutex<Option<Worker>>,
}

/// Limits the bytes of the records that wait for their acknowledgement.
struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Reserves `bytes`, if they fit. A submission of any size fits into an empty budget.
    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| (used == 0 || used + bytes <= self.most).then_some(used + bytes);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl ProduceBridge {
    /// Starts the writer thread. A submission gets its outcomes within `timeout`.
    pub fn start(
        broker: Arc<dyn Broker>,
        queued_bytes: usize,
        timeout: Duration,
        counts: Arc<HubCounts>,
    ) -> std::io::Result<Self> {
        let (queue, submissions) = bounded(SLOTS);
        let worker = Worker::start("writer", move || broker.write_all(submissions.clone()))?;
        let bytes = Arc::new(Budget { used: AtomicUsize::new(0), most: queued_bytes });
        Ok(Self { queue: RwLock::new(Some(queue)), bytes, counts, timeout, worker: Mutex::new(Some(worker)) })
    }

    /// Queues records. Calls `done` once with their outcomes, unless this returns an error.
    pub fn submit(
        &self,
        topic: TopicName,
        acks: Acks,
        auto_create: AutoCreate,
        records: Vec<NewRecord>,
        done: impl FnOnce(Vec<DeliveryResult>) + Send + 'static,
    ) -> Result<(), Rejected> {
        let queue = read_lock(&self.queue);
        let sizes = Sizes::new(records.iter().map(NewRecord::bytes));
        let Some(queue) = &*queue else { return Err(self.counts.count_rejected(&sizes, Rejected::ShuttingDown)) };
        let size = records.iter().map(NewRecord::size).sum();
        if queue.is_full() || !self.bytes.take(size) {
            return Err(self.counts.count_rejected(&sizes, Rejected::QueueFull));
        }
        let (bytes, counts) = (self.bytes.clone(), self.counts.clone());
        let done = Arc::new(Mutex::new(Some((done, sizes))));
        let settle = done.clone();
        let now = Instant::now();
        let receipts = DeliveryReport::new(records.len(), move |outcomes| {
            bytes.give_back(size);
            if let Some((done, sizes)) = lock(&settle).take() {
                counts.count_outcomes(&outcomes, &sizes, acks, now.elapsed());
                done(outcomes);
            }
        });
        let deadline = now + self.timeout;
        // Dropping the unsent submission below must not call `done`: the caller gets the rejection as a result.
        let refuse = |refused| match lock(&done).take() {
            Some((_, sizes)) => self.counts.count_rejected(&sizes, refused),
            None => refused,
        };
        match queue.try_send(Submission { topic, acks, auto_create, records, deadline, receipts }) {
            Ok(()) => Ok(()),
            Err(unsent) => {
                let refused = if unsent.is_full() { Rejected::QueueFull } else { Rejected::ShuttingDown };
                let refused = refuse(refused);
                drop(unsent);
                Err(refused)
            }
        }
    }

    /// Returns the time within which a submission gets its outcomes.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the number of submissions that the writer has not taken yet.
    pub fn waiting(&self) -> usize {
        let queue = read_lock(&self.queue);
        queue.as_ref().map_or(0, Sender::len)
    }

    /// Returns the bytes of the records that wait for their acknowledgement, and their limit.
    pub fn bytes(&self) -> (usize, usize) {
        (self.bytes.used.load(Ordering::Relaxed), self.bytes.most)
    }

    /// Whether the thread has ended although the bridge is not shutting down.
    pub fn has_ended(&self) -> bool {
        lock(&self.worker).as_ref().is_some_and(Worker::has_ended)
    }

    /// Rejects further submissions, and blocks until all queued ones have their outcomes.
    pub fn finish(&self) {
        *write_lock(&self.queue) = None;
        drop(lock(&self.worker).take());
    }
}

impl Drop for ProduceBridge {
    fn drop(&mut self) {
        self.finish();
    }
}

//! Chooses the driver when the broker can be asked, once.

use super::crate_driver::CrateDriver;
use super::wire::{self, Wire};
use crate::broker::{
    Broker, BrokerError, Capabilities, Connections, FetchLimits, Fetched, NodeId, OffsetAt, Reader, Submission,
    TopicInfo, Want,
};
use crate::record::{Offset, TopicName, TopicPartition};
use crossbeam_channel::Receiver;
use log::info;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A broker that is asked for its ApiVersions as soon as it is reachable, and then spoken to with
/// the driver that fits.
pub struct Auto(Arc<Choice>);

struct Choice {
    settings: wire::Settings,
    chosen: OnceLock<Arc<dyn Broker>>,
    /// One thread asks at a time; the others wait for its answer. With the last one that was an error.
    asking: Mutex<Option<(Instant, BrokerError)>>,
}

impl Auto {
    pub fn new(settings: wire::Settings) -> Self {
        Self(Arc::new(Choice { settings, chosen: OnceLock::new(), asking: Mutex::default() }))
    }
}

impl Choice {
    fn broker(&self) -> Result<&Arc<dyn Broker>, BrokerError> {
        if let Some(broker) = self.chosen.get() {
            return Ok(broker);
        }
        let came = Instant::now();
        let mut failed = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = self.chosen.get() {
            return Ok(broker);
        }
        match &*failed {
            Some((at, error)) if *at > came => Err(error.clone()),
            _ => match self.choose() {
                Ok(broker) => Ok(self.chosen.get_or_init(|| broker)),
                Err(error) => {
                    *failed = Some((Instant::now(), error.clone()));
                    Err(error)
                }
            },
        }
    }

    fn choose(&self) -> Result<Arc<dyn Broker>, BrokerError> {
        let brokers = &self.settings.bootstrap;
        let ask = || wire::api_versions(&self.settings).map(|versions| versions.speaks_wire());
        let speaks_wire = match ask() {
            // A broker before 0.10 hangs up on the question, but so does one that is only starting:
            // where the old protocol works, it is up, and is asked once more.
            Err(BrokerError::Unavailable(_) | BrokerError::Unsupported(_))
                if CrateDriver::new(&self.settings).ready().is_ok() =>
            {
                ask().unwrap_or(false)
            }
            asked => asked?,
        };
        if speaks_wire {
            info!("driver wire for {}: the broker speaks Fetch 4 or later", brokers.join(","));
            Ok(Arc::new(Wire::connect(self.settings.clone())))
        } else {
            let limits = "no headers, timestamps and read_committed there";
            info!("driver crate for {}: the broker speaks only older protocols; {limits}", brokers.join(","));
            Ok(Arc::new(CrateDriver::new(&self.settings)))
        }
    }
}

impl Broker for Auto {
    fn describe(&self) -> String {
        match self.0.chosen.get() {
            Some(broker) => broker.describe(),
            None => format!("auto {}", self.0.settings.bootstrap.join(",")),
        }
    }

    fn connections(&self) -> Connections {
        self.0.chosen.get().map(|broker| broker.connections()).unwrap_or_default()
    }

    fn ready(&self) -> Result<(), BrokerError> {
        self.0.broker()?.ready()
    }

    fn capabilities(&self) -> Result<Capabilities, BrokerError> {
        self.0.broker()?.capabilities()
    }

    fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        self.0.broker()?.list_topics()
    }

    fn topics(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        self.0.broker()?.topics(topics)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), BrokerError> {
        self.0.broker()?.delete_topic(topic)
    }

    fn offsets(&self, asked: &[(TopicPartition, OffsetAt)]) -> Vec<Result<Offset, BrokerError>> {
        match self.0.broker() {
            Ok(broker) => broker.offsets(asked),
            Err(error) => vec![Err(error); asked.len()],
        }
    }

    fn reader(&self, leader: NodeId) -> Box<dyn Reader> {
        match self.0.broker() {
            Ok(broker) => broker.reader(leader),
            // Leaders are learnt from a broker, so this is rare: it was chosen and the choice was lost.
            Err(error) => Box::new(NoReader(error)),
        }
    }

    fn write_all(&self, submissions: Receiver<Submission>) {
        let mut held = Held::default();
        let broker = loop {
            match self.0.broker() {
                Ok(broker) => break broker,
                Err(error) => {
                    if !held.wait(&submissions, &error) {
                        return;
                    }
                }
            }
        };
        let waiting = held.waiting;
        let (sender, receiver) = crossbeam_channel::bounded(waiting.len().max(1));
        for (_, submission) in waiting {
            // There is room for each.
            let _ = sender.send(submission);
        }
        drop(sender);
        broker.write_all(receiver);
        broker.write_all(submissions);
    }
}

/// How often the broker is asked anew while it is away.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What waits for the first broker. Bounded by the hub, which counts a submission until it is settled.
#[derive(Default)]
struct Held {
    waiting: Vec<(Instant, Submission)>,
    /// Since when no broker answers.
    down_since: Option<Instant>,
}

impl Held {
    /// Takes what comes for a while; nothing waits longer than `unavailable_after`, and once nobody has answered for
    /// so long, nothing waits at all. False: the channel is closed, and nothing is held.
    fn wait(&mut self, submissions: &Receiver<Submission>, error: &BrokerError) -> bool {
        let patience = wire::produce::Settings::default().unavailable_after;
        let down_since = *self.down_since.get_or_insert_with(Instant::now);
        let until = Instant::now() + ASK_EVERY;
        let mut open = true;
        while open && Instant::now() < until {
            match submissions.recv_deadline(until) {
                Ok(submission) if down_since.elapsed() > patience => refuse(&submission, error),
                Ok(submission) => self.waiting.push((Instant::now(), submission)),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => break,
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => open = false,
            }
        }
        let now = Instant::now();
        self.waiting.retain(|(came, submission)| {
            let keep = open && submission.deadline > now && now.duration_since(*came) < patience;
            if !keep {
                refuse(submission, error);
            }
            keep
        });
        open
    }
}

fn refuse(submission: &Submission, error: &BrokerError) {
    (0..submission.records.len()).for_each(|i| submission.receipts.settle(i, Err(error.clone())));
}

struct NoReader(BrokerError);

impl Reader for NoReader {
    fn fetch(&mut self, _: &[Want], _: FetchLimits) -> Result<Vec<Fetched>, BrokerError> {
        Err(self.0.clone())
    }

    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(|| {})
    }
}

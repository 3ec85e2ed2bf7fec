//! `curlew produce`: each line of standard input becomes a record.

use super::bridge_client::BridgeTarget;
use super::lines::InputLines;
use super::{exit, say, to_bridge, until_signal};
use crate::broker::{AutoCreate, DeliveryResult};
use crate::config::{Produce, Via};
use crate::hub::{self, Hub, Rejected};
use crate::kafka;
use crossbeam_channel::bounded;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Batches on their way to the broker; more are not read from standard input.
const OUTSTANDING: usize = 32;
/// Failures that are named; the others are counted.
const NAMED: usize = 3;

/// Exit code 0 where every record was acknowledged, else 1.
pub fn produce(settings: Produce) -> ExitCode {
    let progress = Arc::new(ProduceProgress::default());
    exit(match settings.source.via() {
        Via::Kafka(kafka) => Hub::start(kafka::connect(kafka), hub::Settings::default())
            .map_err(|e| format!("cannot start a thread: {e}"))
            .and_then(|hub| to_kafka(settings, Arc::new(hub), progress)),
        Via::Bridge(at) => BridgeTarget::new(at).and_then(|bridge| {
            let at_signal = progress.clone();
            let work = move || to_bridge::produce(&settings, &bridge, &progress);
            until_signal(work, move || Some(at_signal.summary()))
        }),
    })
}

fn to_kafka(settings: Produce, hub: Arc<Hub>, progress: Arc<ProduceProgress>) -> Result<(), String> {
    let (hub_at_signal, at_signal) = (hub.clone(), progress.clone());
    let work = move || {
        // The channel has a place for every batch on its way, so a receipt never waits.
        let (settled, receipts) = bounded(OUTSTANDING);
        let mut outstanding = 0;
        let mut lines = InputLines::new(io::stdin().lock());
        let read = loop {
            let batch = match lines.next_batch(&settings) {
                Ok(Some(batch)) => batch,
                ended => break ended.map(drop),
            };
            while outstanding == OUTSTANDING || !receipts.is_empty() {
                let _ = receipts.recv();
                outstanding -= 1;
            }
            progress.sent(batch.len());
            let first = progress.first(batch.len());
            loop {
                let (settled, counted) = (settled.clone(), progress.clone());
                let done = move |outcomes: Vec<DeliveryResult>| {
                    counted.settled(first, outcomes);
                    let _ = settled.try_send(());
                };
                match hub.produce(settings.topic.clone(), settings.acks, AutoCreate::Ask, batch.clone(), done) {
                    Ok(()) => break,
                    Err(Rejected::QueueFull) if outstanding > 0 => {
                        let _ = receipts.recv();
                        outstanding -= 1;
                    }
                    Err(refused) => {
                        let why = match refused {
                            Rejected::QueueFull => "it is larger than the queue",
                            Rejected::TooManyStreams | Rejected::ShuttingDown => "it is ending",
                        };
                        return Err(format!("record {first} and what follows was not sent: {why}"));
                    }
                }
            }
            outstanding += 1;
        };
        for _ in 0..outstanding {
            let _ = receipts.recv();
        }
        both(progress.summary(), read)
    };
    // Standard input may never end; what was read from it gets its receipts.
    until_signal(work, move || {
        hub_at_signal.shut_down();
        Some(at_signal.summary())
    })
}

/// How the records went, and how reading them went.
pub fn both(written: Result<(), String>, read: Result<(), String>) -> Result<(), String> {
    match (written, read) {
        (Err(written), Err(read)) => Err(format!("{written}; {read}")),
        (written, read) => written.and(read),
    }
}

/// Counts, for the person who waits.
#[derive(Default)]
pub struct ProduceProgress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    /// Records that have a number.
    numbered: AtomicU64,
    failures: Mutex<Vec<String>>,
    shown: Mutex<Option<Instant>>,
}

impl ProduceProgress {
    pub fn sent(&self, records: usize) {
        let sent = self.sent.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        if !io::stderr().is_terminal() || io::stdin().is_terminal() {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|at| at.elapsed() >= Duration::from_millis(200)) {
            *shown = Some(Instant::now());
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            let _ = write!(io::stderr(), "\r{sent} records sent, {acknowledged} acknowledged");
        }
    }

    /// The number of the first of so many records, from 1.
    pub fn first(&self, records: usize) -> u64 {
        self.numbered.fetch_add(records as u64, Ordering::Relaxed) + 1
    }

    pub fn settled<E: std::fmt::Display, T>(&self, first: u64, outcomes: Vec<Result<T, E>>) {
        for (number, outcome) in (first..).zip(outcomes) {
            match outcome {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    if failures.len() < NAMED {
                        failures.push(format!("record {number}: {error}"));
                    }
                }
            }
        }
    }

    /// Says how it went; an error unless everything sent was acknowledged.
    pub fn summary(&self) -> Result<(), String> {
        let (sent, acknowledged) = (self.sent.load(Ordering::Relaxed), self.acknowledged.load(Ordering::Relaxed));
        if self.shown.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            let _ = write!(io::stderr(), "\r");
        }
        // Named once, also where a signal and the end of input meet.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(say);
        let (unsure, failed) = (sent - acknowledged, self.failed.load(Ordering::Relaxed));
        if unsure > 0 {
            let more = if failed > NAMED as u64 { "; the first failures are above" } else { "" };
            return Err(format!("{unsure} of {sent} records were not acknowledged{more}"));
        }
        if io::stderr().is_terminal() {
            say(format_args!("{acknowledged} records acknowledged"));
        }
        Ok(())
    }
}

//! `curlew produce`: each line of standard input becomes a record.

use super::{exit, say, to_bridge, until_signal};
use crate::broker::{AutoCreate, Outcome};
use crate::config::{Produce, Separator, Via};
use crate::hub::{self, Hub, Refused};
use crate::kafka;
use crate::record::{Header, NewRecord};
use bytes::{Bytes, BytesMut};
use crossbeam_channel::bounded;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of one batch of lines: what one read of standard input brings.
const READ: usize = 256 << 10;
/// Batches on their way to the broker; more are not read from standard input.
const OUTSTANDING: usize = 32;
/// Failures that are named; the others are counted.
const NAMED: usize = 3;

/// Exit code 0 where every record was acknowledged, else 1.
pub fn produce(settings: Produce) -> ExitCode {
    let progress = Arc::new(Progress::default());
    exit(match settings.source.via() {
        Via::Kafka { brokers, driver } => Hub::start(kafka::connect(brokers, driver), hub::Settings::default())
            .map_err(|e| format!("cannot start a thread: {e}"))
            .and_then(|hub| to_kafka(settings, Arc::new(hub), progress)),
        Via::Bridge(authority) => {
            let authority = authority.to_owned();
            let at_signal = progress.clone();
            let work = move || to_bridge::produce(&settings, &authority, &progress);
            until_signal(work, move || Some(at_signal.summary()))
        }
    })
}

fn to_kafka(settings: Produce, hub: Arc<Hub>, progress: Arc<Progress>) -> Result<(), String> {
    let (hub_at_signal, at_signal) = (hub.clone(), progress.clone());
    let work = move || {
        // The channel has a place for every batch on its way, so a receipt never waits.
        let (settled, receipts) = bounded(OUTSTANDING);
        let mut outstanding = 0;
        let mut lines = Lines::new(io::stdin().lock());
        while let Some(batch) = lines.next_batch(&settings)? {
            while outstanding == OUTSTANDING || !receipts.is_empty() {
                let _ = receipts.recv();
                outstanding -= 1;
            }
            progress.sent(batch.len());
            let first = progress.first_line(batch.len());
            loop {
                let (settled, counted) = (settled.clone(), progress.clone());
                let done = move |outcomes: Vec<Outcome>| {
                    counted.settled(first, outcomes);
                    let _ = settled.try_send(());
                };
                match hub.produce(settings.topic.clone(), settings.acks, AutoCreate::Ask, batch.clone(), done) {
                    Ok(()) => break,
                    Err(Refused::QueueFull) if outstanding > 0 => {
                        let _ = receipts.recv();
                        outstanding -= 1;
                    }
                    Err(refused) => {
                        let why = match refused {
                            Refused::QueueFull => "it is larger than the queue",
                            Refused::TooManyStreams | Refused::ShuttingDown => "it is ending",
                        };
                        return Err(format!("line {first} and what follows was not sent: {why}"));
                    }
                }
            }
            outstanding += 1;
        }
        for _ in 0..outstanding {
            let _ = receipts.recv();
        }
        progress.summary()
    };
    // Standard input may never end; what was read from it gets its receipts.
    until_signal(work, move || {
        hub_at_signal.shut_down();
        Some(at_signal.summary())
    })
}

/// Counts, for the person who waits.
#[derive(Default)]
pub struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    lines: AtomicU64,
    failures: Mutex<Vec<String>>,
    shown: Mutex<Option<Instant>>,
}

impl Progress {
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

    /// The number of the first of so many lines, from 1.
    pub fn first_line(&self, lines: usize) -> u64 {
        self.lines.fetch_add(lines as u64, Ordering::Relaxed) + 1
    }

    pub fn settled<E: std::fmt::Display, T>(&self, first_line: u64, outcomes: Vec<Result<T, E>>) {
        for (line, outcome) in (first_line..).zip(outcomes) {
            match outcome {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    if failures.len() < NAMED {
                        failures.push(format!("line {line}: {error}"));
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

/// Standard input, cut into batches of lines as they come.
pub struct Lines<R> {
    input: R,
    /// The beginning of a line whose end has not come.
    rest: BytesMut,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Self {
        Self { input, rest: BytesMut::new(), ended: false }
    }

    /// The records of all lines that one read completes; `None` at the end. A last line without a
    /// line end counts.
    pub fn next_batch(&mut self, settings: &Produce) -> Result<Option<Vec<NewRecord>>, String> {
        while !self.ended {
            let kept = self.rest.len();
            self.rest.resize(kept + READ, 0);
            let place = self.rest.get_mut(kept..).unwrap_or_default();
            let read = match self.input.read(place) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => return Err(format!("cannot read standard input: {e}")),
                Ok(read) => {
                    self.ended = read == 0;
                    read
                }
            };
            self.rest.truncate(kept + read);
            let new = self.rest.get(kept..).unwrap_or_default();
            let whole = match new.iter().rposition(|b| *b == b'\n') {
                Some(last) => kept + last + 1,
                None if self.ended => self.rest.len(),
                None => continue,
            };
            let lines = self.rest.split_to(whole).freeze();
            if !lines.is_empty() {
                return Ok(Some(records(&lines, settings)));
            }
        }
        Ok(None)
    }
}

fn records(lines: &Bytes, settings: &Produce) -> Vec<NewRecord> {
    let headers: Vec<Header> = settings
        .headers
        .iter()
        .map(|(name, value)| Header { name: name.clone(), value: Some(value.clone().into()) })
        .collect();
    let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
    let new = |line: &[u8]| {
        let (key, value) = split(line, settings.key_separator.as_ref());
        NewRecord {
            partition: settings.partition,
            key: key.map(|key| lines.slice_ref(key)),
            value: Some(lines.slice_ref(value)),
            headers: headers.clone(),
            timestamp: None,
        }
    };
    whole.split(|b| *b == b'\n').map(new).collect()
}

/// Key and value of a line. Without a separator in it, all of it is the value.
fn split<'a>(line: &'a [u8], separator: Option<&Separator>) -> (Option<&'a [u8]>, &'a [u8]) {
    let found = separator.and_then(|Separator(separator)| {
        let at = line.windows(separator.len()).position(|window| window == separator)?;
        Some((line.get(..at)?, line.get(at + separator.len()..)?))
    });
    found.map_or((None, line), |(key, value)| (Some(key), value))
}

#[cfg(test)]
mod tests;

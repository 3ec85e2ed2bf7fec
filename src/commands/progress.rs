//! The progress of `produce`: counts of the records sent, acknowledged and failed.

use super::lines::InputError;
use super::pace::Pace;
use super::report;
use crate::sync::lock;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Number of failures that are reported one by one. Further ones are only counted.
const REPORTED: usize = 3;

/// Clears the terminal's line behind the cursor.
const CLEAR_REST: &str = "\x1b[K";

/// Returns the position in standard input and its size, if it is a file.
fn part_of_input() -> Option<(u64, u64)> {
    let stdin = io::stdin();
    let file = rustix::fs::fstat(&stdin).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(file.st_mode) == rustix::fs::FileType::RegularFile;
    let size = u64::try_from(file.st_size).ok().filter(|_| is_file)?;
    Some((rustix::fs::tell(&stdin).ok()?, size))
}

/// A failure to write every line of standard input.
#[derive(Debug, Error)]
pub enum ProduceError {
    #[error(transparent)]
    Unacknowledged(#[from] Unacknowledged),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{0}; {1}")]
    Both(Unacknowledged, #[source] InputError),
}

/// Some records were not acknowledged. `failed` of them have an error.
#[derive(Debug, Error)]
#[error("{unacknowledged} of {sent} records were not acknowledged{}", reported_above(*failed))]
pub struct Unacknowledged {
    unacknowledged: u64,
    sent: u64,
    failed: u64,
}

fn reported_above(failed: u64) -> &'static str {
    if failed > REPORTED as u64 { "; the first failures are above" } else { "" }
}

/// Combines the result of writing the records with that of reading standard input.
pub fn combine(written: Result<(), Unacknowledged>, read: Result<(), InputError>) -> Result<(), ProduceError> {
    match (written, read) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(written), Ok(())) => Err(written.into()),
        (Ok(()), Err(read)) => Err(read.into()),
        (Err(written), Err(read)) => Err(ProduceError::Both(written, read)),
    }
}

/// Counters of one `produce`, shown on a terminal while it runs.
#[derive(Default)]
pub struct ProduceProgress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    /// Records that have been assigned a number.
    numbered: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// When the first records were sent, and when the counters were last shown.
    started: OnceLock<Instant>,
    shown: Mutex<Option<Instant>>,
}

impl ProduceProgress {
    /// Counts records as sent, and updates the terminal at most every 200 ms.
    pub fn sent(&self, records: usize) {
        let sent = self.sent.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        let started = *self.started.get_or_init(Instant::now);
        if !io::stderr().is_terminal() || io::stdin().is_terminal() {
            return;
        }
        let mut shown = lock(&self.shown);
        if shown.is_none_or(|at| at.elapsed() >= Duration::from_millis(200)) {
            *shown = Some(Instant::now());
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            let pace = Pace { records: acknowledged, elapsed: started.elapsed(), part: part_of_input() };
            let _ = write!(io::stderr(), "\r{sent} records sent, {acknowledged} acknowledged, {pace}{CLEAR_REST}");
        }
    }

    /// Assigns consecutive numbers to `records` records and returns the first. Numbers start at 1.
    pub fn assign_numbers(&self, records: usize) -> u64 {
        self.numbered.fetch_add(records as u64, Ordering::Relaxed) + 1
    }

    /// Counts the outcomes of consecutive records, of which the first has the number `first`.
    pub fn completed<E: std::fmt::Display, T>(&self, first: u64, outcomes: Vec<Result<T, E>>) {
        for (number, outcome) in (first..).zip(outcomes) {
            match outcome {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let mut failures = lock(&self.failures);
                    if failures.len() < REPORTED {
                        failures.push(format!("record {number}: {error}"));
                    }
                }
            }
        }
    }

    /// Reports the failures. Returns an error unless every record sent was acknowledged.
    pub fn summary(&self) -> Result<(), Unacknowledged> {
        let (sent, acknowledged) = (self.sent.load(Ordering::Relaxed), self.acknowledged.load(Ordering::Relaxed));
        if lock(&self.shown).is_some() {
            let _ = write!(io::stderr(), "\r{CLEAR_REST}");
        }
        // Drained to report them only once if a signal and the end of input coincide.
        lock(&self.failures).drain(..).for_each(report);
        let (unacknowledged, failed) = (sent - acknowledged, self.failed.load(Ordering::Relaxed));
        if unacknowledged > 0 {
            return Err(Unacknowledged { unacknowledged, sent, failed });
        }
        if io::stderr().is_terminal() {
            report(format_args!("{acknowledged} records acknowledged"));
        }
        Ok(())
    }
}

//! What `produce` reports: records sent, acknowledged and failed.

use super::report;
use crate::sync::lock;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failures that are reported one by one; further ones are only counted.
const NAMED: usize = 3;

/// Combines the result of writing the records with that of reading standard input.
pub fn combine(written: Result<(), String>, read: Result<(), String>) -> Result<(), String> {
    match (written, read) {
        (Err(written), Err(read)) => Err(format!("{written}; {read}")),
        (written, read) => written.and(read),
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
    /// When the counters were last shown.
    shown: Mutex<Option<Instant>>,
}

impl ProduceProgress {
    /// Counts records as sent, and updates the terminal at most every 200 ms.
    pub fn sent(&self, records: usize) {
        let sent = self.sent.fetch_add(records as u64, Ordering::Relaxed) + records as u64;
        if !io::stderr().is_terminal() || io::stdin().is_terminal() {
            return;
        }
        let mut shown = lock(&self.shown);
        if shown.is_none_or(|at| at.elapsed() >= Duration::from_millis(200)) {
            *shown = Some(Instant::now());
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            let _ = write!(io::stderr(), "\r{sent} records sent, {acknowledged} acknowledged");
        }
    }

    /// Assigns consecutive numbers to `records` records and returns the first. Numbers start at 1.
    pub fn assign_numbers(&self, records: usize) -> u64 {
        self.numbered.fetch_add(records as u64, Ordering::Relaxed) + 1
    }

    /// Counts the outcomes of the records from number `first` on.
    pub fn completed<E: std::fmt::Display, T>(&self, first: u64, outcomes: Vec<Result<T, E>>) {
        for (number, outcome) in (first..).zip(outcomes) {
            match outcome {
                Ok(_) => {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let mut failures = lock(&self.failures);
                    if failures.len() < NAMED {
                        failures.push(format!("record {number}: {error}"));
                    }
                }
            }
        }
    }

    /// Reports the failures. Returns an error unless every record sent was acknowledged.
    pub fn summary(&self) -> Result<(), String> {
        let (sent, acknowledged) = (self.sent.load(Ordering::Relaxed), self.acknowledged.load(Ordering::Relaxed));
        if lock(&self.shown).is_some() {
            let _ = write!(io::stderr(), "\r");
        }
        // Drained, so that they are reported once even if a signal and the end of input coincide.
        lock(&self.failures).drain(..).for_each(report);
        let (unacknowledged, failed) = (sent - acknowledged, self.failed.load(Ordering::Relaxed));
        if unacknowledged > 0 {
            let more = if failed > NAMED as u64 { "; the first failures are above" } else { "" };
            return Err(format!("{unacknowledged} of {sent} records were not acknowledged{more}"));
        }
        if io::stderr().is_terminal() {
            report(format_args!("{acknowledged} records acknowledged"));
        }
        Ok(())
    }
}

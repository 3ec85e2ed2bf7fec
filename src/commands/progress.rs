//! What `produce` reports: records sent, acknowledged and failed.

use super::say;
use crate::sync::lock;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failures that are reported one by one; further ones are only counted.
const NAMED: usize = 3;

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
        let mut shown = lock(&self.shown);
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
                    let mut failures = lock(&self.failures);
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
        if lock(&self.shown).is_some() {
            let _ = write!(io::stderr(), "\r");
        }
        // Named once, also where a signal and the end of input meet.
        lock(&self.failures).drain(..).for_each(say);
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

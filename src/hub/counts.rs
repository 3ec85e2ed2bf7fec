//! Counters since the start of the hub, for metrics. They are updated once per batch, request or error, never per record.
//! For the current state see [`Hub::status`](super::Hub::status).

use super::Rejected;
use super::subscription::GapReason;
use crate::broker::{Acks, BrokerError, DeliveryResult, WriteState};
use crate::sync::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram buckets, in seconds. A last bucket without a bound follows.
pub const BOUNDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The counters of a [`Hub`](super::Hub).
#[derive(Debug, Default)]
pub struct HubCounts {
    produced: [Amount; ProduceOutcome::ALL.len()],
    /// Time from the queuing of a request's records until all of their outcomes are known.
    pub produce_latency: Histogram,
    /// Records and frames that were sent to the mailboxes of streams.
    pub delivered: Amount,
    /// The part of `delivered` that clients did not take, because they disconnected or were too slow.
    pub untaken: Amount,
    /// Time from the timestamp of a batch's first record to its delivery to all live streams. Values over an hour are
    /// ignored, because they say nothing about the bridge.
    pub delivery_latency: Histogram,
    gaps: [AtomicU64; GapReason::ALL.len()],
    errors: Mutex<BTreeMap<(RequestKind, &'static str), u64>>,
    /// Outages of leaders that have ended.
    pub recoveries: AtomicU64,
    /// Leaders with live partitions that cannot be fetched from at the moment.
    pub outages: AtomicU64,
}

/// A number of records and a number of bytes: of their keys, values and headers, or of their frames.
#[derive(Debug, Default)]
pub struct Amount {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Amount {
    /// Adds to both numbers.
    pub fn add(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the number of records.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The outcome of a record to produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProduceOutcome {
    /// The log has the record.
    Acknowledged,
    /// The record was sent with `acks=0`, which requests no acknowledgement.
    Sent,
    /// The log may have the record: its acknowledgement did not arrive.
    Unconfirmed,
    /// The log does not have the record.
    Failed,
    /// The hub rejected the record: the queue is full, or the hub is shutting down.
    Rejected,
}

impl ProduceOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] = [Self::Acknowledged, Self::Sent, Self::Unconfirmed, Self::Failed, Self::Rejected];

    /// Returns the label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Sent => "sent",
            Self::Unconfirmed => "unconfirmed",
            Self::Failed => "failed",
            Self::Rejected => "refused",
        }
    }

    fn of(outcome: &DeliveryResult, acks: Acks) -> Self {
        match outcome {
            Ok(_) if acks == Acks::None => Self::Sent,
            Ok(_) => Self::Acknowledged,
            Err(BrokerError::TimedOut(WriteState::Maybe) | BrokerError::LostTrack) => Self::Unconfirmed,
            Err(_) => Self::Failed,
        }
    }
}

/// The kind of a request to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// Writes records.
    Produce,
    /// Reads records.
    Fetch,
    /// Looks up topics or offsets.
    Metadata,
}

impl RequestKind {
    /// Returns the label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::Metadata => "metadata",
        }
    }
}

impl HubCounts {
    /// Returns the records with this outcome.
    pub fn produced(&self, what: ProduceOutcome) -> &Amount {
        &self.produced[what as usize]
    }

    /// Counts the outcomes of a request's records.
    pub(super) fn count_outcomes(&self, outcomes: &[DeliveryResult], sizes: &Sizes, acks: Acks, took: Duration) {
        let mut sums = [(0, 0); ProduceOutcome::ALL.len()];
        for (index, outcome) in outcomes.iter().enumerate() {
            let (records, bytes) = &mut sums[ProduceOutcome::of(outcome, acks) as usize];
            *records += 1;
            *bytes += sizes.of(index);
            if let Err(error) = outcome {
                self.count_error(RequestKind::Produce, error);
            }
        }
        for (what, (records, bytes)) in
            ProduceOutcome::ALL.into_iter().zip(sums).filter(|(_, (records, _))| *records > 0)
        {
            self.produced(what).add(records, bytes);
        }
        self.produce_latency.observe(took);
    }

    /// Counts the records of a rejected request. Returns the reason.
    pub(super) fn count_rejected(&self, sizes: &Sizes, reason: Rejected) -> Rejected {
        self.produced(ProduceOutcome::Rejected).add(sizes.records, sizes.all);
        reason
    }

    /// Counts a failed request to a broker.
    pub fn count_error(&self, request: RequestKind, error: &BrokerError) {
        *lock(&self.errors).entry((request, error.kind())).or_default() += 1;
    }

    /// Returns the number of failed requests to brokers, by the kind of the request and the kind of the error.
    pub fn errors(&self) -> Vec<(RequestKind, &'static str, u64)> {
        lock(&self.errors).iter().map(|((request, kind), count)| (*request, *kind, *count)).collect()
    }

    /// Counts a gap once for each stream that reports it.
    pub(super) fn count_gaps(&self, reason: GapReason, streams: usize) {
        self.gaps[reason as usize].fetch_add(streams as u64, Ordering::Relaxed);
    }

    /// Returns the number of gaps that streams have reported for this reason.
    pub fn gaps(&self, reason: GapReason) -> u64 {
        self.gaps[reason as usize].load(Ordering::Relaxed)
    }
}

/// The sizes of a request's records, in bytes. The records themselves are dropped before their outcomes are known.
pub(super) struct Sizes {
    records: u64,
    all: u64,
    /// Empty for a single record, to save the allocation.
    each: Box<[u32]>,
}

impl Sizes {
    /// Collects the sizes, in the order of the records.
    pub fn new(sizes: impl ExactSizeIterator<Item = usize>) -> Self {
        if sizes.len() == 1 {
            return Self { records: 1, all: sizes.map(|size| size as u64).sum(), each: Box::default() };
        }
        let each: Box<[u32]> = sizes.map(|size| u32::try_from(size).unwrap_or(u32::MAX)).collect();
        Self { records: each.len() as u64, all: each.iter().map(|size| u64::from(*size)).sum(), each }
    }

    fn of(&self, index: usize) -> u64 {
        if self.records == 1 { self.all } else { self.each.get(index).map_or(0, |size| u64::from(*size)) }
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Adds a duration.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the upper bound of each bucket, in seconds, with its count. The counts are not cumulative.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect()
    }

    /// Returns the sum of all durations, in seconds.
    pub fn sum(&self) -> f64 {
        self.micros.load(Ordering::Relaxed) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::RecordLocation;

    #[test]
    fn each_record_counts_with_its_bytes_under_its_outcome() {
        let counts = HubCounts::default();
        let written = || Ok(RecordLocation { partition: 0, offset: Some(1) });
        let outcomes =
            [written(), Err(BrokerError::LostTrack), Err(BrokerError::Unavailable("away".into())), written()];
        let sizes = Sizes::new([1, 10, 100, 1000].into_iter());
        counts.count_outcomes(&outcomes, &sizes, Acks::All, Duration::from_millis(3));
        counts.count_outcomes(&[written()], &Sizes::new([7].into_iter()), Acks::None, Duration::from_secs(100));
        counts.count_rejected(&Sizes::new([5, 6].into_iter()), Rejected::QueueFull);
        let amounts = ProduceOutcome::ALL.map(|what| (counts.produced(what).records(), counts.produced(what).bytes()));
        assert_eq!(amounts, [(2, 1001), (1, 7), (1, 10), (1, 100), (2, 11)]);
        assert_eq!(counts.errors(), [(RequestKind::Produce, "lost", 1), (RequestKind::Produce, "unavailable", 1)]);
        let took: Vec<_> = counts.produce_latency.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(took, [(0.005, 1), (f64::INFINITY, 1)]);
        assert!((counts.produce_latency.sum() - 100.003).abs() < 1e-6);
    }
}

//! Reports the results of the items of a body: in one summary at the end, or to the client one by one.

use super::partial_item::ItemUnit;
use super::response::{self, RecordResult};
use super::summary::UploadSummary;
use crate::broker::Acks;
use crate::http::problem::Problem;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Maximum number of bytes of receipts that wait until the client reads them.
const MAX_WAITING: usize = 64 << 10;
/// If the client reads nothing for this long, further receipts are merged. Many clients (Python's requests, wget) read
/// nothing before they have written everything, and would deadlock.
const PATIENCE: Duration = Duration::from_secs(1);

pub enum ReceiptSink {
    AtEnd(UploadSummary),
    Stream(Outbox),
}

/// The client disconnected.
#[derive(Debug)]
pub struct Disconnected;

impl ReceiptSink {
    pub fn is_at_end(&self) -> bool {
        matches!(self, Self::AtEnd(_))
    }

    pub fn add(&mut self, number: u64, entry: RecordResult) {
        match self {
            Self::AtEnd(summary) => summary.add(number, entry),
            Self::Stream(outbox) => outbox.add(number, entry),
        }
    }

    /// Reports that the body was cut, in the middle of item `number` if `is_begun`.
    pub fn cut(&mut self, number: u64, is_begun: bool, problem: Problem) {
        match self {
            Self::AtEnd(summary) => {
                if is_begun {
                    summary.add(number, Err(problem.clone()));
                }
                summary.incomplete(problem);
            }
            Self::Stream(outbox) => outbox.add(number, Err(problem)),
        }
    }

    /// Reports that item `number` and all items after it were not written.
    pub fn stopped(&mut self, number: u64, problem: Problem) {
        match self {
            Self::AtEnd(summary) => {
                let unit = summary.unit();
                let detail = format!("{unit} {number} and all after it were not written: {}", problem.detail());
                summary.incomplete(problem.with_detail(detail));
            }
            Self::Stream(outbox) => outbox.add(number, Err(problem)),
        }
    }

    /// Describes the numbers of written and failed records, for the log.
    pub fn counts(&self) -> String {
        let (written, failed) = match self {
            Self::AtEnd(summary) => summary.counts(),
            Self::Stream(outbox) => (outbox.written, outbox.failed),
        };
        format!("{written} records were written, {failed} failed")
    }

    pub fn has_room(&self) -> bool {
        match self {
            Self::AtEnd(_) => true,
            Self::Stream(outbox) => outbox.is_merging || outbox.text.len() < MAX_WAITING,
        }
    }

    /// Sends receipts to the client. Cancel safe.
    pub async fn send(&mut self) -> Result<(), Disconnected> {
        match self {
            Self::AtEnd(_) => std::future::pending().await,
            Self::Stream(outbox) => outbox.send().await,
        }
    }

    /// Sends all remaining receipts.
    pub async fn finish(&mut self) {
        if let Self::Stream(outbox) = self {
            while (!outbox.text.is_empty() || outbox.merged.is_some()) && outbox.send().await.is_ok() {}
        }
    }
}

/// Receipts waiting to be sent to the client.
pub struct Outbox {
    client: mpsc::Sender<Bytes>,
    acks: Acks,
    unit: ItemUnit,
    text: Vec<u8>,
    full_since: Option<Instant>,
    /// Whether receipts are merged, until the client reads again.
    is_merging: bool,
    merged: Option<MergedReceipts>,
    written: u64,
    failed: u64,
}

/// One receipt for several items, sent after `text`.
struct MergedReceipts {
    first: u64,
    last: u64,
    summary: UploadSummary,
}

impl Outbox {
    pub fn new(client: mpsc::Sender<Bytes>, acks: Acks, unit: ItemUnit) -> Self {
        let (text, full_since, is_merging, merged) = (Vec::new(), None, false, None);
        Self { client, acks, unit, text, full_since, is_merging, merged, written: 0, failed: 0 }
    }

    fn add(&mut self, number: u64, entry: RecordResult) {
        *if entry.is_ok() { &mut self.written } else { &mut self.failed } += 1;
        if self.is_merging {
            let unit = self.unit;
            let new = || MergedReceipts { first: number, last: number, summary: UploadSummary::new(unit) };
            let merged = self.merged.get_or_insert_with(new);
            merged.last = number;
            return merged.summary.add(number, entry);
        }
        response::write(&mut self.text, &entry, self.acks);
        self.text.push(b'\n');
        if self.text.len() >= MAX_WAITING && self.full_since.is_none() {
            self.full_since = Some(Instant::now());
        }
    }

    async fn send(&mut self) -> Result<(), Disconnected> {
        if self.text.is_empty() && self.merged.is_none() {
            self.client.closed().await;
            return Err(Disconnected);
        }
        let merge_at = self.full_since.filter(|_| !self.is_merging).map(|since| since + PATIENCE);
        let permit = tokio::select! {
            biased;
            permit = self.client.reserve() => permit.map_err(|_| Disconnected)?,
            () = at(merge_at) => {
                self.is_merging = true;
                return Ok(());
            }
        };
        let text = std::mem::take(&mut self.text);
        self.full_since = None;
        let text = match self.merged.take() {
            // The text comes first. The merged receipt follows once the client has taken the text.
            Some(merged) if !text.is_empty() => {
                self.merged = Some(merged);
                text
            }
            Some(merged) => {
                self.is_merging = false;
                let mut receipt = merged.summary.receipt(merged.first, merged.last);
                receipt.push(b'\n');
                receipt
            }
            None => {
                self.is_merging = false;
                text
            }
        };
        permit.send(text.into());
        Ok(())
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

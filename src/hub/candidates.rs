//! Records that filters choose from, and what filters have read of them so far.

use super::subscription::Filter;
use crate::cel::{Document, Expression};
use crate::record::{Partition, RecordRef, Records, TopicName};
use log::error;
use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of records that are kept as filters have read them, for the filters still to come. Parsed, a value may take
/// some thirty times its bytes. Of the records beyond, each filter reads what it needs.
const MAX_KEPT: usize = 4 << 20;

/// One stretch of one partition.
pub struct Candidates<'r> {
    pub topic: &'r TopicName,
    pub partition: Partition,
    batches: &'r [Records],
    /// Bytes that may be kept.
    most: usize,
    /// By the records' numbers; made when the first condition is asked.
    documents: OnceCell<Vec<Document<'r>>>,
}

impl<'r> Candidates<'r> {
    /// For one feed or job.
    pub fn new(topic: &'r TopicName, partition: Partition, batches: &'r [Records]) -> Self {
        Self { topic, partition, batches, most: 0, documents: OnceCell::new() }
    }

    /// For feeds with so many conditions: with more than one it pays to keep what was read.
    pub fn shared(self, conditions: usize) -> Self {
        Self { most: if conditions > 1 { MAX_KEPT } else { 0 }, ..self }
    }

    pub fn records(&self) -> impl Iterator<Item = RecordRef<'r>> + use<'r> {
        self.batches.iter().flat_map(Records::iter)
    }

    /// Bytes of its records.
    pub fn memory(&self) -> usize {
        self.batches.iter().map(Records::memory).sum()
    }

    /// Whether a stream of this filter wants the record of this number.
    pub fn matches(&self, filter: &Filter, number: usize, record: &RecordRef<'r>) -> bool {
        filter.may_match(record)
            && filter.condition.as_ref().is_none_or(|condition| match self.documents().get(number) {
                Some(document) => is_true(condition, document),
                None => is_true(condition, &self.document(*record)),
            })
    }

    fn documents(&self) -> &[Document<'r>] {
        self.documents.get_or_init(|| {
            let kept = Cell::new(0);
            let fits = |record: &RecordRef<'r>| {
                let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                kept.set(kept.get() + len(record.key) + len(record.value) + size_of::<Document<'_>>());
                kept.get() <= self.most
            };
            self.records().take_while(fits).map(|record| self.document(record)).collect()
        })
    }

    fn document(&self, record: RecordRef<'r>) -> Document<'r> {
        Document::new(self.topic, self.partition, record)
    }
}

/// A condition must not end the thread that all streams share, so a panic is a record that does not match.
fn is_true(condition: &Expression, document: &Document<'_>) -> bool {
    catch_unwind(AssertUnwindSafe(|| condition.is_true(document))).unwrap_or_else(|_| {
        error!("where={condition} panicked on a record; please report this");
        false
    })
}

//! The records that filters evaluate. Filters share the values that they have parsed.

use crate::cel::{Document, Expression, Verdict};
use crate::hub::subscription::Filter;
use crate::record::{EpochSpan, Partition, RecordRef, Records, TopicName};
use log::error;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Size of the records whose parsed values are kept for further filters, in bytes. A parsed value can take thirty times its
/// size. Each filter parses the remaining records again.
const MAX_PARSED: usize = 4 << 20;

static NO_EPOCHS: EpochSpan = EpochSpan::NONE;

/// The fetched records of one partition.
pub struct FilterInput<'r> {
    /// The topic.
    pub topic: &'r TopicName,
    /// The partition.
    pub partition: Partition,
    batches: &'r [Records],
    /// The leader epochs of the records.
    pub epochs: &'r EpochSpan,
    /// Size of the records whose parsed values may be kept, in bytes.
    most: usize,
    /// Parsed values, in the order of the records. Created when the first condition is evaluated.
    documents: OnceCell<Vec<Document<'r>>>,
}

impl<'r> FilterInput<'r> {
    /// Creates the input for one filter, without leader epochs.
    pub fn new(topic: &'r TopicName, partition: Partition, batches: &'r [Records]) -> Self {
        Self { topic, partition, batches, epochs: &NO_EPOCHS, most: 0, documents: OnceCell::new() }
    }

    /// Adds the leader epochs of the records.
    pub fn with_epochs(self, epochs: &'r EpochSpan) -> Self {
        Self { epochs, ..self }
    }

    /// Shares the records among this number of conditions. Parsed values are kept only if there is more than one.
    pub fn shared_by(self, conditions: usize) -> Self {
        Self { most: if conditions > 1 { MAX_PARSED } else { 0 }, ..self }
    }

    /// Iterates over the records.
    pub fn records(&self) -> impl Iterator<Item = RecordRef<'r>> + use<'r> {
        self.batches.iter().flat_map(Records::iter)
    }

    /// Returns the memory of the records, in bytes.
    pub fn memory(&self) -> usize {
        self.batches.iter().map(Records::memory).sum()
    }

    /// Whether a record matches a filter. `number` is its index in [`records`](Self::records).
    pub fn matches(&self, filter: &Filter, number: usize, record: &RecordRef<'r>) -> Verdict {
        let (before, condition) = match (filter.may_match(record), &filter.condition) {
            (Verdict::Differs, _) => return Verdict::Differs,
            (before, None) => return before,
            (before, Some(condition)) => (before, condition),
        };
        let verdict = match self.documents().get(number) {
            Some(document) => verdict(condition, document),
            None => verdict(condition, &self.document(*record)),
        };
        if verdict == Verdict::Matches { before } else { verdict }
    }

    fn documents(&self) -> &[Document<'r>] {
        self.documents.get_or_init(|| {
            let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            let mut kept = 0;
            let fits = |record: &RecordRef<'r>| {
                kept += len(record.key) + len(record.value) + size_of::<Document<'_>>();
                kept <= self.most
            };
            self.records().take_while(fits).map(|record| self.document(record)).collect()
        })
    }

    fn document(&self, record: RecordRef<'r>) -> Document<'r> {
        Document::new(self.topic, self.partition, record)
    }
}

/// Evaluates a condition. A panic counts as no match and does not end the thread, which serves other streams too.
fn verdict(condition: &Expression, document: &Document<'_>) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| condition.verdict(document))).unwrap_or_else(|_| {
        error!("where={condition} panicked on a record; please report this");
        Verdict::Differs
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn batches(records: usize, value_bytes: usize) -> Vec<Records> {
        let mut data = Vec::new();
        let ranges: Vec<_> = (0..records)
            .map(|n| {
                let start = data.len();
                data.extend(format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(value_bytes)).bytes());
                start..data.len()
            })
            .collect();
        let mut batch = Records::over(data.into());
        ranges.into_iter().enumerate().for_each(|(n, range)| batch.push(n as i64, 0, None, Some(range)));
        vec![batch]
    }

    #[test]
    fn records_match_the_same_whether_parsed_values_are_kept_or_not() {
        let topic = TopicName::new("t").unwrap();
        let condition = Some(Arc::new(Expression::compile("value.n % 3 == 1 && offset == value.n").unwrap()));
        let filter = Filter { condition, ..Filter::default() };
        let batches = batches(600, 10_000);
        let wanted = |input: FilterInput<'_>| -> (Vec<i64>, usize) {
            let records = input.records().enumerate();
            let wanted = records.filter(|(number, record)| input.matches(&filter, *number, record) == Verdict::Matches);
            (wanted.map(|(_, record)| record.offset).collect(), input.documents().len())
        };
        let (alone, kept) = wanted(FilterInput::new(&topic, 0, &batches));
        assert_eq!((alone.len(), kept), (200, 0));
        let (shared, kept) = wanted(FilterInput::new(&topic, 0, &batches).shared_by(2));
        assert_eq!(shared, alone);
        assert!((300..MAX_PARSED / 10_000).contains(&kept), "some fit and some do not: {kept}");
    }
}

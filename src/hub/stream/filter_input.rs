//! Records for filters, with what filters have parsed of them so far.

use crate::cel::{Document, Expression};
use crate::hub::subscription::Filter;
use crate::record::{EpochSpan, Partition, RecordRef, Records, TopicName};
use log::error;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of records that are kept in parsed form for further filters. A parsed value can take thirty times its bytes.
/// Beyond this, each filter parses what it needs.
const MAX_PARSED: usize = 4 << 20;

static NO_EPOCHS: EpochSpan = EpochSpan::NONE;

/// The records of one span of one partition.
pub struct FilterInput<'r> {
    pub topic: &'r TopicName,
    pub partition: Partition,
    batches: &'r [Records],
    pub epochs: &'r EpochSpan,
    /// Bytes of records that may be kept in parsed form.
    most: usize,
    /// In the order of the records; created for the first condition.
    documents: OnceCell<Vec<Document<'r>>>,
}

impl<'r> FilterInput<'r> {
    /// Records without leader epochs, for one feed or task.
    pub fn new(topic: &'r TopicName, partition: Partition, batches: &'r [Records]) -> Self {
        Self { topic, partition, batches, epochs: &NO_EPOCHS, most: 0, documents: OnceCell::new() }
    }

    /// Adds the leader epochs under which the records were written.
    pub fn of(self, epochs: &'r EpochSpan) -> Self {
        Self { epochs, ..self }
    }

    /// Shares the records among feeds with this many conditions: with more than one it pays to keep what was parsed.
    pub fn shared(self, conditions: usize) -> Self {
        Self { most: if conditions > 1 { MAX_PARSED } else { 0 }, ..self }
    }

    pub fn records(&self) -> impl Iterator<Item = RecordRef<'r>> + use<'r> {
        self.batches.iter().flat_map(Records::iter)
    }

    /// Bytes of the records.
    pub fn memory(&self) -> usize {
        self.batches.iter().map(Records::memory).sum()
    }

    /// Whether the record with this index matches a filter.
    pub fn matches(&self, filter: &Filter, number: usize, record: &RecordRef<'r>) -> bool {
        filter.may_match(record)
            && filter.condition.as_ref().is_none_or(|condition| match self.documents().get(number) {
                Some(document) => is_true(condition, document),
                None => is_true(condition, &self.document(*record)),
            })
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

/// Evaluates a condition. After a panic the record does not match, so that the thread, which serves all streams, survives.
fn is_true(condition: &Expression, document: &Document<'_>) -> bool {
    catch_unwind(AssertUnwindSafe(|| condition.is_true(document))).unwrap_or_else(|_| {
        error!("where={condition} panicked on a record; please report this");
        false
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn span(records: usize, value_bytes: usize) -> Vec<Records> {
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
        let batches = span(600, 10_000);
        let wanted = |input: FilterInput<'_>| -> (Vec<i64>, usize) {
            let records = input.records().enumerate();
            let wanted = records.filter(|(number, record)| input.matches(&filter, *number, record));
            (wanted.map(|(_, record)| record.offset).collect(), input.documents().len())
        };
        let (alone, kept) = wanted(FilterInput::new(&topic, 0, &batches));
        assert_eq!((alone.len(), kept), (200, 0));
        let (shared, kept) = wanted(FilterInput::new(&topic, 0, &batches).shared(2));
        assert_eq!(shared, alone);
        assert!((300..MAX_PARSED / 10_000).contains(&kept), "some fit and some do not: {kept}");
    }
}

//! The request for a stream: its topics, where it starts and ends, its filter and its format.

use crate::broker::BrokerError;
use crate::cel::{Expression, Verdict};
use crate::cursor::Selection;
use crate::record::{Offset, Partition, RecordRef, Timestamp, TopicName};
use crate::start_position::Start;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// The request for one stream.
#[derive(Clone)]
pub struct Subscription {
    /// The topics to read, at least one.
    pub topics: Vec<TopicName>,
    /// The partitions to read in each topic.
    pub selection: Selection,
    /// The start of the stream.
    pub start: Start,
    /// The records to deliver.
    pub filter: Filter,
    /// The behavior if a topic does not exist.
    pub missing: Missing,
    /// The end of the stream.
    pub until: Until,
    /// The stream ends after this number of records, if it does not end earlier.
    pub limit: Option<NonZeroU64>,
    /// How the stream is written.
    pub format: Arc<dyn Format>,
}

/// Identifies the client of a stream, so that clients take turns. Different clients rarely have equal tags, and then share
/// their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClientTag(pub u64);

/// The behavior of a stream if a topic does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// End the stream with a problem.
    Refuse,
    /// Read it from its beginning when it appears.
    Wait,
}

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The stream does not end: it waits for new records.
    Forever,
    /// In each partition, the stream ends at the end of the log at the time when the stream was opened.
    End,
    /// In each partition, the stream ends before the first record with this timestamp or a later one, where a stream
    /// from this time starts. In a partition without such a record, it ends at the end of the log, once
    /// [`Settings::until_delay`] has elapsed since this time.
    ///
    /// [`Settings::until_delay`]: crate::hub::Settings::until_delay
    Time(Timestamp),
}

/// Selects the records that a stream delivers. All conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// The key that a record must have.
    pub key: Option<Vec<u8>>,
    /// Names and values of headers that a record must have.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The expression that must be true for a record.
    pub condition: Option<Arc<Expression>>,
    /// The length of an interval for sampling. Of each key, only the latest record in an interval is delivered.
    pub sample: Option<Duration>,
}

impl Filter {
    /// Whether the filter matches every record.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the key and the headers, but not the condition, which takes much longer.
    pub fn may_match(&self, record: &RecordRef<'_>) -> Verdict {
        let by_key = self.key.as_ref().map_or(Verdict::Matches, |key| compare_key(record, key));
        let has = |(name, value): &(Vec<u8>, Vec<u8>)| record.headers().any(|(n, v)| n == name && v == Some(value));
        if by_key != Verdict::Differs && self.headers.iter().all(has) { by_key } else { Verdict::Differs }
    }
}

/// Whether a record has this key: its bytes, or if a schema describes it, its JSON or the text of its JSON string.
fn compare_key(record: &RecordRef<'_>, key: &[u8]) -> Verdict {
    if record.key == Some(key) {
        return Verdict::Matches;
    }
    let Some(schema) = record.key_schema() else { return Verdict::Differs };
    let is_text = || record.text_of_key().is_some_and(|text| text.as_bytes() == key);
    match schema.error {
        _ if record.stored_key() == Some(key) || is_text() => Verdict::Matches,
        Some(_) => Verdict::Undecoded,
        None => Verdict::Differs,
    }
}

/// Records that a stream should have delivered, and that the log has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The next offset of the stream before the gap.
    pub from: Offset,
    /// The offset at which the stream continues. It can be less than `from`.
    pub to: Offset,
    /// Why the records are lost.
    pub reason: GapReason,
}

/// The reason of a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The records were deleted by retention: the log start offset is past the position of the stream.
    Retention,
    /// The topic was deleted and recreated.
    Recreated,
    /// The log was truncated to before the position of the stream, as after an unclean leader election.
    Truncated,
}

impl GapReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Retention, Self::Recreated, Self::Truncated];

    /// Returns the name of the reason in frames and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Recreated => "recreated",
            Self::Truncated => "truncated",
        }
    }
}

/// Whether clients control the number of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatChoice {
    /// There are few formats, so each can have a feed of every topic without a time limit.
    Fixed,
    /// Each client can choose another format, so its feeds have the same time limit as feeds with filters.
    ByClient,
}

/// Writes the frames of a stream. Each call appends one complete frame, or nothing, to `out`.
///
/// `id` is the text of the cursor after the frame. It is empty if [`uses_ids`](Self::uses_ids) is false.
pub trait Format: Send + Sync + 'static {
    /// Returns the name. Formats with equal names must write equal bytes for equal input, because their streams share chunks.
    fn name(&self) -> &str;

    /// Whether clients control the number of formats like this one.
    fn choice(&self) -> FormatChoice {
        FormatChoice::Fixed
    }

    /// Whether frames contain ids.
    fn uses_ids(&self) -> bool;

    /// Writes the frame between a snapshot of `keys` records and the records after it.
    fn live(&self, out: &mut Vec<u8>, keys: u64, id: &str) {
        let _ = keys;
        self.checkpoint(out, id);
    }

    /// Writes a record.
    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str);

    /// Returns an upper bound of the size of a record's frame without its id, in bytes.
    fn bound(&self, record: &RecordRef<'_>) -> usize {
        record.encoded_bound()
    }

    /// Returns an upper bound that is faster to compute, and never less than [`bound`](Self::bound).
    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        record.quick_bound()
    }

    /// Writes that a filter could not be applied to a record, because its key or value could not be decoded by its schema.
    fn undecoded(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str) {
        self.record(out, topic, partition, record, id);
    }

    /// Writes an id without a record: at the start of a stream, and after records that the filter has rejected.
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str);

    /// Writes the last frame of a complete stream, unless that is a record.
    fn complete(&self, out: &mut Vec<u8>, id: &str) {
        self.checkpoint(out, id);
    }

    /// Writes a gap.
    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, id: &str);

    /// Writes the last frame of a stream that ends with this error.
    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError);

    /// Reports that the stream waits for a missing topic.
    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        let _ = (out, topic);
    }
}

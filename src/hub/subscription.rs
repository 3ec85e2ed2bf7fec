//! The request for a stream: its topics, where it starts and ends, its filter and its format.

use crate::broker::BrokerError;
use crate::cel::Expression;
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
    /// Where the stream starts.
    pub start: Start,
    /// The records to deliver.
    pub filter: Filter,
    /// What happens if a topic does not exist.
    pub missing: Missing,
    /// Where the stream ends.
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

/// What to do about a topic that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// End the stream with a problem.
    Refuse,
    /// Read it from its beginning when it appears.
    Wait,
}

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The stream does not end: it waits for new records.
    Forever,
    /// The stream ends where each partition ended when the stream was opened.
    End,
    /// In each partition the first record with this timestamp or a later one, where a stream from this time starts. A
    /// partition without such a record ends at its end, once the time has passed by [`Settings::until_delay`].
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
    /// At most one record per key and interval of this length: the latest.
    pub sample: Option<Duration>,
}

impl Filter {
    /// Whether the filter matches every record.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the key and the headers, but not the condition, which takes much longer.
    pub fn may_match(&self, record: &RecordRef<'_>) -> bool {
        let key = self.key.as_ref().is_none_or(|key| record.key == Some(key));
        key && self.headers.iter().all(|(name, value)| record.headers().any(|(n, v)| n == name && v == Some(value)))
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

    /// Returns the reason as frames and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Recreated => "recreated",
            Self::Truncated => "truncated",
        }
    }
}

/// Whether clients decide how many formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatChoice {
    /// There are few, so each can have a feed of every topic without a time limit.
    Fixed,
    /// Each client can choose another one, so its feeds have the time that feeds with filters have.
    ByClient,
}

/// Writes the frames of a stream. Each call appends one complete frame, or nothing, to `out`.
///
/// `id` is the text of the cursor after the frame. It is empty if [`uses_ids`](Self::uses_ids) is false.
pub trait Format: Send + Sync + 'static {
    /// Returns the name. Formats with equal names must write equal bytes for equal input, because their streams share chunks.
    fn name(&self) -> &str;

    /// Whether clients decide how many formats like this one there are.
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

    /// Returns a bound that is never below [`bound`](Self::bound), and takes no time to compute.
    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        record.quick_bound()
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

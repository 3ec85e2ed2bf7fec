//! What a stream reads, where it starts, and how it is written.

use crate::broker::BrokerError;
use crate::cel::Expression;
use crate::cursor::Selection;
use crate::record::{Offset, Partition, RecordRef, Timestamp, TopicName};
use crate::start_position::Start;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// One stream, as requested.
#[derive(Clone)]
pub struct Subscription {
    /// At least one.
    pub topics: Vec<TopicName>,
    pub selection: Selection,
    pub start: Start,
    pub filter: Filter,
    pub missing: Missing,
    pub until: Until,
    pub limit: Option<NonZeroU64>,
    pub format: Arc<dyn Format>,
}

/// Identifies the client of a stream, for fair turns. Different clients can have equal tags, but rarely do.
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
    Forever,
    /// The end of every partition as it was when the stream began.
    End,
    /// In each partition the first record with this timestamp or a later one, where a stream from this time starts. A
    /// partition without such a record ends at its end, once the time has passed by [`Settings::until_delay`].
    ///
    /// [`Settings::until_delay`]: crate::hub::Settings::until_delay
    Time(Timestamp),
}

/// Which records a stream delivers; all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// The key is equal to this.
    pub key: Option<Vec<u8>>,
    /// For each of these, a header has this name and this value.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The condition is true for the record.
    pub condition: Option<Arc<Expression>>,
    /// At most one record per key and interval of this length: the latest.
    pub sample: Option<Duration>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the record matches apart from the condition, which is the expensive part.
    pub fn may_match(&self, record: &RecordRef<'_>) -> bool {
        let key = self.key.as_ref().is_none_or(|key| record.key == Some(key));
        key && self.headers.iter().all(|(name, value)| record.headers().any(|(n, v)| n == name && v == Some(value)))
    }
}

/// Records that a stream requested and that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub topic: TopicName,
    pub partition: Partition,
    /// The offset of the cursor.
    pub from: Offset,
    /// Where the stream continues.
    pub to: Offset,
    pub reason: GapReason,
}

/// Why records are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The log start offset is after the cursor.
    Retention,
    /// The topic was deleted and recreated.
    Recreated,
    /// The log ends before the cursor (unclean leader election).
    Truncated,
}

impl GapReason {
    pub const ALL: [Self; 3] = [Self::Retention, Self::Recreated, Self::Truncated];

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

/// How a stream is written. Each call appends one complete frame, or nothing, to `out`.
///
/// `id` is the cursor after the frame, and empty where [`uses_ids`](Self::uses_ids) is false.
pub trait Format: Send + Sync + 'static {
    /// Formats with equal names write equal bytes for equal input; their streams share chunks.
    fn name(&self) -> &str;

    /// Whether clients can ask for any number of formats like this one.
    fn choice(&self) -> FormatChoice {
        FormatChoice::Fixed
    }

    /// Whether frames have ids.
    fn uses_ids(&self) -> bool;

    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str);

    /// An upper bound of the bytes of a record, without the id.
    fn bound(&self, record: &RecordRef<'_>) -> usize {
        record.encoded_bound()
    }

    /// A bound that is never below [`bound`](Self::bound), and takes no time to compute.
    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        record.quick_bound()
    }

    /// A frame with only an id: where the stream starts, or after records that do not match the filter.
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str);

    /// The last frame of a complete stream, unless that is a record.
    fn complete(&self, out: &mut Vec<u8>, id: &str) {
        self.checkpoint(out, id);
    }

    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, id: &str);

    /// The last frame of a stream that the server ends for this reason.
    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError);

    /// A topic that the stream waits for does not exist yet.
    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        let _ = (out, topic);
    }
}

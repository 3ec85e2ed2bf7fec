//! What a stream reads, from where, and how it is written.

use crate::broker::BrokerError;
use crate::cel::Expression;
use crate::cursor::Selection;
use crate::record::{Offset, Partition, RecordRef, TopicName};
use crate::start_position::Start;
use std::num::NonZeroU64;
use std::sync::Arc;

/// One stream, as asked for.
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

/// The client of a stream, as far as it matters whose turn it is. Equal tags may be different clients, though rarely.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Forever,
    /// The end of every partition as it was when the stream began.
    End,
}

/// Which records a stream delivers; all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Exactly this key.
    pub key: Option<Vec<u8>>,
    /// A header of this name with this value.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// True of the record.
    pub condition: Option<Arc<Expression>>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.headers.is_empty() && self.condition.is_none()
    }

    /// Whether all but the condition hold, which needs no more than the record's bytes.
    pub fn may_match(&self, record: &RecordRef<'_>) -> bool {
        let key = self.key.as_ref().is_none_or(|key| record.key == Some(key));
        key && self.headers.iter().all(|(name, value)| record.headers().any(|(n, v)| n == name && v == Some(value)))
    }
}

/// Records that a stream asked for and can no longer be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub topic: TopicName,
    pub partition: Partition,
    /// What the cursor asked for.
    pub from: Offset,
    /// Where the stream goes on.
    pub to: Offset,
    pub reason: GapReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The log starts later than the cursor.
    Retention,
    /// The topic was deleted and made anew.
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

/// How a stream is written. Each call appends one whole frame (or nothing) to `out`.
///
/// `id` is the cursor after the frame, and empty where [`uses_ids`](Self::uses_ids) is false.
pub trait Format: Send + Sync + 'static {
    /// Formats of equal names write equal bytes for equal input; their streams share chunks.
    fn name(&self) -> &str;

    fn uses_ids(&self) -> bool;

    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, id: &str);

    /// At least as many bytes as the record takes, without the id.
    fn bound(&self, record: &RecordRef<'_>) -> usize {
        record.encoded_bound()
    }

    /// A frame that only tells where the stream is: its start, or records that a filter left out.
    fn checkpoint(&self, out: &mut Vec<u8>, id: &str);

    /// The last frame of a stream that is complete, where no record is the last.
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

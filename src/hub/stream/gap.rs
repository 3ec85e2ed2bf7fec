//! Where a stream continues if the log does not have the offset of its cursor.

use crate::broker::{Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, OffsetAt, PartitionReader};
use crate::hub::subscription::GapReason;
use crate::record::{Epoch, NO_EPOCH, Offset, Position, TopicPartition};
use log::warn;
use std::time::Duration;

/// Records that the log has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Where the stream continues.
    pub to: Position,
    pub reason: GapReason,
    /// Where the log ends now.
    pub end: Offset,
}

/// How a stream continues after a fetch failed with `OffsetOutOfRange` or `Truncated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChange {
    /// The offset is in range by now.
    InRange,
    /// The fetch must be repeated, with this leader epoch for the record before.
    FetchAgain(Position),
    Lost(Loss),
}

/// Finds out why `want` cannot be read, and where the log continues. Returns any other error as it is. `reader` reads from
/// the leader.
pub fn find_gap(
    broker: &dyn Broker,
    reader: &mut dyn PartitionReader,
    want: &FetchPosition,
    error: BrokerError,
) -> Result<LogChange, BrokerError> {
    let from = want.offset;
    let (place, loss) = match error {
        BrokerError::OffsetOutOfRange(place) => {
            let (earliest, end) = ends(broker, &place)?;
            let (to, reason) = match from {
                _ if from < earliest.next => (earliest, GapReason::Retention),
                // The broker or the cursor has no leader epochs, so it is unknown where the log was truncated.
                _ if from > end.next => (end, GapReason::Truncated),
                _ => return Ok(LogChange::InRange),
            };
            (place, Loss { to, reason, end: end.next })
        }
        BrokerError::Truncated { partition: place, end, epoch } if end >= from => {
            // Each request names an earlier epoch than the one before, so this ends, at the latest with NO_EPOCH.
            if epoch >= want.last_epoch {
                let FetchPosition { last_epoch, .. } = want;
                let why =
                    format!("{place}: epoch {epoch}, for epoch {last_epoch} before offset {from}, is no divergence");
                return Err(BrokerError::Corrupt(why.into()));
            }
            match record_before(reader, want)? {
                Before::Unknown => return Ok(LogChange::InRange),
                Before::NotEarlier => return Ok(LogChange::FetchAgain(Position { next: from, epoch })),
                // Two unclean elections. It is unknown up to where both logs are equal, but not up to the end of this epoch, so
                // all of it is read again. The broker returns where the epochs before it end.
                Before::Earlier(found) if found > 0 => {
                    return Ok(LogChange::FetchAgain(Position { next: from, epoch: found - 1 }));
                }
                Before::Earlier(_) => {
                    let (to, end) = ends(broker, &place)?;
                    (place, Loss { to, reason: GapReason::Truncated, end: end.next })
                }
            }
        }
        // Assumes that the log up to `end` is what the stream has read. If `epoch` is earlier than the epoch that was read, this
        // can be wrong after two unclean elections: in the log that was read, `epoch` may have ended before `end`, and the
        // records from there to `end` are not delivered. One epoch per position cannot distinguish this from one election after
        // which the leader has no record of the epoch that was read. Reading the earlier epoch again would be safe, but would
        // repeat up to the entire log after each such election. Kafka's Java consumer continues at `end` too.
        BrokerError::Truncated { partition: place, end, epoch } => {
            let (_, log_end) = ends(broker, &place)?;
            (place, Loss { to: Position { next: end, epoch }, reason: GapReason::Truncated, end: log_end.next })
        }
        other => return Err(other),
    };
    let Loss { to, reason, .. } = loss;
    warn!("{place}: offset {from} is not in the log ({}); streams continue at {}", reason.as_str(), to.next);
    Ok(LogChange::Lost(loss))
}

/// What the log has now before a wanted offset.
enum Before {
    /// A record of an earlier leader epoch than the one that was read there: the log was rewritten.
    Earlier(Epoch),
    /// No such record: compaction or retention has removed it, or the log has changed again, which the next response will
    /// report.
    NotEarlier,
    /// It cannot be read yet.
    Unknown,
}

/// Reads the record before the wanted offset. The end of an epoch alone is no evidence: if compaction has removed all
/// records of the epoch that was read, an earlier epoch seems to replace it.
fn record_before(reader: &mut dyn PartitionReader, want: &FetchPosition) -> Result<Before, BrokerError> {
    if want.offset <= 0 {
        return Ok(Before::NotEarlier);
    }
    let before = FetchPosition { offset: want.offset - 1, last_epoch: NO_EPOCH, ..want.clone() };
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1, partition_max_bytes: 1 };
    let own = |fetched: &FetchResult| fetched.topic == want.topic && fetched.partition == want.partition;
    let fetched = reader.fetch(std::slice::from_ref(&before), limits)?.into_iter().find(own);
    match fetched.map(|fetched| fetched.result) {
        // If the record is gone, this is the epoch of the next one.
        Some(Ok(data)) => match data.epochs.before(want.offset) {
            Some(epoch) if epoch < want.last_epoch => Ok(Before::Earlier(epoch)),
            None if data.next_offset <= before.offset => Ok(Before::Unknown),
            Some(_) | None => Ok(Before::NotEarlier),
        },
        Some(Err(BrokerError::OffsetOutOfRange(_))) => Ok(Before::NotEarlier),
        None | Some(Err(BrokerError::BudgetUsedUp)) => Ok(Before::Unknown),
        Some(Err(error)) => Err(error),
    }
}

/// Log start offset and end.
fn ends(broker: &dyn Broker, place: &TopicPartition) -> Result<(Position, Position), BrokerError> {
    let wanted = [(place.clone(), OffsetAt::Earliest), (place.clone(), OffsetAt::Latest)];
    let mut positions = broker.positions(&wanted).into_iter();
    let mut next = || positions.next().unwrap_or_else(|| Err(BrokerError::Corrupt("an offset is missing".into())));
    Ok((next()?, next()?))
}

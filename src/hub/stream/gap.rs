//! Finds out where a stream continues if the log does not have the offset of its cursor.

use crate::broker::{Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, OffsetAt, PartitionReader};
use crate::hub::subscription::GapReason;
use crate::record::{Epoch, NO_EPOCH, Offset, Position, TopicPartition};
use log::warn;
use std::time::Duration;

/// A range of records that the log has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The position at which the stream continues.
    pub to: Position,
    /// Why the records are lost.
    pub reason: GapReason,
    /// The end offset of the log now.
    pub end: Offset,
}

/// How a stream continues after a fetch failed with `OffsetOutOfRange` or `Truncated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChange {
    /// The offset is in range again, so the fetch can be repeated.
    InRange,
    /// The fetch must be repeated with an earlier leader epoch for the record before the offset.
    FetchAgain(Position),
    /// Records are lost.
    Lost(Loss),
}

/// Finds out why `position` cannot be fetched, and where the log continues. Returns errors that are neither
/// `OffsetOutOfRange` nor `Truncated` unchanged. `reader` must read from the leader.
pub fn find_gap(
    broker: &dyn Broker,
    reader: &mut dyn PartitionReader,
    position: &FetchPosition,
    error: BrokerError,
) -> Result<LogChange, BrokerError> {
    let from = position.offset;
    let (partition, loss) = match error {
        BrokerError::OffsetOutOfRange(partition) => {
            let (earliest, end) = ends(broker, &partition)?;
            let (to, reason) = match from {
                _ if from < earliest.next => (earliest, GapReason::Retention),
                // The broker or the cursor has no leader epochs, so it is unknown where the log was truncated.
                _ if from > end.next => (end, GapReason::Truncated),
                _ => return Ok(LogChange::InRange),
            };
            (partition, Loss { to, reason, end: end.next })
        }
        BrokerError::Truncated { partition, end, epoch } if end >= from => {
            // Each request must have an earlier epoch than the previous one, so the requests end, at the latest with NO_EPOCH.
            if epoch >= position.last_epoch {
                let FetchPosition { last_epoch, .. } = position;
                let why = format!(
                    "{partition}: epoch {epoch}, for epoch {last_epoch} before offset {from}, is no divergence"
                );
                return Err(BrokerError::Corrupt(why.into()));
            }
            match record_before(reader, position)? {
                Before::Unknown => return Ok(LogChange::InRange),
                Before::NotEarlier => return Ok(LogChange::FetchAgain(Position { next: from, epoch })),
                // There were two unclean elections. The logs diverge at an unknown offset within this epoch, so the
                // whole epoch is read again: the next request has an earlier epoch, and its response contains the end
                // of that epoch.
                Before::Earlier(found) if found > 0 => {
                    return Ok(LogChange::FetchAgain(Position { next: from, epoch: found - 1 }));
                }
                Before::Earlier(_) => {
                    let (to, end) = ends(broker, &partition)?;
                    (partition, Loss { to, reason: GapReason::Truncated, end: end.next })
                }
            }
        }
        // Assumes that the stream has read the records up to `end`. After two unclean elections this can be wrong: in the log
        // that was read, `epoch` may have ended before `end`, and the records in between are not delivered. With one epoch per
        // position, this cannot be distinguished from one election after which the leader has no record of the epoch that was
        // read. Reading `epoch` again would be safe, but would repeat up to the entire log after each such election. Kafka's
        // Java consumer continues at `end` too.
        BrokerError::Truncated { partition, end, epoch } => {
            let (_, log_end) = ends(broker, &partition)?;
            (partition, Loss { to: Position { next: end, epoch }, reason: GapReason::Truncated, end: log_end.next })
        }
        other => return Err(other),
    };
    let Loss { to, reason, .. } = loss;
    warn!("{partition}: offset {from} is not in the log ({}); streams continue at {}", reason.as_str(), to.next);
    Ok(LogChange::Lost(loss))
}

/// The record that the log now has before an offset.
enum Before {
    /// Its leader epoch is earlier than that of the record which was read there: the log was rewritten.
    Earlier(Epoch),
    /// Its leader epoch is not earlier: compaction or retention has removed the record that was read, or the log has changed
    /// again, which the next response will report.
    NotEarlier,
    /// It cannot be read yet.
    Unknown,
}

/// Reads the record before an offset. The end offset of an epoch does not prove that the log was rewritten: after compaction
/// has removed all records of the epoch that was read, an earlier epoch seems to replace it.
fn record_before(reader: &mut dyn PartitionReader, position: &FetchPosition) -> Result<Before, BrokerError> {
    if position.offset <= 0 {
        return Ok(Before::NotEarlier);
    }
    let before = FetchPosition { offset: position.offset - 1, last_epoch: NO_EPOCH, ..position.clone() };
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1, partition_max_bytes: 1 };
    let is_requested =
        |fetched: &FetchResult| fetched.topic == position.topic && fetched.partition == position.partition;
    let fetched = reader.fetch(std::slice::from_ref(&before), limits)?.into_iter().find(is_requested);
    match fetched.map(|fetched| fetched.result) {
        // If the record has been removed, this is the epoch of the next one.
        Some(Ok(data)) => match data.epochs.before(position.offset) {
            Some(epoch) if epoch < position.last_epoch => Ok(Before::Earlier(epoch)),
            None if data.next_offset <= before.offset => Ok(Before::Unknown),
            Some(_) | None => Ok(Before::NotEarlier),
        },
        Some(Err(BrokerError::OffsetOutOfRange(_))) => Ok(Before::NotEarlier),
        None | Some(Err(BrokerError::BudgetUsedUp | BrokerError::SchemaPending(_))) => Ok(Before::Unknown),
        Some(Err(error)) => Err(error),
    }
}

/// Returns the log start offset and the log end offset.
fn ends(broker: &dyn Broker, partition: &TopicPartition) -> Result<(Position, Position), BrokerError> {
    let wanted = [(partition.clone(), OffsetAt::Earliest), (partition.clone(), OffsetAt::Latest)];
    let mut positions = broker.positions(&wanted).into_iter();
    let mut next = || positions.next().unwrap_or_else(|| Err(BrokerError::Corrupt("an offset is missing".into())));
    Ok((next()?, next()?))
}

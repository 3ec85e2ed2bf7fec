//! Where a stream goes on when what it asks for is not in the log.

use crate::broker::{Broker, BrokerError, FetchLimits, FetchPosition, FetchResult, OffsetAt, PartitionReader};
use crate::hub::subscription::GapReason;
use crate::record::{Epoch, NO_EPOCH, Offset, Position, TopicPartition};
use log::warn;
use std::time::Duration;

/// Records that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Where the log goes on.
    pub to: Position,
    pub reason: GapReason,
    /// Where the log ends now.
    pub end: Offset,
}

/// What an error about a place that is not in the log comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogChange {
    /// It is in range by now.
    InRange,
    /// To be asked for again, with this leader epoch of the record before.
    AskAgain(Position),
    Lost(Loss),
}

/// Why `want` cannot be read, and where the log goes on. Any other error is handed back. `reader` is that of the leader.
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
                // Where it was truncated nobody knows: the broker or the cursor has no leader epochs.
                _ if from > end.next => (end, GapReason::Truncated),
                _ => return Ok(LogChange::InRange),
            };
            (place, Loss { to, reason, end: end.next })
        }
        BrokerError::Truncated { place, end, epoch } if end >= from => {
            // Each question names an earlier epoch than the one before it, so they end: at the latest with NO_EPOCH.
            if epoch >= want.last_epoch {
                let FetchPosition { last_epoch, .. } = want;
                let why =
                    format!("{place}: epoch {epoch}, for epoch {last_epoch} before offset {from}, is no divergence");
                return Err(BrokerError::Corrupt(why));
            }
            match record_before(reader, want)? {
                Before::Unknown => return Ok(LogChange::InRange),
                Before::NotEarlier => return Ok(LogChange::AskAgain(Position { next: from, epoch })),
                // Two unclean elections. Up to where both logs are the same nobody knows, but not up to the end of this epoch:
                // all of it is read again. The broker says where the epochs before it end.
                Before::Earlier(found) if found > 0 => {
                    return Ok(LogChange::AskAgain(Position { next: from, epoch: found - 1 }));
                }
                Before::Earlier(_) => {
                    let (to, end) = ends(broker, &place)?;
                    (place, Loss { to, reason: GapReason::Truncated, end: end.next })
                }
            }
        }
        // Assumes that the log is what was read up to `end`. Where `epoch` is an earlier one than was read, this can be wrong
        // after two unclean elections: in the log that was read it may have ended before `end`, and the records from there to
        // `end` are not delivered. One epoch for each position cannot tell this from one election after which the leader has
        // no record of the epoch that was read. To read all of the earlier epoch again would be safe, and repeat up to the
        // whole log after each of those. Kafka's Java consumer continues at `end` too.
        BrokerError::Truncated { place, end, epoch } => {
            let (_, log_end) = ends(broker, &place)?;
            (place, Loss { to: Position { next: end, epoch }, reason: GapReason::Truncated, end: log_end.next })
        }
        other => return Err(other),
    };
    let Loss { to, reason, .. } = loss;
    warn!("{place}: offset {from} is not in the log ({}); streams go on at {}", reason.as_str(), to.next);
    Ok(LogChange::Lost(loss))
}

/// What the log holds now before a wanted offset.
enum Before {
    /// A record of an earlier leader epoch than the one that was read there: the log is another one.
    Earlier(Epoch),
    /// No such record: compaction or retention has removed it, or the log has changed since, as its next answer says.
    NotEarlier,
    /// It cannot be read yet.
    Unknown,
}

/// Reads the record before the wanted offset. The end of an epoch alone tells nothing: where compaction has removed all
/// records of the epoch that was read, an earlier one seems to take its place.
fn record_before(reader: &mut dyn PartitionReader, want: &FetchPosition) -> Result<Before, BrokerError> {
    if want.offset <= 0 {
        return Ok(Before::NotEarlier);
    }
    let before = FetchPosition { offset: want.offset - 1, last_epoch: NO_EPOCH, ..want.clone() };
    let limits = FetchLimits { wait: Duration::ZERO, max_bytes: 1, partition_max_bytes: 1 };
    let own = |fetched: &FetchResult| fetched.topic == want.topic && fetched.partition == want.partition;
    let fetched = reader.fetch(std::slice::from_ref(&before), limits)?.into_iter().find(own);
    match fetched.map(|fetched| fetched.result) {
        // Where the record is gone, this is the epoch of the next one.
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
    let asked = [(place.clone(), OffsetAt::Earliest), (place.clone(), OffsetAt::Latest)];
    let mut positions = broker.positions(&asked).into_iter();
    let mut next = || positions.next().unwrap_or_else(|| Err(BrokerError::Corrupt("an offset is missing".into())));
    Ok((next()?, next()?))
}

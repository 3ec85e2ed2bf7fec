//! Where a stream goes on when what it asks for is not in the log.

use super::subscription::GapReason;
use crate::broker::{Broker, BrokerError, OffsetAt};
use crate::record::{Offset, Position, TopicPartition};
use log::warn;

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
pub enum Finding {
    /// It is in range by now.
    InRange,
    /// The log holds all that was read; the record before is known by this leader epoch now.
    Renamed(Position),
    Lost(Loss),
}

/// Why `from` cannot be read, and where the log goes on. Any other error is handed back.
pub fn find_gap(broker: &dyn Broker, from: Offset, error: BrokerError) -> Result<Finding, BrokerError> {
    let (place, loss) = match error {
        BrokerError::OffsetOutOfRange(place) => {
            let (earliest, end) = ends(broker, &place)?;
            let (to, reason) = match from {
                _ if from < earliest => (earliest, GapReason::Retention),
                // Where it was truncated nobody knows: the broker or the cursor has no leader epochs.
                _ if from > end => (end, GapReason::Truncated),
                _ => return Ok(Finding::InRange),
            };
            (place, Loss { to: to.into(), reason, end })
        }
        BrokerError::Truncated { end, epoch, .. } if end >= from => {
            return Ok(Finding::Renamed(Position { next: from, epoch }));
        }
        BrokerError::Truncated { place, end, epoch } => {
            let (_, log_end) = ends(broker, &place)?;
            (place, Loss { to: Position { next: end, epoch }, reason: GapReason::Truncated, end: log_end })
        }
        other => return Err(other),
    };
    let Loss { to, reason, .. } = loss;
    warn!("{place}: offset {from} is not in the log ({}); streams go on at {}", reason.as_str(), to.next);
    Ok(Finding::Lost(loss))
}

/// Log start offset and end.
fn ends(broker: &dyn Broker, place: &TopicPartition) -> Result<(Offset, Offset), BrokerError> {
    let asked = [(place.clone(), OffsetAt::Earliest), (place.clone(), OffsetAt::Latest)];
    let mut offsets = broker.offsets(&asked).into_iter();
    let mut next = || offsets.next().unwrap_or_else(|| Err(BrokerError::Corrupt("an offset is missing".into())));
    Ok((next()?, next()?))
}

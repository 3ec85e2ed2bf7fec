//! Where a stream goes on when the offset that it asks for is not in the log.

use super::subscription::GapReason;
use crate::broker::{Broker, BrokerError, OffsetAt};
use crate::record::{Offset, TopicPartition};
use log::warn;

/// Why `from` is out of range, and where the log goes on; `None` if it is in range by now.
pub fn find_gap(
    broker: &dyn Broker,
    place: &TopicPartition,
    from: Offset,
) -> Result<Option<(Offset, GapReason)>, BrokerError> {
    let asked = [(place.clone(), OffsetAt::Earliest), (place.clone(), OffsetAt::Latest)];
    let mut offsets = broker.offsets(&asked).into_iter();
    let mut next = || offsets.next().unwrap_or_else(|| Err(BrokerError::Corrupt("an offset is missing".into())));
    let (earliest, latest) = (next()?, next()?);
    let gap = if from < earliest {
        Some((earliest, GapReason::Retention))
    } else if from > latest {
        Some((latest, GapReason::Truncated))
    } else {
        None
    };
    if let Some((to, reason)) = gap {
        warn!("{place}: offset {from} is not in the log ({}); streams go on at {to}", reason.as_str());
    }
    Ok(gap)
}

//! Keeps the `kafka` crate from losing records where plain and compressed ones lie side by side.
//!
//! It returns only the records of the first compressed set in an answer, and drops plain ones
//! before it. Then the first record's offset is higher than what was asked for, just as after
//! compaction. A smaller answer, which ends inside the compressed set, has the plain ones.

use super::reader::Answer;
use crate::broker::BrokerError;
use crate::record::Offset;

/// No record is shorter than this in the old protocol.
const SHORTEST: usize = 26;

/// Looks for records before the one at `first`, which came in an answer of `bytes`. `None`: there are none.
///
/// An answer grows with the bytes asked for: first nothing whole, then plain records, then the
/// compressed set. The plain ones are at least as long as the shortest record, so halving finds them.
pub fn before(
    first: Offset,
    bytes: usize,
    mut fetch: impl FnMut(usize) -> Result<Answer, BrokerError>,
) -> Result<Option<Answer>, BrokerError> {
    let (mut nothing, mut too_much) = (0, bytes);
    while too_much - nothing >= SHORTEST {
        let half = nothing + (too_much - nothing) / 2;
        let answer = fetch(half)?;
        match answer.first {
            Some(offset) if offset < first => return Ok(Some(answer)),
            Some(_) => too_much = half,
            None => nothing = half,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// A log of plain records of `plain` bytes from offset 5, then a compressed set at offset 9.
    fn found(plain: usize, compressed: usize, bytes: usize) -> (Option<Offset>, usize) {
        let mut fetches = 0;
        let answer = before(9, bytes, |bytes| {
            fetches += 1;
            Ok(Answer::at(match bytes {
                b if b >= plain + compressed => Some(9),
                b if plain > 0 && b >= plain => Some(5),
                _ => None,
            }))
        });
        (answer.unwrap().and_then(|answer| answer.first), fetches)
    }

    #[test]
    fn a_hole_that_compaction_left_is_a_hole() {
        let (first, fetches) = found(0, 500, 8 << 20);
        assert_eq!(first, None);
        assert!(fetches < 20, "{fetches}");
    }

    proptest! {
        #[test]
        fn plain_records_before_a_compressed_set_are_found(plain in 26usize..2_000_000, compressed in 26usize..2_000_000) {
            prop_assert_eq!(found(plain, compressed, plain + compressed + 100).0, Some(5));
        }
    }
}

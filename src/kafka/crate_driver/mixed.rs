//! Recovers records that the `kafka` crate drops where uncompressed and compressed ones are mixed.
//!
//! The crate returns only the records of the first compressed set in a response, and drops uncompressed ones before it.
//! The first offset is then higher than the requested one, just as after compaction. A smaller response, which ends
//! inside the compressed set, contains the uncompressed records.

use super::response::CrateResponse;
use crate::broker::BrokerError;
use crate::record::Offset;

/// The size of the shortest record in the old protocol.
const MIN_RECORD_BYTES: usize = 26;

/// Searches for records before `first`, the first offset in a response of up to `bytes`. Returns `None` if there are
/// none.
///
/// A larger requested size adds to the response: first no complete record, then the uncompressed records, then the
/// compressed set. The uncompressed ones are at least as long as the shortest record, so a binary search finds them.
pub fn before(
    first: Offset,
    bytes: usize,
    mut fetch: impl FnMut(usize) -> Result<CrateResponse, BrokerError>,
) -> Result<Option<CrateResponse>, BrokerError> {
    let (mut nothing, mut too_many) = (0, bytes);
    while too_many - nothing >= MIN_RECORD_BYTES {
        let half = nothing + (too_many - nothing) / 2;
        let response = fetch(half)?;
        match response.first {
            Some(offset) if offset < first => return Ok(Some(response)),
            Some(_) => too_many = half,
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
        let response = before(9, bytes, |bytes| {
            fetches += 1;
            Ok(CrateResponse::at(match bytes {
                b if b >= plain + compressed => Some(9),
                b if plain > 0 && b >= plain => Some(5),
                _ => None,
            }))
        });
        (response.unwrap().and_then(|response| response.first), fetches)
    }

    #[test]
    fn a_gap_left_by_compaction_has_no_records() {
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

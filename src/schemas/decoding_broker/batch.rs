//! Decodes the keys and values of one fetch.

use super::SchemaLookup;
use super::counters::SchemaCounters;
use super::text::{BatchText, StopReason};
use crate::broker::SchemaFailure;
use crate::record::{DecodedPart, DecodedParts, FailureDuration, Offset, RecordRef, Records, SchemaId};
use crate::schemas::framing::{self, Framed, KeyOrValue, PartEncoding, UnsupportedFraming};
use crate::schemas::registry::{Lookup, RegistryError};
use crate::sync::memory_budget::Share;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The most schemas that a decoder keeps, and the most that it looks up ahead for one partition.
const MAX_SCHEMAS: usize = 256;

/// A record before which the data of a partition ends.
#[derive(Debug, Clone, Copy)]
pub struct DecodeStop {
    /// The offset of the record.
    pub before: Offset,
    /// Why the data ends there.
    pub reason: StopReason,
}

type FoundFraming<'r> = Result<Framed<'r>, UnsupportedFraming>;

/// Decodes the batches of one fetch.
pub struct FetchDecoder<'d> {
    schemas: &'d dyn SchemaLookup,
    counters: &'d SchemaCounters,
    share: &'d Arc<Share>,
    /// The last schemas of this fetch, so that the registry's cache is not locked for each record.
    lookups: HashMap<SchemaId, Lookup>,
    /// The bytes of JSON that the fetch may still write, also those of values that turn out malformed. The first record may
    /// exceed them.
    left: usize,
    is_first: bool,
}

impl<'d> FetchDecoder<'d> {
    /// Creates a decoder for a fetch that may have about `most` bytes of JSON.
    pub fn new(
        schemas: &'d dyn SchemaLookup,
        counters: &'d SchemaCounters,
        share: &'d Arc<Share>,
        most: usize,
    ) -> Self {
        Self { schemas, counters, share, lookups: HashMap::new(), left: most, is_first: true }
    }

    /// Decodes the records of a batch from `from` on. The batch ends before a record that cannot be decoded yet.
    pub fn decode(&mut self, mut batch: Records, from: Offset) -> (Records, Option<DecodeStop>) {
        let mut text = BatchText::new(self.share);
        let mut parts: Vec<DecodedParts> = Vec::new();
        let mut stop = None;
        batch.drop_before(from);
        for (number, record) in batch.iter().enumerate() {
            let (key, value) = (framing::find(&record, KeyOrValue::Key), framing::find(&record, KeyOrValue::Value));
            if key.is_none() && value.is_none() {
                continue;
            }
            text.begin_record();
            let reserved = text.reserve_parts(&mut parts, number + 1, batch.len());
            match reserved.and_then(|()| self.decode_record(&mut text, key, value)) {
                Ok(decoded) => {
                    self.is_first = false;
                    parts.resize(number, DecodedParts::default());
                    parts.push(decoded);
                }
                Err(reason) => {
                    text.end_record_early();
                    stop = Some((number, DecodeStop { before: record.offset, reason }));
                    break;
                }
            }
        }
        if let Some((number, stop)) = stop {
            if let StopReason::Pending(_) = stop.reason {
                self.look_ahead(batch.iter().skip(number));
            }
            batch.truncate(number);
        }
        self.left = self.left.saturating_sub(text.work());
        if !parts.is_empty() {
            batch = batch.with_decoded(text.finish(parts));
        }
        (batch, stop.map(|(_, stop)| stop))
    }

    fn decode_record(
        &mut self,
        text: &mut BatchText,
        key: Option<FoundFraming<'_>>,
        value: Option<FoundFraming<'_>>,
    ) -> Result<DecodedParts, StopReason> {
        if text.work() >= self.left && !self.is_first {
            return Err(StopReason::Enough);
        }
        let key = key.map(|key| self.decode_part(text, key)).transpose()?;
        let value = value.map(|value| self.decode_part(text, value)).transpose()?;
        Ok(DecodedParts { key, value })
    }

    fn decode_part(&mut self, text: &mut BatchText, framed: FoundFraming<'_>) -> Result<DecodedPart, StopReason> {
        let framed = match framed {
            Ok(framed) if framed.encoding == PartEncoding::Json => return Ok(DecodedPart::as_stored(framed.id)),
            Ok(framed) => framed,
            Err(unsupported) => {
                self.counters.failed(SchemaFailure::UnsupportedFraming);
                let error = text.error(&unsupported.to_string())?;
                return Ok(DecodedPart::failed(None, error, FailureDuration::Permanent));
            }
        };
        let failure = match self.lookup(framed.id) {
            Lookup::Pending => return Err(StopReason::Pending(framed.id)),
            Lookup::Ready(schema) => match text.json(&schema, &framed)? {
                Ok(json) => {
                    self.counters.decoded();
                    return Ok(DecodedPart::json(framed.id, json));
                }
                Err(error) => (SchemaFailure::Undecodable, format!("cannot be decoded by {}: {error}", framed.id)),
            },
            Lookup::Failed(error) => (reason(&error), error.to_string()),
        };
        let (reason, error) = failure;
        self.counters.failed(reason);
        let lasts = match reason {
            SchemaFailure::Unreachable | SchemaFailure::TooManyUnknown => FailureDuration::Temporary,
            _ => FailureDuration::Permanent,
        };
        Ok(DecodedPart::failed(Some(framed.id), text.error(&error)?, lasts))
    }

    fn lookup(&mut self, id: SchemaId) -> Lookup {
        if let Some(known) = self.lookups.get(&id) {
            return known.clone();
        }
        if self.lookups.len() >= MAX_SCHEMAS {
            // A limit on lookups would delay partitions with known schemas after one with many unknown ids.
            self.lookups.clear();
        }
        let found = self.schemas.lookup(id);
        self.lookups.insert(id, found.clone());
        found
    }

    /// Looks up the schemas of further records, so that they are fetched at the same time.
    fn look_ahead<'r>(&mut self, records: impl Iterator<Item = RecordRef<'r>>) {
        let mut ids = HashSet::new();
        for record in records {
            for part in [KeyOrValue::Key, KeyOrValue::Value] {
                if let Some(Ok(framed)) = framing::find(&record, part)
                    && ids.insert(framed.id)
                {
                    self.lookup(framed.id);
                }
            }
            if ids.len() >= MAX_SCHEMAS {
                return;
            }
        }
    }
}

/// Returns the reason of an error of the registry, for metrics.
fn reason(error: &RegistryError) -> SchemaFailure {
    match error {
        RegistryError::Unreachable(_) => SchemaFailure::Unreachable,
        RegistryError::NotFound(_) => SchemaFailure::NotFound,
        RegistryError::Credentials(_) | RegistryError::Refused(_) => SchemaFailure::Refused,
        RegistryError::TooManyUnknown { .. } => SchemaFailure::TooManyUnknown,
        RegistryError::Invalid(_) => SchemaFailure::InvalidSchema,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schemas::schema::Schema;
    use crate::schemas::source::{SchemaKind, SchemaSource};

    /// A registry in which every id has the Avro schema `"string"`.
    struct Strings(Arc<Schema>);

    impl SchemaLookup for Strings {
        fn lookup(&self, _: SchemaId) -> Lookup {
            Lookup::Ready(self.0.clone())
        }
    }

    fn strings() -> Strings {
        let source = SchemaSource { kind: SchemaKind::Avro, text: "\"string\"".to_owned(), references: Vec::new() };
        Strings(Arc::new(Schema::parse(&source).unwrap()))
    }

    /// Decodes a batch with the memory of a share.
    fn decode(share: &Arc<Share>, batch: Records, from: Offset) -> (Records, Option<DecodeStop>) {
        FetchDecoder::new(&strings(), &SchemaCounters::default(), share, 1 << 20).decode(batch, from)
    }

    #[test]
    fn a_batch_with_many_records_is_decoded_in_parts_that_fit_the_memory() {
        const RECORDS: i64 = 1_000;
        let batch = || {
            let mut records = Records::over(b"\0\0\0\0\x07\x02x".to_vec().into());
            (0..RECORDS).for_each(|offset| records.push(offset, 0, None, Some(0..7)));
            records
        };
        // Less than the ranges of all records take.
        let share = Share::new("test", 30_000, 20_000);
        let (mut from, mut decoded) = (0, 0);
        while from < RECORDS {
            let (records, stop) = decode(&share, batch(), from);
            let next = stop.map_or(RECORDS, |stop| stop.before);
            assert!(next > from && share.used() <= share.limit(), "{stop:?} from {from}");
            decoded += records.iter().filter(|record| record.value == Some(&b"\"x\""[..])).count();
            from = next;
        }
        assert_eq!((decoded, share.used()), (RECORDS as usize, 0));
    }

    #[test]
    fn malformed_values_are_decoded_once_and_end_no_fetch() {
        let mut batch = Records::over(b"\0\0\0\0\x07\xff".to_vec().into());
        (0..5).for_each(|offset| batch.push(offset, 0, None, Some(0..6)));
        let share = Share::new("test", 50_000, 20_000);
        let (records, stop) = decode(&share, batch, 0);
        assert!(stop.is_none(), "{stop:?}");
        assert!(records.iter().all(|record| record.value_error().is_some()));
    }

    #[test]
    fn malformed_values_use_up_the_work_of_a_fetch() {
        // A text of 1,000 bytes, and a byte too many.
        let mut value = b"\0\0\0\0\x07\xd0\x0f".to_vec();
        value.resize(value.len() + 1_001, b'x');
        let mut batch = Records::over(value.clone().into());
        (0..5).for_each(|offset| batch.push(offset, 0, None, Some(0..value.len())));
        let share = Share::new("test", 1 << 20, 1 << 20);
        let (records, stop) = FetchDecoder::new(&strings(), &SchemaCounters::default(), &share, 2_000).decode(batch, 0);
        assert_eq!((stop.map(|stop| (stop.before, stop.reason)), records.len()), (Some((2, StopReason::Enough)), 2));
    }

    #[test]
    fn the_largest_key_leaves_room_for_an_error() {
        let mut data = b"\0\0\0\0\x07".to_vec();
        let value = 0..data.len();
        // The length 19,836 as a zigzag varint, and the text.
        data.extend_from_slice(b"\0\0\0\0\x07\xf8\xb5\x02");
        data.resize(data.len() + 19_836, b'x');
        let mut batch = Records::over(data.clone().into());
        batch.push(0, 0, Some(value.end..data.len()), Some(value));
        let (records, stop) = decode(&Share::new("test", 50_000, 20_000), batch, 0);
        assert!(stop.is_none(), "{stop:?}");
        let record = records.iter().next().unwrap();
        assert_eq!((record.key.map(<[u8]>::len), record.key_error()), (Some(19_838), None));
        let error = "cannot be decoded by schema 7: the value ends too early at byte 0 of 0";
        assert_eq!(record.value_error(), Some(error));
    }
}

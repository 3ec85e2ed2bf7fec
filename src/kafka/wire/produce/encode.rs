//! Encodes record batches (magic 2), the format that Kafka stores and sends since 0.11 (KIP-98).

use crate::record::{NewRecord, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};

/// Size of a batch header, in bytes.
pub const BATCH_HEADER: usize = 61;

/// Start of the checksummed part: after base offset, length, leader epoch, magic and CRC.
const CHECKED_FROM: usize = 21;

/// Identifies a batch by producer and sequence number, so that the broker writes it once (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

impl Stamp {
    /// For a producer that is not idempotent.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// Upper bound of the size of `record` in a batch, in bytes.
pub fn record_size_bound(record: &NewRecord) -> usize {
    // 5 bytes each for body length and offset delta, 10 for the timestamp delta.
    let body = 1 + 10 + 5 + content_size(record);
    5 + body
}

/// Appends one uncompressed batch of `records`, each with its timestamp in ms since the epoch, to `out`.
pub fn encode_batch<'a, I>(out: &mut BytesMut, records: I, stamp: Stamp)
where
    I: Iterator<Item = (Timestamp, &'a NewRecord)>,
{
    let start = out.len();
    out.put_bytes(0, BATCH_HEADER);
    let mut base_timestamp = None;
    let mut max_timestamp = Timestamp::MIN;
    let mut count = 0i32;
    for (timestamp, record) in records {
        let base = *base_timestamp.get_or_insert(timestamp);
        max_timestamp = max_timestamp.max(timestamp);
        put_record(out, timestamp.wrapping_sub(base), count, record);
        count += 1;
    }
    let (header, body) = out.split_at_mut(start + BATCH_HEADER);
    let mut header = header.split_at_mut(start).1;
    let length = (BATCH_HEADER - 12 + body.len()) as i32;
    {
        let header = &mut header;
        header.put_i64(0); // Base offset: assigned by the broker.
        header.put_i32(length);
        header.put_i32(-1); // Partition leader epoch: assigned by the broker.
        header.put_i8(2);
        header.put_u32(0); // CRC, below.
        header.put_i16(0); // Attributes: no compression, CreateTime.
        header.put_i32(count - 1);
        header.put_i64(base_timestamp.unwrap_or(-1));
        header.put_i64(max_timestamp);
        header.put_i64(stamp.producer_id);
        header.put_i16(stamp.producer_epoch);
        header.put_i32(stamp.base_sequence);
        header.put_i32(count);
    }
    let batch = out.split_at_mut(start).1;
    let crc = crc32c::crc32c(batch.split_at(CHECKED_FROM).1);
    batch.split_at_mut(CHECKED_FROM - 4).1.split_at_mut(4).0.copy_from_slice(&crc.to_be_bytes());
}

fn put_record(out: &mut BytesMut, timestamp_delta: i64, offset_delta: i32, record: &NewRecord) {
    let body = 1 + varint_size(timestamp_delta) + varint_size(offset_delta.into()) + content_size(record);
    out.reserve(5 + body);
    put_varint(out, body as i64);
    out.put_u8(0);
    put_varint(out, timestamp_delta);
    put_varint(out, offset_delta.into());
    put_bytes(out, record.key.as_ref());
    put_bytes(out, record.value.as_ref());
    put_varint(out, record.headers.len() as i64);
    for header in &record.headers {
        put_varint(out, header.name.len() as i64);
        out.put_slice(header.name.as_bytes());
        put_bytes(out, header.value.as_ref());
    }
}

/// Size of key, value and headers, with their length prefixes.
fn content_size(record: &NewRecord) -> usize {
    let headers: usize =
        record.headers.iter().map(|h| length_size(h.name.len()) + h.name.len() + bytes_size(h.value.as_ref())).sum();
    bytes_size(record.key.as_ref()) + bytes_size(record.value.as_ref()) + length_size(record.headers.len()) + headers
}

fn bytes_size(bytes: Option<&Bytes>) -> usize {
    bytes.map_or(1, |bytes| length_size(bytes.len()) + bytes.len())
}

fn length_size(length: usize) -> usize {
    varint_size(length as i64)
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&Bytes>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_size(number: i64) -> usize {
    let bits = 64 - (zigzag(number) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(out: &mut BytesMut, number: i64) {
    let mut rest = zigzag(number);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kafka::wire::batch;
    use crate::record::Header;
    use crate::sync::memory_budget::MemoryBudget;
    use kafka_protocol::records::RecordBatchDecoder;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
    }

    fn records() -> impl Strategy<Value = Vec<(Timestamp, NewRecord)>> {
        // The crate's decoder stores headers in a map, so names must differ in this test.
        let headers = proptest::collection::vec(bytes(), 0..4).prop_map(|values| {
            let named = |(n, value)| Header { name: format!("h{n}"), value };
            values.into_iter().enumerate().map(named).collect()
        });
        let record = (bytes(), bytes(), headers).prop_map(|(key, value, headers)| NewRecord {
            key,
            value,
            headers,
            ..NewRecord::default()
        });
        proptest::collection::vec((0..i64::MAX / 2, record), 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_decoder_reads_what_is_written(records in records(), id in 0i64.., epoch in 0i16.., sequence in 0..i32::MAX / 2) {
            let stamp = Stamp { producer_id: id, producer_epoch: epoch, base_sequence: sequence };
            let mut out = BytesMut::from(&b"before"[..]);
            encode_batch(&mut out, records.iter().map(|(t, r)| (*t, r)), stamp);
            let bound: usize = records.iter().map(|(_, r)| record_size_bound(r)).sum();
            let mut batch = out.freeze().split_off(6);
            prop_assert!(batch.len() <= BATCH_HEADER + bound);
            let read = RecordBatchDecoder::decode(&mut batch).unwrap();
            prop_assert_eq!(read.records.len(), records.len());
            for (n, (read, (timestamp, record))) in read.records.iter().zip(&records).enumerate() {
                prop_assert_eq!(read.offset, n as i64);
                prop_assert_eq!(read.timestamp, *timestamp);
                prop_assert_eq!((read.producer_id, read.producer_epoch), (id, epoch));
                prop_assert_eq!(read.sequence, sequence + n as i32);
                prop_assert_eq!(&read.key, &record.key);
                prop_assert_eq!(&read.value, &record.value);
                let headers: Vec<_> = read.headers.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
                let expected: Vec<_> = record.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
                prop_assert_eq!(headers, expected);
            }
        }

        #[test]
        fn our_reader_reads_what_is_written(records in records()) {
            let mut out = BytesMut::new();
            encode_batch(&mut out, records.iter().map(|(t, r)| (*t, r)), Stamp::NONE);
            let read = batch::read(&out.freeze(), 0, Vec::new(), &MemoryBudget::default().live).unwrap();
            let read: Vec<_> = read.batches.iter().flat_map(|b| b.iter()).collect();
            prop_assert_eq!(read.len(), records.len());
            for (n, (read, (timestamp, record))) in read.iter().zip(&records).enumerate() {
                prop_assert_eq!((read.offset, read.timestamp), (n as i64, *timestamp));
                prop_assert_eq!((read.key, read.value), (record.key.as_deref(), record.value.as_deref()));
                let headers: Vec<_> = read.headers().collect();
                let expected: Vec<_> =
                    record.headers.iter().map(|h| (h.name.as_bytes(), h.value.as_deref())).collect();
                prop_assert_eq!(headers, expected);
            }
        }

        #[test]
        fn a_varint_is_as_long_as_computed(number: i64) {
            let mut out = BytesMut::new();
            put_varint(&mut out, number);
            prop_assert_eq!(out.len(), varint_size(number));
        }
    }

    #[test]
    fn repeated_and_null_headers_stay_as_they_are() {
        let header = |value: Option<&'static str>| Header { name: "h".to_owned(), value: value.map(Bytes::from) };
        let headers = vec![header(Some("1")), header(None), header(Some(""))];
        let record = NewRecord { headers, ..NewRecord::default() };
        let mut out = BytesMut::new();
        encode_batch(&mut out, std::iter::once((5, &record)), Stamp::NONE);
        let read = batch::read(&out.freeze(), 0, Vec::new(), &MemoryBudget::default().live).unwrap();
        let read = read.batches[0].iter().next().unwrap();
        let expected: [(&[u8], Option<&[u8]>); 3] = [(b"h", Some(b"1")), (b"h", None), (b"h", Some(b""))];
        assert_eq!(read.headers().collect::<Vec<_>>(), expected);
        assert_eq!((read.key, read.value), (None, None));
    }
}

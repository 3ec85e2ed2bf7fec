#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::parse::write_varint;
use proptest::prelude::*;
use std::io::Write;

const MAX: usize = 1 << 20;

fn memory() -> Arc<Share> {
    Share::new("test", 4 * MAX, MAX)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rec {
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn rec(offset_delta: i32, value: &str) -> Rec {
    Rec { offset_delta, timestamp_delta: 5, key: None, value: Some(value.into()), headers: Vec::new() }
}

#[derive(Debug, Clone)]
struct Batch {
    base_offset: i64,
    attributes: u8,
    producer_id: i64,
    last_offset_delta: i32,
    records: Vec<Rec>,
}

impl Batch {
    fn of(base_offset: i64, values: &[&str]) -> Self {
        let records: Vec<Rec> = values.iter().zip(0..).map(|(value, delta)| rec(delta, value)).collect();
        Self { base_offset, attributes: 0, producer_id: -1, last_offset_delta: records.len() as i32 - 1, records }
    }

    fn transactional(base_offset: i64, producer_id: i64, values: &[&str]) -> Self {
        Self { attributes: TRANSACTIONAL, producer_id, ..Self::of(base_offset, values) }
    }

    fn marker(offset: i64, producer_id: i64, kind: u8) -> Self {
        let marker = Rec { key: Some(vec![0, 0, 0, kind]), ..rec(0, "marker") };
        let attributes = TRANSACTIONAL | CONTROL;
        Self { base_offset: offset, attributes, producer_id, last_offset_delta: 0, records: vec![marker] }
    }

    fn encode(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for record in &self.records {
            let mut body = vec![0];
            write_varint(&mut body, record.timestamp_delta);
            write_varint(&mut body, record.offset_delta.into());
            write_part(&mut body, record.key.as_deref());
            write_part(&mut body, record.value.as_deref());
            write_varint(&mut body, record.headers.len() as i64);
            for (name, value) in &record.headers {
                write_part(&mut body, Some(name));
                write_part(&mut body, value.as_deref());
            }
            write_varint(&mut records, body.len() as i64);
            records.extend(body);
        }
        self.around(&compress(Codec::of(self.attributes).unwrap(), &records))
    }

    fn around(&self, records: &[u8]) -> Vec<u8> {
        let mut checked = vec![0, self.attributes];
        checked.extend(self.last_offset_delta.to_be_bytes());
        checked.extend(1000i64.to_be_bytes());
        checked.extend(2000i64.to_be_bytes());
        checked.extend(self.producer_id.to_be_bytes());
        checked.extend(0i16.to_be_bytes());
        checked.extend(0i32.to_be_bytes());
        checked.extend((self.records.len() as i32).to_be_bytes());
        checked.extend(records);
        let mut out = self.base_offset.to_be_bytes().to_vec();
        out.extend((checked.len() as i32 + 9).to_be_bytes());
        out.extend(7i32.to_be_bytes());
        out.push(2);
        out.extend(crc32c::crc32c(&checked).to_be_bytes());
        out.extend(checked);
        out
    }
}

fn write_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    write_varint(out, part.map_or(-1, |part| part.len() as i64));
    out.extend(part.unwrap_or_default());
}

fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
        Codec::Lz4 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(bytes).unwrap();
            lz4.finish().unwrap()
        }
        Codec::Zstd => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
    }
}

fn joined(batches: &[Batch]) -> Bytes {
    batches.iter().flat_map(Batch::encode).collect()
}

fn read_all(data: impl Into<Bytes>, from: i64) -> Result<DecodedBatches, String> {
    read(&data.into(), from, Vec::new(), &memory()).map_err(|why| why.to_string())
}

/// `offset value` of each record, and the next offset.
fn shown(read: &DecodedBatches) -> (Vec<String>, i64) {
    let text = |value: Option<&[u8]>| value.map_or("null".into(), |value| String::from_utf8_lossy(value).into_owned());
    let records = read.batches.iter().flat_map(Records::iter).map(|r| format!("{} {}", r.offset, text(r.value)));
    (records.collect(), read.next_offset)
}

#[track_caller]
fn check(data: impl Into<Bytes>, from: i64, records: &[&str], next: i64) {
    assert_eq!(shown(&read_all(data, from).unwrap()), (records.iter().map(|r| (*r).to_owned()).collect(), next));
}

fn records() -> impl Strategy<Value = Vec<Rec>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let part = move || proptest::option::of(bytes());
    let headers = proptest::collection::vec((bytes(), part()), 0..4);
    let one = (1..3i32, any::<i32>(), part(), part(), headers);
    proptest::collection::vec(one, 1..30).prop_map(|records| {
        let mut offset_delta = -1;
        let with_offset = |(step, timestamp_delta, key, value, headers)| {
            offset_delta += step;
            Rec { offset_delta, timestamp_delta: i64::from(timestamp_delta), key, value, headers }
        };
        records.into_iter().map(with_offset).collect()
    })
}

fn batch() -> impl Strategy<Value = Batch> {
    (records(), 0..=4u8, 0..1_000_000i64).prop_map(|(records, attributes, base_offset)| Batch {
        base_offset,
        attributes,
        producer_id: -1,
        last_offset_delta: records.last().unwrap().offset_delta,
        records,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn decoding_returns_the_encoded_records(batch in batch()) {
        let read = read_all(batch.encode(), batch.base_offset).unwrap();
        let decoded: Vec<Rec> = read.batches[0].iter().map(|r| Rec {
            offset_delta: (r.offset - batch.base_offset) as i32,
            timestamp_delta: r.timestamp - 1000,
            key: r.key.map(<[u8]>::to_vec),
            value: r.value.map(<[u8]>::to_vec),
            headers: r.headers().map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect(),
        }).collect();
        prop_assert_eq!(&decoded, &batch.records);
        prop_assert_eq!(read.next_offset, batch.base_offset + i64::from(batch.last_offset_delta) + 1);
    }

    #[test]
    fn a_changed_byte_never_becomes_other_records(batch in batch(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = batch.encode();
        // Base offset, length and leader epoch are not covered by the checksum.
        let at = MAGIC_AT + at.index(bytes.len() - MAGIC_AT);
        bytes[at] ^= 1u8 << bit;
        prop_assert!(read_all(bytes, batch.base_offset).is_err());
    }

    #[test]
    fn damage_behind_a_valid_checksum_never_panics(
        batch in batch(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut bytes = batch.encode();
        for (at, with) in changes {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]).to_be_bytes();
        bytes[CRC_AT..CHECKED_FROM].copy_from_slice(&crc);
        if let Ok(read) = read_all(bytes, batch.base_offset) {
            shown(&read);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in 0..3u8, from in 0..100i64) {
        let mut bytes = bytes;
        let len = bytes.len();
        if len > MAGIC_AT {
            bytes[MAGIC_AT] = magic;
            bytes[..OVERHEAD].fill(0);
            bytes[OVERHEAD - 1] = (len - OVERHEAD) as u8;
        }
        let _ = read_all(bytes, from);
    }
}

#[test]
fn a_truncated_batch_is_left_to_the_next_fetch() {
    let complete = Batch::of(10, &["a", "b"]).encode();
    let next = Batch::of(12, &["c"]).encode();
    for cut in 0..next.len() {
        check([&complete, &next[..cut]].concat(), 10, &["10 a", "11 b"], 12);
    }
    check([complete, next].concat(), 10, &["10 a", "11 b", "12 c"], 13);
}

#[test]
fn a_truncated_first_batch_is_an_error() {
    let complete = Batch::of(10, &["a", "b"]).encode();
    for cut in 1..complete.len() {
        assert!(read_all(complete[..cut].to_vec(), 10).unwrap_err().contains("cut off"), "{cut}");
    }
}

#[test]
fn an_empty_response_does_not_move_the_offset() {
    check(Bytes::new(), 10, &[], 10);
}

#[test]
fn records_before_the_fetched_offset_are_skipped() {
    check(Batch::of(10, &["a", "b", "c"]).encode(), 11, &["11 b", "12 c"], 13);
}

#[test]
fn a_batch_is_never_read_twice_or_backwards() {
    let data = joined(&[Batch::of(10, &["a", "b"]), Batch::of(10, &["a", "b"]), Batch::of(11, &["x", "c"])]);
    check(data, 10, &["10 a", "11 b", "12 c"], 13);
    assert!(read_all(Batch::of(10, &["a"]).encode(), 11).unwrap_err().contains("before the requested offset"));
}

#[test]
fn the_next_offset_is_after_compacted_records() {
    let mut holes = Batch::of(10, &["a", "b"]);
    holes.records.remove(0);
    holes.last_offset_delta = 9;
    let empty = Batch { last_offset_delta: 4, ..Batch::of(20, &[]) };
    check(joined(&[holes.clone(), empty.clone()]), 10, &["11 b"], 25);
    check(joined(&[holes, empty]), 15, &[], 25);
}

#[test]
fn log_append_time_replaces_the_timestamps_of_records() {
    let batch = Batch { attributes: LOG_APPEND_TIME, ..Batch::of(0, &["a"]) };
    let times = |read: DecodedBatches| read.batches[0].iter().map(|r| r.timestamp).collect::<Vec<_>>();
    assert_eq!(times(read_all(batch.encode(), 0).unwrap()), [2000]);
    assert_eq!(times(read_all(Batch::of(0, &["a"]).encode(), 0).unwrap()), [1005]);
}

#[test]
fn aborted_transactions_and_markers_are_skipped() {
    const ABORT: u8 = 0;
    const COMMIT: u8 = 1;
    let log = [
        Batch::transactional(0, 1, &["committed"]),
        Batch::transactional(1, 2, &["aborted"]),
        Batch::of(2, &["plain"]),
        Batch::marker(3, 1, COMMIT),
        Batch::transactional(4, 1, &["aborted"]),
        Batch::transactional(5, 2, &["aborted"]),
        Batch::marker(6, 2, ABORT),
        Batch::transactional(7, 2, &["committed later"]),
        Batch::marker(8, 1, ABORT),
        Batch::marker(9, 2, COMMIT),
        Batch::transactional(10, 1, &["after"]),
        Batch::marker(11, 1, COMMIT),
    ];
    // The end of each transaction. A broker lists the transactions that end at or after the fetched offset.
    let aborted = [
        (8, AbortedTransaction { producer_id: 1, first_offset: 4 }),
        (6, AbortedTransaction { producer_id: 2, first_offset: 1 }),
    ];
    let all = [(0, "0 committed"), (2, "2 plain"), (7, "7 committed later"), (10, "10 after")];
    for from in 0..12 {
        let data = joined(&log[from as usize..]);
        let told_of = aborted.iter().filter(|(end, _)| *end >= from).map(|(_, transaction)| *transaction).collect();
        let expected = all.iter().filter(|(at, _)| *at >= from).map(|(_, text)| (*text).to_owned()).collect();
        assert_eq!(shown(&read(&data, from, told_of, &memory()).unwrap()), (expected, 12), "from {from}");
    }
}

#[test]
fn damage_after_complete_batches_is_left_to_the_next_fetch() {
    let mut damaged = Batch::of(12, &["c"]).encode();
    *damaged.last_mut().unwrap() ^= 1;
    check([Batch::of(10, &["a", "b"]).encode(), damaged.clone()].concat(), 10, &["10 a", "11 b"], 12);
    assert!(read_all(damaged, 12).unwrap_err().contains("offset 12: the checksum"));
}

#[test]
fn a_decompression_bomb_is_an_error() {
    let zeros = vec![0; 8 * MAX];
    for attributes in 1..=4 {
        let codec = Codec::of(attributes).unwrap();
        let batch = Batch { attributes, ..Batch::of(0, &["a"]) };
        let error = read_all(batch.around(&compress(codec, &zeros)), 0).unwrap_err();
        assert!(error.contains("more than 1048576 bytes"), "{codec:?}: {error}");
    }
}

#[test]
fn a_forged_snappy_length_reserves_nothing() {
    let batch = Batch { attributes: 2, ..Batch::of(0, &["a"]) };
    let error =
        read(&batch.around(&[0xff, 0xff, 0x3f, 0]).into(), 0, Vec::new(), &Share::new("test", 1 << 30, 1 << 30))
            .unwrap_err()
            .to_string();
    assert!(error.contains("impossible"), "{error}");
}

#[test]
fn snappy_in_java_s_framing_is_decoded_too() {
    let plain = Batch::of(0, &["a", "b"]);
    let records = plain.encode()[HEADER..].to_vec();
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for part in records.chunks(5) {
        let block = compress(Codec::Snappy, part);
        framed.extend((block.len() as u32).to_be_bytes());
        framed.extend(block);
    }
    let batch = Batch { attributes: 2, ..plain };
    check(batch.around(&framed), 0, &["0 a", "1 b"], 2);
    for cut in 8..framed.len() {
        assert!(read_all(batch.around(&framed[..cut]), 0).is_err(), "{cut}");
    }
}

#[test]
fn a_count_that_does_not_fit_the_records_is_an_error() {
    let good = Batch::of(0, &["a", "b"]);
    for count in [-1, 1, 3, i32::MAX] {
        let mut bytes = good.encode();
        bytes[57..HEADER].copy_from_slice(&i32::to_be_bytes(count));
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]).to_be_bytes();
        bytes[CRC_AT..CHECKED_FROM].copy_from_slice(&crc);
        assert!(read_all(bytes, 0).is_err(), "{count}");
    }
}

#[test]
fn overflowing_offsets_are_an_error() {
    for base_offset in [-1, i64::MIN, i64::MAX, i64::MAX - 1] {
        assert!(read_all(Batch::of(base_offset, &["a", "b"]).encode(), 0).is_err(), "{base_offset}");
    }
}

mod old_formats {
    use super::*;

    fn message(offset: i64, magic: u8, attributes: u8, value: &[u8]) -> Vec<u8> {
        let mut checked = vec![magic, attributes];
        if magic == 1 {
            checked.extend((1000 + offset).to_be_bytes());
        }
        checked.extend((-1i32).to_be_bytes());
        checked.extend((value.len() as i32).to_be_bytes());
        checked.extend(value);
        let mut crc = flate2::Crc::new();
        crc.update(&checked);
        let mut out = offset.to_be_bytes().to_vec();
        out.extend((checked.len() as i32 + 4).to_be_bytes());
        out.extend(crc.sum().to_be_bytes());
        out.extend(checked);
        out
    }

    #[test]
    fn uncompressed_messages_are_decoded() {
        for magic in [0, 1] {
            let messages = [message(7, magic, 0, b"a"), message(9, magic, 0, b"b")];
            check(messages.concat(), 7, &["7 a", "9 b"], 10);
            check(messages.concat(), 8, &["9 b"], 10);
            check([&*messages[0], &messages[1][..20]].concat(), 7, &["7 a"], 8);
        }
    }

    #[test]
    fn compressed_message_sets_are_decoded() {
        for attributes in 1..=3 {
            let codec = Codec::of(attributes).unwrap();
            // Format 0 has absolute inner offsets, format 1 relative ones.
            for (magic, inner) in [(0, [7, 9]), (1, [0, 2])] {
                let set = [message(inner[0], magic, 0, b"a"), message(inner[1], magic, 0, b"b")].concat();
                let outer = message(9, magic, attributes, &compress(codec, &set));
                check(outer.clone(), 7, &["7 a", "9 b"], 10);
                check(outer, 8, &["9 b"], 10);
            }
        }
    }

    #[test]
    fn one_response_may_mix_old_and_new_formats() {
        check([message(7, 1, 0, b"a"), Batch::of(8, &["b"]).encode()].concat(), 7, &["7 a", "8 b"], 9);
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let good = message(7, 1, 0, b"some value");
        for at in OVERHEAD..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(read_all(bytes, 7).is_err(), "{at}");
        }
    }
}

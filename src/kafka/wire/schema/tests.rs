#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::damage::damaged;
use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeQuorumRequest,
    FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
    ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use proptest::prelude::*;

/// Writes a response that fits a schema, with `elements` elements in every array.
struct Writer {
    out: Vec<u8>,
    version: i16,
    flexible: bool,
    elements: usize,
    known_tags: bool,
}

impl Writer {
    fn fields(&mut self, of: &StructSchema) {
        let version = self.version;
        for field in of.fields.iter().filter(|f| (f.since..=f.until).contains(&version)) {
            self.one(field.kind);
        }
        if !self.flexible {
            return;
        }
        let tags = if self.known_tags { of.tags } else { &[] };
        self.varint(tags.len() + 1);
        for (tag, kind) in tags {
            let mut value = Writer { out: Vec::new(), ..*self };
            value.one(*kind);
            self.varint(*tag as usize);
            self.varint(value.out.len());
            self.out.extend(value.out);
        }
        self.varint(100);
        self.varint(2);
        self.out.extend(b"??");
    }

    fn one(&mut self, kind: FieldType) {
        match kind {
            FieldType::Fixed(len) => self.out.extend(std::iter::repeat_n(0, len)),
            FieldType::Struct(of) => self.fields(&of),
            FieldType::Text => {
                self.length(3, 2);
                self.out.extend(b"abc");
            }
            FieldType::Bytes => {
                self.length(300, 4);
                self.out.extend([7; 300]);
            }
            FieldType::Array(element) => {
                self.length(self.elements, 4);
                (0..self.elements).for_each(|_| self.one(*element));
            }
        }
    }

    fn length(&mut self, len: usize, width: usize) {
        if self.flexible {
            self.varint(len + 1);
        } else {
            self.out.extend(&(len as u64).to_be_bytes()[8 - width..]);
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

fn example<Q: ApiRequest>(version: i16, elements: usize) -> Vec<u8> {
    // Some tagged fields were added in later versions than their struct.
    let known_tags = version == Q::VERSIONS.max;
    let flexible = version >= Q::SCHEMA.flexible;
    let mut writer = Writer { out: Vec::new(), version, flexible, elements, known_tags };
    writer.fields(&Q::SCHEMA.body);
    writer.out
}

fn agrees<Q: ApiRequest>() {
    for version in Q::VERSIONS.min..=Q::VERSIONS.max {
        for elements in 0..3 {
            let bytes = example::<Q>(version, elements);
            assert_eq!(Q::SCHEMA.check(&bytes, version), Ok(()), "{:?} {version}", Q::KEY);
            let mut rest = Bytes::from(bytes.clone());
            let decoded = Q::Response::decode(&mut rest, version);
            assert!(decoded.is_ok(), "{:?} {version}: {:?}", Q::KEY, decoded.err());
            assert_eq!(rest.remaining(), 0, "{:?} {version}", Q::KEY);
            for cut in 0..bytes.len() {
                assert_eq!(Q::SCHEMA.check(&bytes[..cut], version), Err(Malformed), "{:?} {version} {cut}", Q::KEY);
            }
        }
    }
}

#[test]
fn every_schema_matches_the_codec_in_every_version() {
    agrees::<ApiVersionsRequest>();
    agrees::<MetadataRequest>();
    agrees::<ListOffsetsRequest>();
    agrees::<OffsetForLeaderEpochRequest>();
    agrees::<FetchRequest>();
    agrees::<ProduceRequest>();
    agrees::<InitProducerIdRequest>();
    agrees::<DescribeConfigsRequest>();
    agrees::<DescribeQuorumRequest>();
    agrees::<DeleteTopicsRequest>();
    agrees::<CreateTopicsRequest>();
    agrees::<SaslHandshakeRequest>();
    agrees::<SaslAuthenticateRequest>();
}

/// Bytes that pass the validation must not make the codec abort.
fn survives<Q: ApiRequest>(bytes: &[u8]) {
    for version in Q::VERSIONS.min..=Q::VERSIONS.max {
        if Q::SCHEMA.check(bytes, version).is_ok() {
            let _ = Q::Response::decode(&mut Bytes::copy_from_slice(bytes), version);
        }
    }
}

fn survive_all(bytes: &[u8]) {
    survives::<ApiVersionsRequest>(bytes);
    survives::<MetadataRequest>(bytes);
    survives::<ListOffsetsRequest>(bytes);
    survives::<OffsetForLeaderEpochRequest>(bytes);
    survives::<FetchRequest>(bytes);
    survives::<ProduceRequest>(bytes);
    survives::<InitProducerIdRequest>(bytes);
    survives::<DescribeConfigsRequest>(bytes);
    survives::<DescribeQuorumRequest>(bytes);
    survives::<DeleteTopicsRequest>(bytes);
    survives::<CreateTopicsRequest>(bytes);
    survives::<SaslHandshakeRequest>(bytes);
    survives::<SaslAuthenticateRequest>(bytes);
}

/// Encodes example responses in the oldest, a middle and the newest version, with one and with two elements per array.
fn answers<Q: ApiRequest>() -> Vec<Vec<u8>> {
    let (min, max) = (Q::VERSIONS.min, Q::VERSIONS.max);
    [min, min + (max - min) / 2, max].into_iter().flat_map(|v| [example::<Q>(v, 1), example::<Q>(v, 2)]).collect()
}

fn corpus() -> Vec<Vec<u8>> {
    let all = [
        answers::<ApiVersionsRequest>(),
        answers::<MetadataRequest>(),
        answers::<ListOffsetsRequest>(),
        answers::<OffsetForLeaderEpochRequest>(),
        answers::<FetchRequest>(),
        answers::<ProduceRequest>(),
        answers::<InitProducerIdRequest>(),
        answers::<DescribeConfigsRequest>(),
        answers::<DescribeQuorumRequest>(),
        answers::<DeleteTopicsRequest>(),
        answers::<CreateTopicsRequest>(),
        answers::<SaslHandshakeRequest>(),
        answers::<SaslAuthenticateRequest>(),
    ];
    all.concat()
}

proptest! {
    #[test]
    fn a_damaged_response_of_any_kind_does_not_abort_the_codec(bytes in damaged(corpus())) {
        survive_all(&bytes);
    }

    #[test]
    fn random_bytes_do_not_abort_the_codec(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive_all(&bytes);
    }

    #[test]
    fn a_forged_length_does_not_abort_the_codec(version in 4i16..=13, at in any::<prop::sample::Index>(), with in any::<[u8; 4]>()) {
        for mut bytes in [example::<FetchRequest>(version, 2), example::<MetadataRequest>(version, 2)] {
            let at = at.index(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&with);
            survive_all(&bytes);
        }
    }
}

#[test]
fn an_array_longer_than_its_response_is_rejected_before_allocation() {
    let mut metadata = vec![0, 0, 0, 0];
    metadata.extend(i32::MAX.to_be_bytes());
    assert_eq!(MetadataRequest::SCHEMA.check(&metadata, 4), Err(Malformed));
    let metadata = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(MetadataRequest::SCHEMA.check(&metadata, 12), Err(Malformed));
}

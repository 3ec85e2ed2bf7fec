//! The schema id of an encoded key or value: in bytes before it, or in a record header.
//!
//! - Confluent, and Apicurio 3 by default: a zero byte, then the id as 4 bytes, big-endian. No id is 0.
//! - Apicurio 2 by default, and `Legacy8ByteIdHandler`: a zero byte, then the global id as 8 bytes. Ids are small, so the first
//!   4 of them are 0, which tells both apart, as Apicurio's `OptimisticFallbackIdHandler` does.
//! - Apicurio's headers: `apicurio.value.globalId` or `apicurio.value.contentId` with 8 bytes, `apicurio.key.…` for keys. The key
//!   or value has no bytes before it.
//! - Confluent's headers: `__value_schema_id` or `__key_schema_id`, with a zero byte and an id, or with a byte 1 and a GUID.

pub use crate::record::SchemaId;

use crate::record::RecordRef;
use uuid::Uuid;

/// An encoded key or value, and the id of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'r> {
    /// The id of the schema.
    pub id: SchemaId,
    /// The bytes of the header after the id: the message index of Protobuf, which belongs before `encoded`.
    pub prefix: &'r [u8],
    /// The bytes after the id.
    pub encoded: &'r [u8],
    /// What the bytes are.
    pub encoding: PartEncoding,
}

/// How a key or value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEncoding {
    /// As its schema describes.
    BySchema,
    /// As JSON, which Apicurio's Avro serializer writes if it is configured to.
    Json,
}

/// A schema id that is not supported. The text is one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedFraming {
    /// Apicurio's headers contain a group and an artifact.
    #[error("the schema is named by the header {0}, which is not supported; only global and content ids are")]
    Artifact(&'static str),
    /// The header of an id has another length.
    #[error("the header {0} is not a schema id")]
    Malformed(&'static str),
}

/// The key or the value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrValue {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// The names of the headers of keys or of values.
struct HeaderNames {
    confluent: &'static str,
    global_id: &'static str,
    content_id: &'static str,
    content_hash: &'static str,
    artifact_id: &'static str,
    encoding: &'static str,
}

const KEY: HeaderNames = HeaderNames {
    confluent: "__key_schema_id",
    global_id: "apicurio.key.globalId",
    content_id: "apicurio.key.contentId",
    content_hash: "apicurio.key.contentHash",
    artifact_id: "apicurio.key.artifactId",
    encoding: "apicurio.key.encoding",
};

const VALUE: HeaderNames = HeaderNames {
    confluent: "__value_schema_id",
    global_id: "apicurio.value.globalId",
    content_id: "apicurio.value.contentId",
    content_hash: "apicurio.value.contentHash",
    artifact_id: "apicurio.value.artifactId",
    encoding: "apicurio.value.encoding",
};

/// Returns the schema id of the key or value of a record. `None`: it has none.
pub fn find<'r>(record: &RecordRef<'r>, part: KeyOrValue) -> Option<Result<Framed<'r>, UnsupportedFraming>> {
    let (bytes, names) = match part {
        KeyOrValue::Key => (record.stored_key()?, &KEY),
        KeyOrValue::Value => (record.stored_value()?, &VALUE),
    };
    let in_headers = if record.has_headers() { find_in_headers(record, bytes, names) } else { None };
    in_headers.or_else(|| parse(bytes).map(Ok))
}

/// Parses the bytes of a key or value. `None`: they begin without a schema id.
pub fn parse(bytes: &[u8]) -> Option<Framed<'_>> {
    let rest = bytes.strip_prefix(&[0])?;
    let (short, encoded) = rest.split_first_chunk()?;
    if let id @ 1.. = u32::from_be_bytes(*short) {
        return Some(Framed { id: SchemaId::Id(id), prefix: &[], encoded, encoding: PartEncoding::BySchema });
    }
    let (long, encoded) = rest.split_first_chunk()?;
    let id @ 1.. = u64::from_be_bytes(*long) else { return None };
    Some(Framed { id: SchemaId::GlobalId(id), prefix: &[], encoded, encoding: PartEncoding::BySchema })
}

fn find_in_headers<'r>(
    record: &RecordRef<'r>,
    encoded: &'r [u8],
    names: &HeaderNames,
) -> Option<Result<Framed<'r>, UnsupportedFraming>> {
    // Most headers are not about schemas, so most records are done after one pass.
    let is_known = |name: &[u8]| name.starts_with(b"apicurio.") || name.starts_with(b"__");
    if !record.headers().any(|(name, _)| is_known(name)) {
        return None;
    }
    let encoding = match record.last_header(names.encoding) {
        Some(b"JSON") => PartEncoding::Json,
        _ => PartEncoding::BySchema,
    };
    let framed = |id, prefix| Ok(Framed { id, prefix, encoded, encoding });
    let long = |name| record.last_header(name).map(|id| <[u8; 8]>::try_from(id).map(u64::from_be_bytes));
    if let Some(id) = long(names.global_id) {
        return Some(
            id.map_or(Err(UnsupportedFraming::Malformed(names.global_id)), |id| framed(SchemaId::GlobalId(id), &[])),
        );
    }
    if let Some(id) = long(names.content_id) {
        let malformed = Err(UnsupportedFraming::Malformed(names.content_id));
        return Some(id.map_or(malformed, |id| framed(SchemaId::ContentId(id), &[])));
    }
    if let Some(id) = record.last_header(names.confluent) {
        let (version, id) = id.split_first().map_or((None, id), |(version, id)| (Some(version), id));
        let short = || id.split_first_chunk().map(|(id, prefix)| (SchemaId::Id(u32::from_be_bytes(*id)), prefix));
        let guid = || id.split_first_chunk().map(|(id, prefix)| (SchemaId::Guid(Uuid::from_bytes(*id)), prefix));
        let found = match version {
            Some(0) => short(),
            Some(1) => guid(),
            _ => None,
        };
        let malformed = || Err(UnsupportedFraming::Malformed(names.confluent));
        return Some(found.map_or_else(malformed, |(id, prefix)| framed(id, prefix)));
    }
    let unsupported =
        [names.content_hash, names.artifact_id].into_iter().find(|name| record.last_header(name).is_some());
    unsupported.map(|name| Err(UnsupportedFraming::Artifact(name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Records;
    use proptest::prelude::*;

    /// A record with this value as key and value, and these headers.
    fn records(value: &[u8], headers: &[(&str, Vec<u8>)]) -> Records {
        let mut data = value.to_vec();
        let mut add = |bytes: &[u8]| {
            data.extend_from_slice(bytes);
            data.len() - bytes.len()..data.len()
        };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (add(name.as_bytes()), add(value))).collect();
        let mut records = Records::over(data.into());
        records.push(0, 0, Some(0..value.len()), Some(0..value.len()));
        headers.into_iter().for_each(|(name, value)| records.push_header(name, Some(value)));
        records
    }

    fn found(
        value: &[u8],
        headers: &[(&str, Vec<u8>)],
        part: KeyOrValue,
    ) -> Option<Result<(SchemaId, Vec<u8>), String>> {
        let records = records(value, headers);
        let record = records.iter().next().unwrap();
        let text = |error: UnsupportedFraming| error.to_string();
        find(&record, part).map(|found| found.map(|f| (f.id, [f.prefix, f.encoded].concat())).map_err(text))
    }

    proptest! {
        #[test]
        fn an_id_and_the_bytes_after_it_are_found(id in 1u32.., encoded in prop::collection::vec(any::<u8>(), 0..40)) {
            let short = [&[0], &id.to_be_bytes()[..], &encoded].concat();
            let framed = parse(&short).unwrap();
            prop_assert_eq!((framed.id, framed.encoded), (SchemaId::Id(id), &encoded[..]));
            let long = [&[0], &u64::from(id).to_be_bytes()[..], &encoded].concat();
            let framed = parse(&long).unwrap();
            prop_assert_eq!((framed.id, framed.encoded), (SchemaId::GlobalId(id.into()), &encoded[..]));
        }

        #[test]
        fn any_bytes_and_headers_are_parsed_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..20),
            name in prop::sample::select(vec![
                VALUE.confluent, VALUE.global_id, VALUE.content_id, VALUE.artifact_id, KEY.global_id, KEY.confluent, "other",
            ]),
            header in prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..20),
        ) {
            for part in [KeyOrValue::Key, KeyOrValue::Value] {
                match found(&bytes, &[(name, header.clone())], part) {
                    None => {}
                    Some(Ok((_, encoded))) => prop_assert!(encoded.len() <= bytes.len() + header.len()),
                    Some(Err(error)) => prop_assert!(error.contains(name), "{error}"),
                }
            }
            if bytes.first() != Some(&0) {
                prop_assert_eq!(parse(&bytes), None);
            }
        }
    }

    #[test]
    fn values_without_an_id_have_none() {
        for value in
            [&b""[..], b"\0", b"\0\0\0\0", b"\0\0\0\0\0", b"{}", b"text", b"\0\0\0\0\0\0\0\0\0", b"\x01\0\0\0\x07x"]
        {
            assert_eq!(parse(value), None, "{value:?}");
        }
        assert_eq!(parse(b"\0\0\0\0\x07").unwrap().encoded, b"", "an empty record of Avro");
    }

    #[test]
    fn headers_name_the_schema_of_their_own_part() {
        let long = |id: u64| id.to_be_bytes().to_vec();
        let global = [("apicurio.value.globalId", long(7))];
        assert_eq!(found(b"x", &global, KeyOrValue::Value), Some(Ok((SchemaId::GlobalId(7), b"x".to_vec()))));
        assert_eq!(found(b"x", &global, KeyOrValue::Key), None);
        let content = [("other", long(1)), ("apicurio.key.contentId", long(8))];
        assert_eq!(found(b"x", &content, KeyOrValue::Key), Some(Ok((SchemaId::ContentId(8), b"x".to_vec()))));
        let index = [("__value_schema_id", b"\0\0\0\0\x09\x02\x04".to_vec())];
        let expected = (SchemaId::Id(9), b"\x02\x04x".to_vec());
        assert_eq!(found(b"x", &index, KeyOrValue::Value), Some(Ok(expected)), "the message index of Protobuf");
        // What Confluent's serializer for Python writes for this GUID and the first message of a Protobuf schema.
        let guid = Uuid::try_parse("6da336d8-f1d3-0f98-4c47-d03ee8a141a1").unwrap();
        let header = b"\x01\x6d\xa3\x36\xd8\xf1\xd3\x0f\x98\x4c\x47\xd0\x3e\xe8\xa1\x41\xa1\x00";
        let named = [("__key_schema_id", header.to_vec())];
        assert_eq!(found(b"x", &named, KeyOrValue::Key), Some(Ok((SchemaId::Guid(guid), b"\0x".to_vec()))));
        // Headers come before the bytes of the value.
        assert_eq!(found(b"\0\0\0\0\x05x", &global, KeyOrValue::Value).unwrap().unwrap().0, SchemaId::GlobalId(7));
    }

    #[test]
    fn headers_that_are_not_supported_are_named() {
        let cases = [
            (vec![("__value_schema_id", b"\0\0".to_vec())], "__value_schema_id is not a schema id"),
            (vec![("__value_schema_id", [&[1][..], &[0xab; 15]].concat())], "__value_schema_id is not a schema id"),
            (vec![("__value_schema_id", [&[2][..], &[0xab; 16]].concat())], "__value_schema_id is not a schema id"),
            (vec![("__value_schema_id", Vec::new())], "__value_schema_id is not a schema id"),
            (vec![("apicurio.value.globalId", b"7".to_vec())], "apicurio.value.globalId is not a schema id"),
            (
                vec![("apicurio.value.groupId", b"g".to_vec()), ("apicurio.value.artifactId", b"a".to_vec())],
                "artifactId",
            ),
        ];
        for (headers, expected) in cases {
            let error = found(b"x", &headers, KeyOrValue::Value).unwrap().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn avro_that_apicurio_wrote_as_json_is_recognized() {
        let headers =
            [("apicurio.value.globalId", 7u64.to_be_bytes().to_vec()), ("apicurio.value.encoding", b"JSON".to_vec())];
        let records = records(b"{}", &headers);
        let framed = find(&records.iter().next().unwrap(), KeyOrValue::Value).unwrap().unwrap();
        assert_eq!(framed.encoding, PartEncoding::Json);
    }
}

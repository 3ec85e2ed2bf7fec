//! A schema, whatever its format: encoded bytes to JSON, and JSON to encoded bytes.

use super::avro::AvroSchema;
use super::encode_failure::EncodeFailure;
use super::json_schema::JsonSchema;
use super::mismatch::DecodeError;
use super::protobuf::ProtobufSchema;
use super::source::{InvalidSchema, SchemaKind, SchemaSource};
use crate::sync::lock;
use std::sync::Mutex;

/// The bytes of a schema with its references up to which it is parsed at the same time as others.
const SMALL_TEXT: usize = 4 << 10;
/// Held while a larger schema is parsed: parsing takes up to 350 times the memory of the text for a moment, outside of the
/// memory budget, and many clients may send schemas at a time.
static PARSING_LARGE: Mutex<()> = Mutex::new(());

/// A schema that is ready for use.
#[derive(Debug)]
pub enum Schema {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
    Json(JsonSchema),
}

impl Schema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        let size = source.references.iter().map(|reference| reference.text.len()).sum::<usize>() + source.text.len();
        let _turn = (size > SMALL_TEXT).then(|| lock(&PARSING_LARGE));
        match source.kind {
            SchemaKind::Avro => AvroSchema::parse(source).map(Self::Avro),
            SchemaKind::Protobuf => ProtobufSchema::parse(source).map(Self::Protobuf),
            SchemaKind::Json => JsonSchema::parse(source).map(Self::Json),
        }
    }

    /// Appends the JSON of `encoded`, the bytes after the framing, to `out`: at most `most` bytes. On an error `out` has the part
    /// that was written, so that the caller knows how much work it was.
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        match self {
            Self::Avro(schema) => schema.decode(encoded, out, most),
            Self::Protobuf(schema) => schema.decode(encoded, out, most),
            Self::Json(schema) => schema.decode(encoded, out, most),
        }
    }

    /// Appends the encoded form of a JSON value, without the framing, to `out`: at most `most` bytes. On an error `out` has its
    /// former length. Meanwhile `out` may exceed `most` by one number or text of the JSON.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), EncodeFailure> {
        let before = out.len();
        let encoded = match self {
            Self::Avro(schema) => schema.encode(json, out, most),
            Self::Protobuf(schema) => schema.encode(json, out, most),
            Self::Json(schema) => schema.encode(json, out, most),
        };
        if encoded.is_err() {
            out.truncate(before);
        }
        encoded
    }

    /// The memory that [`encode`](Self::encode) takes for a moment, beside the encoded form, in bytes. Only JSON Schema needs
    /// the whole value as a tree.
    pub fn encode_memory(&self, json: &[u8]) -> usize {
        match self {
            Self::Avro(_) | Self::Protobuf(_) => 0,
            Self::Json(_) => JsonSchema::encode_memory(json),
        }
    }

    /// The least memory of a schema, in bytes, as far as the text tells.
    pub fn memory_before_parsing(source: &SchemaSource) -> usize {
        match source.kind {
            SchemaKind::Avro | SchemaKind::Protobuf => 0,
            SchemaKind::Json => JsonSchema::memory_before_parsing(source),
        }
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        match self {
            Self::Avro(schema) => schema.memory(),
            Self::Protobuf(schema) => schema.memory(),
            Self::Json(schema) => schema.memory(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_a_larger_limit_helps() {
        let proto = "syntax = \"proto3\"; message M { string s = 1; }";
        let rows: [(SchemaKind, &str, &[u8], &[u8]); 3] = [
            (SchemaKind::Avro, "\"string\"", b"\x06abc", b"\x06a"),
            (SchemaKind::Protobuf, proto, b"\0\x0a\x03abc", b"\0\x0a\x03a"),
            (SchemaKind::Json, "{}", b"[1,2]", b"[1"),
        ];
        for (kind, text, encoded, malformed) in rows {
            let source = SchemaSource { kind, text: text.to_owned(), references: Vec::new() };
            let schema = Schema::parse(&source).unwrap();
            let decode = |bytes: &[u8], most: usize| schema.decode(bytes, &mut Vec::new(), most);
            assert_eq!(decode(encoded, 1_000), Ok(()), "{kind:?}");
            assert_eq!(decode(encoded, 2), Err(DecodeError::TooLarge), "{kind:?}");
            assert!(matches!(decode(malformed, 1_000), Err(DecodeError::Malformed(_))), "{kind:?}");
        }
    }
    #[test]
    fn an_encoded_value_keeps_to_its_limit() {
        let record = r#"{"type":"record","name":"R","fields":[{"name":"s","type":"string","default":"abcdefgh"}]}"#;
        let proto = "syntax = \"proto3\"; message M { string s = 1; repeated M r = 2; map<string, int32> m = 3; }";
        let known =
            "syntax = \"proto3\"; import \"google/protobuf/struct.proto\"; message M { google.protobuf.Value v = 1; }";
        let rows: [(SchemaKind, &str, &str, usize); 9] = [
            (SchemaKind::Avro, "\"string\"", "\"abc\"", 4),
            (SchemaKind::Avro, record, "{}", 9),
            (SchemaKind::Avro, r#"{"type":"array","items":"double"}"#, "[1,2,3]", 26),
            (SchemaKind::Protobuf, proto, r#"{"s":"abc"}"#, 6),
            (SchemaKind::Protobuf, proto, r#"{"r":[{},{},{}]}"#, 7),
            (SchemaKind::Protobuf, proto, r#"{"m":{"a":1,"b":2}}"#, 15),
            (SchemaKind::Protobuf, known, r#"{"v":[1,{"a":2}]}"#, 36),
            (SchemaKind::Json, "{}", " [1,2] ", 5),
            (SchemaKind::Json, "{}", "1", 1),
        ];
        for (kind, text, json, bytes) in rows {
            let source = SchemaSource { kind, text: text.to_owned(), references: Vec::new() };
            let schema = Schema::parse(&source).unwrap();
            let encode = |most: usize| {
                let mut out = b"before".to_vec();
                let encoded = schema.encode(json.as_bytes(), &mut out, most);
                (encoded, out.len() - b"before".len())
            };
            assert_eq!(encode(bytes), (Ok(()), bytes), "{json}");
            assert_eq!(encode(bytes - 1), (Err(EncodeFailure::TooLarge), 0), "{json}");
        }
        let source = SchemaSource { kind: SchemaKind::Protobuf, text: proto.to_owned(), references: Vec::new() };
        let (schema, unsorted) = (Schema::parse(&source).unwrap(), br#"{"r":[{}],"s":"abc"}"#);
        let encode = |most| schema.encode(unsorted, &mut Vec::new(), most);
        assert_eq!(encode(14), Err(EncodeFailure::TooLarge), "fields are ordered in a copy");
        assert_eq!(encode(15), Ok(()));
    }

    #[test]
    fn values_that_are_kept_while_others_are_encoded_are_bounded() {
        let fields: Vec<String> =
            (0..2_000).map(|i| format!(r#"{{"name":"f{i}","type":"int","default":0}}"#)).collect();
        let next = r#"{"name":"next","type":["null","R"],"default":null}"#;
        let avro = format!(r#"{{"type":"record","name":"R","fields":[{},{next}]}}"#, fields.join(","));
        let nested = |depth: usize| format!("{}null{}", r#"{"next":"#.repeat(depth), "}".repeat(depth));
        let proto = "syntax = \"proto3\"; message M { string s = 1; }";
        let repeated = |members: usize| format!("{{{}}}", vec![r#""s":"""#; members].join(","));
        for (kind, text, fine, excessive, words) in [
            (SchemaKind::Avro, avro.as_str(), nested(30), nested(40), "too many fields"),
            (SchemaKind::Protobuf, proto, repeated(1), repeated(70_000), "more than 65536 members"),
        ] {
            let source = SchemaSource { kind, text: text.to_owned(), references: Vec::new() };
            let schema = Schema::parse(&source).unwrap();
            assert_eq!(schema.encode(fine.as_bytes(), &mut Vec::new(), usize::MAX), Ok(()));
            let error = schema.encode(excessive.as_bytes(), &mut Vec::new(), usize::MAX).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_memory_of_a_parsed_value_is_counted() {
        let source = SchemaSource { kind: SchemaKind::Json, text: "{}".to_owned(), references: Vec::new() };
        let schema = Schema::parse(&source).unwrap();
        let members: Vec<String> = (0..11).map(|i| format!("\"{i}\":0")).collect();
        for (json, least) in [
            ("[1,2,3,4]".to_owned(), 4 * size_of::<serde_json::Value>()),
            (format!("[{}]", vec!["0"; 1025].join(",")), 2048 * size_of::<serde_json::Value>()),
            (r#"{"a":1}"#.to_owned(), 11 * (size_of::<serde_json::Value>() + size_of::<String>())),
            (format!("{{{}}}", members.join(",")), 11 * (size_of::<serde_json::Value>() + size_of::<String>() + 16)),
        ] {
            assert!(schema.encode_memory(json.as_bytes()) >= least, "{json}");
        }
    }
}

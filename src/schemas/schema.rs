//! A schema, whatever its format: encoded bytes to JSON, and JSON to encoded bytes.

use super::avro::AvroSchema;
use super::json_schema::JsonSchema;
use super::mismatch::{DecodeError, EncodeError};
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

    /// Appends the encoded form of a JSON value, without the framing, to `out`. On an error `out` has its former length.
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let encoded = match self {
            Self::Avro(schema) => schema.encode(json, out),
            Self::Protobuf(schema) => schema.encode(json, out),
            Self::Json(schema) => schema.encode(json, out),
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
}

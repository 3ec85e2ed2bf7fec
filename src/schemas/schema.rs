//! A schema, whatever its format: encoded bytes to JSON, and JSON to encoded bytes.

use super::avro::AvroSchema;
use super::json_schema::JsonSchema;
use super::protobuf::ProtobufSchema;

/// The format of a schema, as registries name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    Avro,
    Protobuf,
    Json,
}

/// The text of a schema with everything that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSource {
    pub kind: SchemaKind,
    pub text: String,
    /// In an order in which each schema comes after those that it refers to. The registry bounds their number and size.
    pub references: Vec<SchemaReference>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReference {
    /// The name by which it is referred to: an Avro full name, a Protobuf import path, or a JSON Schema `$ref`.
    pub name: String,
    pub text: String,
}

/// A schema that is ready for use.
#[derive(Debug)]
pub enum Schema {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
    Json(JsonSchema),
}

/// Why a schema cannot be used. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(pub String);

/// Why bytes do not have the form that their schema describes, or why their JSON is too large. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Why a JSON value does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct EncodeError {
    /// The place in the value: `value.site.name`, `value[3]`, without the leading `value` for a key: `key.id`. Callers put the
    /// root before it, so here it begins with `.` or `[`, or is empty.
    pub path: String,
    /// What was given and what the schema allows.
    pub reason: String,
}

impl Schema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        match source.kind {
            SchemaKind::Avro => AvroSchema::parse(source).map(Self::Avro),
            SchemaKind::Protobuf => ProtobufSchema::parse(source).map(Self::Protobuf),
            SchemaKind::Json => JsonSchema::parse(source).map(Self::Json),
        }
    }

    /// Appends the JSON of `encoded`, the bytes after the framing, to `out`: at most `most` bytes. On an error `out` has its
    /// former length.
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        let before = out.len();
        let decoded = match self {
            Self::Avro(schema) => schema.decode(encoded, out, most),
            Self::Protobuf(schema) => schema.decode(encoded, out, most),
            Self::Json(schema) => schema.decode(encoded, out, most),
        };
        if decoded.is_err() {
            out.truncate(before);
        }
        decoded
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

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        match self {
            Self::Avro(schema) => schema.memory(),
            Self::Protobuf(schema) => schema.memory(),
            Self::Json(schema) => schema.memory(),
        }
    }
}

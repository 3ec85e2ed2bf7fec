//! Avro: binary values.

use super::schema::{DecodeError, EncodeError, InvalidSchema, SchemaSource};

/// A parsed schema.
#[derive(Debug)]
pub struct AvroSchema {
    bytes: usize,
}

impl AvroSchema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        Err(InvalidSchema(format!("{:?} is not supported", source.kind)))
    }

    /// See [`Schema::decode`](super::schema::Schema::decode).
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        let _ = (encoded, out, most);
        Err(DecodeError("not supported".to_owned()))
    }

    /// See [`Schema::encode`](super::schema::Schema::encode).
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let _ = (json, out);
        Err(EncodeError { path: String::new(), reason: "not supported".to_owned() })
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes
    }
}

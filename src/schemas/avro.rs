//! Avro: binary values.

mod decimal;
mod decoder;
mod defaults;
mod encoder;
mod json_kind;
mod json_text;
mod members;
mod parser;
mod reader;
mod scalars;
mod times;
mod types;
mod union;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod properties;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use super::encode_failure::EncodeFailure;
use super::mismatch::DecodeError;
use super::source::{InvalidSchema, SchemaSource};
use types::{AvroTypes, TypeId};

/// A parsed schema.
#[derive(Debug)]
pub struct AvroSchema {
    root: TypeId,
    types: AvroTypes,
    bytes: usize,
}

impl AvroSchema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        let (root, types) = parser::parse(source)?;
        // Measured: up to 1.6 times as much, because of the allocator.
        let bytes = types.memory() / 2 * 3;
        Ok(Self { root, types, bytes })
    }

    /// See [`Schema::decode`](super::schema::Schema::decode).
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        decoder::decode(&self.types, self.root, encoded, out, most)
    }

    /// See [`Schema::encode`](super::schema::Schema::encode).
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), EncodeFailure> {
        encoder::encode(&self.types, self.root, json, out, most)
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes
    }
}

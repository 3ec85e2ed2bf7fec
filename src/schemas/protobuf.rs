//! Protobuf: a message index, then the message.
//!
//! The JSON is that of Protobuf's JSON mapping, as Confluent's REST proxy prints it: names in lowerCamelCase, and fields without
//! presence even if they have their default value, so that `where=value.t == 0` sees them. One difference: 64-bit integers are
//! numbers with all their digits, not strings.

mod compile;
mod decode_known;
mod decode_map;
mod decoder;
mod encode_any;
mod encode_field;
mod encode_known;
mod encode_message;
mod encode_scalar;
mod encoder;
mod index;
mod json_out;
mod known_text;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod types;
mod wire;

use super::encode_failure::EncodeFailure;
use super::error_text::invalid_value;
use super::mismatch::DecodeError;
use super::source::{InvalidSchema, SchemaSource};
use decoder::{Fit, MessageDecoder, MessageSpans};
use encoder::MessageEncoder;
use index::IndexedMessage;
use json_out::BoundedJson;
use types::MessageTypes;

const NO_MESSAGE: &str = "the schema has no message";

/// A parsed schema.
#[derive(Debug)]
pub struct ProtobufSchema {
    types: MessageTypes,
}

impl ProtobufSchema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        Ok(Self { types: compile::compile(source)? })
    }

    /// See [`Schema::decode`](super::schema::Schema::decode).
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        let IndexedMessage { message, counting_maps, span } = index::read(&self.types, encoded)?;
        let before = out.len();
        let decode = |id, out: &mut Vec<u8>| {
            let mut decoder = MessageDecoder::new(&self.types, encoded, BoundedJson::new(out, most));
            decoder.message(id, MessageSpans::One(span)).map(|()| decoder.fit())
        };
        let first = decode(message, out);
        // The serializers count messages in two ways. Where these lead to two messages, the one that the bytes fit is meant.
        let Some(other) = counting_maps.filter(|_| !matches!(first, Ok(Fit::Whole))) else { return first.map(drop) };
        out.truncate(before);
        if let Ok(Fit::Whole) = decode(other, out) {
            return Ok(());
        }
        out.truncate(before);
        decode(message, out).map(drop)
    }

    /// See [`Schema::encode`](super::schema::Schema::encode).
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), EncodeFailure> {
        // As the REST proxies do, the first message of the schema: its index is one zero byte.
        let first = self.types.top_level.first();
        let first = first.ok_or_else(|| invalid_value(NO_MESSAGE.to_owned()))?;
        let end = out.len().saturating_add(most);
        out.push(0);
        MessageEncoder::new(&self.types, out, end).document(*first, json)
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        // Measured: up to 1.5 times as much, because of the allocator.
        self.types.memory() / 2 * 3
    }
}

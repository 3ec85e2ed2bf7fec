//! Schemas of keys and values: the registry that stores them, and the formats that they describe.
//!
//! A producer with a schema registry writes a schema id before the encoded key or value ([`framing`]). [`registry`] fetches the
//! schema of an id once and keeps it, [`schema`] turns encoded bytes into JSON and back, and [`decoding_broker`] attaches the
//! JSON to fetched records.

pub mod avro;
pub mod catalog;
pub mod decoding_broker;
pub mod encode_failure;
mod error_text;
pub mod framing;
pub mod json_schema;
pub mod mismatch;
pub mod protobuf;
pub mod registry;
pub mod schema;
pub mod source;

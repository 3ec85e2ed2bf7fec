//! The bytes before an encoded key or value, which name its schema.
//!
//! Confluent: a zero byte, then the id as 4 bytes, big-endian. Apicurio: 8 bytes, or the id in a record header.

/// The id of a schema in its registry. Immutable: an id never gets another schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// The id of Confluent's API.
    Id(u32),
    /// Apicurio's global id.
    GlobalId(u64),
    /// Apicurio's content id.
    ContentId(u64),
}

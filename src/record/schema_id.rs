//! Names of schemas in their registry.

use std::fmt;

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

impl SchemaId {
    /// The number, whatever it identifies.
    pub fn number(self) -> u64 {
        match self {
            Self::Id(id) => id.into(),
            Self::GlobalId(id) | Self::ContentId(id) => id,
        }
    }
}

/// `schema 7`, `the schema with global id 7`, `the schema with content id 7`.
impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema {id}"),
            Self::GlobalId(id) => write!(f, "the schema with global id {id}"),
            Self::ContentId(id) => write!(f, "the schema with content id {id}"),
        }
    }
}

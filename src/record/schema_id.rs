//! Names of schemas in their registry.

use serde_json::Value;
use std::fmt;
use uuid::Uuid;

/// The id of a schema in its registry. Immutable: an id never gets another schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// The id of Confluent's API.
    Id(u32),
    /// Apicurio's global id.
    GlobalId(u64),
    /// Apicurio's content id.
    ContentId(u64),
    /// The GUID of Confluent's API, the same in every registry.
    Guid(Uuid),
}

impl SchemaId {
    /// The id as JSON: a number, whatever it identifies, or the text of a GUID.
    pub fn json(self) -> Value {
        match self {
            Self::Id(id) => id.into(),
            Self::GlobalId(id) | Self::ContentId(id) => id.into(),
            Self::Guid(guid) => guid.to_string().into(),
        }
    }
}

/// `schema 7`, `the schema with global id 7`, `the schema with content id 7`, `the schema with GUID 6da336d8-…`.
impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema {id}"),
            Self::GlobalId(id) => write!(f, "the schema with global id {id}"),
            Self::ContentId(id) => write!(f, "the schema with content id {id}"),
            Self::Guid(guid) => write!(f, "the schema with GUID {guid}"),
        }
    }
}

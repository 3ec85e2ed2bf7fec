//! The text of a schema, as a registry stores it.

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

/// Why a schema cannot be used. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(pub String);

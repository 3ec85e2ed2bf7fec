//! What a producer needs from a schema registry.

use super::framing::SchemaId;
use super::registry::{RegistryError, SchemaRegistry};
use super::schema::Schema;
use super::source::SchemaSource;
use std::fmt::Debug;
use std::sync::Arc;

/// A schema with its id.
pub type KnownSchema = (SchemaId, Arc<Schema>);

/// The schemas by which keys and values are encoded. [`SchemaRegistry`] has the descriptions of the methods. The first three
/// do not block.
pub trait SchemaCatalog: Debug + Send + Sync {
    fn known(&self, id: SchemaId) -> Option<Arc<Schema>>;

    fn known_latest(&self, subject: &str) -> Option<KnownSchema>;

    fn known_registered(&self, subject: &str, source: &SchemaSource) -> Option<KnownSchema>;

    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError>;

    fn latest(&self, subject: &str) -> Result<KnownSchema, RegistryError>;

    fn register(&self, subject: &str, source: &SchemaSource) -> Result<KnownSchema, RegistryError>;
}

impl SchemaCatalog for SchemaRegistry {
    fn known(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.known(id)
    }

    fn known_latest(&self, subject: &str) -> Option<KnownSchema> {
        self.known_latest(subject)
    }

    fn known_registered(&self, subject: &str, source: &SchemaSource) -> Option<KnownSchema> {
        self.known_registered(subject, source)
    }

    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        self.by_id(id)
    }

    fn latest(&self, subject: &str) -> Result<KnownSchema, RegistryError> {
        self.latest(subject)
    }

    fn register(&self, subject: &str, source: &SchemaSource) -> Result<KnownSchema, RegistryError> {
        self.register(subject, source)
    }
}

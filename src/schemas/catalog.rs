//! What a producer needs from a schema registry.

use super::framing::SchemaId;
use super::registry::{Lookup, RegistryError, SchemaRegistry};
use super::schema::{Schema, SchemaSource};
use std::fmt::Debug;
use std::sync::Arc;

/// The schemas by which keys and values are encoded. [`SchemaRegistry`] has the descriptions of the methods.
pub trait SchemaCatalog: Debug + Send + Sync {
    /// Does not block.
    fn lookup(&self, id: SchemaId) -> Lookup;

    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError>;

    fn latest(&self, subject: &str) -> Result<(SchemaId, Arc<Schema>), RegistryError>;

    fn register(&self, subject: &str, source: &SchemaSource) -> Result<(SchemaId, Arc<Schema>), RegistryError>;
}

impl SchemaCatalog for SchemaRegistry {
    fn lookup(&self, id: SchemaId) -> Lookup {
        self.lookup(id)
    }

    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        self.by_id(id)
    }

    fn latest(&self, subject: &str) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        self.latest(subject)
    }

    fn register(&self, subject: &str, source: &SchemaSource) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        self.register(subject, source)
    }
}

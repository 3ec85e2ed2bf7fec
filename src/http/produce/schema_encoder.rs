//! Encodes the keys and values of a request by schemas of a registry, before any of its records is queued.

use super::encoding_job::{
    EncodedRecords, EncodingJob, EncodingTurn, FoundSchema, FoundSchemas, RecordForm, Unencoded,
};
use super::schema_choice::{ChosenSchemas, EncodedPart, SchemaChoice};
use super::schema_problem;
use crate::http::blocking::{BlockingLimit, run_blocking};
use crate::http::problem::Problem;
use crate::record::{NewRecord, TopicName};
use crate::schemas::catalog::SchemaCatalog;
use crate::schemas::schema::Schema;
use crate::schemas::source::SchemaKind;
use std::sync::Arc;

/// Maximum number of requests that wait for the registry at a time, each on a thread. A request whose schemas are known does
/// not wait with them, so that a slow registry does not delay it.
const MAX_CALLS: usize = 32;

/// Encodes records by the schemas of a registry.
#[derive(Debug)]
pub struct SchemaEncoder {
    catalog: Arc<dyn SchemaCatalog>,
    calls: BlockingLimit,
    /// Bodies that have a turn, at most one per core.
    encoding: BlockingLimit,
}

impl SchemaEncoder {
    pub fn new(catalog: Arc<dyn SchemaCatalog>) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self::with_threads(catalog, cores))
    }

    fn with_threads(catalog: Arc<dyn SchemaCatalog>, threads: usize) -> Self {
        Self {
            catalog,
            calls: BlockingLimit::new("requests to the schema registry", MAX_CALLS),
            encoding: BlockingLimit::new("bodies with schemas", threads),
        }
    }

    /// Encodes the keys and values for which `chosen` has a schema. Fails as a whole if one of them does not fit.
    pub async fn encode(
        &self,
        topic: &TopicName,
        chosen: ChosenSchemas,
        unencoded: Unencoded,
    ) -> Result<EncodedRecords, Problem> {
        if let RecordForm::Envelope(_) = unencoded.form {
            check_given(&chosen, &unencoded.records)?;
        }
        let found = match self.known(topic, &chosen) {
            Some(found) => found,
            None => {
                let (catalog, topic) = (self.catalog.clone(), topic.clone());
                run_blocking(&self.calls, move || find(&*catalog, &topic, &chosen)).await??
            }
        };
        if let RecordForm::Envelope(named) = unencoded.form {
            check_kind(&found, named)?;
        }
        // Turns are in the order of their requests, so that a small body does not wait for the whole of large ones.
        let mut job = EncodingJob::new(found, unencoded);
        loop {
            match run_blocking(&self.encoding, move || job.turn()).await? {
                EncodingTurn::Unfinished(rest) => job = rest,
                EncodingTurn::Finished(encoded) => return encoded,
            }
        }
    }

    /// Returns the schemas without asking the registry, if all of them are known.
    fn known(&self, topic: &TopicName, chosen: &ChosenSchemas) -> Option<FoundSchemas> {
        let known = |part: EncodedPart, choice: &Option<SchemaChoice>| {
            let known = match choice {
                None => return Some(None),
                Some(SchemaChoice::Id(id)) => (*id, self.catalog.known(*id)?),
                Some(SchemaChoice::Latest) => self.catalog.known_latest(&part.subject(topic))?,
                Some(SchemaChoice::Text(source)) => self.catalog.known_registered(&part.subject(topic), source)?,
            };
            Some(Some(FoundSchema { id: known.0, schema: known.1 }))
        };
        Some(FoundSchemas {
            key: known(EncodedPart::Key, &chosen.key)?,
            value: known(EncodedPart::Value, &chosen.value)?,
        })
    }
}

/// Checks that an envelope with keys or values names a schema for them.
fn check_given(chosen: &ChosenSchemas, records: &[NewRecord]) -> Result<(), Problem> {
    if chosen.key.is_none() && records.iter().any(|record| record.key.is_some()) {
        return Err(schema_problem::missing(EncodedPart::Key));
    }
    if chosen.value.is_none() && records.iter().any(|record| record.value.is_some()) {
        return Err(schema_problem::missing(EncodedPart::Value));
    }
    Ok(())
}

/// Asks the registry for the schemas. Blocks.
fn find(catalog: &dyn SchemaCatalog, topic: &TopicName, chosen: &ChosenSchemas) -> Result<FoundSchemas, Problem> {
    let find = |part: EncodedPart, choice: &Option<SchemaChoice>| -> Result<Option<FoundSchema>, Problem> {
        let found = match choice {
            None => return Ok(None),
            Some(SchemaChoice::Id(id)) => catalog.by_id(*id).map(|schema| (*id, schema)),
            Some(SchemaChoice::Latest) => catalog.latest(&part.subject(topic)),
            Some(SchemaChoice::Text(source)) => catalog.register(&part.subject(topic), source),
        };
        let found = found.map_err(|error| schema_problem::from_registry(part, &error))?;
        Ok(Some(FoundSchema { id: found.0, schema: found.1 }))
    };
    Ok(FoundSchemas { key: find(EncodedPart::Key, &chosen.key)?, value: find(EncodedPart::Value, &chosen.value)? })
}

fn check_kind(found: &FoundSchemas, named: SchemaKind) -> Result<(), Problem> {
    for (part, found) in [(EncodedPart::Key, &found.key), (EncodedPart::Value, &found.value)] {
        if let Some(FoundSchema { id, schema }) = found
            && kind(schema) != named
        {
            return Err(schema_problem::other_kind(part, *id, kind(schema), named));
        }
    }
    Ok(())
}

fn kind(schema: &Schema) -> SchemaKind {
    match schema {
        Schema::Avro(_) => SchemaKind::Avro,
        Schema::Protobuf(_) => SchemaKind::Protobuf,
        Schema::Json(_) => SchemaKind::Json,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

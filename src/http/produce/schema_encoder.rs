//! Encodes the keys and values of a request by schemas of a registry, before any of its records is queued.

use super::body::BodyMemory;
use super::schema_choice::{ChosenSchemas, EncodedPart, SchemaChoice};
use super::schema_problem;
use crate::http::blocking::{BlockingLimit, run_blocking};
use crate::http::problem::Problem;
use crate::record::{NewRecord, TopicName};
use crate::schemas::catalog::SchemaCatalog;
use crate::schemas::framing::SchemaId;
use crate::schemas::schema::Schema;
use crate::schemas::source::SchemaKind;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of requests that wait for the registry at a time, each on a thread. A request whose schemas are known does
/// not wait with them, so that a slow registry does not delay it.
const MAX_CALLS: usize = 32;
/// Time limit for encoding one body, which other bodies wait for. A few bytes of JSON can be much work, if the schema has many
/// fields with defaults.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Maximum number of errors that a response lists. Further records are not checked.
const MAX_ERRORS: usize = 8;

/// Encodes records by the schemas of a registry.
#[derive(Debug)]
pub struct SchemaEncoder {
    catalog: Arc<dyn SchemaCatalog>,
    calls: BlockingLimit,
    /// Bodies that are being encoded, at most one per core.
    encoding: BlockingLimit,
}

/// The form of the records of a request, which decides what their keys are and how errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordForm {
    /// An envelope whose keys and values all have schemas of this format.
    Envelope(SchemaKind),
    /// One record. Its key may be text that is not JSON, which is a JSON string.
    Single,
}

/// The records of a request with the memory that is reserved for them.
pub struct Unencoded {
    pub records: Vec<NewRecord>,
    pub form: RecordForm,
    pub held: BodyMemory,
    /// Bytes that `held` covers.
    pub memory: usize,
}

impl Unencoded {
    /// Fails if an entry is invalid: records with schemas are written together or not at all.
    pub fn new(
        entries: Vec<Result<NewRecord, Problem>>,
        form: RecordForm,
        held: BodyMemory,
        memory: usize,
    ) -> Result<Self, Problem> {
        let invalid = Problem::together(entries.iter().filter_map(|entry| entry.as_ref().err()));
        match invalid {
            Some(problem) => Err(nothing_written(&problem)),
            None => Ok(Self { records: entries.into_iter().collect::<Result<_, _>>()?, form, held, memory }),
        }
    }
}

fn nothing_written(problem: &Problem) -> Problem {
    problem.with_detail(format!("{}; nothing was written", problem.detail()))
}

/// Encoded records.
pub struct EncodedRecords {
    pub records: Vec<NewRecord>,
    pub ids: SchemaIds,
    pub held: BodyMemory,
}

/// The ids of the schemas by which records were encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaIds {
    pub key: Option<SchemaId>,
    pub value: Option<SchemaId>,
}

/// The schemas for the records of a request.
#[derive(Debug, Clone, Default)]
struct FoundSchemas {
    key: Option<FoundSchema>,
    value: Option<FoundSchema>,
}

#[derive(Debug, Clone)]
struct FoundSchema {
    id: SchemaId,
    schema: Arc<Schema>,
}

impl SchemaEncoder {
    pub fn new(catalog: Arc<dyn SchemaCatalog>) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            catalog,
            calls: BlockingLimit::new("requests to the schema registry", MAX_CALLS),
            encoding: BlockingLimit::new("bodies with schemas", cores),
        })
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
            found.check_kind(named)?;
        }
        run_blocking(&self.encoding, move || found.encode_all(unencoded)).await?
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

impl FoundSchemas {
    fn check_kind(&self, named: SchemaKind) -> Result<(), Problem> {
        for (part, found) in [(EncodedPart::Key, &self.key), (EncodedPart::Value, &self.value)] {
            if let Some(FoundSchema { id, schema }) = found
                && kind(schema) != named
            {
                return Err(schema_problem::other_kind(part, *id, kind(schema), named));
            }
        }
        Ok(())
    }

    fn encode_all(self, unencoded: Unencoded) -> Result<EncodedRecords, Problem> {
        let Unencoded { mut records, form, mut held, mut memory } = unencoded;
        let mut errors = Vec::new();
        let deadline = Instant::now() + MAX_TIME;
        for (index, record) in records.iter_mut().enumerate() {
            let before = match form {
                RecordForm::Envelope(_) => format!("records[{index}]: "),
                RecordForm::Single => String::new(),
            };
            if Instant::now() > deadline {
                return Err(Problem::too_large(format!(
                    "the first {index} records took {} s to encode, the limit for a body; nothing was written, send \
                     fewer at a time",
                    MAX_TIME.as_secs()
                )));
            }
            // Most records are not larger than their JSON.
            held.set(memory + record.bytes() + self.encode_memory(record))?;
            match self.encode_record(record, form, &before) {
                Ok(bytes) => {
                    memory += bytes;
                    held.set(memory)?;
                }
                Err(problem) => {
                    held.set(memory + record.bytes())?;
                    errors.push(problem);
                }
            }
            if errors.len() == MAX_ERRORS {
                break;
            }
        }
        match Problem::together(errors.iter()).or_else(|| errors.into_iter().next()) {
            Some(problem) => Err(nothing_written(&problem)),
            None => Ok(EncodedRecords { records, ids: self.ids(), held }),
        }
    }

    /// Returns the memory that encoding a record takes for a moment, in bytes.
    fn encode_memory(&self, record: &NewRecord) -> usize {
        let of = |found: &Option<FoundSchema>, json: &Option<Bytes>| {
            found.as_ref().zip(json.as_ref()).map_or(0, |(found, json)| found.schema.encode_memory(json))
        };
        of(&self.key, &record.key).max(of(&self.value, &record.value))
    }

    /// Replaces the JSON of a record. Returns the memory of the encoded key and value, in bytes.
    fn encode_record(&self, record: &mut NewRecord, form: RecordForm, before: &str) -> Result<usize, Problem> {
        let mut bytes = 0;
        if let (Some(found), Some(key)) = (&self.key, &record.key) {
            let text;
            let json = match form {
                RecordForm::Envelope(_) => &key[..],
                RecordForm::Single => {
                    text = json_of_key(key)?;
                    &text[..]
                }
            };
            let key = found.encode(EncodedPart::Key, json, before)?;
            bytes += key.len();
            record.key = Some(key);
        }
        if let (Some(found), Some(value)) = (&self.value, &record.value) {
            let value = found.encode(EncodedPart::Value, value, before)?;
            bytes += value.len();
            record.value = Some(value);
        }
        Ok(bytes)
    }

    fn ids(&self) -> SchemaIds {
        let id = |found: &Option<FoundSchema>| found.as_ref().map(|found| found.id);
        SchemaIds { key: id(&self.key), value: id(&self.value) }
    }
}

impl FoundSchema {
    /// Returns the encoded form with the framing.
    fn encode(&self, part: EncodedPart, json: &[u8], before: &str) -> Result<Bytes, Problem> {
        let mut out = Vec::with_capacity(json.len());
        frame(self.id, &mut out);
        let encoded = self.schema.encode(json, &mut out);
        encoded.map_err(|error| schema_problem::does_not_fit(before, part, &error))?;
        out.shrink_to_fit();
        Ok(out.into())
    }
}

/// Returns the key of a query as JSON. Text that is not JSON is a JSON string, because quotes in a URL need escapes.
fn json_of_key(key: &[u8]) -> Result<Vec<u8>, Problem> {
    let text = std::str::from_utf8(key)
        .map_err(|_| Problem::unprocessable("the key is not UTF-8; a key with a schema must be JSON or text"))?;
    Ok(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => key.to_vec(),
        Err(_) => serde_json::Value::from(text).to_string().into_bytes(),
    })
}

/// Appends the bytes that name a schema.
fn frame(id: SchemaId, out: &mut Vec<u8>) {
    out.push(0);
    match id {
        SchemaId::Id(id) => out.extend_from_slice(&id.to_be_bytes()),
        SchemaId::GlobalId(id) | SchemaId::ContentId(id) => out.extend_from_slice(&id.to_be_bytes()),
    }
}

fn kind(schema: &Schema) -> SchemaKind {
    match schema {
        Schema::Avro(_) => SchemaKind::Avro,
        Schema::Protobuf(_) => SchemaKind::Protobuf,
        Schema::Json(_) => SchemaKind::Json,
    }
}

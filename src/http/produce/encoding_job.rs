//! Encodes the records of one body in turns. Between them, other bodies are encoded.

use super::body::BodyMemory;
use super::schema_choice::EncodedPart;
use super::schema_problem;
use crate::http::problem::Problem;
use crate::record::NewRecord;
use crate::schemas::encode_failure::EncodeFailure;
use crate::schemas::framing::SchemaId;
use crate::schemas::schema::Schema;
use crate::schemas::source::SchemaKind;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The end of a turn: this many records, or the first record after this time.
const TURN_RECORDS: usize = 256;
const TURN_TIME: Duration = Duration::from_millis(20);
/// Time limit for encoding one body, without the turns of others. A few bytes of JSON can be much work, if the schema has many
/// fields with defaults.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Maximum number of errors that a response lists. Further records are not checked.
const MAX_ERRORS: usize = 8;
/// Memory reserved for an encoded key or value at first: the length of its JSON and this. Most are not larger.
const SPARE: usize = 1 << 10;
/// What it is multiplied by if it is too small.
const GROWTH: usize = 4;
/// The bytes before an encoded key or value.
const MAX_FRAMING: usize = 17;

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
    /// Maximum size of an encoded key or value, in bytes.
    pub largest: usize,
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
pub struct FoundSchemas {
    pub key: Option<FoundSchema>,
    pub value: Option<FoundSchema>,
}

#[derive(Debug, Clone)]
pub struct FoundSchema {
    pub id: SchemaId,
    pub schema: Arc<Schema>,
}

/// The records of a body, of which the first ones are encoded.
pub struct EncodingJob {
    schemas: FoundSchemas,
    records: Vec<NewRecord>,
    form: RecordForm,
    /// The number of records that are encoded or do not fit.
    next: usize,
    errors: Vec<Problem>,
    room: EncodingRoom,
    /// The time of all turns.
    spent: Duration,
}

/// The memory of a body while its records are encoded.
struct EncodingRoom {
    held: BodyMemory,
    /// The bytes of the body, its records, and what is encoded.
    memory: usize,
    largest: usize,
    /// The bytes by which the next key or value may exceed its JSON, before more is reserved.
    spare: usize,
}

/// The state of a body after a turn.
pub enum EncodingTurn {
    Unfinished(EncodingJob),
    Finished(Result<EncodedRecords, Problem>),
}

impl Unencoded {
    /// Fails if an entry is invalid: records with schemas are written together or not at all.
    pub fn new(
        entries: Vec<Result<NewRecord, Problem>>,
        form: RecordForm,
        (held, memory): (BodyMemory, usize),
        largest: usize,
    ) -> Result<Self, Problem> {
        let invalid = Problem::together(entries.iter().filter_map(|entry| entry.as_ref().err()));
        match invalid {
            Some(problem) => Err(nothing_written(&problem)),
            None => Ok(Self { records: entries.into_iter().collect::<Result<_, _>>()?, form, held, memory, largest }),
        }
    }
}

fn nothing_written(problem: &Problem) -> Problem {
    problem.with_detail(format!("{}; nothing was written", problem.detail()))
}

impl EncodingJob {
    pub fn new(schemas: FoundSchemas, unencoded: Unencoded) -> Self {
        let Unencoded { records, form, held, memory, largest } = unencoded;
        let room = EncodingRoom { held, memory, largest, spare: SPARE };
        Self { schemas, records, form, next: 0, errors: Vec::new(), room, spent: Duration::ZERO }
    }

    /// Encodes records until the end of a turn.
    pub fn turn(mut self) -> EncodingTurn {
        let start = Instant::now();
        for _ in 0..TURN_RECORDS {
            if self.next == self.records.len() || self.errors.len() == MAX_ERRORS {
                return EncodingTurn::Finished(self.finish());
            }
            if let Err(problem) = self.encode_next() {
                return EncodingTurn::Finished(Err(nothing_written(&problem)));
            }
            if start.elapsed() >= TURN_TIME {
                break;
            }
        }
        self.spent += start.elapsed();
        if self.spent > MAX_TIME {
            return EncodingTurn::Finished(Err(Problem::too_large(format!(
                "the first {} records took {} s to encode, the limit for a body; nothing was written, send fewer at a time",
                self.next,
                MAX_TIME.as_secs()
            ))));
        }
        EncodingTurn::Unfinished(self)
    }

    fn finish(self) -> Result<EncodedRecords, Problem> {
        match Problem::together(self.errors.iter()).or_else(|| self.errors.into_iter().next()) {
            Some(problem) => Err(nothing_written(&problem)),
            None => Ok(EncodedRecords { records: self.records, ids: self.schemas.ids(), held: self.room.held }),
        }
    }

    /// Replaces the JSON of the next record, or notes why it does not fit. Fails if it is too large.
    fn encode_next(&mut self) -> Result<(), Problem> {
        let index = self.next;
        self.next += 1;
        let Some(record) = self.records.get_mut(index) else { return Ok(()) };
        let before = match self.form {
            RecordForm::Envelope(_) => format!("records[{index}]: "),
            RecordForm::Single => String::new(),
        };
        if let Err(problem) = self.room.encode(&self.schemas, record, self.form, &before)? {
            self.errors.push(problem);
        }
        Ok(())
    }
}

impl EncodingRoom {
    /// Replaces the JSON of a record. The inner error is about its content, the outer one about its size.
    fn encode(
        &mut self,
        schemas: &FoundSchemas,
        record: &mut NewRecord,
        form: RecordForm,
        before: &str,
    ) -> Result<Result<(), Problem>, Problem> {
        if let (Some(found), Some(key)) = (&schemas.key, &record.key) {
            let text;
            let json = match form {
                RecordForm::Envelope(_) => &key[..],
                RecordForm::Single => match json_of_key(key) {
                    Ok(json) => {
                        text = json;
                        &text[..]
                    }
                    Err(problem) => return Ok(Err(problem)),
                },
            };
            match self.encode_part(found, EncodedPart::Key, json, before)? {
                Ok(key) => record.key = Some(key),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        if let (Some(found), Some(value)) = (&schemas.value, &record.value) {
            match self.encode_part(found, EncodedPart::Value, value, before)? {
                Ok(value) => record.value = Some(value),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        Ok(Ok(()))
    }

    /// Returns the encoded form of a key or value with the framing. Its memory is reserved before it is encoded.
    fn encode_part(
        &mut self,
        found: &FoundSchema,
        part: EncodedPart,
        json: &[u8],
        before: &str,
    ) -> Result<Result<Bytes, Problem>, Problem> {
        let working = found.schema.encode_memory(json);
        loop {
            let most = json.len().saturating_add(self.spare).min(self.largest);
            self.held.set(self.memory.saturating_add(working).saturating_add(most + MAX_FRAMING))?;
            let encoded = found.encode(json, most);
            if let Ok(bytes) = &encoded {
                self.memory += bytes.len();
                // The next one is probably like this one.
                self.spare = bytes.len().saturating_sub(json.len()).saturating_mul(2).max(SPARE);
            }
            match encoded {
                Err(EncodeFailure::TooLarge) if most < self.largest => {
                    self.spare = self.spare.saturating_mul(GROWTH);
                    continue;
                }
                Err(EncodeFailure::TooLarge) => return Err(schema_problem::too_large(before, part, self.largest)),
                Err(EncodeFailure::Mismatch(error)) => {
                    self.held.set(self.memory)?;
                    return Ok(Err(schema_problem::does_not_fit(before, part, &error)));
                }
                Ok(bytes) => {
                    self.held.set(self.memory)?;
                    return Ok(Ok(bytes));
                }
            }
        }
    }
}

impl FoundSchemas {
    fn ids(&self) -> SchemaIds {
        let id = |found: &Option<FoundSchema>| found.as_ref().map(|found| found.id);
        SchemaIds { key: id(&self.key), value: id(&self.value) }
    }
}

impl FoundSchema {
    /// Returns the encoded form, of at most `most` bytes, with the framing.
    fn encode(&self, json: &[u8], most: usize) -> Result<Bytes, EncodeFailure> {
        let mut out = Vec::with_capacity(most + MAX_FRAMING);
        frame(self.id, &mut out);
        self.schema.encode(json, &mut out, most)?;
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
    out.push(match id {
        SchemaId::Id(_) | SchemaId::GlobalId(_) | SchemaId::ContentId(_) => 0,
        SchemaId::Guid(_) => 1,
    });
    match id {
        SchemaId::Id(id) => out.extend_from_slice(&id.to_be_bytes()),
        SchemaId::GlobalId(id) | SchemaId::ContentId(id) => out.extend_from_slice(&id.to_be_bytes()),
        SchemaId::Guid(guid) => out.extend_from_slice(guid.as_bytes()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

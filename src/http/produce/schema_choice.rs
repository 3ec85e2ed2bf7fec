//! The schemas that a request names for the keys and values of its records.

use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::record::TopicName;
use crate::schemas::framing::SchemaId;
use crate::schemas::source::{SchemaKind, SchemaSource};
use serde_json::value::RawValue;

/// The query parameters that name schemas.
pub const PARAMETERS: [&str; 4] = ["key_schema", "key_schema_id", "value_schema", "value_schema_id"];

/// The part of a record that a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedPart {
    Key,
    Value,
}

impl EncodedPart {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// The subject under which schemas for this part of a topic's records are registered (Confluent's TopicNameStrategy).
    pub fn subject(self, topic: &TopicName) -> String {
        format!("{topic}-{}", self.name())
    }
}

/// A reference to a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChoice {
    Id(SchemaId),
    /// The latest schema of the topic's subject.
    Latest,
    /// The schema itself. It is registered if it is new.
    Text(SchemaSource),
}

/// The schemas for the keys and the values of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChosenSchemas {
    pub key: Option<SchemaChoice>,
    pub value: Option<SchemaChoice>,
}

impl ChosenSchemas {
    /// Reads `value_schema=latest`, `value_schema_id=7` and the same for keys.
    pub fn of_query(query: &Query) -> Result<Self, Problem> {
        let [key, key_id, value, value_id] = PARAMETERS;
        Ok(Self { key: Self::of_parameters(query, key, key_id)?, value: Self::of_parameters(query, value, value_id)? })
    }

    fn of_parameters(query: &Query, schema: &str, id: &str) -> Result<Option<SchemaChoice>, Problem> {
        match (query.one(schema)?, query.one(id)?) {
            (None, None) => Ok(None),
            (Some("latest"), None) => Ok(Some(SchemaChoice::Latest)),
            (Some(other), None) => {
                Err(Problem::bad_request(format!("{schema} is {other:?}; allowed is latest, or {id}=NUMBER")))
            }
            (None, Some(given)) => match given.parse() {
                Ok(number) => Ok(Some(SchemaChoice::Id(SchemaId::Id(number)))),
                Err(_) => Err(Problem::bad_request(format!("{id} is {given:?}; it must be a number from 0 on"))),
            },
            (Some(_), Some(_)) => {
                Err(Problem::bad_request(format!("the query has both {schema} and {id}; only one of them is allowed")))
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.value.is_none()
    }
}

/// Members of an envelope that name the schema of `part`; `None` also for `null`.
#[derive(Debug, Clone, Copy)]
pub struct SchemaMembers<'a> {
    pub part: EncodedPart,
    pub schema: Option<&'a RawValue>,
    pub id: Option<&'a RawValue>,
}

impl SchemaMembers<'_> {
    /// Returns the schema that the members name. An id may be a number or, as some clients send it, its text.
    pub fn choice(&self, kind: SchemaKind) -> Result<Option<SchemaChoice>, Problem> {
        let part = self.part.name();
        let invalid = |what: String| Err(Problem::unprocessable(what));
        match (self.schema, self.id) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => invalid(format!(
                "the envelope has both {part}_schema and {part}_schema_id; only one of them is allowed"
            )),
            (Some(text), None) => match serde_json::from_str(text.get()) {
                Ok(text) => Ok(Some(SchemaChoice::Text(SchemaSource { kind, text, references: Vec::new() }))),
                Err(_) => {
                    invalid(format!("{part}_schema is not a string; send the text of the schema as a JSON string"))
                }
            },
            (None, Some(id)) => {
                let digits = serde_json::from_str::<String>(id.get()).unwrap_or_else(|_| id.get().to_owned());
                match digits.parse() {
                    Ok(number) => Ok(Some(SchemaChoice::Id(SchemaId::Id(number)))),
                    Err(_) => invalid(format!("{part}_schema_id must be a number from 0 on")),
                }
            }
        }
    }
}

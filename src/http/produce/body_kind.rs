//! The conversion of a request body to records, chosen by its `Content-Type` and, for events, by `ce-NAME` headers.

use super::envelope::Form;
use super::events::EventMode;
use super::schema_choice::ChosenSchemas;
use super::schema_encoder::RecordForm;
use super::{Settings, schema_problem, vendor_type};
use crate::http::problem::Problem;
use warp::http::HeaderMap;
use warp::http::header::CONTENT_TYPE;

/// The types of envelopes, for the error about an envelope of another type.
const ENVELOPES: &str = "application/vnd.kafka.json.v2+json (also binary, avro, jsonschema, protobuf)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One record whose value must be JSON.
    Json,
    /// One record of arbitrary bytes.
    Bytes,
    /// One JSON record per line.
    Ndjson,
    Envelope(Form),
    /// CloudEvents.
    Events(EventMode),
}

impl BodyKind {
    /// Chooses the kind of a body. Parameters of the type, such as `charset`, are ignored: a record contains the body's
    /// own bytes.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(mode) = EventMode::of(headers)? {
            return Ok(Self::Events(mode));
        }
        let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(Self::Bytes) };
        let given = String::from_utf8_lossy(given.as_bytes());
        let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        Ok(match essence.as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/stream+json" => Self::Ndjson,
            vendor if vendor.starts_with(vendor_type::PREFIX) => match vendor_type::form(vendor) {
                Some(form) => Self::Envelope(form),
                // Another envelope must not be stored as one record.
                None => {
                    let allowed = format!("{ENVELOPES}; any type without vnd.kafka for one record");
                    return Err(Problem::unsupported_media_type(&given, &allowed));
                }
            },
            other if other.starts_with("application/") && other.ends_with("+json") => Self::Json,
            _ => Self::Bytes,
        })
    }

    /// Checks that the bridge has the schemas that the request needs, and that the query names none where it cannot.
    pub fn check_schemas(self, of_query: &ChosenSchemas, settings: &Settings) -> Result<(), Problem> {
        let what = match self {
            Self::Json | Self::Bytes if of_query.is_empty() => return Ok(()),
            Self::Json | Self::Bytes => "the schema of a key or value",
            _ if !of_query.is_empty() => {
                return Err(Problem::bad_request(
                    "the query names a schema; this is only allowed for one record, several records with a schema are an \
                     envelope (application/vnd.kafka.avro.v2+json, also jsonschema, protobuf)",
                ));
            }
            Self::Envelope(Form::Schema(_)) => "this Content-Type",
            _ => return Ok(()),
        };
        if settings.schemas.is_some() { Ok(()) } else { Err(schema_problem::no_registry(what)) }
    }

    /// Returns the form of records that have schemas; `None` for other records.
    pub fn encoded_form(self, schemas: &ChosenSchemas) -> Option<RecordForm> {
        match self {
            Self::Envelope(Form::Schema(kind)) => Some(RecordForm::Envelope(kind)),
            _ => (!schemas.is_empty()).then_some(RecordForm::Single),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schemas::schema::SchemaKind;
    use warp::http::HeaderValue;

    fn kind(content_type: &str) -> Result<BodyKind, Problem> {
        BodyKind::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]))
    }

    #[test]
    fn the_content_type_chooses_the_kind() {
        use BodyKind::*;
        for (kinds, expected) in [
            (&["application/json", "application/JSON; charset=utf-8", "application/json;charset=\"utf-8\""][..], Json),
            (&["application/vnd.api+json", "application/problem+json", "application/geo+json ; version=1"], Json),
            (&["application/x-ndjson", "application/ndjson;charset=UTF-8", "application/jsonl"], Ndjson),
            (&["application/x-jsonlines", "application/stream+json", "Application/X-NDJSON"], Ndjson),
            (&["application/vnd.kafka.json.v2+json"], Envelope(Form::Json)),
            (
                &["application/vnd.kafka.binary.v2+json; charset=utf-8", "application/vnd.kafka+json"],
                Envelope(Form::Binary),
            ),
            (&["application/vnd.kafka.avro.v2+json"], Envelope(Form::Schema(SchemaKind::Avro))),
            (&["", ";", "text/plain; charset=iso-8859-1", "text/json", "application/x-www-form-urlencoded"], Bytes),
            (&["application/msgpack", "application/octet-stream", "application/protobuf", "image/png"], Bytes),
            (&["application/x-json", "model/gltf+json", "application/xml", "nonsense"], Bytes),
        ] {
            for content_type in kinds {
                assert_eq!(kind(content_type), Ok(expected), "{content_type:?}");
            }
        }
        assert_eq!(BodyKind::of(&HeaderMap::new()), Ok(Bytes));
    }

    #[test]
    fn an_unknown_envelope_is_rejected() {
        for content_type in
            ["application/vnd.kafka.avro.v3+json", "application/vnd.kafka.thrift.v9+json", "application/vnd.kafka"]
        {
            let problem = kind(content_type).unwrap_err();
            assert_eq!(problem.error_code(), 415);
            assert!(problem.detail().contains(content_type) && problem.detail().contains(ENVELOPES));
        }
    }
}

//! The conversion of a request body to records, chosen by its `Content-Type`, by `ce-NAME` headers for events, and by the
//! parameter `split`.

use super::encoding_job::RecordForm;
use super::envelope::Form;
use super::events::EventMode;
use super::items::ItemFormat;
use super::partial_item::ItemUnit;
use super::schema_choice::ChosenSchemas;
use super::{Settings, schema_problem, vendor_type};
use crate::http::accept::essence;
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
    /// One record per item of the body.
    Items(ItemUnit, ItemFormat),
    Envelope(Form),
    /// CloudEvents.
    Events(EventMode),
}

/// The value of `split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The body is as its type says.
    Unset,
    /// One record per element of a JSON array.
    Array,
    /// One record per line.
    Lines,
}

impl Split {
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None => Ok(Self::Unset),
            Some("array") => Ok(Self::Array),
            Some("lines") => Ok(Self::Lines),
            Some(other) => {
                Err(Problem::bad_request(format!("split is {other:?}; allowed are array (of JSON) and lines")))
            }
        }
    }
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
        Ok(match essence(&given).as_str() {
            "application/json" => Self::Json,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/stream+json" => Self::Items(ItemUnit::Line, ItemFormat::Json),
            other if other == "application/json-seq" || other.ends_with("+json-seq") => {
                Self::Items(ItemUnit::Text, ItemFormat::Json)
            }
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

    /// Applies `split`. The elements of an array must be JSON, whatever the type of the body.
    pub fn split(self, split: Split) -> Result<Self, Problem> {
        match (self, split) {
            (kind, Split::Unset) => Ok(kind),
            (Self::Json | Self::Bytes, Split::Array) => Ok(Self::Items(ItemUnit::Element, ItemFormat::Json)),
            (Self::Json, Split::Lines) => Ok(Self::Items(ItemUnit::Line, ItemFormat::Json)),
            (Self::Bytes, Split::Lines) => Ok(Self::Items(ItemUnit::Line, ItemFormat::Bytes)),
            (Self::Items(ItemUnit::Line, _), Split::Lines) => Ok(self),
            (Self::Items(..) | Self::Envelope(_) | Self::Events(_), _) => Err(Problem::bad_request(
                "split does not apply to this Content-Type, whose bodies have several records already or are events; \
                 remove split, or send application/json or text/plain",
            )),
        }
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
    use crate::schemas::source::SchemaKind;
    use warp::http::HeaderValue;

    fn kind(content_type: &str) -> Result<BodyKind, Problem> {
        BodyKind::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]))
    }

    #[test]
    fn the_content_type_chooses_the_kind() {
        use BodyKind::*;
        let (lines, texts) = (Items(ItemUnit::Line, ItemFormat::Json), Items(ItemUnit::Text, ItemFormat::Json));
        for (kinds, expected) in [
            (&["application/json", "application/JSON; charset=utf-8", "application/json;charset=\"utf-8\""][..], Json),
            (&["application/vnd.api+json", "application/problem+json", "application/geo+json ; version=1"], Json),
            (&["application/x-ndjson", "application/ndjson;charset=UTF-8", "application/jsonl"], lines),
            (&["application/x-jsonlines", "application/stream+json", "Application/X-NDJSON"], lines),
            (&["application/json-seq", "application/geo+json-seq; charset=utf-8"], texts),
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

    #[test]
    fn split_applies_to_bodies_of_one_record() {
        let elements = BodyKind::Items(ItemUnit::Element, ItemFormat::Json);
        let lines = |format| BodyKind::Items(ItemUnit::Line, format);
        for (content_type, array, split_lines) in [
            ("application/json", Some(elements), Some(lines(ItemFormat::Json))),
            ("text/plain", Some(elements), Some(lines(ItemFormat::Bytes))),
            ("application/x-ndjson", None, Some(lines(ItemFormat::Json))),
            ("application/json-seq", None, None),
            ("application/vnd.kafka.json.v2+json", None, None),
        ] {
            let split = |text| kind(content_type).and_then(|kind| kind.split(Split::parse(Some(text)).unwrap()));
            assert_eq!((split("array").ok(), split("lines").ok()), (array, split_lines), "{content_type}");
        }
        let problem = Split::parse(Some("Lines")).unwrap_err();
        assert!(problem.error_code() == 400 && problem.detail().contains("\"Lines\""), "{}", problem.detail());
    }
}

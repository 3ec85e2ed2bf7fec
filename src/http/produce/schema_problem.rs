//! Errors about schemas, with the error codes of the REST proxies.

use super::schema_choice::EncodedPart;
use crate::http::problem::Problem;
use crate::schemas::framing::SchemaId;
use crate::schemas::mismatch::EncodeError;
use crate::schemas::registry::RegistryError;
use crate::schemas::source::SchemaKind;
use std::time::Duration;

/// The error codes of the Confluent REST Proxy v2.
const KEY_SCHEMA_MISSING: u32 = 42201;
const VALUE_SCHEMA_MISSING: u32 = 42202;
const JSON_CONVERSION: u32 = 42203;
const INVALID_SCHEMA: u32 = 42205;
/// "Schema registration or lookup failed."
const REGISTRY: u32 = 40801;

/// The `Retry-After` until an operator may have corrected the credentials.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(60);

/// Maximum length of the parts of an error text that quote the record, in bytes.
const MAX_QUOTED: usize = 200;

/// The bridge has no schema registry.
pub fn no_registry(what: &str) -> Problem {
    Problem::unprocessable(format!(
        "{what} needs a schema registry, and this bridge has none; start it with --schema-registry URL"
    ))
}

/// A request has keys or values, but no schema for them.
pub fn missing(part: EncodedPart) -> Problem {
    let code = match part {
        EncodedPart::Key => KEY_SCHEMA_MISSING,
        EncodedPart::Value => VALUE_SCHEMA_MISSING,
    };
    let part = part.name();
    Problem::unprocessable(format!(
        "the records have a {part}, and the envelope has no schema for it; send {part}_schema or {part}_schema_id"
    ))
    .code(code)
}

/// A key or value does not fit its schema. `before` names the record.
pub fn does_not_fit(before: &str, part: EncodedPart, error: &EncodeError) -> Problem {
    let (path, reason) = (clipped(&error.path), clipped(&error.reason));
    Problem::unprocessable(format!("{before}{}{path}: {reason}", part.name())).code(JSON_CONVERSION)
}

/// An encoded key or value exceeds `most` bytes. `before` names the record.
pub fn too_large(before: &str, part: EncodedPart, most: usize) -> Problem {
    Problem::too_large(format!(
        "{before}the {} is larger than {most} bytes when encoded, the limit of --max-body; send smaller records",
        part.name()
    ))
}

/// A schema has another format than the content type.
pub fn other_kind(part: EncodedPart, id: SchemaId, is: SchemaKind, named: SchemaKind) -> Problem {
    let (part, is, named) = (part.name(), name(is), name(named));
    Problem::unprocessable(format!("{id}, given for the {part}, is {is}, and the Content-Type says {named}"))
        .code(INVALID_SCHEMA)
}

/// The registry has no usable schema, or cannot say.
pub fn from_registry(part: EncodedPart, error: &RegistryError) -> Problem {
    let part = part.name();
    match error {
        RegistryError::Unreachable(_) => {
            Problem::busy(format!("the {part} schema: {error}; nothing was written, try again")).code(REGISTRY)
        }
        RegistryError::Credentials(_) => {
            let remedy = "nothing was written, and retries fail until the bridge's operator corrects the credentials";
            Problem::busy(format!("the {part} schema: {error}; {remedy}")).after(CREDENTIALS_RETRY).code(REGISTRY)
        }
        RegistryError::TooManyUnknown { retry_after } => {
            let remedy = format!("nothing was written, try again in {} s", retry_after.as_secs() + 1);
            Problem::busy(format!("the {part} schema: {error}; {remedy}")).after(*retry_after).code(REGISTRY)
        }
        RegistryError::Refused(_) => Problem::unprocessable(format!("the {part} schema: {error}")).code(REGISTRY),
        RegistryError::NotFound(_) | RegistryError::Invalid(_) => {
            Problem::unprocessable(format!("the {part} schema: {error}")).code(INVALID_SCHEMA)
        }
    }
}

fn name(kind: SchemaKind) -> &'static str {
    match kind {
        SchemaKind::Avro => "Avro",
        SchemaKind::Protobuf => "Protobuf",
        SchemaKind::Json => "JSON Schema",
    }
}

/// Returns the beginning of a text that may quote a record.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

//! The JSON forms, both ways. `oracle` compares with prost-reflect, `bounds` has what hostile bytes and texts can do.

mod bounds;
mod forms;
mod oracle;

use super::ProtobufSchema;
use crate::schemas::encode_failure::EncodeFailure;
use crate::schemas::source::{SchemaKind, SchemaReference, SchemaSource};

fn source(text: &str, references: &[(&str, &str)]) -> SchemaSource {
    let reference = |(name, text): &(&str, &str)| SchemaReference { name: (*name).into(), text: (*text).into() };
    let references = references.iter().map(reference).collect();
    SchemaSource { kind: SchemaKind::Protobuf, text: text.to_owned(), references }
}

fn schema(text: &str) -> ProtobufSchema {
    ProtobufSchema::parse(&source(text, &[])).unwrap()
}

fn refused(text: &str) -> String {
    ProtobufSchema::parse(&source(text, &[])).unwrap_err().to_string()
}

fn decode(schema: &ProtobufSchema, encoded: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    schema.decode(encoded, &mut out, 1 << 20).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn encode(schema: &ProtobufSchema, json: &str) -> Result<Vec<u8>, EncodeFailure> {
    let mut out = Vec::new();
    schema.encode(json.as_bytes(), &mut out, usize::MAX)?;
    Ok(out)
}

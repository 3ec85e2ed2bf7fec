//! The content types of the REST proxies: `application/vnd.kafka[.FORMAT][.VERSION]+json`.

use super::envelope::Form;
use crate::schemas::source::SchemaKind;

/// The prefix of all of them.
pub const PREFIX: &str = "application/vnd.kafka";

/// Returns the form of the envelopes of a content type in lower case. Without a format it is base64, as for the REST proxies.
pub fn form(content_type: &str) -> Option<Form> {
    let words = content_type.strip_prefix(PREFIX)?.strip_suffix("+json")?;
    let unversioned = words.strip_suffix(".v2").or_else(|| words.strip_suffix(".v1")).unwrap_or(words);
    Some(match unversioned {
        "" | ".binary" => Form::Binary,
        ".json" => Form::Json,
        ".avro" => Form::Schema(SchemaKind::Avro),
        ".jsonschema" => Form::Schema(SchemaKind::Json),
        ".protobuf" => Form::Schema(SchemaKind::Protobuf),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_and_version_are_optional() {
        for (words, expected) in [
            (".json.v2+json", Some(Form::Json)),
            (".json.v1+json", Some(Form::Json)),
            (".json+json", Some(Form::Json)),
            (".binary.v1+json", Some(Form::Binary)),
            (".v2+json", Some(Form::Binary)),
            (".v1+json", Some(Form::Binary)),
            ("+json", Some(Form::Binary)),
            (".avro.v2+json", Some(Form::Schema(SchemaKind::Avro))),
            (".avro.v1+json", Some(Form::Schema(SchemaKind::Avro))),
            (".jsonschema.v2+json", Some(Form::Schema(SchemaKind::Json))),
            (".protobuf.v2+json", Some(Form::Schema(SchemaKind::Protobuf))),
            (".v3+json", None),
            (".avro.v0+json", None),
            (".v1.v2+json", None),
            (".binary.v1+foo", None),
            (".json+avro", None),
            ("+binary", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(form(&format!("{PREFIX}{words}")), expected, "{words}");
        }
    }
}

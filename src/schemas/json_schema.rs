//! JSON Schema: the encoded value is JSON.
//!
//! Produced values are validated. Values of the log are not: whatever was written is shown.

mod cost;
mod pattern;
mod reference;
mod size;

use super::encode_failure::EncodeFailure;
use super::error_text::{invalid_value, member_path, shortened};
use super::mismatch::{DecodeError, EncodeError};
use super::source::{InvalidSchema, SchemaSource};
use jsonschema::paths::LocationSegment;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use reference::Documents;
use serde_json::Value;
use serde_json::value::RawValue;
use size::JsonSize;

/// The size of a schema or of one that it refers to.
const MAX_TEXT: usize = 1 << 20;
/// Longer values are not validated. [`JsonSchema::encode_memory`] tells what the others take.
const MAX_VALUE: usize = 8 << 20;
/// How deep objects and arrays may be nested. serde_json accepts 128 levels.
const MAX_DEPTH: usize = 100;
/// The memory of all compiled patterns of a schema.
const MAX_PATTERNS: usize = 4 << 20;
/// Half of the memory of a pattern of three letters. Its limit does not cover all of it.
const LEAST_PATTERN: usize = 2 << 10;
/// The sizes of compiled patterns that are tried. All patterns of a schema are charged with the one that suffices.
const PATTERN_SIZES: [usize; 3] = [8 << 10, 64 << 10, 512 << 10];
/// The steps of a pattern with look-around or back-references. Other patterns take linear time.
const MAX_BACKTRACKING: usize = 100_000;
/// The longest error of the validator.
const MAX_ERROR: usize = 300;

/// A parsed schema.
#[derive(Debug)]
pub struct JsonSchema {
    /// Values of the log are read without it.
    validation: Result<Validation, InvalidSchema>,
    bytes: usize,
}

#[derive(Debug)]
struct Validation {
    validator: Validator,
    documents: Documents,
}

impl JsonSchema {
    /// Parses a schema. Takes bounded time and memory, whatever the text.
    pub fn parse(source: &SchemaSource) -> Result<Self, InvalidSchema> {
        let schema = parsed(&source.text)?;
        let references = source.references.iter();
        let references: Result<Vec<_>, _> =
            references.map(|reference| Ok((reference.name.clone(), parsed(&reference.text)?))).collect();
        let documents = Documents::new(schema, references?);
        let patterns = documents.patterns();
        let mut sizes = PATTERN_SIZES.into_iter().filter(|size| size * patterns <= MAX_PATTERNS);
        let mut size = sizes.next().unwrap_or(MAX_PATTERNS / patterns.max(1));
        let validator = loop {
            match (Self::build(&documents, size), sizes.next()) {
                (Ok(validator), _) => break validator,
                // The error does not say whether a pattern is too large.
                (Err(_), Some(larger)) if patterns > 0 => size = larger,
                (Err(error), _) => return Err(error),
            }
        };
        // A pattern has a program and a cache of this size each.
        let bytes = Self::memory_before_parsing(source).saturating_add(2 * size.max(LEAST_PATTERN) * patterns);
        Ok(Self { validation: Ok(Validation { validator, documents }), bytes })
    }

    /// A schema by which values can be read, but none can be written, because of this error.
    pub fn read_only(error: InvalidSchema) -> Self {
        Self { bytes: error.0.len(), validation: Err(error) }
    }

    fn build(documents: &Documents, pattern_size: usize) -> Result<Validator, InvalidSchema> {
        let schema = documents.root().value;
        let mut options = jsonschema::options()
            .with_retriever(documents.retriever())
            .with_pattern_options(
                PatternOptions::fancy_regex()
                    .backtrack_limit(MAX_BACKTRACKING)
                    .size_limit(pattern_size)
                    .dfa_size_limit(pattern_size),
            )
            .should_validate_formats(false);
        if schema.get("$schema").is_none() {
            // As Confluent's registry and serializers for Java do.
            options = options.with_draft(Draft::Draft7);
        }
        options.build(schema).map_err(|error| InvalidSchema(shortened(&error.to_string(), MAX_ERROR)))
    }

    /// The memory of a schema without its patterns, in bytes.
    pub fn memory_before_parsing(source: &SchemaSource) -> usize {
        let references = source.references.iter().map(|reference| &reference.text);
        let sizes = references.chain([&source.text]).map(|text| JsonSize::of(text.as_bytes()).compiled());
        sizes.fold(0, usize::saturating_add)
    }

    /// See [`Schema::encode_memory`](super::schema::Schema::encode_memory).
    pub fn encode_memory(json: &[u8]) -> usize {
        JsonSize::of(json).parsed()
    }

    /// See [`Schema::decode`](super::schema::Schema::decode).
    pub fn decode(&self, encoded: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), DecodeError> {
        let text = checked(encoded).map_err(DecodeError::Malformed)?;
        if text.len() > most {
            return Err(DecodeError::TooLarge);
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// See [`Schema::encode`](super::schema::Schema::encode).
    pub fn encode(&self, json: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), EncodeFailure> {
        let text = checked(json).map_err(invalid_value)?;
        if text.len() > most {
            return Err(EncodeFailure::TooLarge);
        }
        let unusable = |error: &InvalidSchema| invalid_value(format!("the schema cannot be used: {error}"));
        let Validation { validator, documents } = self.validation.as_ref().map_err(unusable)?;
        if text.len() > MAX_VALUE {
            return Err(invalid_value(format!(
                "the value has {} bytes; at most {MAX_VALUE} can be validated",
                text.len()
            )));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid_value(format!("invalid JSON: {error}")))?;
        if !cost::is_bounded(documents, &value) {
            return Err(invalid_value("the schema is too much work for this value".to_owned()));
        }
        validator
            .validate(&value)
            .map_err(|error| EncodeError { path: path(&error), reason: shortened(&error.to_string(), MAX_ERROR) })?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes
    }
}

fn parsed(text: &str) -> Result<Value, InvalidSchema> {
    if text.len() > MAX_TEXT {
        return Err(InvalidSchema(format!("the schema has {} bytes; at most {MAX_TEXT} are allowed", text.len())));
    }
    serde_json::from_str(text).map_err(|error| InvalidSchema(format!("the schema is not JSON: {error}")))
}

/// Returns the JSON text, without white space around it.
fn checked(json: &[u8]) -> Result<&str, String> {
    let text: &RawValue = serde_json::from_slice(json).map_err(|error| format!("invalid JSON: {error}"))?;
    match depth(text.get()) {
        ..=MAX_DEPTH => Ok(text.get()),
        _ => Err(format!("the value is nested more than {MAX_DEPTH} levels deep")),
    }
}

/// Returns how deep a valid JSON text is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn path(error: &ValidationError) -> String {
    let mut path = String::new();
    for segment in error.instance_path() {
        path.push_str(&match segment {
            LocationSegment::Property(name) => member_path(&name),
            LocationSegment::Index(index) => format!("[{index}]"),
        });
    }
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schemas::source::{SchemaKind, SchemaReference};
    use proptest::prelude::*;

    fn schema(text: &str, references: &[(&str, &str)]) -> Result<JsonSchema, String> {
        let references = references
            .iter()
            .map(|(name, text)| SchemaReference { name: (*name).to_owned(), text: (*text).to_owned() })
            .collect();
        JsonSchema::parse(&SchemaSource { kind: SchemaKind::Json, text: text.to_owned(), references })
            .map_err(|error| error.to_string())
    }

    fn encoded(schema: &JsonSchema, json: &str) -> Result<String, String> {
        let mut out = Vec::new();
        schema.encode(json.as_bytes(), &mut out, usize::MAX).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_with_its_path() {
        let text = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},
            "sites":{"type":"array","items":{"properties":{"the name":{"pattern":"^[a-z]+$"}}}}}}"#;
        let schema = schema(text, &[]).unwrap();
        let table = [
            (r#" {"id":1} "#, Ok(r#"{"id":1}"#)),
            (r#"{"id":12345678901234567890123}"#, Ok(r#"{"id":12345678901234567890123}"#)),
            (r#"{"id":"a"}"#, Err(r#".id: "a" is not of type "integer""#)),
            (r#"{}"#, Err(r#": "id" is a required property"#)),
            (
                r#"{"id":1,"sites":[{},{"the name":"A"}]}"#,
                Err(r#".sites[1]["the name"]: "A" does not match "^[a-z]+$""#),
            ),
            (r#"{"id":1"#, Err(": invalid JSON: EOF while parsing an object at line 1 column 7")),
        ];
        for (json, outcome) in table {
            assert_eq!(encoded(&schema, json).as_deref().map_err(|error| &**error), outcome, "{json}");
        }
    }

    #[test]
    fn references_are_found_by_name_and_never_fetched() {
        let customer = r#"{"type":"object","required":["name"],"definitions":{"id":{"type":"integer"}}}"#;
        for (text, name) in [
            (r#"{"$ref":"customer.json"}"#, "customer.json"),
            (r#"{"$id":"http://x.invalid/a/main.json","$ref":"customer.json"}"#, "customer.json"),
            (r#"{"$ref":"http://x.invalid/customer.json"}"#, "http://x.invalid/customer.json"),
            (r#"{"$schema":"http://json-schema.org/draft-04/schema#","$ref":"customer.json"}"#, "customer.json"),
            (r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"customer.json"}"#, "customer.json"),
        ] {
            let found = schema(text, &[(name, customer)]).unwrap();
            assert_eq!(encoded(&found, "{}"), Err(r#": "name" is a required property"#.to_owned()), "{text}");
            assert!(encoded(&found, r#"{"name":1}"#).is_ok());
            let error = schema(text, &[]).unwrap_err();
            assert!(error.contains("customer.json"), "{error}");
        }
    }

    #[test]
    fn decoded_values_are_their_bytes() {
        let schema = schema("true", &[]).unwrap();
        let decoded = |json: &[u8], most| {
            let mut out = Vec::new();
            schema
                .decode(json, &mut out, most)
                .map(|()| String::from_utf8(out).unwrap())
                .map_err(|error| error.to_string())
        };
        assert_eq!(decoded(b"{\"a\": 1.0}", 10), Ok("{\"a\": 1.0}".to_owned()));
        assert_eq!(decoded(b"[1,2]", 4), Err("its JSON is too large".to_owned()));
        assert!(decoded(b"", 10).is_err());
        assert!(decoded(b"\"\xff\"", 10).is_err());
        assert!(decoded(b"1 2", 10).is_err());
        let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(decoded(&nested(100), 200).is_ok());
        assert_eq!(decoded(&nested(101), 300), Err("the value is nested more than 100 levels deep".to_owned()));
        assert!(decoded(&nested(1 << 20), 3 << 20).is_err());
    }

    #[test]
    fn schemas_with_much_work_are_bounded() {
        // Each look-around has a compiled pattern.
        let pattern = serde_json::json!({"pattern": "(?=a{999}b)".repeat(2_000)});
        assert!(schema(&pattern.to_string(), &[]).is_err());
        for text in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##] {
            let Ok(schema) = schema(text, &[]) else { continue };
            assert_eq!(encoded(&schema, "[[1]]"), Err(": the schema is too much work for this value".to_owned()));
        }
        let schema = schema(r#"{"pattern":"^(?=(a+)+$)(a|aa)+$(?!x)"}"#, &[]).unwrap();
        assert!(encoded(&schema, &format!("\"{}b\"", "a".repeat(60))).is_err());
        let mut definitions = serde_json::Map::new();
        for level in 0..40 {
            let next = serde_json::json!({"$ref": format!("#/definitions/d{}", level + 1)});
            definitions.insert(format!("d{level}"), serde_json::json!({"allOf": [next, next], "anyOf": [next, next]}));
        }
        definitions.insert("d40".to_owned(), serde_json::json!({"type": "string"}));
        let text = serde_json::json!({"$ref": "#/definitions/d0", "definitions": definitions}).to_string();
        let wide = self::schema(&text, &[]).unwrap();
        assert_eq!(encoded(&wide, "\"a\""), Err(": the schema is too much work for this value".to_owned()));
        // Much work for each of many strings, or for a long one.
        let strings = |text: &str, count| serde_json::json!(vec![text; count]).to_string();
        let many = |part: &str| {
            let schemas = vec![serde_json::json!({"$ref": "#/definitions/a"}); 10_000];
            format!(r#"{{"allOf":{},"definitions":{{"a":{part}}}}}"#, serde_json::json!(schemas))
        };
        let long = serde_json::json!("a".repeat(1 << 20));
        let large = serde_json::json!(vec![1; 1_000]);
        let rows = [
            (
                r#"{"items":{"pattern":"^(?=(a+)+$)(a|aa)+$(?!x)"}}"#.to_owned(),
                strings(&format!("{}b", "a".repeat(40)), 5_000),
            ),
            (many(r#"{"pattern":"^a+$"}"#), long.to_string()),
            (many(r#"{"maxLength":5000000}"#), long.to_string()),
            (many(r#"{"propertyNames":{"pattern":"^a+$"}}"#), format!("{{{long}:1}}")),
            (many(r#"{"patternProperties":{"^a+$":true}}"#), format!("{{{long}:1}}")),
            (many(&format!(r#"{{"const":{large}}}"#)), large.to_string()),
            (many(&format!(r#"{{"enum":[{large}]}}"#)), large.to_string()),
            (many(r#"{"uniqueItems":true}"#), serde_json::json!([vec![1; 1_000], vec![2; 1_000]]).to_string()),
        ];
        for (text, value) in rows {
            let schema = self::schema(&text, &[]).unwrap();
            let outcome = encoded(&schema, &value);
            assert_eq!(outcome, Err(": the schema is too much work for this value".to_owned()), "{}", &text[..60]);
        }
        let twice = r##"{"allOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}"##;
        let twice = self::schema(twice, &[]).unwrap();
        assert!(encoded(&twice, "[[[[1]]]]").is_ok());
        let deep = format!("{}{}", "[".repeat(90), "]".repeat(90));
        assert_eq!(encoded(&twice, &deep), Err(": the schema is too much work for this value".to_owned()));
    }

    #[test]
    fn recursive_schemas_validate_deep_values() {
        let text = r##"{"$ref":"#/definitions/node","definitions":{"node":{"type":"object","additionalProperties":false,
            "properties":{"left":{"$ref":"#/definitions/node"},"right":{"$ref":"#/definitions/node"},
            "value":{"oneOf":[{"type":"string"},{"type":"number"}]}}}}}"##;
        let schema = schema(text, &[]).unwrap();
        let mut tree = serde_json::json!({"value": 1});
        for level in 0..12 {
            tree = serde_json::json!({"left": tree, "right": tree, "value": level});
        }
        assert!(encoded(&schema, &tree.to_string()).is_ok());
        let mut list = serde_json::json!({"value": 1});
        for _ in 0..90 {
            list = serde_json::json!({"left": list});
        }
        assert!(encoded(&schema, &list.to_string()).is_ok());
    }

    const CORPUS: [&str; 3] = [
        r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"x","type":["object","null"],"$defs":{"a":
            {"$anchor":"b","prefixItems":[{"$ref":"#"}],"unevaluatedItems":{"not":{"const":1}},"contains":{}}},
            "properties":{"p":{"$ref":"#b"},"q":{"$ref":"#/$defs/a"}},"unevaluatedProperties":{"pattern":"^a+$"}}"##,
        r##"{"definitions":{"n":{"patternProperties":{"^(?=x)":{"$ref":"#/definitions/n"}},"dependencies":{"a":["b"]}}},
            "items":[{"$ref":"r.json#/definitions/n"},{"if":true,"then":{"multipleOf":0.1},"else":{"format":"date"}}]}"##,
        r##"{"$schema":"http://json-schema.org/draft-04/schema#","id":"http://x.invalid/","allOf":[{"$ref":"#"}],
            "minimum":1,"exclusiveMinimum":true,"enum":[1,"a",{"b":[null]}],"uniqueItems":true,"maxItems":1e3}"##,
    ];

    proptest! {
        #[test]
        fn damaged_json_schemas_are_errors_or_validate(
            chosen in 0..CORPUS.len(),
            place in any::<prop::sample::Index>(),
            damage in "[\\[\\]{}\",:0-9a-z#$/]{0,8}|\"(type|items|allOf|[$]ref|#|[$]id)\"|[^a]{0,3}",
            value in "[\\[\\]{}\",:0-9abpq]{0,12}|[{]\"[pq]\":\\[[0-9]?\\][}]",
        ) {
            let text = CORPUS[chosen];
            let at = place.index(text.len());
            let text = format!("{}{damage}{}", &text[..at], &text[at + 1..]);
            if let Ok(schema) = schema(&text, &[("r.json", CORPUS[1])]) {
                let _ = encoded(&schema, &value);
                let _ = encoded(&schema, r#"{"p":[1,[2]],"q":[1],"a":"aa"}"#);
            }
        }
    }
}

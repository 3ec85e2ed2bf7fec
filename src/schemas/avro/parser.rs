//! Schema text to types.
//!
//! Not by `apache-avro`: its parser copies a type once for each of its aliases, so that a schema of 74 kB takes 1.9 GB, and it logs
//! the text of schemas. Its values take four times as long to become JSON as ours, in a debug build of both.

use super::defaults::DefaultEncoder;
use super::types::{
    AvroField, AvroType, AvroTypes, DecimalType, FieldDefault, RecordType, Symbols, TimeUnit, TypeId, UnionBranch,
    UnionType,
};
use super::union::plain_branches;
use super::{decimal, json_text};
use crate::schemas::error_text::shown;
use crate::schemas::source::{InvalidSchema, SchemaSource};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The size of a schema or of one that it refers to.
const MAX_TEXT: usize = 1 << 20;
/// The number of types, fields and symbols of a schema with its references.
const MAX_PARTS: usize = 50_000;
/// The branches of a union, whose names are looked through for each value.
const MAX_BRANCHES: usize = 1_000;
/// The bytes of all full names together: in a long namespace, a short name stands for a long one.
const MAX_NAMES: usize = 8 << 20;
/// Digits of a decimal. Larger ones are bytes.
const MAX_PRECISION: u64 = 1_000;

type Parsed<T> = Result<T, InvalidSchema>;

/// Parses a schema and those that it refers to.
pub fn parse(source: &SchemaSource) -> Parsed<(TypeId, AvroTypes)> {
    let mut parser = SchemaParser::default();
    for reference in &source.references {
        parser
            .document(&reference.text)
            .map_err(|error| InvalidSchema(format!("{}: {error}", shown(&reference.name))))?;
    }
    let root = parser.document(&source.text)?;
    Ok((root, parser.finish()?))
}

#[derive(Default)]
struct SchemaParser {
    types: AvroTypes,
    /// Types, fields and symbols so far.
    parts: usize,
    /// The bytes of full names so far.
    name_bytes: usize,
    /// Definitions by full name.
    defined: HashMap<String, TypeId>,
    /// References to types that are not yet defined, with the names that they may mean.
    open: Vec<(TypeId, [String; 2])>,
    defaults: Vec<OpenDefault>,
}

/// The default of a field, which is encoded when all types are known.
struct OpenDefault {
    record: TypeId,
    field: usize,
    default: Value,
}

/// A name and the namespace in which the types inside it are named.
struct FullName {
    full: String,
    namespace: String,
}

impl SchemaParser {
    fn document(&mut self, text: &str) -> Parsed<TypeId> {
        if text.len() > MAX_TEXT {
            return Err(InvalidSchema(format!("the schema has {} bytes; at most {MAX_TEXT} are allowed", text.len())));
        }
        // Registries store a primitive type as a bare word too.
        if let Some(of) = primitive(text.trim()) {
            return self.push(of);
        }
        // serde_json bounds the depth.
        let json =
            serde_json::from_str(text).map_err(|error| InvalidSchema(format!("the schema is not JSON: {error}")))?;
        self.any(&json, "")
    }

    fn any(&mut self, json: &Value, namespace: &str) -> Parsed<TypeId> {
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            _ => Err(InvalidSchema(format!(
                "a type is a string, an array or an object, not {}",
                shown(&json.to_string())
            ))),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Parsed<TypeId> {
        if let Some(of) = primitive(name) {
            return self.push(of);
        }
        let full = self.qualify(if name.contains('.') { "" } else { namespace }, name)?;
        let names = [full, name.to_owned()];
        if let Some(id) = names.iter().find_map(|name| self.defined.get(name)) {
            return Ok(*id);
        }
        let id = self.push(AvroType::Null)?;
        self.open.push((id, names));
        Ok(id)
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Parsed<TypeId> {
        if branches.len() > MAX_BRANCHES {
            return Err(InvalidSchema(format!("a union has more than {MAX_BRANCHES} branches")));
        }
        let mut known = Vec::with_capacity(branches.len());
        for branch in branches {
            if branch.is_array() {
                return Err(InvalidSchema("a union is directly inside a union".to_owned()));
            }
            let of = self.any(branch, namespace)?;
            known.push(UnionBranch { of, name: Box::default(), wrapper: Box::default() });
        }
        self.push(AvroType::Union(UnionType::unnamed(known)))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<TypeId> {
        let kind = object.get("type").ok_or_else(|| InvalidSchema("a type has no \"type\"".to_owned()))?;
        let Value::String(kind) = kind else { return self.any(kind, namespace) };
        match kind.as_str() {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let symbols = self.symbols(object)?;
                self.define(object, namespace, AvroType::Enum(symbols)).map(|(id, _)| id)
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| InvalidSchema("a fixed has no valid \"size\"".to_owned()))?;
                let of = logical(object, &AvroType::Fixed(size)).unwrap_or(AvroType::Fixed(size));
                self.define(object, namespace, of).map(|(id, _)| id)
            }
            "array" | "map" => {
                let member = if kind == "array" { "items" } else { "values" };
                let inner =
                    object.get(member).ok_or_else(|| InvalidSchema(format!("a type {kind} has no {member:?}")))?;
                let inner = self.any(inner, namespace)?;
                self.push(if kind == "array" { AvroType::Array(inner) } else { AvroType::Map(inner) })
            }
            name => match primitive(name) {
                Some(of) => self.push(logical(object, &of).unwrap_or(of)),
                None => self.named(name, namespace),
            },
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<TypeId> {
        let (id, name) = self.define(object, namespace, AvroType::Null)?;
        let Some(Value::Array(listed)) = object.get("fields") else {
            return Err(InvalidSchema(format!("the record {} has no \"fields\"", shown(&name.full))));
        };
        let mut fields: Vec<AvroField> = Vec::with_capacity(listed.len());
        for field in listed {
            let (Some(Value::String(field_name)), Some(of)) = (field.get("name"), field.get("type")) else {
                return Err(InvalidSchema(format!("a field of the record {} has no name or type", shown(&name.full))));
            };
            self.count(1)?;
            // `{"name": "n", "type": "long", "logicalType": "date"}` has no logical type: that belongs inside `type`.
            let of = self.any(of, &name.namespace)?;
            if let Some(default) = field.get("default") {
                self.defaults.push(OpenDefault { record: id, field: fields.len(), default: default.clone() });
            }
            fields.push(AvroField {
                name: field_name.as_str().into(),
                label: label(field_name, b""),
                of,
                default: FieldDefault::Absent,
            });
        }
        let record = RecordType::new(fields).map_err(|field| repeated(&name.full, "fields", &field))?;
        self.types.set(id, AvroType::Record(record));
        Ok(id)
    }

    fn symbols(&mut self, object: &Map<String, Value>) -> Parsed<Symbols> {
        let listed = object.get("symbols").and_then(Value::as_array);
        let symbols: Option<Vec<Box<str>>> =
            listed.and_then(|listed| listed.iter().map(|symbol| symbol.as_str().map(Box::from)).collect());
        let symbols = symbols.ok_or_else(|| InvalidSchema("an enum has no \"symbols\"".to_owned()))?;
        self.count(symbols.len())?;
        Symbols::new(symbols).map_err(|symbol| repeated("an enum", "symbols", &symbol))
    }

    /// Adds a named type.
    fn define(&mut self, object: &Map<String, Value>, namespace: &str, of: AvroType) -> Parsed<(TypeId, FullName)> {
        let name = self.full_name(object, namespace)?;
        let id = self.push(of)?;
        if self.defined.insert(name.full.clone(), id).is_some() {
            return Err(InvalidSchema(format!("the type {} is defined twice", shown(&name.full))));
        }
        Ok((id, name))
    }

    fn full_name(&mut self, object: &Map<String, Value>, enclosing: &str) -> Parsed<FullName> {
        let name = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| InvalidSchema("a record, enum or fixed has no name".to_owned()))?;
        if let Some((namespace, _)) = name.rsplit_once('.') {
            return Ok(FullName { full: name.to_owned(), namespace: namespace.to_owned() });
        }
        if primitive(name).is_some() {
            return Err(InvalidSchema(format!("a named type cannot be called {name}")));
        }
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
        Ok(FullName { full: self.qualify(namespace, name)?, namespace: namespace.to_owned() })
    }

    /// Returns the full name of a type in a namespace, which may be empty.
    fn qualify(&mut self, namespace: &str, name: &str) -> Parsed<String> {
        self.name_bytes = self.name_bytes.saturating_add(namespace.len() + name.len());
        if self.name_bytes > MAX_NAMES {
            return Err(InvalidSchema(format!(
                "the full names of the types have more than {MAX_NAMES} bytes together"
            )));
        }
        Ok(if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") })
    }

    fn push(&mut self, of: AvroType) -> Parsed<TypeId> {
        self.count(1)?;
        Ok(self.types.push(of))
    }

    fn count(&mut self, more: usize) -> Parsed<()> {
        self.parts = self.parts.saturating_add(more);
        if self.parts > MAX_PARTS {
            return Err(InvalidSchema(format!("the schema has more than {MAX_PARTS} types, fields and symbols")));
        }
        Ok(())
    }

    /// Resolves what needs all definitions: references, the names of branches, and defaults.
    fn finish(mut self) -> Parsed<AvroTypes> {
        for (id, names) in &self.open {
            let Some(definition) = names.iter().find_map(|name| self.defined.get(name)) else {
                let [full, _] = names;
                return Err(InvalidSchema(format!("the type {} is not defined", shown(full))));
            };
            self.types.set(*id, AvroType::Reference(*definition));
        }
        let names: HashMap<TypeId, &str> = self.defined.iter().map(|(name, id)| (*id, name.as_str())).collect();
        for id in self.types.ids() {
            let AvroType::Union(union) = self.types.at(id) else { continue };
            let branches = union.branches.iter().map(|branch| {
                let of = self.types.resolve(branch.of);
                let name = names.get(&of).copied().unwrap_or_else(|| self.types.at(of).name());
                UnionBranch { of, name: name.into(), wrapper: label(name, b"{") }
            });
            let branches: Vec<UnionBranch> = branches.collect();
            let plain = plain_branches(&branches, &self.types);
            let union = UnionType::new(branches, plain).map_err(|name| repeated("a union", "branches", &name))?;
            self.types.set(id, AvroType::Union(union));
        }
        let mut encoder = DefaultEncoder::default();
        for OpenDefault { record, field, default } in &self.defaults {
            let AvroType::Record(of) = self.types.at(*record) else { continue };
            let Some(of) = of.fields().get(*field).map(|field| field.of) else { continue };
            let encoded = encoder.encode(&self.types, of, default);
            if let Some(AvroType::Record(of)) = self.types.get_mut(*record) {
                of.set_default(*field, encoded.map_or(FieldDefault::Invalid, FieldDefault::Encoded));
            }
        }
        Ok(self.types)
    }
}

fn primitive(name: &str) -> Option<AvroType> {
    Some(match name {
        "null" => AvroType::Null,
        "boolean" => AvroType::Boolean,
        "int" => AvroType::Int,
        "long" => AvroType::Long,
        "float" => AvroType::Float,
        "double" => AvroType::Double,
        "bytes" => AvroType::Bytes,
        "string" => AvroType::String,
        _ => return None,
    })
}

/// Returns the logical type of a type. An unknown or invalid one is ignored, as Avro's specification asks.
fn logical(object: &Map<String, Value>, base: &AvroType) -> Option<AvroType> {
    use TimeUnit::{Micros, Millis, Nanos};
    Some(match (object.get("logicalType")?.as_str()?, base) {
        ("decimal", AvroType::Bytes) => AvroType::Decimal(decimal_type(object, None)?),
        ("decimal", AvroType::Fixed(size)) => AvroType::Decimal(decimal_type(object, Some(*size))?),
        ("date", AvroType::Int) => AvroType::Date,
        ("time-millis", AvroType::Int) => AvroType::TimeOfDay(Millis),
        ("time-micros", AvroType::Long) => AvroType::TimeOfDay(Micros),
        ("timestamp-millis", AvroType::Long) => AvroType::Timestamp(Millis),
        ("timestamp-micros", AvroType::Long) => AvroType::Timestamp(Micros),
        ("timestamp-nanos", AvroType::Long) => AvroType::Timestamp(Nanos),
        ("local-timestamp-millis", AvroType::Long) => AvroType::LocalTimestamp(Millis),
        ("local-timestamp-micros", AvroType::Long) => AvroType::LocalTimestamp(Micros),
        ("local-timestamp-nanos", AvroType::Long) => AvroType::LocalTimestamp(Nanos),
        ("uuid", AvroType::Fixed(16)) => AvroType::Uuid,
        ("duration", AvroType::Fixed(12)) => AvroType::Duration,
        _ => return None,
    })
}

fn decimal_type(object: &Map<String, Value>, size: Option<usize>) -> Option<DecimalType> {
    let precision = object.get("precision")?.as_u64()?;
    let scale = object.get("scale").map_or(Some(0), Value::as_u64)?;
    let valid = (1..=MAX_PRECISION).contains(&precision)
        && scale <= precision
        && size.is_none_or(|size| size <= decimal::MAX_BYTES);
    let (precision, scale) = (u32::try_from(precision).ok()?, u32::try_from(scale).ok()?);
    valid.then_some(DecimalType { precision, scale, size })
}

/// Returns a name as JSON between `before` and a colon.
fn label(name: &str, before: &[u8]) -> Box<[u8]> {
    let mut label = before.to_vec();
    json_text::push_string(name, &mut label);
    label.push(b':');
    label.into()
}

fn repeated(of: &str, what: &str, name: &str) -> InvalidSchema {
    InvalidSchema(format!("{} has two {what} named {}", shown(of), shown(name)))
}

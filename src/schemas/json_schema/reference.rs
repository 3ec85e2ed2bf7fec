//! The schemas that a JSON Schema refers to. There are no others: nothing is fetched by its address.

use super::pattern::backtracking_parts;
use jsonschema::{Retrieve, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;

/// A schema and those that it refers to.
#[derive(Debug)]
pub struct Documents {
    root: Arc<Value>,
    /// By name.
    references: Vec<(String, Arc<Value>)>,
    /// Whether a part of a document has an address.
    has_parts: bool,
}

/// A part of a document.
#[derive(Debug, Clone, Copy)]
pub struct Place<'d> {
    pub value: &'d Value,
    document: &'d Value,
}

impl<'d> Place<'d> {
    /// Returns another part of the same document.
    pub fn with(self, value: &'d Value) -> Self {
        Self { value, ..self }
    }
}

impl Documents {
    pub fn new(root: Value, references: Vec<(String, Value)>) -> Self {
        let references = references.into_iter().map(|(name, schema)| (name, Arc::new(schema)));
        let mut documents = Self { root: Arc::new(root), references: references.collect(), has_parts: false };
        let mut has_parts = false;
        for document in documents.all() {
            collect(document, &mut |part| has_parts |= is_part(part) && !std::ptr::eq(part, document));
        }
        documents.has_parts = has_parts;
        documents
    }

    pub fn root(&self) -> Place<'_> {
        Place { value: &self.root, document: &self.root }
    }

    /// Returns what the validator asks for schemas by address.
    pub fn retriever(&self) -> ReferenceRetriever {
        ReferenceRetriever(self.references.clone())
    }

    /// The number of regular expressions, and of parts of them that are compiled separately.
    pub fn patterns(&self) -> usize {
        self.all().map(patterns).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&*self.root).chain(self.references.iter().map(|(_, schema)| &**schema))
    }

    /// Returns what a reference means if that is a place in the same document that needs no search.
    pub fn direct_target<'d>(&'d self, from: Place<'d>, keyword: &str, reference: &str) -> Option<Place<'d>> {
        let fragment = reference.strip_prefix('#').filter(|_| keyword == "$ref" && !self.has_parts)?;
        let pointer = percent_decode_str(fragment).decode_utf8().ok()?;
        from.document.pointer(&pointer).map(|value| from.with(value))
    }

    /// Returns what a reference may mean: more than one place where that depends on the scope.
    pub fn targets<'d>(&'d self, from: Place<'d>, keyword: &str, reference: &str) -> Vec<Place<'d>> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let Ok(fragment) = percent_decode_str(fragment).decode_utf8() else { return Vec::new() };
        let within = |document: &'d Value| places(document, &fragment);
        if keyword == "$ref" && address.is_empty() {
            return within(from.document);
        }
        let named = self.references.iter().filter(|(name, schema)| {
            keyword == "$ref" && (is_same(name, address) || id(schema).is_some_and(|id| is_same(id, address)))
        });
        let found: Vec<Place<'d>> = named.flat_map(|(_, schema)| within(schema)).collect();
        // A part with an address, the schema itself, or a scope that is known only while validating.
        if found.is_empty() { self.all().flat_map(within).collect() } else { found }
    }
}

/// Returns the places of a document that a fragment may mean: a pointer, also into a part with an address, or an anchor.
fn places<'d>(document: &'d Value, fragment: &str) -> Vec<Place<'d>> {
    let mut found: Vec<&Value> = document.pointer(fragment).into_iter().collect();
    let old_anchor = format!("#{fragment}");
    collect(document, &mut |part| {
        let is = |name: &str, text: &str| part.get(name).and_then(Value::as_str) == Some(text);
        if std::ptr::eq(part, document) {
            return;
        }
        if is_part(part) {
            found.extend(part.pointer(fragment));
        }
        let anchors = ["$anchor", "$dynamicAnchor"].iter().any(|name| is(name, fragment));
        if !fragment.is_empty() && (anchors || is("$id", &old_anchor) || is("id", &old_anchor)) {
            found.push(part);
        }
    });
    found.into_iter().map(|value| Place { value, document }).collect()
}

/// Returns whether a part of a document has an address, against which the references in it are resolved.
fn is_part(schema: &Value) -> bool {
    id(schema).is_some_and(|id| !id.starts_with('#'))
}

fn id(schema: &Value) -> Option<&str> {
    schema.get("$id").or_else(|| schema.get("id")).and_then(Value::as_str)
}

/// Returns whether two addresses have the same end, of which one may be relative.
fn is_same(one: &str, other: &str) -> bool {
    fn file(address: &str) -> &str {
        address.trim_end_matches('#').rsplit('/').next().unwrap_or_default()
    }
    file(one) == file(other)
}

fn collect<'v>(value: &'v Value, found: &mut impl FnMut(&'v Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => {
            found(value);
            members.values().for_each(|member| collect(member, found));
        }
        _ => {}
    }
}

/// Gives the validator the schemas of references.
pub struct ReferenceRetriever(Vec<(String, Arc<Value>)>);

impl Retrieve for ReferenceRetriever {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        // A relative name was resolved against the address of the schema that has it.
        let address = uri.as_str();
        let by_name = self.0.iter().find(|(name, _)| {
            address == name || address.strip_suffix(name.as_str()).is_some_and(|base| base.ends_with('/'))
        });
        let found = by_name.or_else(|| self.0.iter().find(|(_, schema)| id(schema) == Some(address)));
        match found {
            Some((_, schema)) => Ok(Value::clone(schema)),
            None => Err(format!("{address} is not among the references of the schema").into()),
        }
    }
}

/// Counts the regular expressions of a schema, and the parts of them that are compiled separately.
fn patterns(schema: &Value) -> usize {
    let mut count = 0;
    let mut add = |pattern: &str| count += 1 + backtracking_parts(pattern);
    collect(schema, &mut |part| {
        part.get("pattern").and_then(Value::as_str).into_iter().for_each(&mut add);
        let names = part.get("patternProperties").and_then(Value::as_object);
        names.into_iter().flatten().for_each(|(name, _)| add(name));
    });
    count
}

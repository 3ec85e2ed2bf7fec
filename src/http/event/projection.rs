//! Writes the fields that `select=` names as one JSON object for each record.
//!
//! The object is the envelope without the other fields, as with jq's `pick(.value.temperature, .key)`: a selected path
//! has the same value in both. Fields that a record lacks are null. Selected elements of an array keep their indexes,
//! and null takes the place of the other elements. Numbers keep the digits that the publisher wrote.

use super::envelope;
use super::json::{self, Encoding};
use crate::cel::{FieldPath, PathStep, Variable};
use crate::record::{Partition, RecordRef, TopicName};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The fields of each record that a stream sends.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Projection {
    pub paths: Vec<FieldPath>,
    /// The paths as one tree for each variable, in the order in which the variables first occur.
    roots: Vec<(Variable, PathTree)>,
    /// Upper bound of the size of the object without the record's data, in bytes.
    overhead: usize,
}

/// The paths with a common prefix: either a single path that ends here, or paths that continue with fields or with
/// elements.
#[derive(Debug, Default, PartialEq, Eq)]
struct PathTree {
    /// The index of the path that ends here.
    path: Option<usize>,
    /// Each field's name, its name as JSON, and the paths that continue there.
    fields: Vec<(String, String, PathTree)>,
    /// Sorted by index.
    elements: Vec<(usize, PathTree)>,
}

/// The part of a record at each path into its JSON key or value; `None` if it is missing.
pub type Selected<'r> = Vec<Option<&'r RawValue>>;

impl Projection {
    /// Creates a projection. `paths` must come from [`FieldPath::parse_list`], which rejects conflicting paths.
    pub fn new(paths: Vec<FieldPath>) -> Self {
        let mut roots: Vec<(Variable, PathTree)> = Vec::new();
        let mut overhead = 512;
        for (number, path) in paths.iter().enumerate() {
            let place = match roots.iter().position(|(root, _)| *root == path.root) {
                Some(place) => place,
                None => {
                    roots.push((path.root, PathTree::default()));
                    roots.len() - 1
                }
            };
            if let Some((_, tree)) = roots.get_mut(place) {
                tree.add(&path.steps, number);
            }
            let step = |step: &PathStep| match step {
                PathStep::Field(name) => 8 + 6 * name.len(),
                PathStep::Element(index) => 8 + b"null,".len() * index,
            };
            overhead += 16 + path.steps.iter().map(step).sum::<usize>();
        }
        Self { paths, roots, overhead }
    }

    pub fn overhead(&self) -> usize {
        self.overhead
    }

    /// Finds the part of the record at each path into its JSON key or value.
    pub fn select<'r>(&self, record: &RecordRef<'r>) -> Selected<'r> {
        let mut found = vec![None; self.paths.len()];
        for (root, tree) in self.roots.iter().filter(|(_, tree)| tree.path.is_none()) {
            let bytes = match root {
                Variable::Key => record.key.filter(|_| record.key_error().is_none()),
                Variable::Value => record.value.filter(|_| record.value_error().is_none()),
                _ => continue,
            };
            let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            // As in the envelope, anything else is a string or base64, and has no fields.
            if let Some(text) = text.filter(|text| json::is_json(text)) {
                // Cannot fail, because the text is valid JSON.
                let _ = PathWalk { tree, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_str(text));
            }
        }
        found
    }

    /// Appends the object of a record.
    pub fn write(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>) {
        let selected = self.select(record);
        for (number, (root, tree)) in self.roots.iter().enumerate() {
            out.push(if number == 0 { b'{' } else { b',' });
            match root {
                Variable::Key | Variable::Value if tree.path.is_none() => {
                    let name: &[u8] = if *root == Variable::Key { b"\"key\":" } else { b"\"value\":" };
                    out.extend_from_slice(name);
                    tree.write(out, &selected);
                }
                Variable::Headers if tree.path.is_none() => tree.write_headers(out, record),
                _ => envelope::write_member(out, *root, topic, partition, record),
            }
        }
        // A whole key or value has its error beside it already. Without one, its fields would look as if it lacked them.
        let parts = self.roots.iter().filter(|(_, tree)| tree.path.is_none()).map(|(root, _)| *root);
        envelope::write_schema_errors(out, record, parts);
        out.push(b'}');
    }
}

/// The paths, separated by commas.
impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.paths.iter().enumerate().try_for_each(|(number, path)| {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{path}")
        })
    }
}

impl PathTree {
    fn add(&mut self, steps: &[PathStep], path: usize) {
        let Some((first, rest)) = steps.split_first() else {
            self.path = Some(path);
            return;
        };
        let next = match first {
            PathStep::Field(name) => match self.fields.iter().position(|(own, ..)| own == name) {
                Some(place) => self.fields.get_mut(place),
                None => {
                    let as_json = serde_json::Value::from(name.as_str()).to_string();
                    self.fields.push((name.clone(), as_json, Self::default()));
                    self.fields.last_mut()
                }
            }
            .map(|(_, _, tree)| tree),
            PathStep::Element(index) => {
                let place = self.elements.partition_point(|(own, _)| own < index);
                if self.elements.get(place).is_none_or(|(own, _)| own != index) {
                    self.elements.insert(place, (*index, Self::default()));
                }
                self.elements.get_mut(place).map(|(_, tree)| tree)
            }
        };
        if let Some(next) = next {
            next.add(rest, path);
        }
    }

    /// Discards the parts that were found in an earlier field of the same name.
    fn clear(&self, found: &mut Selected<'_>) {
        if let Some(place) = self.path.and_then(|path| found.get_mut(path)) {
            *place = None;
        }
        self.fields.iter().for_each(|(_, _, tree)| tree.clear(found));
        self.elements.iter().for_each(|(_, tree)| tree.clear(found));
    }

    fn write(&self, out: &mut Vec<u8>, selected: &Selected<'_>) {
        if let Some(path) = self.path {
            match selected.get(path).copied().flatten() {
                Some(raw) => json::write_on_one_line(out, raw.get().as_bytes()),
                None => out.extend_from_slice(b"null"),
            }
            return;
        }
        if self.elements.is_empty() {
            for (number, (_, name, tree)) in self.fields.iter().enumerate() {
                out.push(if number == 0 { b'{' } else { b',' });
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                tree.write(out, selected);
            }
            out.push(b'}');
            return;
        }
        let mut next = 0;
        for (index, tree) in &self.elements {
            out.push(if next == 0 { b'[' } else { b',' });
            (next..*index).for_each(|_| out.extend_from_slice(b"null,"));
            tree.write(out, selected);
            next = index + 1;
        }
        out.push(b']');
    }

    /// Appends the selected headers as an object. If a name is repeated, the last header counts.
    fn write_headers(&self, out: &mut Vec<u8>, record: &RecordRef<'_>) {
        out.extend_from_slice(b"\"headers\":");
        let mut binary = Vec::new();
        for (number, (name, as_json, _)) in self.fields.iter().enumerate() {
            out.push(if number == 0 { b'{' } else { b',' });
            out.extend_from_slice(as_json.as_bytes());
            out.push(b':');
            if json::string(out, record.last_header(name)) == Encoding::Base64 {
                binary.push(as_json);
            }
        }
        out.push(b'}');
        for (number, name) in binary.iter().enumerate() {
            let before: &[u8] = if number == 0 { b",\"headers_encoding\":{" } else { b"," };
            out.extend_from_slice(before);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b":\"base64\"");
        }
        if !binary.is_empty() {
            out.push(b'}');
        }
    }
}

/// Walks through JSON once, and keeps the parts at the selected paths.
struct PathWalk<'t, 'f, 'r> {
    tree: &'t PathTree,
    found: &'f mut Selected<'r>,
}

impl<'r> DeserializeSeed<'r> for PathWalk<'_, '_, 'r> {
    type Value = ();

    fn deserialize<D: Deserializer<'r>>(self, reader: D) -> Result<(), D::Error> {
        let Some(path) = self.tree.path else { return reader.deserialize_any(self) };
        let raw: &RawValue = serde::Deserialize::deserialize(reader)?;
        if let Some(place) = self.found.get_mut(path) {
            *place = Some(raw);
        }
        Ok(())
    }
}

impl<'r> Visitor<'r> for PathWalk<'_, '_, 'r> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    json::skip_scalars!();

    fn visit_seq<A: SeqAccess<'r>>(self, mut items: A) -> Result<(), A::Error> {
        let mut wanted = self.tree.elements.iter().peekable();
        for index in 0.. {
            let more = match wanted.next_if(|(own, _)| *own == index) {
                Some((_, tree)) => items.next_element_seed(PathWalk { tree, found: &mut *self.found })?,
                None => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'r>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            match self.tree.fields.iter().find(|(own, ..)| *own == name) {
                Some((_, _, tree)) => {
                    tree.clear(self.found);
                    members.next_value_seed(PathWalk { tree, found: &mut *self.found })?;
                }
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

//! Extracts numbers, names and times from JSON without building a tree.

mod part;
mod visit;

use super::number::{number_in, time_in, time_of};
use super::path::{MAX_DEPTH, ValuePath};
use super::point::Omission;
use super::query::{FieldChoice, GroupBy, SeriesQuery, TimeSource};
use crate::record::Timestamp;
use part::ValuePart;
use serde::de::DeserializeSeed;
use std::ops::Range;
use visit::NodeSeed;

/// The index of a field in its [`Extractor`].
pub type FieldIndex = u16;

/// Maximum number of fields if the query does not list them.
pub const MAX_FIELDS: usize = 64;
/// Maximum number of nodes. Each takes about 100 bytes.
const MAX_NODES: usize = 512;
/// Maximum length of a member name in the path of a discovered field, in bytes.
const MAX_NAME: usize = 128;

/// Extracts the readings, names and times of records, one record at a time.
pub struct Extractor {
    /// The parts of a value that the query names and, with `AllNumbers`, the parts found so far. The first node is the
    /// value itself.
    nodes: Vec<PathNode>,
    fields: Vec<ValuePath>,
    discovery: Discovery,
    /// The readings, name and time of the record outside the elements.
    record: ValuePart,
    /// The readings, name and time of the current element.
    element: ValuePart,
    elements: Vec<Element>,
    /// The readings of all elements. Like `element_names`, it is indexed by the ranges in `elements`.
    element_readings: Vec<(FieldIndex, f64)>,
    element_names: String,
    /// Whether a field of the current record was skipped because of a limit or an empty name.
    has_passed_over: bool,
    /// Number of objects read so far.
    objects: u64,
}

/// A part of a value.
struct PathNode {
    path: ValuePath,
    /// The last name of `path`.
    name: Box<str>,
    children: Vec<usize>,
    field: Option<FieldIndex>,
    use_as: NodeUse,
    /// The number of the object in which the part was last a member.
    object: u64,
}

/// The uses of a part of a value besides readings.
#[derive(Default)]
struct NodeUse {
    by: bool,
    time: bool,
    each: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    /// Every number becomes a field.
    On,
    Off,
}

/// Whether a part of the value is inside an element of the `each` array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Record,
    Element,
}

struct Element {
    readings: Range<usize>,
    name: Option<Range<usize>>,
    time: Option<Timestamp>,
}

/// The readings of a record or of one of its elements, with their name and time.
pub struct ReadPart<'e> {
    /// The index and the number of each field.
    pub readings: &'e [(FieldIndex, f64)],
    /// The name at the path of `by`.
    pub name: Option<&'e str>,
    /// The time at the path of `time`.
    pub time: Option<Timestamp>,
}

enum Leaf<'v> {
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    Bool(bool),
    Text(&'v str),
}

impl Extractor {
    /// Creates an extractor for `query`.
    pub fn new(query: &SeriesQuery) -> Self {
        let (listed, discovery): (&[ValuePath], _) = match &query.fields {
            FieldChoice::AllNumbers => (&[], Discovery::On),
            FieldChoice::Listed(paths) => (paths, Discovery::Off),
        };
        let mut extractor = Self {
            nodes: vec![PathNode::new(ValuePath::default())],
            fields: Vec::new(),
            discovery,
            record: ValuePart::default(),
            element: ValuePart::default(),
            elements: Vec::new(),
            element_readings: Vec::new(),
            element_names: String::new(),
            has_passed_over: false,
            objects: 0,
        };
        for path in listed {
            let node = extractor.node_at(path);
            extractor.add_field(node);
        }
        if let Some(GroupBy::Value(path)) = &query.by {
            let node = extractor.node_at(path);
            extractor.nodes[node].use_as.by = true;
        }
        if let TimeSource::Value(path) = &query.time {
            let node = extractor.node_at(path);
            extractor.nodes[node].use_as.time = true;
        }
        if let Some(path) = &query.each {
            let node = extractor.node_at(path);
            extractor.nodes[node].use_as.each = true;
        }
        extractor
    }

    /// Returns the paths of the fields, in the order of their indexes.
    pub fn fields(&self) -> &[ValuePath] {
        &self.fields
    }

    /// Whether a field of the current record was skipped because of a limit or an empty name.
    pub fn has_passed_over(&self) -> bool {
        self.has_passed_over
    }

    /// Reads a value, and discards the data of the previous one.
    pub fn read(&mut self, value: &[u8]) -> Result<(), Omission> {
        self.clear();
        let mut json = serde_json::Deserializer::from_slice(value);
        let seed = NodeSeed { of: self, node: 0, scope: Scope::Record };
        if seed.deserialize(&mut json).and_then(|()| json.end()).is_ok() {
            return Ok(());
        }
        self.clear();
        // A number with a unit is not JSON.
        let number = std::str::from_utf8(value).ok().and_then(number_in);
        match (self.nodes[0].field, number) {
            (Some(field), Some(number)) if self.discovery == Discovery::Off => {
                self.record.set(field, number);
                Ok(())
            }
            _ => Err(Omission::NotJson),
        }
    }

    /// Returns the readings, name and time of the record outside the elements. `readings` is a buffer for the result.
    pub fn record<'e>(&'e self, readings: &'e mut Vec<(FieldIndex, f64)>) -> ReadPart<'e> {
        readings.clear();
        readings.extend(self.record.readings());
        ReadPart { readings, name: self.record.name.as_deref(), time: self.record.time }
    }

    /// Returns the elements of the `each` array that have readings, in order.
    pub fn elements(&self) -> impl Iterator<Item = ReadPart<'_>> {
        self.elements.iter().map(|element| ReadPart {
            readings: self.element_readings.get(element.readings.clone()).unwrap_or_default(),
            name: element.name.clone().and_then(|name| self.element_names.get(name)),
            time: element.time,
        })
    }

    fn clear(&mut self) {
        self.record.clear();
        self.element.clear();
        self.elements.clear();
        self.element_readings.clear();
        self.element_names.clear();
        self.has_passed_over = false;
    }

    /// Returns the node of a path in the query, and adds missing nodes. A query has too few paths to exceed
    /// `MAX_NODES`.
    fn node_at(&mut self, path: &ValuePath) -> usize {
        let mut node = 0;
        for name in path.names() {
            node = self.child(node, name, 0).unwrap_or_else(|| self.add_child(node, name));
        }
        node
    }

    /// Returns the child with this name. Objects usually have their members in the same order, so the search begins at
    /// `hint`, the child after the previous one.
    fn child(&self, node: usize, name: &str, hint: usize) -> Option<usize> {
        let children = &self.nodes[node].children;
        let (before, after) = children.split_at(hint.min(children.len()));
        after.iter().chain(before).copied().find(|child| *self.nodes[*child].name == *name)
    }

    fn add_child(&mut self, node: usize, name: &str) -> usize {
        let child = self.nodes.len();
        self.nodes.push(PathNode::new(self.nodes[node].path.join(name)));
        self.nodes[node].children.push(child);
        child
    }

    /// Returns the child with this name, and adds it if fields are discovered. `None` if the member is skipped.
    fn descend(&mut self, node: usize, name: &str, hint: usize) -> Option<usize> {
        if let Some(child) = self.child(node, name, hint) {
            return Some(child);
        }
        if self.discovery == Discovery::Off || self.nodes[node].path.depth() >= MAX_DEPTH {
            return None;
        }
        if self.nodes.len() >= MAX_NODES || name.len() > MAX_NAME || name.is_empty() {
            self.has_passed_over = true;
            return None;
        }
        Some(self.add_child(node, name))
    }

    fn add_field(&mut self, node: usize) -> FieldIndex {
        let field = self.fields.len() as FieldIndex;
        self.fields.push(self.nodes[node].path.clone());
        self.nodes[node].field = Some(field);
        field
    }

    /// Begins an object, and returns its number.
    fn begin_object(&mut self) -> u64 {
        self.objects += 1;
        self.objects
    }

    /// Begins a member of an object. If the object repeats the name, the last member counts, whatever its value is.
    fn begin_member(&mut self, node: usize, scope: Scope, object: u64) {
        if std::mem::replace(&mut self.nodes[node].object, object) == object {
            self.forget(node, scope);
        }
    }

    /// Discards everything that was read from a part of the value.
    fn forget(&mut self, node: usize, scope: Scope) {
        let PathNode { field, use_as: NodeUse { by, time, each }, .. } = self.nodes[node];
        let part = self.part(scope);
        field.into_iter().for_each(|field| part.unset(field));
        if by {
            part.name = None;
        }
        if time {
            part.time = None;
        }
        if each && scope == Scope::Record {
            self.elements.clear();
            self.element_readings.clear();
            self.element_names.clear();
        }
        for child in 0..self.nodes[node].children.len() {
            self.forget(self.nodes[node].children[child], scope);
        }
    }

    fn part(&mut self, scope: Scope) -> &mut ValuePart {
        match scope {
            Scope::Record => &mut self.record,
            Scope::Element => &mut self.element,
        }
    }

    fn leaf(&mut self, node: usize, scope: Scope, leaf: Leaf<'_>) {
        let NodeUse { by, time, .. } = self.nodes[node].use_as;
        let field = match (self.nodes[node].field, &leaf) {
            (None, Leaf::Signed(_) | Leaf::Unsigned(_) | Leaf::Double(_)) if self.discovery == Discovery::On => {
                if by || time {
                    None
                } else if self.fields.len() < MAX_FIELDS {
                    Some(self.add_field(node))
                } else {
                    self.has_passed_over = true;
                    None
                }
            }
            (field, _) => field,
        };
        let is_listed = self.discovery == Discovery::Off;
        let part = self.part(scope);
        let number = match leaf {
            Leaf::Signed(number) => Some(number as f64),
            Leaf::Unsigned(number) => Some(number as f64),
            Leaf::Double(number) => Some(number),
            Leaf::Bool(bool) => is_listed.then_some(f64::from(u8::from(bool))),
            Leaf::Text(text) => {
                if is_listed && field.is_some() {
                    number_in(text)
                } else {
                    None
                }
            }
        };
        if let (Some(field), Some(number)) = (field, number) {
            part.set(field, number);
        }
        if time {
            part.time = match leaf {
                Leaf::Text(text) => time_in(text),
                Leaf::Bool(_) => None,
                _ => number.and_then(time_of),
            };
        }
        if by {
            part.name = Some(match leaf {
                Leaf::Signed(number) => number.to_string(),
                Leaf::Unsigned(number) => number.to_string(),
                Leaf::Double(number) => serde_json::Value::from(number).to_string(),
                Leaf::Bool(bool) => bool.to_string(),
                Leaf::Text(text) => text.to_owned(),
            });
        }
    }

    fn end_element(&mut self) {
        let first = self.element_readings.len();
        self.element_readings.extend(self.element.readings());
        let name = self.element.name.as_deref().map(|name| {
            let start = self.element_names.len();
            self.element_names.push_str(name);
            start..self.element_names.len()
        });
        let readings = first..self.element_readings.len();
        if !readings.is_empty() {
            self.elements.push(Element { readings, name, time: self.element.time });
        }
        self.element.clear();
    }
}

impl PathNode {
    fn new(path: ValuePath) -> Self {
        let name = path.names().last().unwrap_or_default().into();
        Self { path, name, children: Vec::new(), field: None, use_as: NodeUse::default(), object: 0 }
    }
}

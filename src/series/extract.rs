//! Extracts numbers, states, names and times from JSON without building a tree.

mod leaf;
mod node;
mod part;
mod visit;

use super::field::{FieldKind, SeriesField};
use super::number::{number_in, time_in, time_of};
use super::path::{MAX_DEPTH, ValuePath};
use super::point::Omission;
use super::query::{FieldChoice, GroupBy, SeriesQuery, TimeSource};
use super::states::{StateNames, StateReader};
use crate::record::Timestamp;
use leaf::Leaf;
use node::{NodeUse, PathNode, StateField};
use part::ValuePart;
use serde::de::DeserializeSeed;
use std::ops::Range;
use std::sync::Arc;
use visit::NodeSeed;

/// The index of a field in its [`Extractor`].
pub type FieldIndex = u16;

/// Maximum number of fields if the query does not list them.
pub const MAX_FIELDS: usize = 64;
/// Maximum number of nodes with discovered fields. Each takes about 100 bytes.
const MAX_NODES: usize = 512;
/// Maximum length of a member name in the path of a discovered field, in bytes.
const MAX_NAME: usize = 128;

/// Extracts the readings, names and times of records, one record at a time.
pub struct Extractor {
    /// The parts of a value that the query names and, with `AllNumbers`, the parts found so far. The first node is the
    /// value itself.
    nodes: Vec<PathNode>,
    fields: Vec<SeriesField>,
    discovery: Discovery,
    states: StateReader,
    /// The readings, name and time of the record outside the elements.
    record: ValuePart,
    /// The readings, name and time of the current element.
    element: ValuePart,
    elements: Vec<Element>,
    /// The readings of all elements. Like `element_names`, it is indexed by the ranges in `elements`.
    element_readings: Vec<(FieldIndex, f64)>,
    element_names: String,
    /// The reason why a field of the current record was skipped: a limit, or an empty name.
    passed_over: Option<Omission>,
    /// Number of objects read so far.
    objects: u64,
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

impl Extractor {
    /// Creates an extractor for `query`, which adds new states to `states`.
    pub fn new(query: &SeriesQuery, states: &Arc<StateNames>) -> Self {
        let (listed, discovery): (&[ValuePath], _) = match &query.fields {
            FieldChoice::AllNumbers => (&[], Discovery::On),
            FieldChoice::Listed(paths) => (paths, Discovery::Off),
        };
        let mut extractor = Self {
            nodes: vec![PathNode::new(ValuePath::default())],
            fields: Vec::new(),
            discovery,
            states: StateReader::new(states),
            record: ValuePart::default(),
            element: ValuePart::default(),
            elements: Vec::new(),
            element_readings: Vec::new(),
            element_names: String::new(),
            passed_over: None,
            objects: 0,
        };
        for path in listed {
            let node = extractor.node_at(path);
            extractor.add_field(node);
        }
        for (index, path) in query.states.iter().enumerate() {
            let node = extractor.node_at(path);
            let field = extractor.push_field(node, FieldKind::State);
            extractor.nodes[node].state = Some(StateField { field, index });
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

    /// Returns the fields, in the order of their indexes.
    pub fn fields(&self) -> &[SeriesField] {
        &self.fields
    }

    /// Returns the reason why a field of the current record was skipped: a limit, or an empty name.
    pub fn passed_over(&self) -> Option<Omission> {
        self.passed_over
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
        self.read_text(value)
    }

    /// Reads a value that is not JSON: a number with a unit, or a state without quotes.
    fn read_text(&mut self, value: &[u8]) -> Result<(), Omission> {
        let text = std::str::from_utf8(value).map_err(|_| Omission::NotJson)?.trim();
        let is_broken_json = text.starts_with(['{', '[', '"']);
        let is_state = !is_broken_json && !text.is_empty() && !text.contains(char::is_control);
        let state = self.nodes[0].state.filter(|_| is_state);
        let number = self.nodes[0].field.zip(number_in(text)).filter(|_| self.discovery == Discovery::Off);
        if let Some((field, number)) = number {
            self.record.set(field, number);
        }
        if let Some(state) = state {
            self.set_state(state, Scope::Record, text);
        }
        if number.is_some() || state.is_some() { Ok(()) } else { Err(Omission::NotJson) }
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
        self.passed_over = None;
    }

    /// Returns the node of a path in the query, and adds missing nodes. The number of paths in a query and their depth
    /// are bounded.
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
            self.passed_over = Some(Omission::TooManySeries);
            return None;
        }
        Some(self.add_child(node, name))
    }

    fn add_field(&mut self, node: usize) -> FieldIndex {
        let field = self.push_field(node, FieldKind::Number);
        self.nodes[node].field = Some(field);
        field
    }

    fn push_field(&mut self, node: usize, kind: FieldKind) -> FieldIndex {
        self.fields.push(SeriesField { path: self.nodes[node].path.clone(), kind });
        (self.fields.len() - 1) as FieldIndex
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
        let PathNode { field, state, use_as: NodeUse { by, time, each }, .. } = self.nodes[node];
        let part = self.part(scope);
        field.into_iter().chain(state.map(|state| state.field)).for_each(|field| part.unset(field));
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

    fn set_state(&mut self, state: StateField, scope: Scope, name: &str) {
        match self.states.index(state.index, name) {
            Ok(index) => self.part(scope).set(state.field, index as f64),
            Err(omission) => self.passed_over = Some(omission),
        }
    }

    fn leaf(&mut self, node: usize, scope: Scope, leaf: Leaf<'_>) {
        let NodeUse { by, time, .. } = self.nodes[node].use_as;
        if let Some(state) = self.nodes[node].state.filter(|_| leaf.is_state()) {
            self.set_state(state, scope, &leaf.name());
        }
        let field = match (self.nodes[node].field, &leaf) {
            (None, Leaf::Signed(_) | Leaf::Unsigned(_) | Leaf::Double(_)) if self.discovery == Discovery::On => {
                if by || time {
                    None
                } else if self.fields.len() < MAX_FIELDS {
                    Some(self.add_field(node))
                } else {
                    self.passed_over = Some(Omission::TooManySeries);
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
            part.name = Some(leaf.name().into_owned());
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

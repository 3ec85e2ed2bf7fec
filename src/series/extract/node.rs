//! The parts of a value that are read.

use super::FieldIndex;
use crate::series::path::ValuePath;

/// A part of a value.
pub struct PathNode {
    pub path: ValuePath,
    /// The last name of `path`.
    pub name: Box<str>,
    pub children: Vec<usize>,
    pub field: Option<FieldIndex>,
    pub state: Option<StateField>,
    pub use_as: NodeUse,
    /// The number of the object in which the part was last a member.
    pub object: u64,
}

/// A field that is read as a state.
#[derive(Clone, Copy)]
pub struct StateField {
    pub field: FieldIndex,
    /// The index of the field in the query's states.
    pub index: usize,
}

/// The uses of a part of a value besides readings.
#[derive(Default)]
pub struct NodeUse {
    pub by: bool,
    pub time: bool,
    pub each: bool,
}

impl PathNode {
    pub fn new(path: ValuePath) -> Self {
        let name = path.names().last().unwrap_or_default().into();
        Self { path, name, children: Vec::new(), field: None, state: None, use_as: NodeUse::default(), object: 0 }
    }
}

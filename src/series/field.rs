//! The fields of a query.

use super::path::ValuePath;

/// A part of a value that is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesField {
    /// The path of the part.
    pub path: ValuePath,
    /// How it is read.
    pub kind: FieldKind,
}

/// How a part of a value is read. A query may read one part as both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldKind {
    /// As a number.
    Number,
    /// As a state. Its readings are the indexes of the names of states.
    State,
}

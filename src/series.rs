//! Time series from records: minimum, maximum, last value and count per series and step. Values only: no thread, no broker.
//!
//! A [`SeriesQuery`] says which numbers of a record are readings, of which series and at which time. A [`Fold`] adds up the
//! readings of records in any order; folds of different records merge into the fold of all of them.

mod extract;
mod fold;
mod number;
mod path;
mod point;
mod query;
mod sketch;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use fold::Fold;
pub use path::ValuePath;
pub use point::{Omission, OmittedCounts, Point};
pub use query::{FieldChoice, GroupBy, InvalidQuery, SeriesQuery, TimeSource, parse_each, parse_step};
pub use table::{SeriesTable, SeriesView};
pub use window::{MAX_POINTS, Window, default_step, parse_from, parse_to};

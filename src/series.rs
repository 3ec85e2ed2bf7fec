//! Computes time series from records: the minimum, maximum, last value and count of each series in each step. Uses no
//! threads and no broker.
//!
//! A [`SeriesQuery`] defines which numbers and states in a record are readings, and the series and time of each reading. A
//! [`Fold`] aggregates the readings of records, which may be added in any order. The resulting [`SeriesTable`]s can be
//! merged in any order.

mod extract;
mod field;
mod fold;
mod number;
mod path;
mod point;
mod query;
mod sketch;
mod states;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use field::{FieldKind, SeriesField};
pub use fold::Fold;
pub use path::ValuePath;
pub use point::{Omission, OmittedCounts, Point};
pub use query::{FieldChoice, GroupBy, InvalidQuery, SeriesQuery, TimeSource, parse_each, parse_states, parse_step};
pub use states::StateNames;
pub use table::{SeriesTable, SeriesView};
pub use window::{MAX_POINTS, Window, default_step, parse_from, parse_to};

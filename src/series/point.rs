//! Readings, the points that aggregate them, and the counts of omitted records.

use crate::record::{Offset, Timestamp};

/// Maximum length of the name of a series or a state, in bytes.
pub const MAX_NAME: usize = 256;

/// A number or a state in a record, with its time and the offset of the record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The time of the reading, in milliseconds since the Unix epoch.
    pub time: Timestamp,
    /// The offset of the record. If two readings have the same time, the one with the higher offset is the last.
    pub offset: Offset,
    /// The number, or the index of the state's name. Integers are exact up to 2^53.
    pub number: f64,
}

/// Minimum, maximum, last value and count of the readings of one series in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The index of the step: its start time divided by its length.
    pub step: i64,
    /// The smallest reading.
    pub min: f64,
    /// The largest reading.
    pub max: f64,
    /// The reading with the latest time; of readings with the same time, the one with the highest offset.
    pub last: f64,
    /// The number of readings.
    pub count: u64,
    /// The version of the table at the last change of this point.
    pub version: u32,
    /// The time of `last`, in milliseconds since the start of the step.
    last_after: u32,
    last_offset: Offset,
}

impl Point {
    /// Creates the point of a single reading.
    pub fn new(step: i64, length: i64, reading: Reading) -> Self {
        let Reading { time, offset, number } = reading;
        Self {
            step,
            min: number,
            max: number,
            last: number,
            count: 1,
            version: 0,
            last_after: after(time, length),
            last_offset: offset,
        }
    }

    /// Adds a reading of the same step. Readings of the same record must be added in order.
    pub fn add(&mut self, length: i64, reading: Reading) {
        let Reading { time, offset, number } = reading;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.count += 1;
        let order = (after(time, length), offset);
        if order >= (self.last_after, self.last_offset) {
            (self.last_after, self.last_offset) = order;
            self.last = number;
        }
    }

    /// Adds the readings of other records in the same step. Points can be merged in any order.
    pub fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
        let (own, others) = ((self.last_after, self.last_offset), (other.last_after, other.last_offset));
        // Records of two partitions may have the same time and offset.
        if others > own || (others == own && other.last > self.last) {
            (self.last_after, self.last_offset) = others;
            self.last = other.last;
        }
    }
}

/// Returns the time since the start of the step. It fits in 32 bits, because steps are shorter than 2^32 milliseconds
/// (`MAX_STEP`).
fn after(time: Timestamp, length: i64) -> u32 {
    u32::try_from(time.rem_euclid(length)).unwrap_or(u32::MAX)
}

/// The reason why a record, or a part of it, is in no series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omission {
    /// The value is neither JSON nor a number.
    NotJson,
    /// The value has no number where the query looks for one.
    NoNumber,
    /// The value has no state where the query, which reads no numbers, looks for one.
    NoState,
    /// The record or its value has no time where the query looks for one.
    NoTime,
    /// The name of the series or state would be longer than 256 bytes.
    LongName,
    /// There are too many series, or they do not fit in the memory budget.
    TooManySeries,
    /// The field has too many states. None of its readings are in a series.
    TooManyStates,
    /// The record could not be decoded by its schema.
    SchemaError,
}

impl Omission {
    /// All reasons, in the order of [`OmittedCounts`].
    pub const ALL: [Self; 8] = [
        Self::NotJson,
        Self::NoNumber,
        Self::NoState,
        Self::NoTime,
        Self::LongName,
        Self::TooManySeries,
        Self::TooManyStates,
        Self::SchemaError,
    ];

    /// The name in responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NoNumber => "no_number",
            Self::NoState => "no_state",
            Self::NoTime => "no_time",
            Self::LongName => "long_name",
            Self::TooManySeries => "too_many_series",
            Self::TooManyStates => "too_many_states",
            Self::SchemaError => "schema_error",
        }
    }
}

/// The number of omitted records for each reason. Readings that do not fit in a table are counted individually.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OmittedCounts([u64; Omission::ALL.len()]);

impl OmittedCounts {
    /// Counts `records` more records.
    pub fn add(&mut self, omission: Omission, records: u64) {
        self.0[omission as usize] += records;
    }

    /// Adds other counts.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    /// Returns the total number.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the reasons that occurred, with their numbers.
    pub fn reasons(&self) -> impl Iterator<Item = (Omission, u64)> {
        Omission::ALL.into_iter().zip(self.0).filter(|(_, records)| *records > 0)
    }
}

//! Which readings a series has: the parameters of `/series` that do not change with the window.

use super::path::ValuePath;
use crate::start_position::parse_age;
use thiserror::Error;

/// The most fields that a query may list.
const MAX_LISTED: usize = 32;
/// The shortest and the longest step, in milliseconds.
pub const MIN_STEP: i64 = 10;
pub const MAX_STEP: i64 = 31 * 86_400_000;

/// A question that many viewers may have in common. Equal queries of one topic share their computation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesQuery {
    /// The numbers that are read.
    pub fields: FieldChoice,
    /// What a series is named by. Without it, a field is one series.
    pub by: Option<GroupBy>,
    /// An array whose elements are read one by one. Paths that begin with it lead into each element.
    pub each: Option<ValuePath>,
    /// Where the time of a reading comes from.
    pub time: TimeSource,
    /// The length of a step, in milliseconds. Steps begin at its multiples since the Unix epoch.
    pub step: i64,
}

/// The numbers of a value that are readings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldChoice {
    /// Every JSON number that is not in an array.
    AllNumbers,
    /// The numbers at these paths. Here a text such as `21.5 °C` is a number too, `true` is 1 and `false` 0.
    Listed(Vec<ValuePath>),
}

/// What a series is named by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The key of the record.
    Key,
    /// The first header of this name.
    Header(Box<str>),
    /// The text, number or bool at this path.
    Value(ValuePath),
}

/// Where the time of a reading comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TimeSource {
    /// The timestamp of the record.
    Record,
    /// The number or text at this path: seconds or milliseconds since the Unix epoch, or RFC 3339.
    Value(ValuePath),
}

/// A parameter that cannot be used. The text says what was given and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuery {
    /// Not a path.
    #[error(
        "{parameter} is {given:?}; it must be a path such as value.temperature, or value[\"air temperature\"] for a name \
             with other characters (at most 8 names, without indexes of arrays)"
    )]
    Path {
        /// The name of the parameter.
        parameter: &'static str,
        /// The value as given.
        given: String,
    },
    /// Not a name for series.
    #[error("by is {0:?}; allowed are key, header:NAME, and a path such as value.machine")]
    By(String),
    /// Not a source of times.
    #[error("time is {0:?}; allowed are record (the timestamp of the record) and a path such as value.time")]
    Time(String),
    /// More fields than are allowed.
    #[error("field is given {0} times; at most {MAX_LISTED} are allowed")]
    TooManyFields(usize),
    /// Not a step.
    #[error("step is {0:?}; it must be a duration from 10ms to 31d, such as 5s, 1m or 1h")]
    Step(String),
    /// Not the beginning of a window.
    #[error(
        "from is {0:?}; allowed are an age such as -15m, a time like 2026-01-31T08:00:00Z, and milliseconds since the \
             Unix epoch"
    )]
    From(String),
    /// Not the end of a window.
    #[error(
        "to is {0:?}; allowed are now, an age such as -5m, a time like 2026-01-31T08:00:00Z, and milliseconds since the \
             Unix epoch"
    )]
    To(String),
    /// A window that ends before it begins.
    #[error("the window is empty: from is {from} and to is {to} (milliseconds since the Unix epoch); to must be later")]
    Empty {
        /// The beginning, in milliseconds since the Unix epoch.
        from: i64,
        /// The end, in milliseconds since the Unix epoch.
        to: i64,
    },
    /// More steps than one answer may have.
    #[error(
        "the window has {points} steps of {step} ms; at most {max} are allowed, so choose a longer step or a shorter \
             window"
    )]
    TooManyPoints {
        /// The number of steps.
        points: i64,
        /// The limit.
        max: i64,
        /// The length of a step, in milliseconds.
        step: i64,
    },
}

impl FieldChoice {
    /// Parses the values of `field`.
    pub fn parse(given: &[&str]) -> Result<Self, InvalidQuery> {
        if given.is_empty() {
            return Ok(Self::AllNumbers);
        }
        if given.len() > MAX_LISTED {
            return Err(InvalidQuery::TooManyFields(given.len()));
        }
        let mut paths = Vec::new();
        for text in given {
            let path = path("field", text)?;
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Ok(Self::Listed(paths))
    }
}

impl GroupBy {
    /// Parses the value of `by`.
    pub fn parse(given: &str) -> Result<Self, InvalidQuery> {
        let header = given.strip_prefix("header:").filter(|name| !name.is_empty());
        match (given, header) {
            ("key", _) => Ok(Self::Key),
            (_, Some(name)) => Ok(Self::Header(name.into())),
            _ => ValuePath::parse(given).map(Self::Value).ok_or_else(|| InvalidQuery::By(shortened(given))),
        }
    }
}

impl TimeSource {
    /// Parses the value of `time`.
    pub fn parse(given: &str) -> Result<Self, InvalidQuery> {
        match given {
            "record" => Ok(Self::Record),
            _ => ValuePath::parse(given).map(Self::Value).ok_or_else(|| InvalidQuery::Time(shortened(given))),
        }
    }
}

/// Parses the value of `each`.
pub fn parse_each(given: &str) -> Result<ValuePath, InvalidQuery> {
    path("each", given)
}

/// Parses the value of `step` into milliseconds.
pub fn parse_step(given: &str) -> Result<i64, InvalidQuery> {
    let step = parse_age(given).filter(|step| (MIN_STEP..=MAX_STEP).contains(step));
    step.ok_or_else(|| InvalidQuery::Step(shortened(given)))
}

fn path(parameter: &'static str, given: &str) -> Result<ValuePath, InvalidQuery> {
    ValuePath::parse(given).ok_or_else(|| InvalidQuery::Path { parameter, given: shortened(given) })
}

pub fn shortened(given: &str) -> String {
    given.chars().take(200).collect()
}

//! The query of a time series: the parameters of `/series`, except the window.

use super::path::ValuePath;
use crate::start_position::parse_age;
use thiserror::Error;

/// Maximum number of fields that a query may list.
const MAX_LISTED: usize = 32;
/// The shortest and the longest step, in milliseconds.
pub const MIN_STEP: i64 = 10;
pub const MAX_STEP: i64 = 31 * 86_400_000;

/// Defines the series to compute. Viewers with equal queries of a topic share a computation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesQuery {
    /// The numbers to read.
    pub fields: FieldChoice,
    /// The texts, booleans and integers to read as states.
    pub states: Vec<ValuePath>,
    /// The source of the series names. Without it, each field is one series.
    pub by: Option<GroupBy>,
    /// The path of an array whose elements are read separately. Paths that begin with it refer to parts of each
    /// element.
    pub each: Option<ValuePath>,
    /// Where the time of a reading comes from.
    pub time: TimeSource,
    /// The length of a step, in milliseconds. Steps begin at multiples of it since the Unix epoch.
    pub step: i64,
}

/// The numbers in a value that are used as readings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldChoice {
    /// Every JSON number that is not in an array, except the array of `each`.
    AllNumbers,
    /// The numbers at these paths. A text such as `21.5 °C` counts as a number, `true` as 1, and `false` as 0.
    Listed(Vec<ValuePath>),
}

/// The source of a series name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The key of the record.
    Key,
    /// The last header of this name, as for Kafka's `Headers.lastHeader`.
    Header(Box<str>),
    /// The text, number or boolean at this path.
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

/// An invalid parameter. The message contains the given value and the allowed ones.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuery {
    /// The parameter is not a path.
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
    /// `by` is not a source of series names.
    #[error("by is {0:?}; allowed are key, header:NAME, and a path such as value.machine")]
    By(String),
    /// `time` is not a source of times.
    #[error("time is {0:?}; allowed are record (the timestamp of the record) and a path such as value.time")]
    Time(String),
    /// A parameter is repeated too often.
    #[error("{parameter} is given {given} times; at most {MAX_LISTED} are allowed")]
    TooMany {
        /// The name of the parameter.
        parameter: &'static str,
        /// The number of values.
        given: usize,
    },
    /// `step` is not a duration, or is out of range.
    #[error("step is {0:?}; it must be a duration from 10ms to 31d, such as 5s, 1m or 1h")]
    Step(String),
    /// `from` is not a time.
    #[error(
        "from is {0:?}; allowed are an age such as -15m, a time like 2026-01-31T08:00:00Z, and milliseconds since the \
             Unix epoch"
    )]
    From(String),
    /// `to` is not a time.
    #[error(
        "to is {0:?}; allowed are now, an age such as -5m, a time like 2026-01-31T08:00:00Z, and milliseconds since the \
             Unix epoch"
    )]
    To(String),
    /// The end of the window is not after its beginning.
    #[error("the window is empty: from is {from} and to is {to} (milliseconds since the Unix epoch); to must be later")]
    Empty {
        /// The beginning, in milliseconds since the Unix epoch.
        from: i64,
        /// The end, in milliseconds since the Unix epoch.
        to: i64,
    },
    /// The window has more steps than a response may have.
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
    /// Parses the values of `field`. Without any, a query reads all numbers, unless it reads `states`.
    pub fn parse(given: &[&str], states: &[ValuePath]) -> Result<Self, InvalidQuery> {
        match given.is_empty() && states.is_empty() {
            true => Ok(Self::AllNumbers),
            false => paths("field", given).map(Self::Listed),
        }
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

/// Parses the values of `state`.
pub fn parse_states(given: &[&str]) -> Result<Vec<ValuePath>, InvalidQuery> {
    paths("state", given)
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

fn paths(parameter: &'static str, given: &[&str]) -> Result<Vec<ValuePath>, InvalidQuery> {
    if given.len() > MAX_LISTED {
        return Err(InvalidQuery::TooMany { parameter, given: given.len() });
    }
    let mut paths = Vec::new();
    for text in given {
        let path = path(parameter, text)?;
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn path(parameter: &'static str, given: &str) -> Result<ValuePath, InvalidQuery> {
    ValuePath::parse(given).ok_or_else(|| InvalidQuery::Path { parameter, given: shortened(given) })
}

pub fn shortened(given: &str) -> String {
    given.chars().take(200).collect()
}

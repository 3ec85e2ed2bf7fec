//! The functions of expressions.

use super::CompileError;
use super::budget::{StepBudget, Unknown};
use super::time;
use super::value::CelValue;
use std::borrow::Cow;

/// A function of CEL's standard library, or a conversion to a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Size,
    Int,
    Double,
    String,
    Bool,
    Timestamp,
    Duration,
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    LowerAscii,
    UpperAscii,
    FullYear,
    Month,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStyle {
    /// `size(x)`
    Global,
    /// `x.size()`
    Method,
}

/// The name, style and number of arguments of each function. The receiver of a method counts as an argument.
const FUNCTIONS: [(&str, CallStyle, usize, Function); 23] = [
    ("size", CallStyle::Global, 1, Function::Size),
    ("int", CallStyle::Global, 1, Function::Int),
    ("double", CallStyle::Global, 1, Function::Double),
    ("string", CallStyle::Global, 1, Function::String),
    ("bool", CallStyle::Global, 1, Function::Bool),
    ("timestamp", CallStyle::Global, 1, Function::Timestamp),
    ("duration", CallStyle::Global, 1, Function::Duration),
    ("matches", CallStyle::Global, 2, Function::Matches),
    ("size", CallStyle::Method, 1, Function::Size),
    ("startsWith", CallStyle::Method, 2, Function::StartsWith),
    ("endsWith", CallStyle::Method, 2, Function::EndsWith),
    ("contains", CallStyle::Method, 2, Function::Contains),
    ("matches", CallStyle::Method, 2, Function::Matches),
    ("lowerAscii", CallStyle::Method, 1, Function::LowerAscii),
    ("upperAscii", CallStyle::Method, 1, Function::UpperAscii),
    ("getFullYear", CallStyle::Method, 1, Function::FullYear),
    ("getMonth", CallStyle::Method, 1, Function::Month),
    ("getDate", CallStyle::Method, 1, Function::Date),
    ("getDayOfWeek", CallStyle::Method, 1, Function::DayOfWeek),
    ("getHours", CallStyle::Method, 1, Function::Hours),
    ("getMinutes", CallStyle::Method, 1, Function::Minutes),
    ("getSeconds", CallStyle::Method, 1, Function::Seconds),
    ("getMilliseconds", CallStyle::Method, 1, Function::Milliseconds),
];

impl Function {
    /// Returns the function called `name` in this style. The error at `column` lists the functions that exist.
    pub fn find(name: &str, style: CallStyle, column: usize) -> Result<Self, CompileError> {
        let known = |kind: CallStyle| FUNCTIONS.iter().filter(move |(_, style, ..)| *style == kind);
        if let Some((.., function)) = known(style).find(|(known, ..)| *known == name) {
            return Ok(*function);
        }
        let mut names: Vec<_> = known(style).map(|(name, ..)| *name).collect();
        let kind = match style {
            CallStyle::Method => "method",
            CallStyle::Global => {
                names.insert(0, "has");
                "function"
            }
        };
        let names = names.join(", ");
        let hint = match name {
            "all" | "exists" | "exists_one" | "map" | "filter" => "; to look into a list, write x in list",
            _ => "",
        };
        Err(CompileError::new(column, format!("there is no {kind} `{name}`; there are {names}{hint}")))
    }

    /// Returns the number of arguments, including the receiver of a method.
    pub fn arguments(self) -> usize {
        FUNCTIONS.iter().find(|(.., own)| *own == self).map_or(1, |(_, _, arguments, _)| *arguments)
    }

    /// The type of the result, with its article, for error messages.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Double => "a double",
            Self::String | Self::LowerAscii | Self::UpperAscii => "a string",
            Self::Bool | Self::StartsWith | Self::EndsWith | Self::Contains | Self::Matches => "a bool",
            Self::Timestamp => "a timestamp",
            Self::Duration => "a duration",
            _ => "an int",
        }
    }

    /// Evaluates a function of one argument.
    pub fn of_one<'t>(self, argument: CelValue<'t>, budget: &StepBudget) -> Result<CelValue<'t>, Unknown> {
        if let CelValue::String(text) = &argument {
            budget.charge_bytes(text.len())?;
        }
        let value = match (self, argument) {
            (Self::Size, value) => CelValue::Int(i64::try_from(size(&value)?).map_err(|_| Unknown)?),
            (Self::Int, CelValue::Double(double)) => CelValue::Int(truncate(double)?),
            (Self::Int, CelValue::String(text)) => CelValue::Int(text.parse().map_err(|_| Unknown)?),
            (Self::Int, CelValue::Timestamp(ms)) => CelValue::Int(ms.div_euclid(1000)),
            (Self::Int, value @ CelValue::Int(_)) => value,
            (Self::Double, CelValue::Int(int)) => CelValue::Double(int as f64),
            (Self::Double, CelValue::Uint(uint)) => CelValue::Double(uint as f64),
            (Self::Double, CelValue::String(text)) => CelValue::Double(text.parse().map_err(|_| Unknown)?),
            (Self::Double, value @ CelValue::Double(_)) => value,
            (Self::Bool, CelValue::String(text)) => CelValue::Bool(text.parse().map_err(|_| Unknown)?),
            (Self::Bool, value @ CelValue::Bool(_)) => value,
            (Self::String, value) => string(value)?,
            (Self::Timestamp, CelValue::String(text)) => CelValue::Timestamp(time::timestamp(&text).ok_or(Unknown)?),
            (Self::Timestamp, CelValue::Int(seconds)) => CelValue::Timestamp(
                seconds.checked_mul(1000).filter(|ms| time::calendar(*ms).is_some()).ok_or(Unknown)?,
            ),
            (Self::Timestamp, value @ CelValue::Timestamp(_)) => value,
            (Self::Duration, CelValue::String(text)) => CelValue::Duration(time::duration(&text).ok_or(Unknown)?),
            (Self::Duration, value @ CelValue::Duration(_)) => value,
            (Self::LowerAscii, CelValue::String(text)) => CelValue::String(text.to_ascii_lowercase().into()),
            (Self::UpperAscii, CelValue::String(text)) => CelValue::String(text.to_ascii_uppercase().into()),
            (part, CelValue::Timestamp(ms)) => CelValue::Int(part.of_calendar(ms)?),
            (part, CelValue::Duration(ms)) => CelValue::Int(part.of_duration(ms)?),
            _ => return Err(Unknown),
        };
        Ok(value)
    }

    /// A part of a timestamp in UTC. As in CEL, months and weekdays (from Sunday) count from 0, days of the month from 1.
    fn of_calendar(self, ms: i64) -> Result<i64, Unknown> {
        let time = time::calendar(ms).ok_or(Unknown)?;
        Ok(match self {
            Self::FullYear => time.year().into(),
            Self::Month => i64::from(u8::from(time.month())) - 1,
            Self::Date => time.day().into(),
            Self::DayOfWeek => time.weekday().number_days_from_sunday().into(),
            Self::Hours => time.hour().into(),
            Self::Minutes => time.minute().into(),
            Self::Seconds => time.second().into(),
            Self::Milliseconds => time.millisecond().into(),
            _ => return Err(Unknown),
        })
    }

    /// A duration converted to one unit. As in CEL, milliseconds are only the part below a second.
    fn of_duration(self, ms: i64) -> Result<i64, Unknown> {
        Ok(match self {
            Self::Hours => ms / 3_600_000,
            Self::Minutes => ms / 60_000,
            Self::Seconds => ms / 1000,
            Self::Milliseconds => ms % 1000,
            _ => return Err(Unknown),
        })
    }

    /// Evaluates a search for `part` in `text`.
    pub fn of_texts(self, text: &CelValue<'_>, part: &CelValue<'_>, budget: &StepBudget) -> Result<bool, Unknown> {
        let (CelValue::String(text), CelValue::String(part)) = (text, part) else { return Err(Unknown) };
        match self {
            Self::StartsWith => Ok(text.starts_with(&**part)),
            Self::EndsWith => Ok(text.ends_with(&**part)),
            Self::Contains => {
                budget.charge_bytes(text.len())?;
                Ok(memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some())
            }
            _ => Err(Unknown),
        }
    }
}

/// The size of a string in characters, of bytes in bytes, of a list or map in elements.
fn size(value: &CelValue<'_>) -> Result<usize, Unknown> {
    Ok(match value {
        CelValue::String(text) => text.chars().count(),
        CelValue::Bytes(bytes) => bytes.len(),
        CelValue::List(items) => items.len(),
        CelValue::Items(items) => items.len(),
        CelValue::Map(fields) => fields.len(),
        _ => return Err(Unknown),
    })
}

/// Truncates towards zero, as CEL's `int()` does.
fn truncate(double: f64) -> Result<i64, Unknown> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&double) { Ok(double as i64) } else { Err(Unknown) }
}

fn string(value: CelValue<'_>) -> Result<CelValue<'_>, Unknown> {
    let text = match value {
        CelValue::String(text) => text,
        CelValue::Int(int) => int.to_string().into(),
        CelValue::Uint(uint) => uint.to_string().into(),
        CelValue::Double(double) => double.to_string().into(),
        CelValue::Bool(bool) => bool.to_string().into(),
        CelValue::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| Unknown)?),
        CelValue::Timestamp(ms) => time::timestamp_text(ms).ok_or(Unknown)?.into(),
        CelValue::Duration(ms) => format!("{}s", ms as f64 / 1000.0).into(),
        _ => return Err(Unknown),
    };
    Ok(CelValue::String(text))
}

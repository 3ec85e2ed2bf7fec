//! Parses the query string of a series request.

use crate::cel::{CelLimits, Expression};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::series_format::AnswerFormat;
use crate::hub::Filter;
use crate::hub::series::SeriesRequest;
use crate::record::{TopicName, now};
use crate::series::{
    FieldChoice, GroupBy, InvalidQuery, SeriesQuery, TimeSource, Window, default_step, parse_each, parse_from,
    parse_states, parse_step, parse_to,
};
use std::sync::Arc;
use std::time::Duration;

/// The default of `from`.
const DEFAULT_FROM: &str = "-15m";
/// The default and the maximum of `timeout`, in ms.
const PATIENCE: u64 = 10_000;
const MAX_PATIENCE: u64 = 30_000;

/// The series that a client requests. The window may move with the current time.
pub struct SeriesQuestion {
    topic: TopicName,
    query: SeriesQuery,
    filter: Filter,
    from: String,
    to: String,
    pub format: AnswerFormat,
    /// Time limit for a complete response.
    pub timeout: Duration,
}

impl SeriesQuestion {
    pub fn parse(topic: TopicName, query: &Query, request: &Request, limits: CelLimits) -> Result<Self, Problem> {
        let format = AnswerFormat::of(query.one("format")?, &request.headers)?;
        let condition = match query.one("where")? {
            Some(text) => Some(Arc::new(Expression::compile_within(text, limits)?)),
            None => None,
        };
        let timeout = match query.one("timeout")? {
            None => PATIENCE,
            Some(text) => text.parse().ok().filter(|ms| *ms <= MAX_PATIENCE).ok_or_else(|| {
                let allowed = format!("it must be a number of milliseconds from 0 to {MAX_PATIENCE}");
                Problem::bad_request(format!("timeout is {text:?}; {allowed}"))
            })?,
        };
        let from = query.one("from")?.unwrap_or(DEFAULT_FROM).to_owned();
        let to = query.one("to")?.unwrap_or("now").to_owned();
        let step = match query.one("step")? {
            Some(step) => parse_step(step)?,
            None => {
                let now = now();
                default_step(parse_from(&from, now)?, parse_to(&to, now)?)
            }
        };
        let states = parse_states(&query.all("state")?)?;
        let query = SeriesQuery {
            fields: FieldChoice::parse(&query.all("field")?, &states)?,
            states,
            by: query.one("by")?.map(GroupBy::parse).transpose()?,
            each: query.one("each")?.map(parse_each).transpose()?,
            time: query.one("time")?.map_or(Ok(TimeSource::Record), TimeSource::parse)?,
            step,
        };
        let filter = Filter { condition, ..Filter::default() };
        Ok(Self { topic, query, filter, from, to, format, timeout: Duration::from_millis(timeout) })
    }

    /// Returns the window relative to the current time.
    pub fn window(&self) -> Result<Window, Problem> {
        let now = now();
        Ok(Window::new(parse_from(&self.from, now)?, parse_to(&self.to, now)?, self.query.step)?)
    }

    pub fn request(&self, window: Window) -> SeriesRequest {
        let (topic, query, filter) = (self.topic.clone(), self.query.clone(), self.filter.clone());
        SeriesRequest { topic, query, filter, window }
    }

    /// Returns the length of a step, in milliseconds.
    pub fn step(&self) -> i64 {
        self.query.step
    }
}

impl From<InvalidQuery> for Problem {
    fn from(invalid: InvalidQuery) -> Self {
        Self::bad_request(invalid.to_string())
    }
}

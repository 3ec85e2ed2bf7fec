//! The formats of series.

use crate::http::accept::{accept, preferred};
use crate::http::problem::Problem;
use warp::http::HeaderMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerFormat {
    Json,
    Csv,
    /// An event stream whose events are JSON.
    Updates,
}

impl AnswerFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Updates => "text/event-stream",
        }
    }

    /// Returns the format of a request. `format` takes precedence over `Accept`, which users of spreadsheets and
    /// browsers cannot set.
    pub fn of(format: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        match format {
            Some("json") => return Ok(Self::Json),
            Some("csv") => return Ok(Self::Csv),
            Some(other) => {
                return Err(Problem::bad_request(format!("format is {other:?}; allowed are json and csv")));
            }
            None => {}
        }
        let accept = accept(headers);
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let found = preferred(&accept, |range| match range {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            "text/event-stream" => Some(Self::Updates),
            _ => None,
        });
        found.ok_or_else(|| Problem::no_series_in(&accept))
    }
}

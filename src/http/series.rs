//! `GET /topics/{topic}/series`: the numbers and states in a topic's records as time series.

pub mod cache;
mod csv;
mod json;
mod number;
mod question;
mod updates;
mod view;

use super::App;
use super::auth;
use super::handoff::Streaming;
use super::problem::Problem;
use super::query::{Query, TICKET};
use super::records::PageBody;
use super::request::Request;
use super::series_format::AnswerFormat;
use super::stream::set_headers;
use super::subscribe::tag;
use crate::auth::{Permit, Right};
use crate::hub::ClientTag;
use crate::hub::series::{SeriesHandle, SeriesRejected, SeriesState, Unread};
use crate::record::TopicName;
use crate::series::Window;
use bytes::Bytes;
use question::SeriesQuestion;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use updates::{SeriesUpdates, id_of};
use view::{AnswerView, SeriesBytes};
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response};

/// The query parameters.
const PARAMETERS: [&str; 14] = [
    "from",
    "to",
    "step",
    "field",
    "state",
    "by",
    "each",
    "time",
    "where",
    "format",
    "timeout",
    "last_event_id",
    "lastEventId",
    TICKET,
];

pub async fn series(app: &Arc<App>, permit: &Permit, topic: &str, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &PARAMETERS)?;
    let topic = TopicName::new(topic)?;
    permit.may(Right::Consume, &topic)?;
    let question = SeriesQuestion::parse(topic.clone(), &query, request, app.limits.settings().filter)?;
    let question = Arc::new(question);
    let window = question.window()?;
    let caller = request.caller(permit);
    let mut response = if question.format != AnswerFormat::Updates {
        // A request may wait as a stream does, so it counts against the limit of streams.
        let _slot = app.limits.stream(&caller)?;
        let asked = Instant::now();
        let handle = wait_for(app, tag(&caller), &question, window, question.timeout).await?;
        let encoded = encode(app, handle, (question.format, window, Since::Beginning), asked).await?;
        encoded.response()
    } else if updates::is_reconnect_of_complete_stream(request) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    } else if request.method == Method::HEAD {
        StatusCode::OK.into_response()
    } else {
        let since = updates::last_id(&query, request)?;
        let slot = app.limits.stream(&caller)?;
        let revoked = app.shutdown.end_of_stream(auth::revocation(app, permit, Right::Consume, &[topic]));
        let asked = Instant::now();
        let handle = wait_for(app, tag(&caller), &question, window, updates::FIRST_WAIT).await?;
        updates::check(&handle, asked)?;
        let frames = SeriesUpdates::new(app.clone(), question.clone(), handle, since);
        let mut response = warp::reply::stream(frames.into_frames(slot, revoked)).into_response();
        response.extensions_mut().insert(Streaming);
        response
    };
    set_headers(&mut response, question.format.content_type());
    Ok(response)
}

/// The points that a response contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Since {
    /// All points of the window.
    Beginning,
    /// The points that have changed since this version.
    Version { generation: u32, version: u32 },
}

/// Requests a window, and waits until it has been read, at most for `patience`. After that, only a part of it may be
/// available.
async fn wait_for(
    app: &Arc<App>,
    client: ClientTag,
    question: &SeriesQuestion,
    window: Window,
    patience: Duration,
) -> Result<Arc<SeriesHandle>, Problem> {
    let (ready, is_ready) = oneshot::channel();
    let handle = app.hub.series().request(client, question.request(window), Box::new(move || _ = ready.send(())))?;
    let _ = timeout(patience, is_ready).await;
    Ok(Arc::new(handle))
}

/// An encoded response, and the version from which a later one continues.
#[derive(Clone)]
pub struct EncodedSeries {
    body: Bytes,
    generation: u32,
    version: u32,
    complete: Completeness,
    complete_from: i64,
    omitted: (u64, u64),
}

/// Whether a response is final: its window is in the past, and has been read completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    Partial,
}

impl EncodedSeries {
    fn response(self) -> Response {
        let mut response = Response::new(self.body.into());
        let headers = response.headers_mut();
        headers.insert("x-complete-from", self.complete_from.into());
        headers.insert("x-omitted-series", self.omitted.0.into());
        headers.insert("x-omitted-records", self.omitted.1.into());
        response
    }
}

/// Encodes the response outside the async threads. Its memory is charged to the budget.
async fn encode(
    app: &Arc<App>,
    handle: Arc<SeriesHandle>,
    (format, window, since): (AnswerFormat, Window, Since),
    asked: Instant,
) -> Result<EncodedSeries, Problem> {
    let pages = app.settings.memory.pages.clone();
    let write = move |state: SeriesState<'_>| -> Result<EncodedSeries, Problem> {
        let mut out = PageBody::new(&pages)?;
        let view = AnswerView::new(&state, window, since, out.largest(), series_bytes(format));
        let is_complete = state.late_until.is_some() && state.complete_from <= window.from;
        let complete = if is_complete { Completeness::Complete } else { Completeness::Partial };
        let (generation, version) = (state.generation, state.version);
        let end = match format {
            AnswerFormat::Json => "\n".to_owned(),
            AnswerFormat::Csv => String::new(),
            // Some clients adopt an id as soon as they read it, so it comes last.
            AnswerFormat::Updates => format!("\nid: {}\n\n", id_of(generation, version, complete)),
        };
        match format {
            AnswerFormat::Json => json::write(&mut out, &view)?,
            AnswerFormat::Csv => csv::write(&mut out, &view)?,
            AnswerFormat::Updates => {
                out.add(if view.is_update() { "event: update\ndata: " } else { "data: " })?;
                json::write(&mut out, &view)?;
            }
        }
        let (complete_from, omitted) = (view.complete_from, view.omitted());
        Ok(EncodedSeries { body: out.finish(&end)?, generation, version, complete, complete_from, omitted })
    };
    app.page(move || handle.read(asked, write).map_err(unread)?).await?
}

fn series_bytes(format: AnswerFormat) -> SeriesBytes {
    match format {
        AnswerFormat::Csv => csv::series_bytes,
        AnswerFormat::Json | AnswerFormat::Updates => json::series_bytes,
    }
}

impl From<SeriesRejected> for Problem {
    fn from(rejected: SeriesRejected) -> Self {
        Self::busy(rejected.to_string())
    }
}

fn unread(error: Unread) -> Problem {
    match error {
        Unread::Failed(error) => error.into(),
        Unread::NotYet => Problem::busy("the topic was not read yet; try again, or set a longer timeout"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Records;
    use crate::series::{FieldChoice, Fold, GroupBy, SeriesQuery, SeriesTable, StateNames, TimeSource, parse_states};
    use crate::sync::memory_budget::Share;

    /// The same state of `keys` keys in each of `steps` seconds. The keys and the state are made of `letter`.
    fn table(keys: usize, steps: i64, letter: &str) -> (SeriesTable, Arc<StateNames>) {
        let share = Share::new("series", 16 << 20, 16 << 20);
        let states = parse_states(&["value.s"]).unwrap();
        let fields = FieldChoice::parse(&[], &states).unwrap();
        let query =
            SeriesQuery { fields, states, by: Some(GroupBy::Key), each: None, time: TimeSource::Record, step: 1000 };
        let names = StateNames::new(&query, &share);
        let value = serde_json::json!({ "s": letter.repeat(256) }).to_string();
        let mut fold = Fold::new(Arc::new(query), 0..steps, &share, &names);
        for number in 0..keys {
            let key = format!("{number:03}{}", letter.repeat(253));
            let data = [key.as_bytes(), value.as_bytes()].concat();
            let (key, value) = (0..key.len(), key.len()..data.len());
            let mut records = Records::over(data.into());
            (0..steps).for_each(|step| records.push(step, step * 1000, Some(key.clone()), Some(value.clone())));
            records.iter().for_each(|record| fold.add(&record));
        }
        (fold.into_table(), names)
    }

    #[test]
    fn series_with_long_names_that_do_not_fit_in_a_response_are_omitted() {
        for (format, keys, steps, letter) in
            [(AnswerFormat::Csv, 40, 20, "\""), (AnswerFormat::Csv, 40, 20, "x"), (AnswerFormat::Json, 120, 1, "\u{1}")]
        {
            let (table, states) = table(keys, steps, letter);
            let state = SeriesState {
                table: &table,
                states: &states,
                generation: 1,
                version: 1,
                complete_from: 0,
                complete_to: 0,
                late_until: None,
            };
            let window = Window::new(0, steps * 1000, 1000).unwrap();
            let mut out = PageBody::new(&Share::new("pages", 192 << 10, 192 << 10)).unwrap();
            let view = AnswerView::new(&state, window, Since::Beginning, out.largest(), series_bytes(format));
            match format {
                AnswerFormat::Csv => csv::write(&mut out, &view).unwrap(),
                AnswerFormat::Json | AnswerFormat::Updates => json::write(&mut out, &view).unwrap(),
            }
            let written = view.series().count();
            assert!(written > 0, "{format:?} of {letter:?}");
            assert_eq!(view.omitted().0, (keys - written) as u64, "{format:?} of {letter:?}");
            assert_ne!(written, keys, "{format:?} of {letter:?}");
        }
    }
}

//! Series as an event stream: first the whole window, then an update for each step. Long steps get several updates, so that
//! a page with a window of a day is as current as one with a window of a minute. An update contains the new values of the
//! points that have changed since the previous update. Its id contains the version from which a client resumes.

use super::question::SeriesQuestion;
use super::{Completeness, EncodedSeries, Since, encode};
use crate::broker::Remedy;
use crate::http::App;
use crate::http::limits::ClientSlot;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::http::series_format::AnswerFormat;
use crate::http::shutdown::Revoked;
use crate::http::stream::StreamStyle;
use crate::http::subscribe::last_event_id;
use crate::hub::series::{SeriesHandle, Unread};
use crate::record::now;
use crate::series::Window;
use bytes::Bytes;
use futures_util::Stream;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

/// How long to wait until the window has been read. After that, the points read so far are sent.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Interval between updates while the past is being read, in milliseconds.
const READING_INTERVAL: i64 = 500;
/// Minimum and maximum interval between updates after that, in milliseconds.
const MIN_INTERVAL: i64 = 1000;
const MAX_INTERVAL: i64 = 3000;
/// How long the broker may be unreachable before the stream ends.
const PATIENCE: Duration = Duration::from_secs(15);
/// Suffix of the id of a complete response, which will not change.
const COMPLETE: &str = "-c";

/// Creates the updates for one client.
pub struct SeriesUpdates {
    app: Arc<App>,
    question: Arc<SeriesQuestion>,
    handle: Arc<SeriesHandle>,
    since: Since,
    /// The time between updates, in milliseconds; `None` before the first one.
    interval: Option<i64>,
    failing_since: Option<Instant>,
}

/// The next part of the stream.
enum Update {
    Frame(Bytes),
    Last(Bytes),
    Failed(Problem),
}

/// Fails if the topic cannot be read, and a retry does not help. If the broker is unreachable, the stream opens and
/// begins later.
pub fn check(handle: &SeriesHandle, asked: Instant) -> Result<(), Problem> {
    match handle.progress(asked) {
        Err(Unread::Failed(error)) if error.remedy() == Remedy::GiveUp => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether this is the automatic reconnect of an EventSource that has received a complete response. A 204 stops it
/// (WHATWG HTML, section 9.2.3).
pub fn is_reconnect_of_complete_stream(request: &Request) -> bool {
    let id = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    id.and_then(parse_id).is_some_and(|(_, complete)| complete == Completeness::Complete)
}

/// Returns the version from which a stream resumes, or the beginning if the client sends no id.
pub fn last_id(query: &Query, request: &Request) -> Result<Since, Problem> {
    match last_event_id(query, request)? {
        None => Ok(Since::Beginning),
        Some(id) => parse_id(id).map(|(since, _)| since).ok_or_else(|| {
            let given: String = id.chars().take(200).collect();
            Problem::bad_request(format!(
                "the last id is {given:?}, which is not of an update of /series; send it as it came, or none"
            ))
        }),
    }
}

/// Parses an id. Versions are hexadecimal, so the mark of a complete response is only the third part: `1f-c` is version 12.
fn parse_id(id: &str) -> Option<(Since, Completeness)> {
    let (id, complete) = match id.split('-').count() {
        3 => (id.strip_suffix(COMPLETE)?, Completeness::Complete),
        _ => (id, Completeness::Partial),
    };
    let (generation, version) = id.split_once('-')?;
    let number = |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| text.len() <= 8 && !text.starts_with('+'));
    Some((Since::Version { generation: number(generation)?, version: number(version)? }, complete))
}

/// Returns the id of an update.
pub fn id_of(generation: u32, version: u32, complete: Completeness) -> String {
    let mark = if complete == Completeness::Complete { COMPLETE } else { "" };
    format!("{generation:x}-{version:x}{mark}")
}

impl SeriesUpdates {
    pub fn new(app: Arc<App>, question: Arc<SeriesQuestion>, handle: Arc<SeriesHandle>, since: Since) -> Self {
        Self { app, question, handle, since, interval: None, failing_since: None }
    }

    /// Returns the body of the stream, which ends at the latest when `revoked` resolves. `slot` counts the stream
    /// against the client's limit.
    pub fn into_frames(self, slot: ClientSlot, revoked: Revoked) -> UpdateFrames {
        let heartbeat = self.app.settings.heartbeat;
        UpdateFrames {
            phase: UpdatePhase::Head,
            silence: Box::pin(sleep(heartbeat)),
            next: Mutex::new(Box::pin(self.next())),
            revoked,
            heartbeat,
            _slot: slot,
        }
    }

    /// Waits for the next update.
    async fn next(mut self) -> (Self, Update) {
        loop {
            if let Some(interval) = self.interval {
                sleep(until_next(interval)).await;
            }
            match self.update().await {
                Ok(Some(update)) => return (self, update),
                Ok(None) => {}
                Err(problem) => return (self, Update::Failed(problem)),
            }
        }
    }

    async fn update(&mut self) -> Result<Option<Update>, Problem> {
        let window = self.question.window()?;
        let asked = Instant::now();
        let (ready, is_ready) = oneshot::channel();
        self.handle.request(window, Box::new(move || _ = ready.send(())));
        let step = self.question.step().clamp(MIN_INTERVAL, MAX_INTERVAL);
        let _ = timeout(FIRST_WAIT, is_ready).await;
        self.interval = Some(READING_INTERVAL);
        match self.handle.progress(asked) {
            Ok((complete_from, _)) if complete_from <= window.from => self.interval = Some(step),
            Ok(_) => {}
            Err(Unread::NotYet) => return Ok(None),
            Err(Unread::Failed(error)) => return self.failed((&error).into(), error.remedy()),
        }
        let encoded = match self.encoded(window, asked).await {
            Ok(encoded) => encoded,
            // The memory budget is used up, or all threads that encode are busy.
            Err(problem) if problem.is_server_error() => return self.failed(problem, Remedy::Retry),
            Err(problem) => return Err(problem),
        };
        self.failing_since = None;
        let EncodedSeries { body, generation, version, complete, .. } = encoded;
        self.since = Since::Version { generation, version };
        Ok(Some(if complete == Completeness::Complete { Update::Last(body) } else { Update::Frame(body) }))
    }

    /// Returns the cached update of another viewer, or encodes the update.
    async fn encoded(&self, window: Window, asked: Instant) -> Result<EncodedSeries, Problem> {
        let cache = &self.app.series_updates;
        if let Some(encoded) = cache.get(&self.handle, window, self.since) {
            return Ok(encoded);
        }
        let _turn = cache.encode_alone(&self.handle).await;
        if let Some(encoded) = cache.get(&self.handle, window, self.since) {
            return Ok(encoded);
        }
        let what = (AnswerFormat::Updates, window, self.since);
        let encoded = encode(&self.app, self.handle.clone(), what, asked).await?;
        cache.put(&self.handle, window, self.since, &encoded);
        Ok(encoded)
    }

    fn failed(&mut self, problem: Problem, remedy: Remedy) -> Result<Option<Update>, Problem> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if remedy == Remedy::GiveUp || since.elapsed() >= PATIENCE { Err(problem) } else { Ok(None) }
    }
}

/// Returns the time until shortly after the next multiple of `interval`. All viewers then request the update at the
/// same time and share it, and the step has ended.
fn until_next(interval: i64) -> Duration {
    let left = interval - now().rem_euclid(interval);
    Duration::from_millis(u64::try_from(left).unwrap_or_default() + 10)
}

/// The body of a stream of updates.
pub struct UpdateFrames {
    phase: UpdatePhase,
    /// In a mutex because bodies must be `Sync`; it is never locked.
    next: Mutex<NextUpdate>,
    revoked: Revoked,
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
    /// Counts the stream against the client's limit until the stream ends.
    _slot: ClientSlot,
}

type NextUpdate = Pin<Box<dyn Future<Output = (SeriesUpdates, Update)> + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdatePhase {
    Head,
    Open,
    Ended,
}

impl UpdateFrames {
    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Update> {
        let next = self.next.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Poll::Ready((updates, update)) = next.as_mut().poll(cx) else { return Poll::Pending };
        *next = Box::pin(updates.next());
        Poll::Ready(update)
    }
}

impl Stream for UpdateFrames {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let style = StreamStyle::Sse;
        match self.phase {
            UpdatePhase::Ended => return Poll::Ready(None),
            UpdatePhase::Head => {
                self.phase = UpdatePhase::Open;
                return Poll::Ready(Some(Ok(style.head())));
            }
            UpdatePhase::Open => {}
        }
        let frame = if let Poll::Ready(problem) = self.revoked.as_mut().poll(cx) {
            self.phase = UpdatePhase::Ended;
            style.problem(&problem).unwrap_or_default()
        } else if let Poll::Ready(update) = self.poll_update(cx) {
            if !matches!(update, Update::Frame(_)) {
                self.phase = UpdatePhase::Ended;
            }
            match update {
                Update::Frame(frame) | Update::Last(frame) => frame,
                Update::Failed(problem) => style.problem(&problem).unwrap_or_default(),
            }
        } else if self.silence.as_mut().poll(cx).is_ready() {
            style.heartbeat().unwrap_or_default()
        } else {
            return Poll::Pending;
        };
        let until = tokio::time::Instant::now() + self.heartbeat;
        self.silence.as_mut().reset(until);
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back() {
        for (id, since) in [
            ("1f-a", Some((31, 10, Completeness::Partial))),
            ("ffffffff-0-c", Some((u32::MAX, 0, Completeness::Complete))),
            ("1f-c", Some((31, 12, Completeness::Partial))),
            ("c-c-c", Some((12, 12, Completeness::Complete))),
            ("1f-a-b", None),
            ("1f-a-c-c", None),
            ("-c-c", None),
            ("1f", None),
            ("1f-", None),
            ("-1", None),
            ("+1-1", None),
            ("100000000-1", None),
            ("BAAA", None),
        ] {
            let since = since.map(|(generation, version, complete)| (Since::Version { generation, version }, complete));
            assert_eq!(parse_id(id), since, "{id}");
        }
        assert_eq!(id_of(31, 10, Completeness::Partial), "1f-a");
        assert_eq!(id_of(31, 10, Completeness::Complete), "1f-a-c");
    }
}

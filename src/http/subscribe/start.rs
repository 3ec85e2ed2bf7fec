//! Determines the start of a stream: the parameters `from` and `since`, or a cursor.

use crate::broker::BrokerError;
use crate::cursor::{Cursor, Selection};
use crate::http::App;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;
use crate::hub::{ClientTag, Missing, PreparedSnapshot, SnapshotCheck, Start, Subscription};
use crate::record::{Timestamp, TopicName, now};
use crate::start_position::{StartPosition, parse_start};
use std::sync::Arc;
use std::time::{Duration, Instant};
use warp::http::header::HeaderValue;

/// Time limit for finding out whether a topic is too large for a snapshot. After that, the stream opens without this
/// check.
const SNAPSHOT_WAIT: Duration = Duration::from_millis(500);

/// Interval between two checks of a snapshot.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(5);

/// Returns the start of the stream. A cursor takes precedence over `from`, because a reconnecting EventSource repeats
/// its URL.
pub fn start(query: &Query, request: &Request, topics: &[TopicName], selection: &Selection) -> Result<Start, Problem> {
    let last_id = last_event_id(query, request)?;
    let since = query.one("since")?.map(since).transpose()?;
    if let Some(id) = last_id {
        return Ok(Start::Cursor(Cursor::parse(id, topics.to_vec(), selection.clone())?));
    }
    let from = query.one("from")?.map_or(Ok(StartPosition::Latest), |from| parse_start(from, now()));
    let from = from.map_err(|bad| Problem::bad_request(bad.to_string()))?;
    match (from.resolve(topics, selection)?, since) {
        (Start::Snapshot { .. }, since) => Ok(Start::Snapshot { since }),
        (start, None) => Ok(start),
        (_, Some(_)) => Err(Problem::bad_request(
            "since narrows a snapshot; use it with from=snapshot, or write from=-24h to start at a time",
        )),
    }
}

/// Returns the id of the last event that the client received, unless it is empty. The header takes precedence over the
/// parameters.
pub fn last_event_id<'r>(query: &'r Query, request: &'r Request) -> Result<Option<&'r str>, Problem> {
    let header = request.headers.get("last-event-id").map(HeaderValue::to_str).transpose();
    let header = header.map_err(|_| {
        Problem::bad_request("Last-Event-ID is not the id of an event: it contains non-ASCII bytes; send it as it came")
    })?;
    let ids = [header, query.one("last_event_id")?, query.one("lastEventId")?];
    Ok(ids.into_iter().flatten().find(|id| !id.is_empty()))
}

/// Parses the time of the oldest records of a snapshot: an age or a time.
fn since(text: &str) -> Result<Timestamp, Problem> {
    match parse_start(text, now()) {
        Ok(StartPosition::Time(at)) => Ok(at),
        _ => Err(Problem::bad_request(format!(
            "since is {text:?}; allowed are an age like -24h and a time like 2026-01-31T08:00:00Z"
        ))),
    }
}

/// Rejects a stream if its snapshot soon turns out to be impossible, for instance because the topic is too large. If
/// that is found out later, the open stream ends with a problem. Returns the views for the stream, which need not be read
/// again.
pub async fn check_snapshot(
    app: &Arc<App>,
    client: ClientTag,
    subscription: &Subscription,
) -> Result<Option<PreparedSnapshot>, Problem> {
    let Some(prepared) = app.hub.prepare_snapshot(client, subscription) else { return Ok(None) };
    let deadline = Instant::now() + SNAPSHOT_WAIT;
    loop {
        match prepared.check() {
            SnapshotCheck::Ready => return Ok(Some(prepared)),
            SnapshotCheck::Failed(BrokerError::UnknownTopic(_)) if subscription.missing == Missing::Wait => {
                return Ok(Some(prepared));
            }
            SnapshotCheck::Failed(error) => return Err(error.into()),
            SnapshotCheck::Pending if Instant::now() >= deadline => return Ok(Some(prepared)),
            SnapshotCheck::Pending => tokio::time::sleep(SNAPSHOT_PAUSE).await,
        }
    }
}

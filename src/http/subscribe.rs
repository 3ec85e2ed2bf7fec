//! `GET /topics/{topic}/events` and `GET /events`: subscribes as the query requests, and streams the frames.

mod format;
mod start;

use super::App;
use super::auth;
use super::handoff::Streaming;
use super::limits::ClientKey;
use super::problem::Problem;
use super::query::{Query, TICKET};
use super::request::Request;
use super::stream::{Frames, set_headers};
use crate::auth::{Permit, Right};
use crate::broker::{BrokerError, TopicInfo};
use crate::cel::{self, Expression};
use crate::cursor::{Cursor, Selection};
use crate::hub::{ClientTag, Filter, Format, Missing, Start, Subscription, Until};
use crate::record::{Offset, TopicName, TopicPartition, now};
use crate::start_position::{StartPosition, parse_sample, parse_start};
use format::StreamFormat;
pub use start::last_event_id;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use warp::http::{Method, StatusCode};
use warp::reply::{Reply, Response};

/// The query parameters of a stream; `/events` also has `topic`.
const PARAMETERS: [&str; 15] = [
    "from",
    "since",
    "last_event_id",
    "lastEventId",
    "partition",
    "key",
    "header",
    "where",
    "format",
    "sample",
    "select",
    "wait",
    "until",
    "limit",
    TICKET,
];
/// An offset for which the id of a stream must have space in every partition. It takes five base-64 digits.
const LARGE_OFFSET: Offset = 999_999_999;
/// Time limit for looking up the topics. After that, the stream opens without this check.
const LOOK_UP: Duration = Duration::from_millis(500);

pub async fn topic(app: &Arc<App>, permit: &Permit, topic: &str, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &PARAMETERS)?;
    open(app, permit, vec![TopicName::new(topic)?], &query, request).await
}

pub async fn topics(app: &Arc<App>, permit: &Permit, request: &Request) -> Result<Response, Problem> {
    let allowed: Vec<_> = ["topic"].into_iter().chain(PARAMETERS).collect();
    let query = Query::parse(&request.query, &allowed)?;
    let topics: Vec<_> = query.all("topic")?.into_iter().map(TopicName::new).collect::<Result<_, _>>()?;
    if topics.is_empty() {
        return Err(Problem::bad_request("the query names no topic; write for example /events?topic=a&topic=b"));
    }
    let (given, most) = (topics.len(), app.limits.settings().topics_per_stream);
    if given > most {
        let detail = format!("the stream has {given} topics; at most {most} are allowed (--max-topics-per-stream)");
        return Err(Problem::bad_request(detail));
    }
    open(app, permit, topics, &query, request).await
}

async fn open(
    app: &Arc<App>,
    permit: &Permit,
    topics: Vec<TopicName>,
    query: &Query,
    request: &Request,
) -> Result<Response, Problem> {
    topics.iter().try_for_each(|topic| permit.may(Right::Consume, topic))?;
    let revoked = auth::revocation(app, permit, Right::Consume, &topics);
    let StreamFormat { style, format, head } = StreamFormat::of(request, query, app.limits.settings().filter)?;
    let subscription = subscription(app, topics, query, request, format)?;
    if is_reconnect_of_complete_stream(&subscription, request) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if subscription.missing == Missing::Refuse {
        check_topics(app, &subscription).await?;
    }
    let caller = request.caller(permit);
    let prepared = start::check_snapshot(app, tag(&caller), &subscription).await?;
    // A HEAD request does not open a stream.
    let mut response = if request.method == Method::HEAD {
        StatusCode::OK.into_response()
    } else {
        let slot = app.limits.stream(&caller)?;
        let mailbox = app.hub.subscribe_prepared(tag(&caller), subscription, prepared)?;
        let revoked = app.shutdown.end_of_stream(revoked);
        let mut response =
            warp::reply::stream(Frames::new(mailbox, slot, (style, head), app.settings.heartbeat, revoked))
                .into_response();
        response.extensions_mut().insert(Streaming);
        response
    };
    set_headers(&mut response, style.content_type());
    Ok(response)
}

/// Returns the tag that identifies a client to the hub, which lets clients read the log in turns.
pub fn tag(caller: &ClientKey) -> ClientTag {
    let mut hash = DefaultHasher::new();
    caller.hash(&mut hash);
    ClientTag(hash.finish())
}

fn subscription(
    app: &App,
    topics: Vec<TopicName>,
    query: &Query,
    request: &Request,
    format: Arc<dyn Format>,
) -> Result<Subscription, Problem> {
    let partitions = query.all("partition")?.into_iter().map(|text| match text.parse() {
        Ok(partition) if partition >= 0 => Ok(partition),
        _ => Err(Problem::bad_request(format!("partition is {text:?}; it must be a number from 0 on"))),
    });
    let selection = Selection::of(partitions.collect::<Result<_, _>>()?);
    let start = start::start(query, request, &topics, &selection)?;
    Ok(Subscription {
        start,
        topics,
        selection,
        filter: filter(query, app.limits.settings().filter)?,
        missing: match query.one("wait")? {
            Some("true" | "1" | "") => Missing::Wait,
            Some("false" | "0") | None => Missing::Refuse,
            Some(other) => return Err(Problem::bad_request(format!("wait is {other:?}; allowed are true and false"))),
        },
        until: match query.one("until")? {
            Some("end") => Until::End,
            None => Until::Forever,
            Some(text) => match parse_start(text, now()) {
                Ok(StartPosition::Time(time)) => Until::Time(time),
                _ => {
                    return Err(Problem::bad_request(format!(
                        "until is {text:?}; allowed are end (the end as it is now), a time like 2026-01-31T08:00:00Z and an \
                         age like -15m; limit=N stops after N records"
                    )));
                }
            },
        },
        limit: match query.one("limit")? {
            None => None,
            Some(text) => Some(text.parse::<NonZeroU64>().map_err(|_| {
                Problem::bad_request(format!("limit is {text:?}; it must be a number of records from 1 on"))
            })?),
        },
        format,
    })
}

/// Whether this is the automatic reconnect of a complete stream: EventSource repeats the URL with the last id, and
/// stops at a 204 (WHATWG HTML, section 9.2.3). A script that passes such an id in the URL continues from there.
fn is_reconnect_of_complete_stream(subscription: &Subscription, request: &Request) -> bool {
    let is_bounded = subscription.until != Until::Forever || subscription.limit.is_some();
    let id = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    is_bounded && id.is_some_and(Cursor::is_complete)
}

fn filter(query: &Query, limits: cel::CelLimits) -> Result<Filter, Problem> {
    let headers = query.all_bytes("header").map(|given| {
        header_condition(given).ok_or_else(|| {
            let given = String::from_utf8_lossy(given);
            Problem::bad_request(format!(
                "header is {given:?}; it must be NAME:VALUE, with a colon in the name written as \\:"
            ))
        })
    });
    Ok(Filter {
        key: query.bytes("key")?.map(<[u8]>::to_vec),
        headers: headers.collect::<Result<_, _>>()?,
        condition: match query.one("where")? {
            Some(text) => Some(Arc::new(Expression::compile_within(text, limits)?)),
            None => None,
        },
        sample: match query.one("sample")? {
            Some(text) => Some(parse_sample(text).ok_or_else(|| {
                Problem::bad_request(format!("sample is {text:?}; allowed are intervals from 100ms to 1h, such as 1s"))
            })?),
            None => None,
        },
    })
}

/// Parses `NAME:VALUE`. The first unescaped colon ends the name. In the name, `\:` stands for a colon and `\\` for a
/// backslash.
fn header_condition(given: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut name, mut rest) = (Vec::new(), given);
    loop {
        rest = match rest {
            [b'\\', escaped @ (b':' | b'\\'), tail @ ..] => {
                name.push(*escaped);
                tail
            }
            [b':', value @ ..] if !name.is_empty() => return Some((name, value.to_vec())),
            [b':', ..] | [] => return None,
            [byte, tail @ ..] => {
                name.push(*byte);
                tail
            }
        }
    }
}

/// Rejects topics and partitions that certainly do not exist (404) or that Kafka's ACLs deny (403). If the broker is
/// unreachable or slow, the stream opens without this check, and begins when the broker responds.
async fn check_topics(app: &Arc<App>, subscription: &Subscription) -> Result<(), Problem> {
    let topics = &subscription.topics;
    let known: Option<Vec<_>> = topics.iter().map(|topic| app.hub.partitions(topic)).collect();
    if let (Selection::All, Some(partitions)) = (&subscription.selection, known) {
        return check_id(app, subscription, &partitions);
    }
    let (hub, names) = (app.hub.clone(), topics.clone());
    let asked = app.ask(move || hub.broker().topics(&names));
    let Ok(Ok(Ok(found))) = tokio::time::timeout(LOOK_UP, asked).await else { return Ok(()) };
    let mut partitions = Vec::new();
    // A client that resumes may continue if at least one of its topics exists, or if its cursor has a position in a
    // missing one. The stream reports the missing topics.
    let held = |topic: &TopicName| match &subscription.start {
        Start::Cursor(cursor) => cursor.topic_index(topic).is_some_and(|topic| cursor.offsets(topic).next().is_some()),
        _ => false,
    };
    let resumes = matches!(subscription.start, Start::Cursor(_));
    let goes_on = resumes && topics.iter().zip(&found).any(|(topic, found)| found.is_ok() || held(topic));
    for topic in found {
        match topic {
            // A placeholder, because the counts are in the order of the topics.
            Err(BrokerError::UnknownTopic(_)) if goes_on => partitions.push(0),
            Ok(info) => {
                check_partitions(&info, &subscription.selection)?;
                partitions.push(info.partitions.len());
            }
            Err(refused @ (BrokerError::UnknownTopic(_) | BrokerError::Denied(_))) => return Err(refused.into()),
            Err(_) => partitions.push(0),
        }
    }
    check_id(app, subscription, &partitions)
}

/// Rejects a stream whose id would exceed `--max-header` once its offsets are large. Otherwise the error would occur
/// only when the client reconnects.
fn check_id(app: &App, subscription: &Subscription, partitions: &[usize]) -> Result<(), Problem> {
    if !subscription.format.uses_ids() {
        return Ok(());
    }
    let mut cursor = Cursor::new(subscription.topics.clone(), subscription.selection.clone());
    for (topic, partitions) in partitions.iter().take(cursor.topics().len()).enumerate() {
        while cursor.next_partition(topic).is_some_and(|next| (next as usize) < *partitions) {
            cursor.add_position(topic, LARGE_OFFSET);
        }
    }
    cursor.check_length(app.limits.settings().longest_id()).map_err(|too_long| BrokerError::from(too_long).into())
}

fn check_partitions(info: &TopicInfo, selection: &Selection) -> Result<(), Problem> {
    let Selection::Only(partitions) = selection else { return Ok(()) };
    match partitions.iter().find(|p| !info.partitions.iter().any(|known| known.partition == **p)) {
        Some(&partition) => {
            Err(BrokerError::UnknownPartition(TopicPartition { topic: info.name.clone(), partition }).into())
        }
        None => Ok(()),
    }
}

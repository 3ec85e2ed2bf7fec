//! Looking around: topics, partitions, a page of records, the bridge's own health.

use super::guard::Asker;
use super::problem::Problem;
use super::query::Query;
use super::routes::Request;
use super::{App, auth, event};
use crate::auth::Permit;
use crate::broker::{Broker, BrokerError, FetchLimits, OffsetAt, PartitionInfo, TopicInfo, Want};
use crate::hub::Refused;
use crate::record::{Offset, Records, TopicName, TopicPartition};
use crate::worker;
use bytes::Bytes;
use log::warn;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

/// Records of one page, and how many there are where nothing is asked for.
const MAX_PAGE: usize = 10_000;
const PAGE: usize = 100;
/// Bytes of one page, about.
const PAGE_BYTES: usize = 1 << 20;
/// How long the broker may take to give one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// How long a page may wait for records, in ms.
const MAX_WAIT: u64 = 30_000;

pub fn index() -> Response {
    let text = "Curlew: an HTTP bridge for Apache Kafka. curl in, events out.\n\n\
        POST   /topics/{topic}                                 produce: curl -d '{\"Hello\": \"World\"}' URL\n\
        DELETE /topics/{topic}?key=K                           produce a tombstone\n\
        DELETE /topics/{topic}?records=all                     delete the topic, where --allow-delete is set\n\
        GET    /topics/{topic}/events                          consume: new EventSource(URL), or curl -N URL\n\
        GET    /events?topic=a&topic=b                         consume several topics\n\
        GET    /topics                                         the topics\n\
        GET    /topics/{topic}                                 its partitions and offsets\n\
        GET    /topics/{topic}/partitions/{partition}/records  a page of records\n\
        GET    /health, /ready                                 the bridge, the broker\n\
        GET    /metrics                                        counters for Prometheus\n\
        GET    /openapi.json                                   all of it in full\n";
    text.into_response()
}

/// Whether the process and its threads do their work. Where they do not, only a new start helps.
pub fn health<B: From<Bytes>>(app: &App) -> Result<warp::http::Response<B>, Problem> {
    unhurt(app)?;
    Ok(json_response(json!({"status": "ok", "panics": worker::panics()}).to_string()))
}

fn unhurt(app: &App) -> Result<(), Problem> {
    let faults = app.hub.faults();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::busy(format!("{}; please report it, and start the bridge anew", faults.join("; "))))
}

pub fn openapi() -> Response {
    as_json(include_str!("openapi.json"))
}

/// Whether records can be read and written. Where the broker is and what its topics are called is for who is let in.
pub async fn ready(app: &Arc<App>, request: &Request, asker: &Asker) -> Result<Response, Problem> {
    unhurt(app)?;
    let hub = app.hub.clone();
    if hub.is_ending() {
        return Err(Refused::ShuttingDown.into());
    }
    let asked = tokio::time::timeout(SIGN_OF_LIFE, app.ask(move || hub.broker().ready())).await;
    let late = |_| Problem::busy(format!("the broker has not answered for {} s", SIGN_OF_LIFE.as_secs()));
    let is_let_in = auth::permit(app, request, asker).await.is_ok();
    // Whatever is wrong with the broker, the bridge is not ready.
    match asked.map_err(late)?? {
        Ok(()) if is_let_in => {
            Ok(json_response(json!({"status": "ready", "broker": app.hub.broker().describe()}).to_string()))
        }
        Ok(()) => Ok(json_response(json!({"status": "ready"}).to_string())),
        Err(error) if is_let_in => Err(Problem::busy(error.to_string())),
        Err(error) => {
            warn!("GET /ready: {error}");
            let told = "the broker is away, or what it keeps is damaged; the log says more, and so does this to who shows a key";
            Ok(Problem::busy(told).response())
        }
    }
}

/// Names; with `?offsets=true` what [`topic`] says, of all of them in one go.
pub async fn topics(app: &Arc<App>, permit: &Permit, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offsets"])?;
    let with_offsets = match query.one("offsets")? {
        Some("true" | "1" | "") => true,
        Some("false" | "0") | None => false,
        Some(other) => return Err(Problem::bad_request(format!("offsets is {other:?}; allowed are true and false"))),
    };
    let (hub, permit) = (app.hub.clone(), permit.clone());
    let answer = app.ask(move || {
        let mut topics = hub.broker().list_topics()?;
        topics.retain(|topic| permit.may_see(&topic.name));
        Ok::<_, BrokerError>(match with_offsets {
            true => json!(described(hub.broker().as_ref(), &topics)),
            false => topics.iter().map(|topic| topic.name.as_str()).collect(),
        })
    });
    Ok(json_response(answer.await??.to_string()))
}

pub async fn topic(app: &Arc<App>, permit: &Permit, name: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (hub, name) = (app.hub.clone(), TopicName::new(name)?);
    permit.may_look_at(&name)?;
    let answer = app.ask(move || {
        let info = one_topic(hub.broker().topics(std::slice::from_ref(&name))?)?;
        Ok::<_, BrokerError>(json!(described(hub.broker().as_ref(), &[info]).first()))
    });
    Ok(json_response(answer.await??.to_string()))
}

/// Topics with their partitions' leaders and ends, which the broker is asked for once.
fn described(broker: &dyn Broker, topics: &[TopicInfo]) -> Vec<Value> {
    let places = topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| place(&topic.name, p)));
    let asked: Vec<_> = places.flat_map(|p| [(p.clone(), OffsetAt::Earliest), (p, OffsetAt::Latest)]).collect();
    let offsets = broker.offsets(&asked);
    let mut ends = offsets.chunks(2);
    let described = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|info| {
            let ends = ends.next().unwrap_or_default();
            // A partition without a leader has no offsets just now.
            let end = |at: usize| ends.get(at).and_then(|offset| offset.as_ref().ok());
            json!({"partition": info.partition, "leader": info.leader, "earliest": end(0), "latest": end(1)})
        });
        json!({"name": topic.name.as_str(), "partitions": partitions.collect::<Vec<_>>()})
    });
    described.collect()
}

fn one_topic(topics: Vec<Result<TopicInfo, BrokerError>>) -> Result<TopicInfo, BrokerError> {
    topics.into_iter().next().unwrap_or_else(|| Err(BrokerError::Corrupt("the topic is missing in the answer".into())))
}

fn place(topic: &TopicName, info: &PartitionInfo) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition: info.partition }
}

/// A page asked for.
struct Page {
    place: TopicPartition,
    /// `None`: from the log's start.
    offset: Option<Offset>,
    limit: usize,
    wait: Duration,
}

pub async fn records(app: &Arc<App>, topic: &str, partition: &str, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offset", "limit", "timeout"])?;
    let number = |name: &str, most: u64| match query.one(name)? {
        None => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) if number <= most => Ok(Some(number)),
            _ => Err(Problem::bad_request(format!("{name} is {text:?}; it is a number from 0 to {most}"))),
        },
    };
    let unknown = || Problem::bad_request(format!("partition is {partition:?}; it is a number from 0 on"));
    let page = Page {
        place: TopicPartition {
            topic: TopicName::new(topic)?,
            partition: partition.parse().ok().filter(|p| *p >= 0).ok_or_else(unknown)?,
        },
        offset: number("offset", i64::MAX as u64)?.map(|offset| offset as Offset),
        limit: number("limit", MAX_PAGE as u64)?.map_or(PAGE, |limit| limit as usize),
        wait: Duration::from_millis(number("timeout", MAX_WAIT)?.unwrap_or(0)),
    };
    let hub = app.hub.clone();
    Ok(json_response(app.page(move || read(&*hub.broker().clone(), &page)).await??))
}

fn read(broker: &dyn Broker, page: &Page) -> Result<String, Problem> {
    let Page { place, limit, .. } = page;
    let info = one_topic(broker.topics(std::slice::from_ref(&place.topic))?)?;
    let at = info.partitions.iter().find(|p| p.partition == place.partition);
    let at = at.ok_or_else(|| BrokerError::UnknownPartition(place.clone()))?;
    let leader = at.leader.ok_or_else(|| BrokerError::StaleMetadata(format!("{place} has no leader now")))?;
    let ends = broker.offsets(&[(place.clone(), OffsetAt::Earliest), (place.clone(), OffsetAt::Latest)]);
    let [earliest, latest] =
        <[_; 2]>::try_from(ends).map_err(|_| BrokerError::Corrupt("offsets are missing".into()))?;
    let (earliest, latest) = (earliest?, latest?);
    let offset = page.offset.unwrap_or(earliest);
    if offset < earliest || offset > latest {
        let range = format!("{place} holds offsets {earliest} to {latest} (the next to be written)");
        return Err(Problem::bad_request(format!("offset is {offset}; {range}")));
    }
    let want = Want {
        topic: place.topic.clone(),
        topic_id: info.id,
        partition: place.partition,
        offset,
        leader_epoch: at.leader_epoch,
    };
    let limits = FetchLimits { wait: page.wait, max_bytes: PAGE_BYTES, partition_max_bytes: PAGE_BYTES };
    let mut out = br#"{"records":["#.to_vec();
    let mut next = offset;
    for fetched in broker.reader(leader).fetch(&[want], limits)? {
        let data = fetched.result?;
        next = data.next_offset.max(offset);
        for (count, record) in data.batches.iter().flat_map(Records::iter).enumerate() {
            if count == *limit {
                next = record.offset;
                break;
            }
            if count > 0 {
                out.push(b',');
            }
            event::envelope::write(&mut out, &place.topic, place.partition, &record);
        }
    }
    let latest = latest.max(next);
    out.extend(format!(r#"],"next_offset":{next},"earliest":{earliest},"latest":{latest}}}"#).bytes());
    String::from_utf8(out).map_err(|_| Problem::internal("a page of records is not UTF-8"))
}

/// On a line of its own, for who reads it on a terminal.
fn json_response<B: From<Bytes>>(json: String) -> warp::http::Response<B> {
    as_json(json + "\n")
}

fn as_json<B: From<Bytes>>(json: impl Into<Bytes>) -> warp::http::Response<B> {
    let mut response = warp::http::Response::new(B::from(json.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

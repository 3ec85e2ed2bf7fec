//! Looking around: topics, partitions, the bridge's own health.

use super::guard::Asker;
use super::problem::Problem;
use super::query::Query;
use super::routes::Request;
use super::shutdown::Phase;
use super::{App, auth};
use crate::auth::Permit;
use crate::broker::{Broker, BrokerError, OffsetAt, PartitionInfo, TopicInfo};
use crate::hub::Refused;
use crate::record::{TopicName, TopicPartition};
use crate::worker;
use bytes::Bytes;
use log::warn;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::{Reply, Response};

/// Bytes of an answer that are not counted: its connection takes more.
pub const SMALL_ANSWER: usize = 4 << 10;

/// How long the broker may take to give one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

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
        GET    /client.js                                      EventStream, an EventSource that survives proxies\n\
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
    if hub.is_ending() || app.shutdown.phase() != Phase::Serving {
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
    large_response(app, answer.await??.to_string())
}

pub async fn topic(app: &Arc<App>, permit: &Permit, name: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (hub, name) = (app.hub.clone(), TopicName::new(name)?);
    permit.may_look_at(&name)?;
    let answer = app.ask(move || {
        let info = one_topic(hub.broker().topics(std::slice::from_ref(&name))?)?;
        Ok::<_, BrokerError>(json!(described(hub.broker().as_ref(), &[info]).first()))
    });
    large_response(app, answer.await??.to_string())
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

pub fn one_topic(topics: Vec<Result<TopicInfo, BrokerError>>) -> Result<TopicInfo, BrokerError> {
    topics.into_iter().next().unwrap_or_else(|| Err(BrokerError::Corrupt("the topic is missing in the answer".into())))
}

fn place(topic: &TopicName, info: &PartitionInfo) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition: info.partition }
}

/// An answer that grows with the number of topics. What its client has yet to take counts as a page does.
pub fn large_response(app: &App, mut json: String) -> Result<Response, Problem> {
    json.push('\n');
    Ok(as_json(counted(app, json.into_bytes())?))
}

/// Bytes of an answer, which are counted until its client has taken them.
pub fn counted(app: &App, answer: Vec<u8>) -> Result<Bytes, Problem> {
    let mut memory = app.settings.memory.pages.nothing();
    memory.grow(answer.capacity().saturating_sub(SMALL_ANSWER))?;
    Ok(memory.hold(answer))
}

/// On a line of its own, for who reads it on a terminal.
pub fn json_response<B: From<Bytes>>(json: String) -> warp::http::Response<B> {
    as_json(json + "\n")
}

pub fn as_json<B: From<Bytes>>(json: impl Into<Bytes>) -> warp::http::Response<B> {
    let mut response = warp::http::Response::new(B::from(json.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

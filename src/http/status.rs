//! Topics, partitions, and the health of the bridge.

use super::origin::RequestOrigin;
use super::problem::Problem;
use super::query::Query;
use super::records::{PageBody, one_topic};
use super::request::Request;
use super::response::{as_json, beyond_small, json_response};
use super::shutdown::Phase;
use super::{App, auth};
use crate::auth::Permit;
use crate::broker::{Broker, OffsetAt, PartitionInfo, TopicInfo};
use crate::hub::Rejected;
use crate::record::{TopicName, TopicPartition};
use crate::sync::watchdog;
use bytes::Bytes;
use log::warn;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use warp::reply::{Reply, Response};

/// How long the broker may take to respond to a check of `/ready`.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

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

/// Whether the process and its threads work. If they do not, only a restart helps.
pub fn health<B: From<Bytes>>(app: &App) -> Result<warp::http::Response<B>, Problem> {
    check_threads(app)?;
    Ok(json_response(json!({"status": "ok", "panics": watchdog::panics()}).to_string()))
}

fn check_threads(app: &App) -> Result<(), Problem> {
    let faults = app.hub.faults();
    if faults.is_empty() {
        return Ok(());
    }
    Err(Problem::busy(format!("{}; please report it, and restart the bridge", faults.join("; "))))
}

pub fn openapi() -> Response {
    as_json(include_str!("openapi.json"))
}

/// Whether records can be read and written. Addresses of brokers and names of topics are shown only to authenticated
/// clients.
pub async fn ready(app: &Arc<App>, request: &Request, asker: &RequestOrigin) -> Result<Response, Problem> {
    check_threads(app)?;
    let hub = app.hub.clone();
    if hub.is_ending() || app.shutdown.phase() != Phase::Serving {
        return Err(Rejected::ShuttingDown.into());
    }
    let asked = tokio::time::timeout(READY_TIMEOUT, app.ask(move || hub.broker().ready())).await;
    let late = |_| Problem::busy(format!("the broker has not answered for {} s", READY_TIMEOUT.as_secs()));
    let is_permitted = auth::authenticate(app, request, asker).await.is_ok();
    // Any error of the broker makes the bridge not ready.
    match asked.map_err(late)?? {
        Ok(()) if is_permitted => {
            Ok(json_response(json!({"status": "ready", "broker": app.hub.broker().describe()}).to_string()))
        }
        Ok(()) => Ok(json_response(json!({"status": "ready"}).to_string())),
        Err(error) if is_permitted => Err(Problem::busy(error.to_string())),
        Err(error) => {
            warn!("GET /ready: {error}");
            let detail =
                "the broker is away or its data is damaged; see the bridge's log, or send a key to get the reason here";
            Ok(Problem::busy(detail).response())
        }
    }
}

/// The names of all topics; with `?offsets=true`, what [`topic`] returns for each of them.
pub async fn topics(app: &Arc<App>, permit: &Permit, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offsets"])?;
    let with_offsets = match query.one("offsets")? {
        Some("true" | "1" | "") => true,
        Some("false" | "0") | None => false,
        Some(other) => return Err(Problem::bad_request(format!("offsets is {other:?}; allowed are true and false"))),
    };
    let (shared, permit) = (app.clone(), permit.clone());
    let answer = app.ask(move || {
        let (broker, pages) = (shared.hub.broker(), &shared.settings.memory.pages);
        // The list is probably as long as the last one. If that exceeded the budget, topics may have been deleted since.
        let expected = beyond_small(shared.last_list.load(Ordering::Relaxed));
        let mut list_memory = pages.reserve(expected.min(pages.largest()))?;
        let mut topics = broker.list_topics()?;
        let bytes = topics.iter().map(topic_bytes).sum();
        shared.last_list.store(bytes, Ordering::Relaxed);
        list_memory.set(beyond_small(bytes))?;
        topics.retain(|topic| permit.may_see(&topic.name));
        let mut out = PageBody::new(pages)?;
        out.add("[")?;
        match with_offsets {
            true => describe(broker.as_ref(), &topics, &mut out)?,
            false => {
                for (number, topic) in topics.iter().enumerate() {
                    let comma = if number > 0 { "," } else { "" };
                    out.add(&format!("{comma}\"{}\"", topic.name))?;
                }
            }
        }
        out.finish("]\n")
    });
    Ok(as_json(answer.await??))
}

pub async fn topic(app: &Arc<App>, permit: &Permit, name: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (shared, name) = (app.clone(), TopicName::new(name)?);
    permit.may_describe(&name)?;
    let answer = app.ask(move || {
        let broker = shared.hub.broker();
        let info = one_topic(broker.topics(std::slice::from_ref(&name))?)?;
        let mut out = PageBody::new(&shared.settings.memory.pages)?;
        describe(broker.as_ref(), &[info], &mut out)?;
        out.finish("\n")
    });
    Ok(as_json(answer.await??))
}

/// Memory of a topic in the list, in bytes.
fn topic_bytes(topic: &TopicInfo) -> usize {
    size_of::<TopicInfo>() + topic.name.as_str().len() + topic.partitions.len() * size_of::<PartitionInfo>()
}

/// Appends topics with the leaders and offsets of their partitions. Asks the broker once, or several times if there are many
/// partitions.
fn describe(broker: &dyn Broker, topics: &[TopicInfo], out: &mut PageBody) -> Result<(), Problem> {
    /// Partitions in one request, unless a single topic has more.
    const PARTITIONS: usize = 2000;
    /// Memory of a partition in a request and its response, in bytes.
    const PARTITION_BYTES: usize = 512;
    let (mut rest, mut comma) = (topics, "");
    while !rest.is_empty() {
        let mut partitions = 0;
        let fits = |topic: &&TopicInfo| {
            partitions += topic.partitions.len();
            partitions <= PARTITIONS
        };
        let (part, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = after;
        let partitions: usize = part.iter().map(|topic| topic.partitions.len()).sum();
        let _memory = out.reserve(beyond_small(PARTITION_BYTES * partitions))?;
        let partitions_asked =
            part.iter().flat_map(|topic| topic.partitions.iter().map(|p| topic_partition(&topic.name, p)));
        let asked: Vec<_> =
            partitions_asked.flat_map(|p| [(p.clone(), OffsetAt::Earliest), (p, OffsetAt::Latest)]).collect();
        let offsets = broker.offsets(&asked);
        let mut ends = offsets.chunks(2);
        for topic in part {
            // A topic name contains no character that JSON escapes.
            out.add(&format!("{comma}{{\"name\":\"{}\",\"partitions\":[", topic.name))?;
            for (number, info) in topic.partitions.iter().enumerate() {
                let ends = ends.next().unwrap_or_default();
                // While a partition has no leader its offsets are unknown.
                let end = |at: usize| ends.get(at).and_then(|offset| offset.as_ref().ok());
                let comma = if number > 0 { "," } else { "" };
                let info =
                    json!({"partition": info.partition, "leader": info.leader, "earliest": end(0), "latest": end(1)});
                out.add(&format!("{comma}{info}"))?;
            }
            out.add("]}")?;
            comma = ",";
        }
    }
    Ok(())
}

fn topic_partition(topic: &TopicName, info: &PartitionInfo) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition: info.partition }
}

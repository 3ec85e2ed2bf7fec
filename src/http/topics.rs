//! `GET /topics` and `GET /topics/{topic}`: the topics with their partitions and offsets.

use super::App;
use super::problem::Problem;
use super::query::Query;
use super::records::{PageBody, one_topic};
use super::request::Request;
use super::response::{as_json, beyond_small};
use crate::auth::Permit;
use crate::broker::{Broker, OffsetAt, PartitionInfo, TopicInfo};
use crate::record::{TopicName, TopicPartition};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use warp::reply::Response;

/// `GET /topics`: the names of all topics that the client may see, or with `?offsets=true` their descriptions, as in
/// [`topic`].
pub async fn topics(app: &Arc<App>, permit: &Permit, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offsets"])?;
    let with_offsets = match query.one("offsets")? {
        Some("true" | "1" | "") => true,
        Some("false" | "0") | None => false,
        Some(other) => return Err(Problem::bad_request(format!("offsets is {other:?}; allowed are true and false"))),
    };
    let (shared, permit) = (app.clone(), permit.clone());
    let json = app.ask(move || {
        let (broker, pages) = (shared.hub.broker(), &shared.settings.memory.pages);
        // The list is probably as long as the last one. If the last one exceeded the budget, topics may have been deleted
        // since.
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
    Ok(as_json(json.await??))
}

/// `GET /topics/{topic}`: the partitions of a topic with their leaders and offsets.
pub async fn topic(app: &Arc<App>, permit: &Permit, name: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (shared, name) = (app.clone(), TopicName::new(name)?);
    permit.may_describe(&name)?;
    let json = app.ask(move || {
        let broker = shared.hub.broker();
        let info = one_topic(broker.topics(std::slice::from_ref(&name))?)?;
        let mut out = PageBody::new(&shared.settings.memory.pages)?;
        describe(broker.as_ref(), &[info], &mut out)?;
        out.finish("\n")
    });
    Ok(as_json(json.await??))
}

/// Returns the memory of a topic in the list, in bytes.
fn topic_bytes(topic: &TopicInfo) -> usize {
    size_of::<TopicInfo>() + topic.name.as_str().len() + topic.partitions.len() * size_of::<PartitionInfo>()
}

/// Appends the descriptions of topics. Requests the offsets of all partitions from the broker at once, or in several requests
/// if there are many partitions.
fn describe(broker: &dyn Broker, topics: &[TopicInfo], out: &mut PageBody) -> Result<(), Problem> {
    /// Maximum number of partitions in one request, unless a single topic has more.
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
        let partitions = part.iter().flat_map(|topic| topic.partitions.iter().map(|p| topic_partition(&topic.name, p)));
        let positions: Vec<_> =
            partitions.flat_map(|p| [(p.clone(), OffsetAt::Earliest), (p, OffsetAt::Latest)]).collect();
        let offsets = broker.offsets(&positions);
        let mut ends = offsets.chunks(2);
        for topic in part {
            // A topic name contains no character that JSON escapes.
            out.add(&format!("{comma}{{\"name\":\"{}\",\"partitions\":[", topic.name))?;
            for (number, info) in topic.partitions.iter().enumerate() {
                let ends = ends.next().unwrap_or_default();
                // The offsets of a partition without a leader are unknown.
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

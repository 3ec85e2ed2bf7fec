//! `GET /topics` and `GET /topics/{topic}`: the topics with their partitions and offsets.

use super::App;
use super::problem::Problem;
use super::query::Query;
use super::records::{PageBody, one_topic};
use super::request::Request;
use super::response::beyond_small;
use super::rest_proxy::as_accepted_json;
use super::topic_activity::{Activity, activity};
use super::topic_description::{add_description, add_full_description};
use crate::auth::Permit;
use crate::broker::{Broker, PartitionInfo, TopicInfo};
use crate::hub::overview::{Leaderless, partition_ends, request_bytes, request_parts};
use crate::record::TopicName;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use warp::reply::Response;

/// `GET /topics`: the names of all topics that the client may see, or with `?offsets=true` their descriptions, as in
/// [`topic`], or with `last` or `history` their descriptions as all clients share them.
pub async fn topics(app: &Arc<App>, permit: &Permit, request: &Request) -> Result<Response, Problem> {
    let query = Query::parse(&request.query, &["offsets", "last", "history"])?;
    let flag = |name| match query.one(name)? {
        Some("true" | "1" | "") => Ok(true),
        Some("false" | "0") | None => Ok(false),
        Some(other) => Err(Problem::bad_request(format!("{name} is {other:?}; allowed are true and false"))),
    };
    let (with_offsets, wanted) = (flag("offsets")?, Activity { last: flag("last")?, history: flag("history")? });
    if wanted.last || wanted.history {
        return activity(app, permit, wanted).await;
    }
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
    Ok(as_accepted_json(&request.headers, json.await??))
}

/// `GET /topics/{topic}`: the partitions of a topic with their leaders, offsets and replicas, and its configuration.
pub async fn topic(app: &Arc<App>, permit: &Permit, name: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (shared, name) = (app.clone(), TopicName::new(name)?);
    permit.may_describe(&name)?;
    let json = app.ask(move || {
        let broker = shared.hub.broker();
        let info = one_topic(broker.topics(std::slice::from_ref(&name))?)?;
        let mut out = PageBody::new(&shared.settings.memory.pages)?;
        let (replicas, configs) = (broker.replicas(&name), broker.topic_configs(&name));
        let _memory = out.reserve(beyond_small(request_bytes(std::slice::from_ref(&info))))?;
        let ends = partition_ends(broker.as_ref(), std::slice::from_ref(&info), Leaderless::Wait);
        add_full_description(&mut out, &info, &ends, &replicas, &configs)?;
        out.finish("}\n")
    });
    Ok(as_accepted_json(&request.headers, json.await??))
}

/// Returns the memory of a topic in the list, in bytes.
fn topic_bytes(topic: &TopicInfo) -> usize {
    size_of::<TopicInfo>() + topic.name.as_str().len() + topic.partitions.len() * size_of::<PartitionInfo>()
}

/// Appends the descriptions of topics, with offsets that are looked up now.
fn describe(broker: &dyn Broker, topics: &[TopicInfo], out: &mut PageBody) -> Result<(), Problem> {
    let mut comma = "";
    for (part, bytes) in request_parts(topics) {
        let _memory = out.reserve(beyond_small(bytes))?;
        let ends = partition_ends(broker, part, Leaderless::Wait);
        let mut ends = ends.as_slice();
        for topic in part {
            let (own, others) = ends.split_at(topic.partitions.len().min(ends.len()));
            ends = others;
            out.add(comma)?;
            add_description(out, topic, own)?;
            out.add("}")?;
            comma = ",";
        }
    }
    Ok(())
}

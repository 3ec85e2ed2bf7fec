//! `GET /brokers`, `GET /topics/{topic}/partitions` and the paths below it: what the clients of REST proxies look up.

use super::App;
use super::problem::Problem;
use super::query::Query;
use super::records::{PageBody, one_topic, topic_partition};
use super::request::Request;
use super::response::json_line;
use super::rest_proxy::as_accepted_json;
use super::topic_description::replicas_json;
use crate::auth::Permit;
use crate::broker::{BrokerError, OffsetAt, PartitionInfo, Replica, Staleness};
use crate::record::TopicName;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::reply::Response;

/// `GET /brokers`: the ids of the brokers.
pub async fn brokers(app: &Arc<App>, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let hub = app.hub.clone();
    let brokers = app.ask(move || hub.broker().brokers()).await??;
    Ok(as_accepted_json(&request.headers, json_line(&json!({ "brokers": brokers }))))
}

/// `GET /topics/{topic}/partitions`: the leader and the replicas of each partition.
pub async fn partitions(app: &Arc<App>, permit: &Permit, topic: &str, request: &Request) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (shared, topic) = (app.clone(), TopicName::new(topic)?);
    permit.may_describe(&topic)?;
    let json = app.ask(move || {
        let mut out = PageBody::new(&shared.settings.memory.pages)?;
        let mut comma = "[";
        for (partition, replicas) in look_up(&shared, &topic)? {
            out.add(&format!("{comma}{}", partition_json(&partition, &replicas)))?;
            comma = ",";
        }
        out.finish("]\n")
    });
    Ok(as_accepted_json(&request.headers, json.await??))
}

/// `GET /topics/{topic}/partitions/{partition}`: the leader and the replicas of a partition.
pub async fn partition(
    app: &Arc<App>,
    permit: &Permit,
    (topic, partition): (&str, &str),
    request: &Request,
) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (shared, at) = (app.clone(), topic_partition(topic, partition)?);
    permit.may_describe(&at.topic)?;
    let json = app.ask(move || {
        let mut partitions = look_up(&shared, &at.topic)?.into_iter();
        let found = partitions.find(|(info, _)| info.partition == at.partition);
        let (info, replicas) = found.ok_or(BrokerError::UnknownPartition(at))?;
        Ok::<_, Problem>(json_line(&partition_json(&info, &replicas)))
    });
    Ok(as_accepted_json(&request.headers, json.await??))
}

/// `GET /topics/{topic}/partitions/{partition}/offsets`: the first offset of a partition, and the offset of the next
/// record.
pub async fn offsets(
    app: &Arc<App>,
    permit: &Permit,
    (topic, partition): (&str, &str),
    request: &Request,
) -> Result<Response, Problem> {
    Query::parse(&request.query, &[])?;
    let (hub, at) = (app.hub.clone(), topic_partition(topic, partition)?);
    permit.may_describe(&at.topic)?;
    let ends = app.ask(move || {
        let broker = hub.broker();
        let info = one_topic(broker.topics(std::slice::from_ref(&at.topic))?)?;
        if !info.partitions.iter().any(|info| info.partition == at.partition) {
            return Err(BrokerError::UnknownPartition(at));
        }
        let ends = broker.offsets(&[(at.clone(), OffsetAt::Earliest), (at, OffsetAt::Latest)]);
        let [earliest, latest] =
            <[_; 2]>::try_from(ends).map_err(|_| BrokerError::Corrupt("offsets are missing".into()))?;
        Ok((earliest?, latest?))
    });
    let (earliest, latest) = ends.await??;
    let json = json_line(&json!({ "beginning_offset": earliest, "end_offset": latest }));
    Ok(as_accepted_json(&request.headers, json))
}

/// Returns the partitions of a topic with their replicas. Fails if the replicas are those of a broker that lags behind: a
/// partition that exists must not be left out.
fn look_up(app: &App, topic: &TopicName) -> Result<Vec<(PartitionInfo, Vec<Replica>)>, BrokerError> {
    let broker = app.hub.broker();
    let info = one_topic(broker.topics(std::slice::from_ref(topic))?)?;
    let replicas = broker.replicas(topic)?;
    if replicas.len() < info.partitions.len() {
        return Err(Staleness::PartitionsMissing(topic.clone()).into());
    }
    Ok(info.partitions.into_iter().zip(replicas).collect())
}

fn partition_json(info: &PartitionInfo, replicas: &[Replica]) -> Value {
    json!({ "partition": info.partition, "leader": info.leader, "replicas": replicas_json(info.leader, replicas) })
}

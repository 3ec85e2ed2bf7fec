//! `POST /admin/topics`: creates a topic, as the Strimzi Kafka Bridge does.

use super::App;
use super::integer;
use super::problem::Problem;
use super::produce::collect;
use super::query::Query;
use super::request::Request;
use super::response::json_line;
use super::rest_proxy::as_accepted_json;
use crate::auth::{Permit, Right};
use crate::broker::NewTopic;
use crate::record::{Partition, TopicName};
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Number, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Whether clients may create topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Allowed,
    /// The default. A topic with many partitions and replicas is a burden for all clients of a cluster.
    Forbidden,
}

/// The body of a request. `configs` is not in Strimzi's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreationRequest {
    topic_name: String,
    #[serde(default, deserialize_with = "integer::optional")]
    partitions_count: Option<Partition>,
    #[serde(default, deserialize_with = "integer::optional")]
    replication_factor: Option<i16>,
    #[serde(default)]
    configs: BTreeMap<String, ConfigValue>,
}

/// The value of a setting, which Kafka stores as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "the value of a setting must be a string, a number or a boolean")]
enum ConfigValue {
    Text(String),
    Number(Number),
    Switch(bool),
}

impl ConfigValue {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Switch(on) => on.to_string(),
        }
    }
}

impl CreationRequest {
    fn into_topic(self) -> Result<NewTopic, Problem> {
        let positive = |name: &str, number: Option<i64>| match number {
            Some(number) if number < 1 => {
                Err(Problem::unprocessable(format!("{name} is {number}; it must be a number from 1 on")))
            }
            _ => Ok(()),
        };
        positive("partitions_count", self.partitions_count.map(i64::from))?;
        positive("replication_factor", self.replication_factor.map(i64::from))?;
        Ok(NewTopic {
            name: TopicName::new(&self.topic_name)?,
            partitions: self.partitions_count,
            replication_factor: self.replication_factor,
            configs: self.configs.into_iter().map(|(name, value)| (name, value.into_text())).collect(),
        })
    }
}

/// Creates a topic, and returns 201 once the broker has done so.
pub async fn create<B, D, E>(app: &Arc<App>, permit: &Permit, request: &Request, body: B) -> Result<Response, Problem>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Buf,
    E: Display,
{
    Query::parse(&request.query, &[])?;
    if app.settings.creation == Creation::Forbidden {
        return Err(Problem::forbidden(
            "topics cannot be created through this bridge; start it with --allow-create to allow it",
        ));
    }
    request.check_length()?;
    let body = collect(body, MAX_BODY, &app.settings.produce, &request.headers, app.shutdown.end_of_body()).await?;
    let requested: CreationRequest = serde_json::from_slice(&body).map_err(|e| {
        Problem::unprocessable(format!(
            "the body must be like {{\"topic_name\":\"readings\",\"partitions_count\":3,\"replication_factor\":2,\
             \"configs\":{{\"retention.ms\":\"86400000\"}}}}: {e}"
        ))
    })?;
    let topic = requested.into_topic()?;
    permit.may(Right::Manage, &topic.name)?;
    let (hub, name) = (app.hub.clone(), topic.name.clone());
    let created = app.ask(move || hub.broker().create_topic(&topic)).await??;
    log::info!("created topic {name} for {}", request.sender());
    let json = json!({
        "topic_name": name.as_str(),
        "partitions_count": created.partitions,
        "replication_factor": created.replication_factor,
    });
    let mut response = as_accepted_json(&request.headers, json_line(&json));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

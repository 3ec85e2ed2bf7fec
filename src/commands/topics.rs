//! `curlew topics`: creates and lists topics.

use super::bridge_client::{self, BridgeClient, BridgeProblem, BridgeTarget, ClientError};
use super::error::CommandError;
use super::{exit, print_outcome, runtime};
use crate::broker::{CreatedTopic, NewTopic};
use crate::config::{ClientTarget, CreateTopic, ListTopics, TopicsAction, TopicsCommand};
use crate::kafka;
use crate::os::terminal_escapes::Destination;
use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// Returns exit code 0 if the topic was created, or the topics were listed, and 1 otherwise.
pub fn topics(command: &TopicsCommand) -> ExitCode {
    exit(match &command.action {
        TopicsAction::Create(settings) => create(settings),
        TopicsAction::List(settings) => list(settings),
    })
}

fn create(settings: &CreateTopic) -> Result<(), CommandError> {
    let topic = settings.topic();
    let created = match settings.target().selected() {
        ClientTarget::Kafka(kafka) => kafka::connect(kafka).create_topic(&topic)?,
        ClientTarget::Bridge(bridge) => create_on_bridge(&BridgeTarget::new(bridge)?, &topic)?,
    };
    let counts =
        [("partitions", created.partitions), ("replication factor", created.replication_factor.map(i32::from))];
    let counts = counts.iter().filter_map(|(name, count)| Some(format!("{name} {}", (*count)?)));
    let line = counts.fold(format!("created topic {}", topic.name), |line, count| format!("{line}, {count}"));
    print_outcome(writeln!(io::stdout(), "{line}")).map(drop)
}

/// The response of `POST /admin/topics`.
#[derive(Deserialize, Default)]
struct CreationResponse {
    partitions_count: Option<i32>,
    replication_factor: Option<i16>,
}

fn create_on_bridge(bridge: &BridgeTarget, topic: &NewTopic) -> Result<CreatedTopic, CommandError> {
    let body = json!({
        "topic_name": topic.name.as_str(),
        "partitions_count": topic.partitions,
        "replication_factor": topic.replication_factor,
        "configs": topic.configs,
    });
    let response = runtime()?.block_on(async {
        let mut client = BridgeClient::connect(bridge).await?;
        let response = client.post("/admin/topics", "application/json", body.to_string().into()).await?;
        let status = response.status();
        Ok::<_, ClientError>((status, bridge_client::body(response).await?))
    });
    let (status, body) = response.map_err(|error| match error.was_sent() {
        true => CommandError::CreationUnconfirmed(error),
        false => error.into(),
    })?;
    if status != StatusCode::CREATED {
        return Err(BridgeProblem::from_response(status, &body).into());
    }
    // The topic was created, whatever the body contains.
    let CreationResponse { partitions_count, replication_factor } = serde_json::from_slice(&body).unwrap_or_default();
    Ok(CreatedTopic { partitions: partitions_count, replication_factor })
}

fn list(settings: &ListTopics) -> Result<(), CommandError> {
    let names: Vec<String> = match settings.target.selected() {
        ClientTarget::Kafka(kafka) => {
            kafka::connect(kafka).list_topics()?.into_iter().map(|topic| topic.name.to_string()).collect()
        }
        ClientTarget::Bridge(bridge) => list_on_bridge(&BridgeTarget::new(bridge)?)?,
    };
    let mut out = io::stdout().lock();
    // A bridge may send any text.
    let to = Destination::of(&out);
    print_outcome(names.iter().try_for_each(|name| writeln!(out, "{}", to.text(name)))).map(drop)
}

fn list_on_bridge(bridge: &BridgeTarget) -> Result<Vec<String>, CommandError> {
    let (status, body): (StatusCode, Bytes) = runtime()?.block_on(async {
        let mut client = BridgeClient::connect(bridge).await?;
        let response = client.get("/topics", &[]).await?;
        let status = response.status();
        Ok::<_, ClientError>((status, bridge_client::body(response).await?))
    })?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(CommandError::UnreadableTopics),
        _ => Err(BridgeProblem::from_response(status, &body).into()),
    }
}

//! `curlew topics`: lists, describes, creates and deletes topics.

mod describe;

use super::bridge_client::{self, BridgeClient, BridgeProblem, BridgeTarget, ClientError};
use super::error::CommandError;
use super::{exit, print_outcome, runtime};
use crate::broker::{CreatedTopic, NewTopic};
use crate::config::{ClientTarget, CreateTopic, DeleteTopic, DescribeTopic, ListTopics, TopicsAction, TopicsCommand};
use crate::kafka;
use crate::os::terminal_escapes::Destination;
use crate::record::TopicName;
use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::Error;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// Returns exit code 0 if the command did what it says, and 1 otherwise.
pub fn topics(command: &TopicsCommand) -> ExitCode {
    exit(match &command.action {
        TopicsAction::Create(settings) => create(settings),
        TopicsAction::List(settings) => list(settings),
        TopicsAction::Describe(settings) => describe(settings),
        TopicsAction::Delete(settings) => delete(settings),
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
    let names: Vec<TopicName> = match settings.target.selected() {
        ClientTarget::Kafka(kafka) => {
            kafka::connect(kafka).list_topics()?.into_iter().map(|topic| topic.name).collect()
        }
        ClientTarget::Bridge(bridge) => list_on_bridge(&BridgeTarget::new(bridge)?)?,
    };
    let mut out = io::stdout().lock();
    print_outcome(names.iter().try_for_each(|name| writeln!(out, "{name}"))).map(drop)
}

fn list_on_bridge(bridge: &BridgeTarget) -> Result<Vec<TopicName>, CommandError> {
    topic_names(&get(bridge, "/topics")?).map_err(CommandError::UnreadableTopics)
}

/// Returns the body of a response with the status 200.
fn get(bridge: &BridgeTarget, path: &str) -> Result<Bytes, CommandError> {
    let (status, body): (StatusCode, Bytes) = runtime()?.block_on(async {
        let mut client = BridgeClient::connect(bridge).await?;
        let response = client.get(path, &[]).await?;
        let status = response.status();
        Ok::<_, ClientError>((status, bridge_client::body(response).await?))
    })?;
    match status {
        StatusCode::OK => Ok(body),
        _ => Err(BridgeProblem::from_response(status, &body).into()),
    }
}

fn describe(settings: &DescribeTopic) -> Result<(), CommandError> {
    let topic = &settings.topic.0;
    let description = match settings.target.selected() {
        ClientTarget::Kafka(kafka) => describe::of_broker(&*kafka::connect(kafka), topic)?,
        ClientTarget::Bridge(bridge) => describe::of_bridge(&BridgeTarget::new(bridge)?, topic)?,
    };
    let mut out = io::stdout().lock();
    let to = Destination::of(&out);
    // Settings are any text.
    let lines = description.to_string();
    print_outcome(lines.lines().try_for_each(|line| writeln!(out, "{}", to.text(line)))).map(drop)
}

fn delete(settings: &DeleteTopic) -> Result<(), CommandError> {
    let topic = &settings.topic.0;
    match settings.target.selected() {
        ClientTarget::Kafka(kafka) => kafka::connect(kafka).delete_topic(topic)?,
        ClientTarget::Bridge(bridge) => delete_on_bridge(&BridgeTarget::new(bridge)?, topic)?,
    }
    print_outcome(writeln!(io::stdout(), "deleted topic {topic}")).map(drop)
}

fn delete_on_bridge(bridge: &BridgeTarget, topic: &TopicName) -> Result<(), CommandError> {
    let (status, body) = runtime()?.block_on(async {
        let mut client = BridgeClient::connect(bridge).await?;
        let response = client.delete(&format!("/topics/{topic}?records=all")).await?;
        let status = response.status();
        Ok::<_, ClientError>((status, bridge_client::body(response).await?))
    })?;
    match status {
        StatusCode::NO_CONTENT => Ok(()),
        _ => Err(BridgeProblem::from_response(status, &body).into()),
    }
}

/// Parses a list of topics. Other texts than names could contain control sequences for the terminal.
fn topic_names(json: &[u8]) -> Result<Vec<TopicName>, serde_json::Error> {
    let names: Vec<String> = serde_json::from_slice(json)?;
    names.iter().map(|name| TopicName::new(name).map_err(serde_json::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_of_topics_contains_names_only() {
        let names = topic_names(br#"["a","b.c"]"#).unwrap();
        assert_eq!(names.iter().map(TopicName::as_str).collect::<Vec<_>>(), ["a", "b.c"]);
        for list in [r#"["a","\u001b]52;c;aGk=\u0007"]"#, r#"["a\nb"]"#, r#"[""]"#, r#"["a"]x"#, "{}"] {
            let error = topic_names(list.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(['\u{1b}', '\n']), "{error:?}");
        }
    }
}

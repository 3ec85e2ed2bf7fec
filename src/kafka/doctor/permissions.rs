//! Checks the permissions on topics, and whether topics are created automatically.

use super::ReachedBroker;
use super::cluster::ClusterCheck;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::broker::{BrokerError, Remedy, kafka_acls};
use crate::kafka::wire::WireSettings;
use crate::kafka::wire::configs::AUTO_CREATION;
use crate::kafka::wire::errors::{self, ErrorContext};
use crate::record::TopicName;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use std::time::{Duration, Instant};

/// Kafka's AclOperation codes, as bits of "authorized operations" (KIP-430).
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Reports whether the topics in `requested` may be read and written, or all visible topics if `requested` is empty.
pub fn topics(cluster: &ClusterCheck, requested: &[TopicName], settings: &WireSettings) -> Diagnosis {
    let step = DiagnosisStep::Topics;
    let topics: Vec<&MetadataResponseTopic> =
        cluster.metadata.topics.iter().filter(|topic| !topic.is_internal).collect();
    if topics.is_empty() && requested.is_empty() {
        return Diagnosis::ok(
            step,
            "no topic is visible: the cluster has none, or its ACLs hide them (Describe is needed)",
        );
    }
    let missing = names_of(&topics, |topic| topic.error_code == Kafka::UnknownTopicOrPartition.code());
    let refused = names_of(&topics, |topic| topic.error_code == Kafka::TopicAuthorizationFailed.code());
    if !refused.is_empty() {
        let what = format!("not allowed to describe {}", refused.join(", "));
        return Diagnosis::failed(step, what, grant(settings, "Describe", &refused));
    }
    if !missing.is_empty() {
        let what = format!("{} does not exist, or ACLs hide it", missing.join(", "));
        return Diagnosis::failed(
            step,
            what,
            "check the name; create it with kafka-topics --create, or by producing to it",
        );
    }
    if topics.iter().any(|topic| topic.topic_authorized_operations == i32::MIN) {
        return Diagnosis::skipped(step, format!("{} visible; this broker does not report permissions", topics.len()));
    }
    let no_read = names_of(&topics, |topic| topic.error_code == 0 && topic.topic_authorized_operations & READ == 0);
    let no_write = names_of(&topics, |topic| topic.error_code == 0 && topic.topic_authorized_operations & WRITE == 0);
    let both: Vec<String> = [(&no_read, "read"), (&no_write, "written")]
        .iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, verb)| format!("{} may not be {verb}", first_few(names)))
        .collect();
    let seen = if requested.is_empty() {
        format!("{} visible", topics.len())
    } else {
        first_few(&names_of(&topics, |_| true))
    };
    match (both.is_empty(), requested.is_empty()) {
        (true, _) => Diagnosis::ok(step, format!("{seen}: all may be read and written")),
        // Without named topics, the bridge may not need to write to all of them.
        (false, true) => Diagnosis::ok(step, format!("{seen}: {}", both.join("; "))),
        (false, false) => {
            let missing = [("Read", &no_read), ("Write", &no_write)];
            let missing = missing.iter().filter(|(_, topics)| !topics.is_empty());
            let grants: Vec<String> = missing.map(|(operation, topics)| grant(settings, operation, topics)).collect();
            Diagnosis::failed(step, both.join("; "), grants.join(" && "))
        }
    }
}

fn names_of<'a>(topics: &[&'a MetadataResponseTopic], which: impl Fn(&MetadataResponseTopic) -> bool) -> Vec<&'a str> {
    let chosen = topics.iter().filter(|topic| which(topic));
    chosen.map(|topic| topic.name.as_ref().map_or("?", |name| name.as_str())).collect()
}

/// Lists the first few names and how many more there are.
fn first_few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    match names.get(..SHOWN) {
        Some(first) if names.len() > SHOWN => format!("{} and {} more", first.join(", "), names.len() - SHOWN),
        _ => names.join(", "),
    }
}

fn grant(settings: &WireSettings, operation: &str, topics: &[&str]) -> String {
    let topics: String = topics.iter().map(|topic| format!(" --topic {topic}")).collect();
    kafka_acls(settings.security.principal().as_deref(), &format!("--operation {operation}{topics}"))
}

/// Checks that the brokers accept an idempotent producer. This uses up one producer id.
pub fn producing(broker: &mut ReachedBroker) -> Diagnosis {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let deadline = Instant::now() + broker.settings.request_timeout;
    let result = loop {
        let result =
            broker.ask(&request, 4).and_then(|answer| errors::check(answer.error_code, ErrorContext::Cluster, None));
        match result {
            // A broker that has just started may not be able to assign producer ids yet.
            Err(error) if error.remedy() == Remedy::Retry && Instant::now() < deadline => {
                std::thread::sleep(RETRY_PAUSE)
            }
            result => break result,
        }
    };
    match result {
        Ok(()) => Diagnosis::ok(DiagnosisStep::Producing, "idempotent producers are accepted"),
        Err(error @ BrokerError::Denied(_)) => {
            let principal = broker.settings.security.principal();
            let command = kafka_acls(principal.as_deref(), "--operation IdempotentWrite --cluster");
            let remedy = format!("{command} (or Write on some topic, with Kafka 2.8 and later)");
            Diagnosis::failed(DiagnosisStep::Producing, error.to_string(), remedy)
        }
        Err(error) => Diagnosis::failed(DiagnosisStep::Producing, error.to_string(), "check the broker's log"),
    }
}

/// Reports whether producing to an unknown topic creates it.
pub fn auto_creation(broker: &mut ReachedBroker, cluster: &ClusterCheck) -> Diagnosis {
    let step = DiagnosisStep::AutoCreation;
    let Some(node) = cluster.connected_node() else {
        return Diagnosis::skipped(step, "the metadata does not show which broker is connected");
    };
    let name = AUTO_CREATION;
    let value = broker.setting(node, name);
    match value.as_ref().map(Option::as_deref) {
        Ok(Some("true")) => Diagnosis::ok(step, format!("on ({name}=true): the first record creates a topic")),
        Ok(Some("false")) => Diagnosis::ok(
            step,
            format!("off ({name}=false): create topics with kafka-topics --create; until then they are a 404"),
        ),
        Ok(_) => Diagnosis::skipped(step, format!("the broker does not report {name}")),
        Err(BrokerError::Denied(_)) => {
            Diagnosis::skipped(step, format!("not allowed to read {name} (needs DescribeConfigs on the cluster)"))
        }
        Err(error) => Diagnosis::skipped(step, format!("{name}: {error}")),
    }
}

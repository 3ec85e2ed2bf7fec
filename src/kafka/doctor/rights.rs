//! What we may read and write there, and who makes topics.

use super::Reached;
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
const ASK_EVERY: Duration = Duration::from_millis(100);

/// One finding about the topics asked for, or about all that can be seen.
pub fn topics(cluster: &ClusterCheck, asked: &[TopicName], settings: &WireSettings) -> Diagnosis {
    let step = DiagnosisStep::Topics;
    let topics: Vec<&MetadataResponseTopic> =
        cluster.metadata.topics.iter().filter(|topic| !topic.is_internal).collect();
    if topics.is_empty() && asked.is_empty() {
        return Diagnosis::ok(
            step,
            "none can be seen: there is none, or the access rules hide them (they need Describe)",
        );
    }
    let missing = named(&topics, |topic| topic.error_code == Kafka::UnknownTopicOrPartition.code());
    let refused = named(&topics, |topic| topic.error_code == Kafka::TopicAuthorizationFailed.code());
    if !refused.is_empty() {
        let what = format!("{} may not be described", refused.join(", "));
        return Diagnosis::failed(step, what, grant(settings, "Describe", &refused));
    }
    if !missing.is_empty() {
        let what = format!("{} does not exist, or may not be seen", missing.join(", "));
        return Diagnosis::failed(
            step,
            what,
            "check the name; make it with kafka-topics --create, or by its first record",
        );
    }
    if topics.iter().any(|topic| topic.topic_authorized_operations == i32::MIN) {
        return Diagnosis::skipped(
            step,
            format!("{} can be seen; this broker does not tell what may be done", topics.len()),
        );
    }
    let no_read = named(&topics, |topic| topic.error_code == 0 && topic.topic_authorized_operations & READ == 0);
    let no_write = named(&topics, |topic| topic.error_code == 0 && topic.topic_authorized_operations & WRITE == 0);
    let both: Vec<String> = [(&no_read, "read"), (&no_write, "written")]
        .iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, verb)| format!("{} may not be {verb}", some(names)))
        .collect();
    let seen = if asked.is_empty() { format!("{} can be seen", topics.len()) } else { some(&named(&topics, |_| true)) };
    match (both.is_empty(), asked.is_empty()) {
        (true, _) => Diagnosis::ok(step, format!("{seen}: all may be read and written")),
        // Whoever asks about no topic may well not want to write all.
        (false, true) => Diagnosis::ok(step, format!("{seen}: {}", both.join("; "))),
        (false, false) => {
            let missing = [("Read", &no_read), ("Write", &no_write)];
            let missing = missing.iter().filter(|(_, topics)| !topics.is_empty());
            let grants: Vec<String> = missing.map(|(operation, topics)| grant(settings, operation, topics)).collect();
            Diagnosis::failed(step, both.join("; "), grants.join(" && "))
        }
    }
}

fn named<'a>(topics: &[&'a MetadataResponseTopic], which: impl Fn(&MetadataResponseTopic) -> bool) -> Vec<&'a str> {
    let chosen = topics.iter().filter(|topic| which(topic));
    chosen.map(|topic| topic.name.as_ref().map_or("?", |name| name.as_str())).collect()
}

/// The first few of many.
fn some(names: &[&str]) -> String {
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

/// Whether an idempotent producer is let in. It costs the cluster a number.
pub fn producing(broker: &mut Reached) -> Diagnosis {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let deadline = Instant::now() + broker.settings.request_timeout;
    let asked = loop {
        let asked =
            broker.ask(&request, 4).and_then(|answer| errors::check(answer.error_code, ErrorContext::Cluster, None));
        match asked {
            // A broker that has just started is not ready for it yet.
            Err(error) if error.remedy() == Remedy::Retry && Instant::now() < deadline => std::thread::sleep(ASK_EVERY),
            asked => break asked,
        }
    };
    match asked {
        Ok(()) => Diagnosis::ok(DiagnosisStep::Producing, "idempotent producers are let in"),
        Err(error @ BrokerError::Denied(_)) => {
            let principal = broker.settings.security.principal();
            let command = kafka_acls(principal.as_deref(), "--operation IdempotentWrite --cluster");
            let remedy = format!("{command} (or Write on some topic, with Kafka 2.8 and later)");
            Diagnosis::failed(DiagnosisStep::Producing, error.to_string(), remedy)
        }
        Err(error) => Diagnosis::failed(DiagnosisStep::Producing, error.to_string(), "look into the broker's log"),
    }
}

/// Whether the first record of a topic makes it.
pub fn auto_creation(broker: &mut Reached, cluster: &ClusterCheck) -> Diagnosis {
    let step = DiagnosisStep::AutoCreation;
    let Some(node) = cluster.node_asked() else {
        return Diagnosis::skipped(step, "it is not known which broker was asked");
    };
    let name = AUTO_CREATION;
    let value = broker.setting(node, name);
    match value.as_ref().map(Option::as_deref) {
        Ok(Some("true")) => Diagnosis::ok(step, format!("on ({name}=true): the first record makes a topic")),
        Ok(Some("false")) => Diagnosis::ok(
            step,
            format!("off ({name}=false): topics are made with kafka-topics --create; until then, 404"),
        ),
        Ok(_) => Diagnosis::skipped(step, format!("the broker does not tell {name}")),
        Err(BrokerError::Denied(_)) => {
            Diagnosis::skipped(step, format!("{name} may not be asked for (DescribeConfigs on the cluster)"))
        }
        Err(error) => Diagnosis::skipped(step, format!("{name}: {error}")),
    }
}

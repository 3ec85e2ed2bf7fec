//! Brokers whose metadata is older than that of other brokers. After an election this is normal for a moment. A broker
//! whose metadata stays outdated is cut off from the controllers; the bridge logs that.

use crate::record::{TopicName, TopicPartition};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than a broker takes to learn of an election.
const PATIENCE: Duration = Duration::from_secs(3);

/// The addresses whose latest response was outdated.
#[derive(Default)]
pub(super) struct OutdatedBrokers(HashMap<Arc<str>, OutdatedSince>);

struct OutdatedSince {
    first: Instant,
    /// The partition for which it was outdated last.
    topic_partition: TopicPartition,
    logged: Logged,
}

#[derive(PartialEq, Eq)]
enum Logged {
    Not,
    Yes,
}

impl OutdatedBrokers {
    /// Notes a response of the broker at `address` about `topics`, with the first partition for which another broker
    /// has reported a newer leader epoch. Logs once per broker and outage.
    pub fn note(&mut self, address: &Arc<str>, topics: &[TopicName], newer: Option<TopicPartition>, now: Instant) {
        let Some(topic_partition) = newer else {
            // Topics without an election in the meantime prove nothing.
            if self.0.get(address).is_none_or(|since| !topics.contains(&since.topic_partition.topic)) {
                return;
            }
            if self.0.remove(address).is_some_and(|since| since.logged == Logged::Yes) {
                log::info!("{address} reports current leaders again");
            }
            return;
        };
        let new = || OutdatedSince { first: now, topic_partition: topic_partition.clone(), logged: Logged::Not };
        let since = self.0.entry(address.clone()).or_insert_with(new);
        since.topic_partition = topic_partition.clone();
        if since.logged == Logged::Not && now.saturating_duration_since(since.first) >= PATIENCE {
            since.logged = Logged::Yes;
            log::warn!(
                "{address} names an outdated leader of {topic_partition}; it may be cut off from the controllers, and the other brokers' \
                 metadata is used"
            );
        }
    }

    /// Removes brokers that left the cluster.
    pub fn retain(&mut self, is_known: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|address, _| is_known(address));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_other_topics_does_not_prove_that_a_broker_is_up_to_date() {
        let (mut outdated, address, now) = (OutdatedBrokers::default(), Arc::from("kafka:9092"), Instant::now());
        let [elected, other] = ["elected", "other"].map(|name| TopicName::new(name).unwrap());
        let newer = || Some(TopicPartition { topic: elected.clone(), partition: 0 });
        outdated.note(&address, std::slice::from_ref(&elected), newer(), now);
        outdated.note(&address, &[other], None, now);
        outdated.note(&address, std::slice::from_ref(&elected), newer(), now + PATIENCE);
        assert!(outdated.0[&address].logged == Logged::Yes);
        outdated.note(&address, &[elected], None, now + PATIENCE);
        assert!(outdated.0.is_empty());
    }
}

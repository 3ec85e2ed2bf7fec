//! How long brokers remember an idle producer.
//!
//! A broker recognizes a retried record by its producer id and sequence number. A broker that has expired the producer
//! in the meantime accepts the retry as a new record, which is then in the log twice. No client can detect that.

use super::ReachedBroker;
use super::cluster::ClusterCheck;
use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::wire::configs::PRODUCER_EXPIRY as NAME;
use std::time::Duration;

/// How long the bridge relies on brokers to remember an idle producer, even if it retries records for a shorter time.
const RELIED_ON: Duration = Duration::from_secs(60);

/// Checks that the brokers' `producer.id.expiration.ms` is long enough for the bridge's retries.
pub fn check(broker: &mut ReachedBroker, cluster: &ClusterCheck, produce_timeout: Duration) -> Diagnosis {
    let step = DiagnosisStep::ProducerExpiry;
    let Some(node) = cluster.connected_node() else {
        return Diagnosis::skipped(step, "the metadata does not show which broker is connected");
    };
    match broker.setting(node, NAME) {
        Ok(Some(value)) => match value.parse() {
            Ok(ms) => judge(Duration::from_millis(ms), produce_timeout),
            Err(_) => Diagnosis::skipped(step, format!("{NAME} is {value:?}")),
        },
        Ok(None) => Diagnosis::skipped(step, format!("only Kafka 3.4 and later reports {NAME}")),
        Err(BrokerError::Denied(_)) => {
            Diagnosis::skipped(step, format!("not allowed to read {NAME} (needs DescribeConfigs on the cluster)"))
        }
        Err(error) => Diagnosis::skipped(step, format!("{NAME}: {error}")),
    }
}

fn judge(expiry: Duration, produce_timeout: Duration) -> Diagnosis {
    let needed = produce_timeout.max(RELIED_ON);
    let what = format!("brokers remember an idle producer for {expiry:?} ({NAME})");
    if expiry > needed {
        return Diagnosis::ok(
            DiagnosisStep::ProducerExpiry,
            format!("{what}, longer than any retry ({produce_timeout:?})"),
        );
    }
    Diagnosis::failed(
        DiagnosisStep::ProducerExpiry,
        format!("{what}, but the bridge relies on {needed:?}: a retried record can be written twice"),
        format!("set {NAME} to more than {} on every broker (its default is 86400000)", needed.as_millis()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(expiry: u64, produce_timeout: u64, expected: &Expect) {
        expected.assert_eq(&judge(Duration::from_secs(expiry), Duration::from_secs(produce_timeout)).to_string());
    }

    #[test]
    fn a_producer_expiry_shorter_than_the_retries_fails() {
        check(
            86_400,
            30,
            &expect![
                "ok       producer-expiry       brokers remember an idle producer for 86400s (producer.id.expiration.ms), longer than any retry (30s)"
            ],
        );
        check(
            20,
            30,
            &expect![
                "failed   producer-expiry       brokers remember an idle producer for 20s (producer.id.expiration.ms), but the bridge relies on 60s: a retried record can be written twice; set producer.id.expiration.ms to more than 60000 on every broker (its default is 86400000)"
            ],
        );
        check(
            40,
            30,
            &expect![
                "failed   producer-expiry       brokers remember an idle producer for 40s (producer.id.expiration.ms), but the bridge relies on 60s: a retried record can be written twice; set producer.id.expiration.ms to more than 60000 on every broker (its default is 86400000)"
            ],
        );
        check(
            90,
            120,
            &expect![
                "failed   producer-expiry       brokers remember an idle producer for 90s (producer.id.expiration.ms), but the bridge relies on 120s: a retried record can be written twice; set producer.id.expiration.ms to more than 120000 on every broker (its default is 86400000)"
            ],
        );
    }
}

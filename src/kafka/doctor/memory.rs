//! How long brokers remember a producer.
//!
//! A record that is sent again is recognized by its producer's sequence. A broker that has forgotten the producer in
//! between takes it for a new one: it is then in the log twice. No client can tell.

use super::Reached;
use super::cluster::ClusterCheck;
use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::wire::configs::PRODUCER_EXPIRY as NAME;
use std::time::Duration;

/// For so long after its last record the producer counts on being known, whatever `--produce-timeout` is.
const COUNTED_ON: Duration = Duration::from_secs(60);

pub fn producers(broker: &mut Reached, cluster: &ClusterCheck, produce_timeout: Duration) -> Diagnosis {
    let step = DiagnosisStep::ProducerExpiry;
    let Some(node) = cluster.node_asked() else {
        return Diagnosis::skipped(step, "it is not known which broker was asked");
    };
    match broker.setting(node, NAME) {
        Ok(Some(value)) => match value.parse() {
            Ok(ms) => judge(Duration::from_millis(ms), produce_timeout),
            Err(_) => Diagnosis::skipped(step, format!("{NAME} is {value:?}")),
        },
        Ok(None) => Diagnosis::skipped(step, format!("only Kafka 3.4 and later tells {NAME}")),
        Err(BrokerError::Denied(_)) => {
            Diagnosis::skipped(step, format!("{NAME} may not be asked for (DescribeConfigs on the cluster)"))
        }
        Err(error) => Diagnosis::skipped(step, format!("{NAME}: {error}")),
    }
}

fn judge(expiry: Duration, produce_timeout: Duration) -> Diagnosis {
    let needed = produce_timeout.max(COUNTED_ON);
    let what = format!("brokers remember an idle producer for {expiry:?} ({NAME})");
    if expiry > needed {
        return Diagnosis::ok(
            DiagnosisStep::ProducerExpiry,
            format!("{what}, longer than any retry ({produce_timeout:?})"),
        );
    }
    Diagnosis::failed(
        DiagnosisStep::ProducerExpiry,
        format!("{what}, and the bridge counts on {needed:?}: a record that is sent again can be written twice"),
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
    fn brokers_that_forget_a_producer_before_its_retries_end_are_a_fault() {
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
                "failed   producer-expiry       brokers remember an idle producer for 20s (producer.id.expiration.ms), and the bridge counts on 60s: a record that is sent again can be written twice; set producer.id.expiration.ms to more than 60000 on every broker (its default is 86400000)"
            ],
        );
        check(
            40,
            30,
            &expect![
                "failed   producer-expiry       brokers remember an idle producer for 40s (producer.id.expiration.ms), and the bridge counts on 60s: a record that is sent again can be written twice; set producer.id.expiration.ms to more than 60000 on every broker (its default is 86400000)"
            ],
        );
        check(
            90,
            120,
            &expect![
                "failed   producer-expiry       brokers remember an idle producer for 90s (producer.id.expiration.ms), and the bridge counts on 120s: a record that is sent again can be written twice; set producer.id.expiration.ms to more than 120000 on every broker (its default is 86400000)"
            ],
        );
    }
}

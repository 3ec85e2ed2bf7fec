//! The difference between the controller's clock and the local one.
//!
//! Kafka has no request for the time. But the controller of a KRaft cluster reports when each replica of the metadata
//! log was last caught up (KIP-836), and for itself that is the current time.

use super::ReachedBroker;
use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::wire::errors::{self, ErrorContext};
use crate::record::now;
use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::protocol::StrBytes;

/// The largest tolerated difference in ms. Relative times (`from=-15m`) and retention are off by the difference.
const MAX_SKEW_MS: i64 = 5_000;
/// The first version with `LastCaughtUpTimestamp`.
const VERSION: i16 = 1;

/// Compares the controller's clock with the local one.
pub fn skew(broker: &mut ReachedBroker) -> Diagnosis {
    let before = now();
    let remote = controllers_time(broker);
    let after = now();
    // The controller read its clock at some time between the two.
    let (local, uncertainty) = (before + (after - before) / 2, (after - before) / 2);
    match remote {
        Ok(Some(remote)) => judge(remote - local, uncertainty),
        Ok(None) | Err(BrokerError::Unsupported(_)) => Diagnosis::skipped(
            DiagnosisStep::Clock,
            "only Kafka 3.3 and later without ZooKeeper reports its time; compare the output of `date` there",
        ),
        Err(BrokerError::Denied(_)) => Diagnosis::skipped(
            DiagnosisStep::Clock,
            "not allowed to read the controller's time (needs Describe on the cluster)",
        ),
        Err(error) => {
            Diagnosis::skipped(DiagnosisStep::Clock, format!("the controller does not report its time: {error}"))
        }
    }
}

fn judge(skew: i64, uncertainty: i64) -> Diagnosis {
    let off = format!("{}.{:03} s", skew.abs() / 1000, skew.abs() % 1000);
    let relation = match skew {
        _ if skew.abs() <= uncertainty => "at the same time as".to_owned(),
        1.. => format!("{off} behind"),
        _ => format!("{off} ahead of"),
    };
    let what = format!("this machine is {relation} the controller (± {uncertainty} ms, from DescribeQuorum)");
    if skew.abs() <= MAX_SKEW_MS + uncertainty {
        return Diagnosis::ok(DiagnosisStep::Clock, what);
    }
    Diagnosis::failed(
        DiagnosisStep::Clock,
        what,
        "set the clocks by NTP: times such as from=-15m and retention are off by that much",
    )
}

/// Returns the controller's time in ms since the epoch; `None` if it does not report it.
fn controllers_time(broker: &mut ReachedBroker) -> Result<Option<i64>, BrokerError> {
    let topic = TopicData::default()
        .with_topic_name(StrBytes::from_static_str("__cluster_metadata").into())
        .with_partitions(vec![PartitionData::default().with_partition_index(0)]);
    let answer = broker.ask(&DescribeQuorumRequest::default().with_topics(vec![topic]), VERSION)?;
    errors::check(answer.error_code, ErrorContext::Cluster, None)?;
    let Some(partition) = answer.topics.into_iter().next().and_then(|topic| topic.partitions.into_iter().next()) else {
        return Ok(None);
    };
    errors::check(partition.error_code, ErrorContext::Cluster, None)?;
    let leader = partition.current_voters.iter().find(|voter| voter.replica_id == partition.leader_id);
    Ok(leader.map(|leader| leader.last_caught_up_timestamp).filter(|time| *time > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(skew: i64, uncertainty: i64, expected: &Expect) {
        expected.assert_eq(&judge(skew, uncertainty).to_string());
    }

    #[test]
    fn a_difference_of_more_than_five_seconds_fails_with_its_direction() {
        check(
            1,
            1,
            &expect![
                "ok       clock                 this machine is at the same time as the controller (± 1 ms, from DescribeQuorum)"
            ],
        );
        check(
            3,
            1,
            &expect![
                "ok       clock                 this machine is 0.003 s behind the controller (± 1 ms, from DescribeQuorum)"
            ],
        );
        check(
            -4_999,
            1,
            &expect![
                "ok       clock                 this machine is 4.999 s ahead of the controller (± 1 ms, from DescribeQuorum)"
            ],
        );
        check(
            65_001,
            1,
            &expect![
                "failed   clock                 this machine is 65.001 s behind the controller (± 1 ms, from DescribeQuorum); set the clocks by NTP: times such as from=-15m and retention are off by that much"
            ],
        );
        check(
            -65_001,
            1,
            &expect![
                "failed   clock                 this machine is 65.001 s ahead of the controller (± 1 ms, from DescribeQuorum); set the clocks by NTP: times such as from=-15m and retention are off by that much"
            ],
        );
        check(
            6_000,
            2_000,
            &expect![
                "ok       clock                 this machine is 6.000 s behind the controller (± 2000 ms, from DescribeQuorum)"
            ],
        );
    }
}

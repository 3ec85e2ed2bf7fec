//! The brokers' time and ours.
//!
//! Kafka has no request for the time. But the controller of a KRaft cluster tells, of every replica of the cluster's
//! own log, when it last had all of it (KIP-836), and of itself that is just now.

use super::Reached;
use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::wire::errors::{self, ErrorContext};
use crate::record::now;
use kafka_protocol::messages::DescribeQuorumRequest;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::protocol::StrBytes;

/// In ms. Times in requests (`from=-15m`) and retention are that much off.
const TOO_MUCH: i64 = 5_000;
/// The version that tells times.
const VERSION: i16 = 1;

pub fn skew(broker: &mut Reached) -> Diagnosis {
    let before = now();
    let theirs = controllers_time(broker);
    let after = now();
    // It was told at some time in between.
    let (ours, unsure) = (before + (after - before) / 2, (after - before) / 2);
    match theirs {
        Ok(Some(theirs)) => judge(theirs - ours, unsure),
        Ok(None) | Err(BrokerError::Unsupported(_)) => Diagnosis::skipped(
            DiagnosisStep::Clock,
            "only Kafka 3.3 and later without ZooKeeper tells its time: compare `date` there",
        ),
        Err(BrokerError::Denied(_)) => Diagnosis::skipped(
            DiagnosisStep::Clock,
            "the controller's time may not be asked for (Describe on the cluster)",
        ),
        Err(error) => {
            Diagnosis::skipped(DiagnosisStep::Clock, format!("the controller does not tell its time: {error}"))
        }
    }
}

fn judge(skew: i64, unsure: i64) -> Diagnosis {
    let off = format!("{}.{:03} s", skew.abs() / 1000, skew.abs() % 1000);
    let place = match skew {
        _ if skew.abs() <= unsure => "at the same time as".to_owned(),
        1.. => format!("{off} behind"),
        _ => format!("{off} ahead of"),
    };
    let what = format!("this machine is {place} the controller (± {unsure} ms, from DescribeQuorum)");
    if skew.abs() <= TOO_MUCH + unsure {
        return Diagnosis::ok(DiagnosisStep::Clock, what);
    }
    Diagnosis::failed(
        DiagnosisStep::Clock,
        what,
        "set the clocks by NTP: times such as from=-15m and retention are off by that much",
    )
}

/// In ms since the epoch.
fn controllers_time(broker: &mut Reached) -> Result<Option<i64>, BrokerError> {
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

    fn check(skew: i64, unsure: i64, expected: &Expect) {
        expected.assert_eq(&judge(skew, unsure).to_string());
    }

    #[test]
    fn some_seconds_are_too_much_and_it_is_said_which_way() {
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

//! Maps the response of a broker for one batch to its outcome.

use super::batch::ProducerBatch;
use super::partition_queue::BatchOutcome;
use crate::broker::{Acks, BrokerError, Cause, ErrorResponse, ErrorSubject, Operation, Remedy, WriteState};
use crate::kafka::wire::errors::{ErrorContext, error_for};
use crate::record::TopicPartition;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;

/// Whether the response casts doubt on the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderCheck {
    Confirmed,
    Doubtful,
}

/// Returns the outcome of a batch, and settles its records if they were written.
pub fn judge(
    partition_response: &PartitionProduceResponse,
    topic_partition: &TopicPartition,
    acks: Acks,
    batch: &ProducerBatch,
) -> (BatchOutcome, LeaderCheck) {
    let code = Kafka::try_from_code(partition_response.error_code);
    // The batch of a duplicate is in the log, from an earlier attempt.
    let Some(code) = code.filter(|code| *code != Kafka::DuplicateSequenceNumber) else {
        let offset = Some(partition_response.base_offset).filter(|offset| *offset >= 0);
        batch.settle_written(topic_partition.partition, offset);
        return (BatchOutcome::Written, LeaderCheck::Confirmed);
    };
    let error = error_for(
        code,
        ErrorContext::Partition(topic_partition, Operation::Write),
        partition_response.error_message.as_deref(),
    );
    let stale = matches!(error, BrokerError::UnknownTopic(_) | BrokerError::Recreated(_));
    // A leader that is cut off from the controllers does not notice that it was replaced. Its followers follow the new
    // leader, and no longer acknowledge its writes.
    let alone = matches!(code, Kafka::RequestTimedOut | Kafka::NotEnoughReplicas | Kafka::NotEnoughReplicasAfterAppend);
    let doubtful = stale || alone || error.remedy() == Remedy::Refresh;
    let leader = if doubtful { LeaderCheck::Doubtful } else { LeaderCheck::Confirmed };
    let verdict = match code {
        Kafka::OutOfOrderSequenceNumber | Kafka::UnknownProducerId => BatchOutcome::OutOfOrder,
        Kafka::InvalidProducerEpoch | Kafka::ProducerFenced | Kafka::InvalidProducerIdMapping => BatchOutcome::Fenced,
        Kafka::MessageTooLarge | Kafka::RecordListTooLarge => BatchOutcome::Split(error),
        Kafka::InvalidRecord | Kafka::InvalidTimestamp => match faulty(partition_response, topic_partition) {
            none if none.is_empty() => BatchOutcome::Split(error),
            faulty => BatchOutcome::InvalidRecords(faulty),
        },
        Kafka::CorruptMessage => BatchOutcome::Corrupt(match error {
            BrokerError::NotNow(response) => BrokerError::Corrupt(Cause::new(response)),
            other => other,
        }),
        // Rejected before anything was written.
        Kafka::NotEnoughReplicas | Kafka::ThrottlingQuotaExceeded => BatchOutcome::Retry { attempt: WriteState::No },
        // With acks=all a leader also returns this if it lost its leadership after the write.
        Kafka::NotLeaderOrFollower | Kafka::UnknownTopicOrPartition | Kafka::LeaderNotAvailable
            if acks != Acks::All =>
        {
            BatchOutcome::Retry { attempt: WriteState::No }
        }
        _ if leader == LeaderCheck::Doubtful || error.remedy() == Remedy::Retry => {
            BatchOutcome::Retry { attempt: WriteState::Maybe }
        }
        _ => BatchOutcome::Failed(error),
    };
    (verdict, leader)
}

/// Returns the invalid records if the broker (Kafka 2.4 and later) names them (KIP-467).
fn faulty(
    partition_response: &PartitionProduceResponse,
    topic_partition: &TopicPartition,
) -> Vec<(usize, BrokerError)> {
    let named = partition_response.record_errors.iter().filter_map(|e| {
        let why = e.batch_index_error_message.as_deref().or(partition_response.error_message.as_deref());
        let why = why.unwrap_or("the broker does not say why");
        let subject = ErrorSubject::Partition(topic_partition.clone());
        let response = ErrorResponse { code: partition_response.error_code, subject, message: why.to_owned() };
        Some((usize::try_from(e.batch_index).ok()?, BrokerError::InvalidRecord(Cause::new(response))))
    });
    named.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::TopicName;
    use kafka_protocol::messages::produce_response::BatchIndexAndErrorMessage;

    fn judged(code: Kafka, acks: Acks) -> (BatchOutcome, LeaderCheck) {
        let topic_partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let partition_response = PartitionProduceResponse::default().with_error_code(code.code());
        judge(&partition_response, &topic_partition, acks, &ProducerBatch::default())
    }

    #[test]
    fn a_leader_that_steps_down_may_have_written_with_acks_all_only() {
        let doubt = |attempt| (BatchOutcome::Retry { attempt }, LeaderCheck::Doubtful);
        assert_eq!(judged(Kafka::NotLeaderOrFollower, Acks::All), doubt(WriteState::Maybe));
        assert_eq!(judged(Kafka::NotLeaderOrFollower, Acks::Leader), doubt(WriteState::No));
        assert_eq!(judged(Kafka::KafkaStorageError, Acks::Leader), doubt(WriteState::Maybe));
    }

    #[test]
    fn a_repeated_batch_counts_as_written() {
        assert_eq!(judged(Kafka::DuplicateSequenceNumber, Acks::All), (BatchOutcome::Written, LeaderCheck::Confirmed));
    }

    #[test]
    fn error_codes_map_to_their_outcomes() {
        let cases = [
            (Kafka::OutOfOrderSequenceNumber, BatchOutcome::OutOfOrder),
            (Kafka::UnknownProducerId, BatchOutcome::OutOfOrder),
            (Kafka::ProducerFenced, BatchOutcome::Fenced),
        ];
        for (code, expected) in cases {
            assert_eq!(judged(code, Acks::All), (expected, LeaderCheck::Confirmed), "{code:?}");
        }
        assert!(matches!(judged(Kafka::MessageTooLarge, Acks::All).0, BatchOutcome::Split(BrokerError::TooLarge(_))));
        assert!(matches!(
            judged(Kafka::InvalidTimestamp, Acks::All).0,
            BatchOutcome::Split(BrokerError::InvalidRecord(_))
        ));
        let denied = judged(Kafka::TopicAuthorizationFailed, Acks::All).0;
        assert!(matches!(denied, BatchOutcome::Failed(BrokerError::Denied(_))));
    }

    #[test]
    fn a_leader_without_its_followers_may_have_been_replaced() {
        let cases = [
            (Kafka::NotEnoughReplicas, WriteState::No),
            (Kafka::NotEnoughReplicasAfterAppend, WriteState::Maybe),
            (Kafka::RequestTimedOut, WriteState::Maybe),
        ];
        for (code, attempt) in cases {
            assert_eq!(judged(code, Acks::All), (BatchOutcome::Retry { attempt }, LeaderCheck::Doubtful), "{code:?}");
        }
    }

    #[test]
    fn records_that_the_broker_names_fail_by_themselves() {
        let topic_partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let named = BatchIndexAndErrorMessage::default().with_batch_index(3);
        let partition_response = PartitionProduceResponse::default()
            .with_error_code(Kafka::InvalidRecord.code())
            .with_record_errors(vec![named])
            .with_error_message(Some("no key".into()));
        let expected = BrokerError::InvalidRecord("t/0: no key".into());
        assert_eq!(
            judge(&partition_response, &topic_partition, Acks::All, &ProducerBatch::default()).0,
            BatchOutcome::InvalidRecords(vec![(3, expected)])
        );
    }
}

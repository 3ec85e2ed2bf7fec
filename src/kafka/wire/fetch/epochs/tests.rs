#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::{self, Impostor, next_request, respond_to};
use std::sync::{Arc, Mutex};

const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
const TIMEOUT: Duration = Duration::from_secs(5);

fn position(offset: Offset, leader_epoch: i32, last_epoch: Epoch) -> FetchPosition {
    FetchPosition {
        topic: TopicName::new("t").unwrap(),
        topic_id: None,
        partition: 0,
        offset,
        leader_epoch,
        last_epoch,
    }
}

fn truncated(end: Offset, epoch: Epoch) -> Result<(), BrokerError> {
    let partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
    Err(BrokerError::Truncated { partition, end, epoch })
}

#[test]
fn every_response_about_an_epoch_is_a_step_back_or_none() {
    let read = position(20, 7, 3);
    assert_eq!(judge(&read, 3, 20), Ok(()));
    assert_eq!(judge(&read, 3, 99), Ok(()));
    assert_eq!(judge(&read, 3, 5), truncated(5, 3));
    assert_eq!(judge(&read, 2, 5), truncated(5, 2));
    // The log has that many records, but the record before the position was written under an earlier epoch.
    assert_eq!(judge(&read, 2, 99), truncated(99, 2));
    assert_eq!(judge(&read, -1, -1), truncated(0, NO_EPOCH));
    assert!(matches!(judge(&read, 4, 5), Err(BrokerError::Corrupt(_))));
    let ends = |epoch, end| EpochEndOffset::default().with_epoch(epoch).with_end_offset(end);
    assert_eq!(check_divergence(&read, &EpochEndOffset::default()), Ok(()));
    assert_eq!(check_divergence(&read, &ends(3, 5)), truncated(5, 3));
    assert!(
        matches!(check_divergence(&read, &ends(3, 20)), Err(BrokerError::Corrupt(_))),
        "that is no check_divergence"
    );
}

/// ApiVersions 3 with OffsetForLeaderEpoch 3, which is Kafka 2.3.
fn api_versions() -> Vec<u8> {
    let mut body = vec![0, 0, 2];
    for number in [OFFSET_FOR_LEADER_EPOCH, 0, 3] {
        body.extend(number.to_be_bytes());
    }
    body.extend([0; 6]);
    body
}

/// An OffsetForLeaderEpoch v3 response for partition 0 of `t`.
fn end(error: i16, epoch: i32, offset: i64) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    testing::text(&mut body, "t");
    body.extend([0, 0, 0, 1]);
    body.extend(error.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body
}

/// The result for each position on an old broker with these responses, and the number of requests.
fn check(ends: Vec<u8>, positions: &[FetchPosition]) -> (Vec<Result<(), BrokerError>>, usize) {
    let queries = Arc::new(Mutex::new(0));
    let count = queries.clone();
    let broker = Impostor::start(move |mut stream| {
        while let Some(request) = next_request(&mut stream) {
            let is_question = request.key == OFFSET_FOR_LEADER_EPOCH;
            *count.lock().unwrap() += usize::from(is_question);
            respond_to(&mut stream, request.correlation, &if is_question { ends.clone() } else { api_versions() });
        }
    });
    let mut connection = BrokerConnection::open(&broker.address, &broker.settings()).unwrap();
    let mut known = EpochEnds::default();
    let mut one = |position: &FetchPosition| {
        let found = known.check(&mut connection, std::slice::from_ref(position), DIVERGENCE - 1, TIMEOUT).unwrap();
        found.into_iter().next().map_or(Ok(()), |fetched| fetched.result.map(drop))
    };
    let found = positions.iter().map(&mut one).collect();
    let queries = *queries.lock().unwrap();
    (found, queries)
}

#[test]
fn an_old_broker_is_asked_once_for_each_leader_and_epoch() {
    // Positions without an epoch, and with the leader's own epoch, need no request.
    assert_eq!(check(end(0, 3, 5), &[position(20, 7, NO_EPOCH), position(20, 7, 7)]), (vec![Ok(()), Ok(())], 0));
    let positions = [position(20, 7, 3), position(5, 7, 3), position(6, 7, 3), position(3, 8, 3)];
    assert_eq!(check(end(0, 3, 5), &positions), (vec![truncated(5, 3), Ok(()), truncated(5, 3), Ok(())], 2));
}

#[test]
fn an_old_broker_that_rejects_the_request_is_read_and_a_former_leader_is_not() {
    const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
    const FENCED_LEADER_EPOCH: i16 = 74;
    assert_eq!(check(end(CLUSTER_AUTHORIZATION_FAILED, -1, -1), &[position(20, 7, 3)]).0, [Ok(())]);
    let (found, _) = check(end(FENCED_LEADER_EPOCH, -1, -1), &[position(20, 7, 3)]);
    assert!(matches!(&found[0], Err(BrokerError::StaleMetadata(_))), "{found:?}");
}

#[test]
fn retention_that_overtakes_a_reader_again_is_not_a_truncation() {
    // The current epoch ends at 10 when it is first requested, and at 1000 later.
    let ends = Mutex::new(vec![1000, 10]);
    let broker = Impostor::start(move |mut stream| {
        while let Some(request) = next_request(&mut stream) {
            let body = match request.key {
                OFFSET_FOR_LEADER_EPOCH => end(0, 7, ends.lock().unwrap().pop().unwrap()),
                _ => api_versions(),
            };
            respond_to(&mut stream, request.correlation, &body);
        }
    });
    let mut connection = BrokerConnection::open(&broker.address, &broker.settings()).unwrap();
    let mut known = EpochEnds::default();
    for offset in [3, 20] {
        let position = position(offset, 7, 7);
        let mut found = [fetched(&position, BrokerError::OffsetOutOfRange(topic_partition(&position)))];
        known.explain(&mut connection, &[position], &mut found, TIMEOUT).unwrap();
        assert!(matches!(found[0].result, Err(BrokerError::OffsetOutOfRange(_))), "at {offset}: {found:?}");
    }
}

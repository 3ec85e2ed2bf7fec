#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::{self, Impostor, LIST_OFFSETS, METADATA, broker, metadata};
use std::sync::{Arc, Mutex};

fn partition_of(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition }
}

/// A ListOffsets v2 response for one partition of `t`.
fn list_offsets(partition: i32, error: i16, offset: i64) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    testing::text(&mut body, "t");
    body.extend([0, 0, 0, 1]);
    body.extend(partition.to_be_bytes());
    body.extend(error.to_be_bytes());
    body.extend([0xff; 8]);
    body.extend(offset.to_be_bytes());
    body
}

/// Queries a broker whose topic `t` has one partition, and which returns an error code and an offset for a timestamp.
fn ask(
    requested: &[(TopicPartition, OffsetAt)],
    tell: impl Fn(i64) -> (i16, i64) + Send + Sync + 'static,
) -> Vec<Result<i64, BrokerError>> {
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker: Impostor = broker(move |requested| match requested.key {
        METADATA => Some(metadata(&[(1, &known.lock().unwrap())], &[("t", 0, &[1])])),
        LIST_OFFSETS => {
            let timestamp = requested.body.last_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
            let (error, offset) = tell(timestamp.unwrap());
            Some(list_offsets(0, error, offset))
        }
        _ => None,
    });
    address.lock().unwrap().clone_from(&broker.address);
    let cluster = Arc::new(ClusterClient::new(broker.settings()));
    let found = find(&cluster, &ConnectionPool::new(cluster.clone()), requested, OffsetDetail::Offsets);
    found.into_iter().map(|partition_of| Ok(partition_of?.next)).collect()
}

fn log(timestamp: i64) -> (i16, i64) {
    match timestamp {
        EARLIEST => (0, 10),
        LATEST => (0, 99),
        0..1000 => (0, 42),
        _ => (0, NOT_FOUND),
    }
}

#[test]
fn results_are_in_the_order_of_the_queries() {
    let requested = [
        (partition_of("t", 0), OffsetAt::Latest),
        (partition_of("t", 0), OffsetAt::Earliest),
        (partition_of("t", 0), OffsetAt::Time(500)),
        (partition_of("t", 0), OffsetAt::Time(-500)),
        (partition_of("t", 0), OffsetAt::Time(5000)),
        (partition_of("t", 7), OffsetAt::Latest),
        (partition_of("nope", 0), OffsetAt::Latest),
    ];
    let results = ask(&requested, log);
    assert_eq!(results[..5], [Ok(99), Ok(10), Ok(42), Ok(42), Ok(99)]);
    assert_eq!(results[5], Err(BrokerError::UnknownPartition(partition_of("t", 7))));
    assert_eq!(results[6], Err(BrokerError::UnknownTopic(partition_of("nope", 0).topic)));
}

#[test]
fn a_partition_added_since_the_last_lookup_is_found() {
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let first_time = Mutex::new(true);
    let broker: Impostor = broker(move |requested| match requested.key {
        METADATA => {
            let leaders: &[i32] = if std::mem::take(&mut *first_time.lock().unwrap()) { &[1] } else { &[1, 1] };
            Some(metadata(&[(1, &known.lock().unwrap())], &[("t", 0, leaders)]))
        }
        _ => Some(list_offsets(1, 0, 7)),
    });
    address.lock().unwrap().clone_from(&broker.address);
    let cluster = Arc::new(ClusterClient::new(broker.settings()));
    cluster.refresh(&partition_of("t", 0).topic, AutoCreate::Never).unwrap();
    let requested = [(partition_of("t", 1), OffsetAt::Latest)];
    let results = find(&cluster, &ConnectionPool::new(cluster.clone()), &requested, OffsetDetail::Positions);
    assert_eq!(results, [Ok(7.into())]);
}

#[test]
fn a_changing_leader_is_retried() {
    const NOT_LEADER: i16 = 6;
    const OFFSET_NOT_AVAILABLE: i16 = 78;
    const UNKNOWN_HERE: i16 = 3;
    let errors = Mutex::new(vec![UNKNOWN_HERE, OFFSET_NOT_AVAILABLE, NOT_LEADER]);
    let results =
        ask(&[(partition_of("t", 0), OffsetAt::Latest)], move |timestamp| match errors.lock().unwrap().pop() {
            Some(error) => (error, NOT_FOUND),
            None => log(timestamp),
        });
    assert_eq!(results, [Ok(99)]);
}

#[test]
fn an_authorization_error_is_final() {
    let results = ask(&[(partition_of("t", 0), OffsetAt::Latest)], |_| (29, NOT_FOUND));
    assert!(matches!(&results[..], [Err(BrokerError::Denied(_))]), "{results:?}");
}

#[test]
fn an_empty_query_sends_no_request() {
    let cluster = Arc::new(ClusterClient::new(testing::settings(&[])));
    assert_eq!(find(&cluster, &ConnectionPool::new(cluster.clone()), &[], OffsetDetail::Positions), []);
}

const OFFSET_FOR_LEADER_EPOCH: i16 = 23;

/// The leader epochs of a partition, each with its first offset.
type Log = Vec<(Epoch, i64)>;

/// The largest epoch of the log up to `requested`, and its end, as a leader reports it.
fn end_of(log: &Log, requested: Epoch) -> (i32, i64) {
    let later = log.partition_point(|(epoch, _)| *epoch <= requested);
    let epoch = later.checked_sub(1).map_or(requested, |at| log[at].0);
    (epoch as i32, log.get(later).map_or(1000, |(_, start)| *start))
}

/// The position that results from a ListOffsets v4 response, on a broker that first responds to OffsetForLeaderEpoch v3
/// with each of `errors`. Also returns the number of those requests.
fn position(log: Log, listed: (i64, Epoch), errors: &[i16]) -> (Result<Position, BrokerError>, usize) {
    let errors = Mutex::new(errors.iter().rev().copied().collect::<Vec<_>>());
    let queries = Arc::new(Mutex::new(0));
    let count = queries.clone();
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker = Impostor::start(move |mut stream| {
        while let Some(request) = testing::next_request(&mut stream) {
            let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
            testing::text(&mut body, "t");
            body.extend([0, 0, 0, 1]);
            match request.key {
                METADATA => body = metadata(&[(1, &known.lock().unwrap())], &[("t", 0, &[1])]),
                LIST_OFFSETS => {
                    body.extend([0; 6]);
                    body.extend([0xff; 8]);
                    body.extend(listed.0.to_be_bytes());
                    body.extend((listed.1 as i32).to_be_bytes());
                }
                OFFSET_FOR_LEADER_EPOCH => {
                    *count.lock().unwrap() += 1;
                    let requested = i32::from_be_bytes(*request.body.last_chunk().unwrap());
                    let (epoch, end) = end_of(&log, requested.into());
                    body.extend(errors.lock().unwrap().pop().unwrap_or(0).to_be_bytes());
                    body.extend([0; 4]);
                    body.extend(epoch.to_be_bytes());
                    body.extend(end.to_be_bytes());
                }
                _ => {
                    body = vec![0, 0, 4];
                    for (key, most) in [(METADATA, 4i16), (LIST_OFFSETS, 4), (OFFSET_FOR_LEADER_EPOCH, 3)] {
                        body.extend([key, 0, most].map(i16::to_be_bytes).as_flattened());
                        body.push(0);
                    }
                    body.extend([0; 5]);
                }
            }
            testing::respond_to(&mut stream, request.correlation, &body);
        }
    });
    address.lock().unwrap().clone_from(&broker.address);
    let cluster = Arc::new(ClusterClient::new(broker.settings()));
    let requested = [(partition_of("t", 0), OffsetAt::Latest)];
    let found = find(&cluster, &ConnectionPool::new(cluster.clone()), &requested, OffsetDetail::Positions).remove(0);
    let queries = *queries.lock().unwrap();
    (found, queries)
}

#[test]
fn a_position_has_the_epoch_of_the_record_before_it() {
    let many = (0..20).map(|n| (n, 5 * n)).collect::<Log>();
    // Epochs of a log, the ListOffsets response, the epoch of the record before, and the number of requests.
    let cases: [(Log, (i64, Epoch), Epoch, usize); 9] = [
        (vec![(0, 0)], (10, 0), 0, 0),
        (vec![(3, 0)], (0, 3), NO_EPOCH, 0),
        (vec![(0, 0), (3, 7)], (10, 3), 3, 1),
        // The leader has written nothing yet.
        (vec![(0, 0), (3, 10)], (10, 3), 0, 1),
        (vec![(0, 0), (2, 4), (3, 10)], (10, 3), 2, 2),
        // The first record of its epoch, found by its time.
        (vec![(0, 0), (2, 4), (3, 10)], (4, 2), 0, 1),
        // A transaction has been open since before the last two elections.
        (vec![(0, 0), (2, 4), (3, 12), (5, 14)], (6, 5), 2, 3),
        (many.clone(), (86, 19), 17, 3),
        (many, (6, 19), NO_EPOCH, 8),
    ];
    for (log, listed, epoch, queries) in cases {
        let found = position(log.clone(), listed, &[]);
        assert_eq!(found, (Ok(Position { next: listed.0, epoch }), queries), "{log:?} {listed:?}");
    }
}

#[test]
fn a_position_is_retried_if_the_leader_changes_and_has_no_epoch_if_the_request_is_denied() {
    const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
    const FENCED_LEADER_EPOCH: i16 = 74;
    let log = vec![(0, 0), (3, 10)];
    let found = position(log.clone(), (10, 3), &[FENCED_LEADER_EPOCH]);
    assert_eq!(found, (Ok(Position { next: 10, epoch: 0 }), 2));
    let found = position(log, (10, 3), &[CLUSTER_AUTHORIZATION_FAILED]);
    assert_eq!(found, (Ok(10.into()), 1));
}

#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::{self, Impostor, LIST_OFFSETS, METADATA, broker, metadata};
use std::sync::{Arc, Mutex};

fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition }
}

/// ListOffsets 2 of one partition of `t`.
fn told(partition: i32, error: i16, offset: i64) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    testing::text(&mut body, "t");
    body.extend([0, 0, 0, 1]);
    body.extend(partition.to_be_bytes());
    body.extend(error.to_be_bytes());
    body.extend([0xff; 8]);
    body.extend(offset.to_be_bytes());
    body
}

/// Asks a broker whose topic `t` has one partition, and which tells an error code and an offset for
/// a timestamp.
fn ask(
    asked: &[(TopicPartition, OffsetAt)],
    tell: impl Fn(i64) -> (i16, i64) + Send + Sync + 'static,
) -> Vec<Result<i64, BrokerError>> {
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker: Impostor = broker(move |asked| match asked.key {
        METADATA => Some(metadata(&[(1, &known.lock().unwrap())], &[("t", 0, &[1])])),
        LIST_OFFSETS => {
            let timestamp = asked.body.last_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
            let (error, offset) = tell(timestamp.unwrap());
            Some(told(0, error, offset))
        }
        _ => None,
    });
    address.lock().unwrap().clone_from(&broker.address);
    let cluster = Arc::new(Cluster::new(broker.settings()));
    let found = positions(&cluster, &Pool::new(cluster.clone()), asked);
    found.into_iter().map(|place| Ok(place?.next)).collect()
}

fn log(timestamp: i64) -> (i16, i64) {
    match timestamp {
        EARLIEST => (0, 10),
        LATEST => (0, 99),
        0..1000 => (0, 42),
        _ => (0, NONE),
    }
}

#[test]
fn each_question_has_its_answer_in_order() {
    let asked = [
        (place("t", 0), OffsetAt::Latest),
        (place("t", 0), OffsetAt::Earliest),
        (place("t", 0), OffsetAt::Time(500)),
        (place("t", 0), OffsetAt::Time(-500)),
        (place("t", 0), OffsetAt::Time(5000)),
        (place("t", 7), OffsetAt::Latest),
        (place("nope", 0), OffsetAt::Latest),
    ];
    let answers = ask(&asked, log);
    assert_eq!(answers[..5], [Ok(99), Ok(10), Ok(42), Ok(42), Ok(99)]);
    assert_eq!(answers[5], Err(BrokerError::UnknownPartition(place("t", 7))));
    assert_eq!(answers[6], Err(BrokerError::UnknownTopic(place("nope", 0).topic)));
}

#[test]
fn a_partition_added_since_the_last_look_is_found() {
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let first_time = Mutex::new(true);
    let broker: Impostor = broker(move |asked| match asked.key {
        METADATA => {
            let leaders: &[i32] = if std::mem::take(&mut *first_time.lock().unwrap()) { &[1] } else { &[1, 1] };
            Some(metadata(&[(1, &known.lock().unwrap())], &[("t", 0, leaders)]))
        }
        _ => Some(told(1, 0, 7)),
    });
    address.lock().unwrap().clone_from(&broker.address);
    let cluster = Arc::new(Cluster::new(broker.settings()));
    cluster.refresh(&place("t", 0).topic, AutoCreate::Never).unwrap();
    let answers = positions(&cluster, &Pool::new(cluster.clone()), &[(place("t", 1), OffsetAt::Latest)]);
    assert_eq!(answers, [Ok(7.into())]);
}

#[test]
fn a_leader_that_is_changing_is_asked_again() {
    const NOT_LEADER: i16 = 6;
    const OFFSET_NOT_AVAILABLE: i16 = 78;
    const UNKNOWN_HERE: i16 = 3;
    let errors = Mutex::new(vec![UNKNOWN_HERE, OFFSET_NOT_AVAILABLE, NOT_LEADER]);
    let answers = ask(&[(place("t", 0), OffsetAt::Latest)], move |timestamp| match errors.lock().unwrap().pop() {
        Some(error) => (error, NONE),
        None => log(timestamp),
    });
    assert_eq!(answers, [Ok(99)]);
}

#[test]
fn a_refusal_is_final() {
    let answers = ask(&[(place("t", 0), OffsetAt::Latest)], |_| (29, NONE));
    assert!(matches!(&answers[..], [Err(BrokerError::Denied(_))]), "{answers:?}");
}

#[test]
fn nothing_asked_asks_nobody() {
    let cluster = Arc::new(Cluster::new(testing::settings(&[])));
    assert_eq!(positions(&cluster, &Pool::new(cluster.clone()), &[]), []);
}

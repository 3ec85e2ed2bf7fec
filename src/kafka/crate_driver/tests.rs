#![allow(clippy::unwrap_used)]

use super::*;
use crate::broker::{Acks, AutoCreate, DeliveryReport};
use crate::record::{Header, NewRecord};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn driver(address: String) -> CrateDriver {
    CrateDriver::new(&WireSettings { bootstrap: vec![address], ..WireSettings::default() })
}

/// Answers the first request with `bytes`, then closes the connection. The driver's first connection carries no request:
/// it only checks that the port is open.
fn impostor(bytes: impl Into<Vec<u8>>) -> (CrateDriver, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (driver, bytes) = (driver(listener.local_addr().unwrap().to_string()), bytes.into());
    let thread = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&bytes);
    });
    (driver, thread)
}

#[test]
fn malformed_bytes_are_an_error() {
    let cases: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        // A negative length, which makes the crate panic.
        &[0xff; 16],
        // A partition number out of range, which makes it panic too.
        &[
            0, 0, 0, 42, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 99, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[0, 0, 0, 4, 0, 0, 0, 1],
    ];
    for bytes in cases {
        let (driver, thread) = impostor(bytes);
        let error = driver.ready().unwrap_err();
        assert!(matches!(error, BrokerError::Corrupt(_) | BrokerError::Unavailable(_)), "{bytes:?}: {error:?}");
        thread.join().unwrap();
    }
}

/// The response to the first metadata request: topic `t` with partitions of these numbers.
fn metadata(partitions: &[i32]) -> Vec<u8> {
    let correlation_id = 1i32.to_be_bytes();
    let (no_brokers, one_topic, name) = ([0; 4], [0, 0, 0, 1], [0, 0, 0, 1, b't']);
    let mut body = [&correlation_id[..], &no_brokers, &one_topic, &name].concat();
    body.extend((partitions.len() as i32).to_be_bytes());
    for partition in partitions {
        // The error code, the number, the leader, and empty lists of replicas.
        body.extend([&[0, 0][..], &partition.to_be_bytes(), &[0; 12]].concat());
    }
    [&(body.len() as i32).to_be_bytes()[..], &body].concat()
}

#[test]
fn partitions_are_numbered_from_0_without_gaps() {
    for numbers in [&[1][..], &[0, 2], &[-1, 0], &[0, 1, 99]] {
        let (driver, thread) = impostor(metadata(numbers));
        let error = driver.list_topics().unwrap_err();
        assert!(matches!(error, BrokerError::Corrupt(_)), "{numbers:?}: {error:?}");
        thread.join().unwrap();
    }
    let (driver, thread) = impostor(metadata(&[2, 0, 1]));
    let topics = driver.list_topics().unwrap();
    let numbers: Vec<_> = topics[0].partitions.iter().map(|partition| partition.partition).collect();
    assert_eq!(numbers, [0, 1, 2]);
    thread.join().unwrap();
}

#[test]
fn headers_and_timestamps_are_rejected_rather_than_dropped() {
    let header = Header { name: "a".into(), value: None };
    let records = vec![
        NewRecord { headers: vec![header], ..NewRecord::default() },
        NewRecord { timestamp: Some(1), ..NewRecord::default() },
    ];
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let (done, outcomes) = crossbeam_channel::bounded(1);
    sender
        .send(Submission {
            topic: TopicName::new("t").unwrap(),
            acks: Acks::All,
            auto_create: AutoCreate::Ask,
            receipts: DeliveryReport::new(records.len(), move |outcomes| done.send(outcomes).unwrap()),
            records,
            deadline: Instant::now() + Duration::from_secs(1),
        })
        .unwrap();
    drop(sender);
    driver("127.0.0.1:1".to_owned()).write_all(receiver);
    let outcomes = outcomes.recv().unwrap();
    for (outcome, what) in outcomes.iter().zip(["headers", "timestamps"]) {
        assert!(matches!(outcome, Err(BrokerError::Unsupported(why)) if why.to_string().contains(what)), "{outcome:?}");
    }
}

#[test]
fn a_search_by_time_is_unsupported() {
    let partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
    let offsets = driver("127.0.0.1:1".to_owned())
        .offsets(&[(partition.clone(), OffsetAt::Time(1)), (partition, OffsetAt::Latest)]);
    assert!(matches!(offsets[..], [Err(BrokerError::Unsupported(_)), Err(BrokerError::Unavailable(_))]), "{offsets:?}");
}

#[test]
fn a_write_to_an_unreachable_broker_fails_at_its_deadline_as_not_written() {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let (done, outcomes) = crossbeam_channel::bounded(1);
    sender
        .send(Submission {
            topic: TopicName::new("t").unwrap(),
            acks: Acks::All,
            auto_create: AutoCreate::Ask,
            receipts: DeliveryReport::new(1, move |outcomes| done.send(outcomes).unwrap()),
            records: vec![NewRecord::default()],
            deadline: Instant::now() + Duration::from_millis(250),
        })
        .unwrap();
    drop(sender);
    driver("127.0.0.1:1".to_owned()).write_all(receiver);
    assert_eq!(outcomes.recv().unwrap(), [Err(BrokerError::TimedOut(crate::broker::WriteState::No))]);
}

#![allow(clippy::unwrap_used)]
use super::*;
use crate::broker::Remedy;
use crate::kafka::wire::produce::encode::{Stamp, encode_batch};
use crate::kafka::wire::testing::{self, FETCH, Impostor, METADATA, api_versions, broker, metadata};
use crate::record::{NO_EPOCH, NewRecord, TopicName};
use crate::sync::memory_budget::MemoryBudget;
use bytes::BytesMut;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const LIMITS: FetchLimits = FetchLimits { wait: Duration::from_millis(10), max_bytes: 1000, partition_max_bytes: 1000 };

fn position(partition: i32) -> FetchPosition {
    FetchPosition {
        topic: TopicName::new("t").unwrap(),
        topic_id: None,
        partition,
        offset: 5,
        leader_epoch: -1,
        last_epoch: NO_EPOCH,
    }
}

/// A Fetch v4 response for partitions of `t`: number and error code.
fn fetched(partitions: &[(i32, i16)]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    testing::text(&mut body, "t");
    body.extend((partitions.len() as i32).to_be_bytes());
    for (partition, error) in partitions {
        body.extend(partition.to_be_bytes());
        body.extend(error.to_be_bytes());
        body.extend(9i64.to_be_bytes());
        body.extend(8i64.to_be_bytes());
        body.extend([0xff; 8]);
    }
    body
}

/// A broker that claims to be node 1 and answers fetches with `fetch`.
fn leader(fetch: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static) -> (Impostor, LeaderReader) {
    leader_within(MemoryBudget::default().live, fetch)
}

fn leader_within(
    memory: Arc<Share>,
    fetch: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Impostor, LeaderReader) {
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker = broker(move |requested| match requested.key {
        METADATA => Some(metadata(&[(1, &known.lock().unwrap())], &[("t", 0, &[1])])),
        FETCH => fetch(),
        _ => None,
    });
    address.lock().unwrap().clone_from(&broker.address);
    let reader = LeaderReader::new(Arc::new(ClusterClient::new(broker.settings())), 1, memory);
    (broker, reader)
}

#[test]
fn an_error_of_one_partition_does_not_hide_the_others() {
    let (_broker, mut reader) = leader(|| Some(fetched(&[(0, 0), (1, 1), (2, 6), (3, 3), (4, 74), (9, 0)])));
    let results = reader.fetch(&[0, 1, 2, 3, 4, 5].map(position), LIMITS).unwrap();
    assert_eq!(results.iter().map(|f| f.partition).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let data = results[0].result.as_ref().unwrap();
    assert_eq!((data.batches.len(), data.next_offset, data.end, data.log_start), (0, 5, 8, 0));
    assert!(matches!(&results[1].result, Err(BrokerError::OffsetOutOfRange(partition)) if partition.partition == 1));
    assert!(matches!(&results[2].result, Err(BrokerError::StaleMetadata(_))));
    assert!(matches!(&results[3].result, Err(BrokerError::UnknownPartition(partition)) if partition.partition == 3));
    assert!(matches!(&results[4].result, Err(BrokerError::StaleMetadata(_))));
}

#[test]
fn metadata_decides_whether_a_partition_unknown_to_its_leader_is_gone() {
    let id = |id: u128| Some(uuid::Uuid::from_u128(id));
    let position = |topic_id| FetchPosition { topic_id, ..position(0) };
    let name = || TopicName::new("t").unwrap();
    let now = |id, partitions: i32| {
        let of = |partition| crate::broker::PartitionInfo { partition, leader: Some(1), leader_epoch: 0 };
        Ok(TopicInfo { name: name(), id, partitions: (0..partitions).map(of).collect() })
    };
    let away = || BrokerError::Unavailable("away".into());
    assert!(matches!(missing_error(&position(id(1)), &now(id(1), 1)), BrokerError::StaleMetadata(_)));
    assert!(matches!(missing_error(&position(None), &now(None, 1)), BrokerError::StaleMetadata(_)));
    assert!(matches!(missing_error(&position(id(1)), &now(id(1), 0)), BrokerError::UnknownPartition(_)));
    assert_eq!(missing_error(&position(id(1)), &now(id(2), 1)), BrokerError::Recreated(name()));
    assert_eq!(
        missing_error(&position(id(1)), &Err(BrokerError::UnknownTopic(name()))),
        BrokerError::Recreated(name())
    );
    assert_eq!(
        missing_error(&position(None), &Err(BrokerError::UnknownTopic(name()))),
        BrokerError::UnknownTopic(name())
    );
    assert_eq!(missing_error(&position(id(1)), &Err(away())), away());
}

#[test]
fn a_lost_connection_is_an_error_and_the_next_fetch_reconnects() {
    let attempts = Mutex::new(0);
    let (broker, mut reader) = leader(move || {
        *attempts.lock().unwrap() += 1;
        (*attempts.lock().unwrap() != 2).then(|| fetched(&[(0, 0)]))
    });
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
    assert!(matches!(reader.fetch(&[position(0)], LIMITS), Err(BrokerError::Unavailable(_))));
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
    assert_eq!(broker.connections(), 3, "one for metadata, two for fetching");
}

#[test]
fn an_interrupt_before_a_fetch_ends_it_at_once_and_keeps_the_connection() {
    let (broker, mut reader) = leader(|| Some(fetched(&[(0, 0)])));
    let interrupt = reader.interrupter();
    interrupt();
    interrupt();
    assert!(reader.fetch(&[position(0)], LIMITS).unwrap().is_empty());
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
    assert_eq!(broker.connections(), 2);
}

#[test]
fn an_interrupt_ends_a_fetch_that_waits_and_the_next_one_works() {
    let (waits, waiting) = mpsc::channel();
    let first = Mutex::new(Some(waits));
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker = Impostor::start(move |mut stream| {
        while let Some(requested) = testing::next_request(&mut stream) {
            let body = match requested.key {
                testing::API_VERSIONS => api_versions(),
                METADATA => metadata(&[(1, &known.lock().unwrap())], &[]),
                _ => match first.lock().unwrap().take() {
                    Some(waits) => {
                        waits.send(()).unwrap();
                        continue;
                    }
                    None => fetched(&[(0, 0)]),
                },
            };
            testing::respond_to(&mut stream, requested.correlation, &body);
        }
    });
    address.lock().unwrap().clone_from(&broker.address);
    let mut reader =
        LeaderReader::new(Arc::new(ClusterClient::new(broker.settings())), 1, MemoryBudget::default().live);
    let interrupt = reader.interrupter();
    let interrupting = std::thread::spawn(move || {
        waiting.recv().unwrap();
        interrupt();
    });
    let began = Instant::now();
    let long = FetchLimits { wait: Duration::from_secs(60), ..LIMITS };
    assert!(reader.fetch(&[position(0)], long).unwrap().is_empty());
    assert!(began.elapsed() < Duration::from_secs(10));
    interrupting.join().unwrap();
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
}

#[test]
fn a_throttling_broker_gets_no_request_during_the_pause_unless_interrupted() {
    let pauses = Mutex::new(vec![600_000i32, 300]);
    let (_broker, mut reader) = leader(move || {
        let throttle = pauses.lock().unwrap().pop().unwrap_or(0);
        Some([&throttle.to_be_bytes()[..], &fetched(&[(0, 0)])[4..]].concat())
    });
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
    let throttled = Instant::now();
    assert_eq!(reader.fetch(&[position(0)], LIMITS).unwrap().len(), 1);
    assert!(throttled.elapsed() > Duration::from_millis(150), "the fetch did not wait");
    // The next throttle time is longer than any pause may be.
    reader.interrupter()();
    let interrupted = Instant::now();
    assert!(reader.fetch(&[position(0)], LIMITS).unwrap().is_empty());
    assert!(interrupted.elapsed() < Duration::from_secs(10), "an interrupt ends the wait");
}

/// A batch at offset 5 with one record of this many zeros, compressed with zstd.
fn zeros(bytes: usize) -> Vec<u8> {
    const HEADER: usize = 61;
    let record = NewRecord { value: Some(vec![0; bytes].into()), ..NewRecord::default() };
    let mut batch = BytesMut::new();
    encode_batch(&mut batch, std::iter::once((0, &record)), Stamp::NONE);
    let records = ruzstd::encoding::compress_to_vec(&batch[HEADER..], ruzstd::encoding::CompressionLevel::Fastest);
    let mut batch = [&batch[..HEADER], &records].concat();
    let length = u32::try_from(batch.len() - 12).unwrap();
    batch[..8].copy_from_slice(&5i64.to_be_bytes());
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] = 4;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A Fetch v4 response with this batch for this many partitions of `t`.
fn fetched_each(partitions: i32, batch: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    testing::text(&mut body, "t");
    body.extend(partitions.to_be_bytes());
    for partition in 0..partitions {
        body.extend(partition.to_be_bytes());
        body.extend(0i16.to_be_bytes());
        body.extend([9i64.to_be_bytes(), 8i64.to_be_bytes()].concat());
        body.extend((-1i32).to_be_bytes());
        body.extend(u32::try_from(batch.len()).unwrap().to_be_bytes());
        body.extend(batch);
    }
    body
}

#[test]
fn a_response_that_inflates_beyond_the_budget_is_decoded_partition_by_partition() {
    const PARTITIONS: i32 = 40;
    const LARGE: usize = 3 << 20;
    let memory = Share::new("test", 10 << 20, 5 << 20);
    let response = fetched_each(PARTITIONS, &zeros(LARGE));
    let (_broker, mut reader) = leader_within(memory.clone(), move || Some(response.clone()));
    let mut left: Vec<FetchPosition> = (0..PARTITIONS).map(position).collect();
    while !left.is_empty() {
        let fetched = reader.fetch(&left, LIMITS).unwrap();
        assert!((LARGE..=memory.limit()).contains(&memory.used()), "{}", memory.used());
        let before = left.len();
        for FetchResult { partition, result, .. } in fetched {
            match result {
                Ok(data) => {
                    let value = data.batches[0].iter().next().unwrap().value.map(<[u8]>::len);
                    assert_eq!((value, data.next_offset), (Some(LARGE), 6));
                    left.retain(|position| position.partition != partition);
                }
                Err(error) => assert_eq!(error, BrokerError::BudgetUsedUp),
            }
        }
        assert!((1..=3).contains(&(before - left.len())), "{before} to {}", left.len());
        assert_eq!(memory.used(), 0);
    }
}

#[test]
fn a_batch_that_never_fits_the_budget_is_reported_with_its_offset() {
    let memory = Share::new("test", 10 << 20, 5 << 20);
    let response = fetched_each(1, &zeros(6 << 20));
    let (_broker, mut reader) = leader_within(memory.clone(), move || Some(response.clone()));
    let error = reader.fetch(&[position(0)], LIMITS).unwrap().remove(0).result.unwrap_err();
    let BrokerError::OverBudget(why) = &error else { panic!("{error}") };
    assert!(why.to_string().contains("t/0 at offset 5") && why.to_string().contains("--memory-budget"), "{why}");
    assert_eq!((error.remedy(), memory.used()), (Remedy::GiveUp, 0));
}

#[test]
fn beside_a_truncated_partition_the_others_are_fetched_from_old_brokers_too() {
    const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
    let address = Arc::new(Mutex::new(String::new()));
    let known = address.clone();
    let broker = Impostor::start(move |mut stream| {
        while let Some(requested) = testing::next_request(&mut stream) {
            let body = match requested.key {
                testing::API_VERSIONS => {
                    let mut body = vec![0, 0, 4];
                    for api in [[FETCH, 0, 4], [METADATA, 0, 4], [OFFSET_FOR_LEADER_EPOCH, 0, 3]] {
                        body.extend(api.into_iter().flat_map(i16::to_be_bytes));
                        body.push(0);
                    }
                    body.extend([0; 5]);
                    body
                }
                METADATA => metadata(&[(1, &known.lock().unwrap())], &[("t", 0, &[1, 1])]),
                // Partition 0: epoch 3 ends at offset 2.
                OFFSET_FOR_LEADER_EPOCH => {
                    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
                    testing::text(&mut body, "t");
                    body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
                    body.extend(2i64.to_be_bytes());
                    body
                }
                _ => {
                    assert_eq!(requested.body[24..28], [0, 0, 0, 1], "one partition: {:?}", requested.body);
                    fetched(&[(1, 1)])
                }
            };
            testing::respond_to(&mut stream, requested.correlation, &body);
        }
    });
    address.lock().unwrap().clone_from(&broker.address);
    let mut reader =
        LeaderReader::new(Arc::new(ClusterClient::new(broker.settings())), 1, MemoryBudget::default().live);
    let read = FetchPosition { leader_epoch: 7, last_epoch: 3, ..position(0) };
    let mut results = reader.fetch(&[read, position(1)], LIMITS).unwrap();
    results.sort_by_key(|response| response.partition);
    let [read, other] = &results[..] else { panic!("{results:?}") };
    assert!(matches!(read.result, Err(BrokerError::Truncated { end: 2, epoch: 3, .. })), "{read:?}");
    assert!(matches!(other.result, Err(BrokerError::OffsetOutOfRange(_))), "{other:?}");
}

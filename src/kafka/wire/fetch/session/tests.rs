#![allow(clippy::unwrap_used)]
use super::*;
use crate::record::NO_EPOCH;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

const LIMITS: FetchLimits =
    FetchLimits { wait: Duration::from_millis(500), max_bytes: 1000, partition_max_bytes: 1000 };
const ONCE: FetchLimits = FetchLimits { wait: Duration::ZERO, ..LIMITS };

/// Offsets by topic and partition.
type Asks = BTreeMap<(String, i32), i64>;

/// A broker's sessions (KIP-227), with the partitions of each.
#[derive(Default)]
struct Broker {
    /// The epoch that must come next, and the partitions.
    sessions: BTreeMap<i32, (i32, Asks)>,
    given: i32,
    /// How requests name topics.
    by_id: bool,
}

fn name_of(by_id: bool, name: &kafka_protocol::messages::TopicName, id: uuid::Uuid) -> String {
    if by_id { id.to_string() } else { name.0.to_string() }
}

impl Broker {
    fn name(&self, name: &kafka_protocol::messages::TopicName, id: uuid::Uuid) -> String {
        name_of(self.by_id, name, id)
    }

    /// The response, and all partitions that the request covers.
    fn response(&mut self, request: &FetchRequest, capacity: usize) -> (FetchResponse, Asks) {
        let named = request.topics.iter().flat_map(|topic| {
            let name = self.name(&topic.topic, topic.topic_id);
            topic.partitions.iter().map(move |p| ((name.clone(), p.partition), p.fetch_offset))
        });
        let named: Vec<_> = named.collect();
        let response = FetchResponse::default();
        if request.session_epoch == FINAL_EPOCH {
            return (response, named.into_iter().collect());
        }
        if request.session_epoch == INITIAL_EPOCH {
            self.sessions.remove(&request.session_id);
            let asks: Asks = named.into_iter().collect();
            if self.sessions.len() >= capacity {
                return (response, asks);
            }
            self.given += 1;
            self.sessions.insert(self.given, (1, asks.clone()));
            return (response.with_session_id(self.given), asks);
        }
        let Some((epoch, asks)) = self.sessions.get_mut(&request.session_id) else {
            return (response.with_error_code(ResponseError::FetchSessionIdNotFound.code()), Asks::new());
        };
        if *epoch != request.session_epoch {
            return (response.with_error_code(ResponseError::InvalidFetchSessionEpoch.code()), BTreeMap::new());
        }
        *epoch += 1;
        asks.extend(named);
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let name = name_of(self.by_id, &topic.topic, topic.topic_id);
                assert!(asks.remove(&(name, *partition)).is_some(), "forgets an unknown partition");
            }
        }
        (response.with_session_id(request.session_id), asks.clone())
    }
}

/// `made` is the number of times that the topic was recreated.
fn position(topic: u8, partition: u8, made: u8, offset: i64) -> FetchPosition {
    let id = uuid::Uuid::from_u128(((1 + u128::from(topic)) << 8) | u128::from(made));
    let topic = TopicName::new(&format!("t{topic}")).unwrap();
    FetchPosition {
        topic,
        topic_id: Some(id),
        partition: partition.into(),
        offset,
        leader_epoch: -1,
        last_epoch: NO_EPOCH,
    }
}

fn requested(positions: &[FetchPosition], by_id: bool) -> Asks {
    let name = |position: &FetchPosition| {
        if by_id { position.topic_id.unwrap().to_string() } else { position.topic.as_str().to_owned() }
    };
    positions.iter().map(|position| ((name(position), position.partition), position.offset)).collect()
}

#[derive(Debug, Clone)]
enum Event {
    Asks,
    /// The response is lost, with or without the request.
    Lost(bool),
    BrokerRestarts,
    AsksOnce,
    OtherVersion(bool),
}

/// An event, and the requested partitions at that time: the number of times that the topic was recreated and an offset,
/// by topic and partition.
type Step = (Event, BTreeMap<(u8, u8), (u8, i64)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = prop_oneof![
        6 => Just(Event::Asks),
        1 => any::<bool>().prop_map(Event::Lost),
        1 => Just(Event::BrokerRestarts),
        1 => Just(Event::AsksOnce),
        1 => any::<bool>().prop_map(Event::OtherVersion),
    ];
    let positions = prop::collection::btree_map((0..3u8, 0..4u8), (0..2u8, 0..5i64), 0..8);
    prop::collection::vec((event, positions), 1..40)
}

proptest! {
    #[test]
    fn every_request_covers_the_requested_partitions(steps in steps(), capacity in 0..3usize, start: Index) {
        let (mut session, mut broker) = (FetchSession::default(), Broker { given: start.index(1000) as i32, by_id: true, ..Broker::default() });
        let mut version = BY_ID;
        // Sessions that were started for a lost response, so the client cannot know them.
        let mut orphans = 0;
        for (event, positions) in steps {
            let positions: Vec<_> = positions.iter().map(|((topic, partition), (made, offset))| position(*topic, *partition, *made, *offset)).collect();
            match event {
                Event::Lost(arrived) => {
                    let request = session.request(&positions, LIMITS, version);
                    if arrived {
                        broker.response(&request, capacity);
                        orphans += usize::from(request.session_epoch == INITIAL_EPOCH);
                    }
                    session.lost();
                    continue;
                }
                Event::BrokerRestarts => broker.sessions.clear(),
                Event::AsksOnce => {
                    let request = session.request(&positions, ONCE, version);
                    let (response, asks) = broker.response(&request, capacity);
                    prop_assert_eq!(session.apply_response(&response, ONCE), SessionResult::Valid);
                    prop_assert_eq!(asks, requested(&positions, broker.by_id));
                    continue;
                }
                Event::OtherVersion(by_id) => {
                    version = if by_id { BY_ID } else { BY_NAME };
                    broker.by_id = by_id;
                }
                Event::Asks => {}
            }
            let (mut response, mut asks) = broker.response(&session.request(&positions, LIMITS, version), capacity);
            if session.apply_response(&response, LIMITS) == SessionResult::Forgotten {
                (response, asks) = broker.response(&session.request(&positions, LIMITS, version), capacity);
                prop_assert_eq!(session.apply_response(&response, LIMITS), SessionResult::Valid);
            }
            prop_assert_eq!(response.error_code, 0);
            prop_assert_eq!(asks, requested(&positions, broker.by_id));
            prop_assert!(broker.sessions.len() <= 1 + orphans, "sessions are left behind: {:?}", broker.sessions.keys());
        }
    }
}

#[test]
fn a_request_lists_only_changed_partitions() {
    let (mut session, mut broker) = (FetchSession::default(), Broker::default());
    let mut named = |positions: &[FetchPosition]| {
        let request = session.request(positions, LIMITS, BY_ID);
        session.apply_response(&broker.response(&request, 1).0, LIMITS);
        let count = |topics: &[FetchTopic]| topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
        (count(&request.topics), request.forgotten_topics_data.iter().map(|t| t.partitions.len()).sum::<usize>())
    };
    let mut positions: Vec<_> = (0..100).map(|partition| position(0, partition, 0, 7)).collect();
    assert_eq!(named(&positions), (100, 0));
    assert_eq!(named(&positions), (0, 0));
    positions[3].offset = 8;
    positions.pop();
    assert_eq!(named(&positions), (1, 1));
    positions.rotate_left(50);
    assert_eq!(named(&positions), (0, 0));
}

#[test]
fn the_last_read_epoch_is_sent_if_the_broker_checks_it_and_again_when_it_has_changed() {
    let mut session = FetchSession::default();
    let mut read = position(0, 0, 0, 7);
    read.last_epoch = 3;
    let mut sent = |read: &FetchPosition, version| {
        let request = session.request(std::slice::from_ref(read), LIMITS, version);
        session.apply_response(&FetchResponse::default().with_session_id(1), LIMITS);
        request.topics.first().map(|topic| topic.partitions[0].last_fetched_epoch)
    };
    assert_eq!(sent(&read, DIVERGENCE - 1), Some(-1));
    assert_eq!(sent(&read, DIVERGENCE), Some(3));
    assert_eq!(sent(&read, DIVERGENCE), None);
    read.last_epoch = 4;
    assert_eq!(sent(&read, DIVERGENCE), Some(4));
}

#[test]
fn an_old_broker_gets_requests_without_a_session() {
    let mut session = FetchSession::default();
    for _ in 0..2 {
        let request = session.request(&[position(0, 0, 0, 7)], LIMITS, SESSIONS - 1);
        assert_eq!((request.session_id, request.session_epoch, request.topics.len()), (0, FINAL_EPOCH, 1));
        assert_eq!(session.apply_response(&FetchResponse::default(), LIMITS), SessionResult::Valid);
    }
}

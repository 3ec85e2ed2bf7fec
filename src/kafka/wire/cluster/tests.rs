#![allow(clippy::unwrap_used)]
use super::rotation::{HEDGE, MetadataReply};
use super::topics::{Certainty, TopicLookup};
use super::*;
use crate::broker::{AutoCreate, TopicInfo};
use crate::kafka::wire::testing::{self, METADATA, broker, metadata};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn closed_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn any_bootstrap_address_that_answers_will_do() {
    let alive = broker(|_| Some(metadata(&[(1, "127.0.0.1:1")], &[])));
    for _ in 0..10 {
        ClusterClient::new(testing::settings(&[&closed_address(), &alive.address, &closed_address()])).ping().unwrap();
    }
}

#[test]
fn topics_are_returned_in_the_order_of_the_request() {
    let alive = broker(|requested| {
        assert_eq!(requested.key, METADATA);
        Some(metadata(&[(1, "h:1")], &[("b", 0, &[1, -1]), ("denied", 29, &[]), ("electing", 5, &[]), ("a", 0, &[1])]))
    });
    let cluster = ClusterClient::new(alive.settings());
    let requested = ["a", "missing", "denied", "electing", "b"].map(name);
    let found = cluster.topics(&requested, AutoCreate::Never).unwrap();
    let leaders = |info: &TopicInfo| info.partitions.iter().map(|p| p.leader).collect::<Vec<_>>();
    assert_eq!(leaders(found[0].as_ref().unwrap()), [Some(1)]);
    assert_eq!(found[1], Err(BrokerError::UnknownTopic(name("missing"))));
    assert!(matches!(found[2], Err(BrokerError::Denied(_))));
    assert!(matches!(found[3], Err(BrokerError::StaleMetadata(_))));
    assert_eq!(leaders(found[4].as_ref().unwrap()), [Some(1), None]);
    assert_eq!(cluster.cached(&name("b")).unwrap().partitions.len(), 2);
    assert_eq!(cluster.cached(&name("missing")), None);
    assert_eq!(cluster.list_topics().unwrap().iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(alive.connections(), 1, "the connection is kept");
}

#[test]
fn a_topic_is_created_only_on_request() {
    let flags = Arc::new(Mutex::new(Vec::new()));
    let noted = flags.clone();
    let alive = broker(move |requested| {
        noted.lock().unwrap().push(*requested.body.last().unwrap());
        Some(metadata(&[], &[("t", 0, &[1])]))
    });
    let cluster = ClusterClient::new(alive.settings());
    cluster.ping().unwrap();
    cluster.list_topics().unwrap();
    cluster.topics(&[name("t")], AutoCreate::Never).unwrap();
    cluster.refresh(&name("t"), AutoCreate::Ask).unwrap();
    assert_eq!(*flags.lock().unwrap(), [0, 0, 0, 1]);
}

#[test]
fn brokers_learned_from_the_first_take_over_when_it_is_gone() {
    let second = broker(|_| Some(metadata(&[], &[("t", 0, &[2])])));
    let address = second.address.clone();
    let first = broker(move |_| Some(metadata(&[(2, &address)], &[])));
    let cluster = ClusterClient::new(first.settings());
    cluster.ping().unwrap();
    drop(first);
    assert_eq!(cluster.refresh(&name("t"), AutoCreate::Never).unwrap().partitions[0].leader, Some(2));
    assert_eq!(&*cluster.address(2).unwrap(), second.address);
}

#[test]
fn a_broker_that_falls_silent_leaves_time_for_another() {
    let silent_from_now = Arc::new(std::sync::atomic::AtomicBool::default());
    let silent = silent_from_now.clone();
    let second = broker(|_| Some(metadata(&[], &[])));
    let address = second.address.clone();
    let first = testing::Impostor::start(move |mut stream| {
        while let Some(requested) = testing::next_request(&mut stream) {
            let versions = requested.key == testing::API_VERSIONS;
            let body = if versions { testing::api_versions() } else { metadata(&[(2, &address)], &[]) };
            if !silent.load(std::sync::atomic::Ordering::SeqCst) {
                testing::respond_to(&mut stream, requested.correlation, &body);
            }
        }
    });
    let settings = WireSettings { request_timeout: Duration::from_millis(900), ..first.settings() };
    let cluster = ClusterClient::new(settings);
    cluster.ping().unwrap();
    silent_from_now.store(true, std::sync::atomic::Ordering::SeqCst);
    cluster.ping().unwrap();
    assert_eq!(second.connections(), 1);
}

#[test]
fn during_an_outage_the_reason_is_returned_at_once() {
    let closing = testing::Impostor::start(drop);
    let cluster = ClusterClient::new(closing.settings());
    let why = cluster.ping().unwrap_err();
    assert!(matches!(&why, BrokerError::Unavailable(text) if text.to_string().contains(&closing.address)), "{why:?}");
    cluster.note_outage(&why);
    cluster.view().outage.as_mut().unwrap().retry_at = Instant::now() + Duration::from_secs(60);
    let tried = closing.connections();
    assert_eq!(cluster.list_topics(), Err(why.clone()));
    assert_eq!(cluster.versions().unwrap_err(), why);
    assert_eq!(closing.connections(), tried);
}

#[test]
fn a_caller_that_waited_during_an_outage_does_not_retry() {
    let silent = testing::Impostor::start(|mut stream| while testing::next_request(&mut stream).is_some() {});
    let settings = WireSettings { connect_timeout: Duration::from_millis(300), ..silent.settings() };
    let cluster = ClusterClient::new(settings);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| cluster.ping())).collect();
        let began = Instant::now();
        for call in calls {
            assert!(matches!(call.join().unwrap(), Err(BrokerError::Unavailable(_))));
        }
        assert!(began.elapsed() < Duration::from_millis(1500));
    });
}

#[test]
fn requests_succeed_again_when_the_broker_comes_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let cluster = ClusterClient::new(testing::settings(&[&address, &closed_address()]));
    cluster.ping().unwrap_err();
    let alive = broker(|_| Some(metadata(&[], &[])));
    let cluster = ClusterClient { settings: alive.settings(), ..cluster };
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = cluster.ping() {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::yield_now();
    }
    assert!(cluster.view().outage.is_none());
}

#[test]
fn a_broker_that_lags_behind_does_not_bring_back_an_earlier_leader() {
    use crate::broker::PartitionInfo;
    let info = |id: u128, leader, leader_epoch| TopicInfo {
        name: name("t"),
        id: Some(uuid::Uuid::from_u128(id)).filter(|id| !id.is_nil()),
        partitions: vec![PartitionInfo { partition: 0, leader: Some(leader), leader_epoch }],
    };
    let kept = |mut fresh: TopicInfo, before| {
        super::metadata::keep_newer_leaders(&mut fresh, &before);
        fresh.partitions[0].leader.unwrap()
    };
    assert_eq!(kept(info(7, 1, 4), info(7, 2, 5)), 2);
    assert_eq!(kept(info(7, 1, 6), info(7, 2, 5)), 1);
    assert_eq!(kept(info(8, 1, 0), info(7, 2, 5)), 1, "recreated");
    assert_eq!(kept(info(0, 1, 0), info(0, 2, 5)), 1, "cannot be told apart from a recreated one");
}

#[test]
fn a_broker_that_lags_behind_does_not_take_partitions_away() {
    use crate::broker::PartitionInfo;
    let info = |id: u128, partitions| TopicInfo {
        name: name("t"),
        id: Some(uuid::Uuid::from_u128(id)),
        partitions: (0..partitions).map(|n| PartitionInfo { partition: n, leader: Some(n), leader_epoch: 0 }).collect(),
    };
    let mut fresh = info(7, 2);
    let outdated = super::metadata::keep_newer_leaders(&mut fresh, &info(7, 4));
    assert_eq!((fresh, outdated.map(|tp| tp.partition)), (info(7, 4), Some(2)));
    let mut recreated = info(8, 2);
    assert_eq!(super::metadata::keep_newer_leaders(&mut recreated, &info(7, 4)), None);
    assert_eq!(recreated, info(8, 2));
}

#[test]
fn a_throttled_broker_does_not_delay_requests_that_others_can_answer() {
    let second = broker(|_| Some(metadata(&[], &[])));
    let address = second.address.clone();
    let first = broker(move |_| {
        // The throttle time is the first field; it is longer than back-off pauses can be.
        Some([&600_000i32.to_be_bytes()[..], &metadata(&[(2, &address)], &[])[4..]].concat())
    });
    let cluster = ClusterClient::new(first.settings());
    cluster.ping().unwrap();
    let began = Instant::now();
    cluster.ping().unwrap();
    assert_eq!(second.connections(), 1);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited for the quota");
}

#[test]
fn after_an_outage_all_brokers_are_asked_in_turn() {
    let outage = Arc::new(AtomicBool::new(true));
    let addresses: Arc<OnceLock<Vec<String>>> = Arc::default();
    let brokers: Vec<_> = (0..3)
        .map(|_| {
            let (outage, addresses) = (outage.clone(), addresses.clone());
            testing::Impostor::start(move |mut stream| {
                while let Some(requested) = testing::next_request(&mut stream) {
                    let nodes: Vec<_> = (1..).zip(addresses.wait().iter().map(String::as_str)).collect();
                    let body = match requested.key {
                        _ if outage.load(Ordering::SeqCst) => return,
                        testing::API_VERSIONS => testing::api_versions(),
                        _ => metadata(&nodes, &[("t", 0, &[1])]),
                    };
                    testing::respond_to(&mut stream, requested.correlation, &body);
                }
            })
        })
        .collect();
    addresses.set(brokers.iter().map(|b| b.address.clone()).collect()).unwrap();
    let bootstrap: Vec<&str> = brokers.iter().map(|b| b.address.as_str()).collect();
    let cluster = ClusterClient::new(testing::settings(&bootstrap));
    for _ in 0..5 {
        cluster.ping().unwrap_err();
        cluster.view().outage.as_mut().unwrap().retry_at = Instant::now();
    }
    outage.store(false, Ordering::SeqCst);
    let before: Vec<_> = brokers.iter().map(testing::Impostor::connections).collect();
    for _ in 0..3 {
        cluster.refresh(&name("t"), AutoCreate::Never).unwrap();
    }
    let opened: Vec<_> = brokers.iter().zip(before).map(|(b, before)| b.connections() - before).collect();
    assert_eq!(opened, [1, 1, 1]);
}

#[test]
fn a_broker_that_rejects_the_client_is_not_retried_at_once() {
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let (own, first) = (address.clone(), std::sync::atomic::AtomicBool::new(true));
    let refusing = testing::Impostor::start(move |mut stream| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        while let Some(requested) = testing::next_request(&mut stream) {
            let body = match requested.key {
                _ if !is_first => return drop(std::io::Write::write_all(&mut stream, &[0x15, 3, 3, 0, 2, 2, 40])),
                testing::API_VERSIONS => testing::api_versions(),
                _ => metadata(&[(1, own.get().unwrap())], &[]),
            };
            testing::respond_to(&mut stream, requested.correlation, &body);
        }
    });
    address.set(refusing.address.clone()).unwrap();
    let cluster = ClusterClient::new(refusing.settings());
    cluster.ping().unwrap();
    for _ in 0..20 {
        assert!(matches!(cluster.connect(1), Err(BrokerError::Untrusted(_))));
    }
    assert!(refusing.connections() <= 3, "{}", refusing.connections());
}

/// A broker that stops responding once its flag is set.
fn freezing(metadata: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> (testing::Impostor, Arc<AtomicBool>) {
    let frozen = Arc::new(AtomicBool::default());
    let is_frozen = frozen.clone();
    let broker = testing::Impostor::start(move |mut stream| {
        while let Some(requested) = testing::next_request(&mut stream) {
            let body = if requested.key == testing::API_VERSIONS { testing::api_versions() } else { metadata() };
            if !is_frozen.load(Ordering::SeqCst) {
                testing::respond_to(&mut stream, requested.correlation, &body);
            }
        }
    });
    (broker, frozen)
}

#[test]
fn a_frozen_broker_delays_metadata_by_about_a_second() {
    let second = broker(|_| Some(metadata(&[], &[("t", 0, &[2])])));
    let address = second.address.clone();
    let (first, frozen) = freezing(move || metadata(&[(2, &address)], &[]));
    let settings = WireSettings { request_timeout: Duration::from_secs(60), ..first.settings() };
    let cluster = ClusterClient::new(settings);
    cluster.ping().unwrap();
    frozen.store(true, Ordering::SeqCst);
    let began = Instant::now();
    cluster.ping().unwrap();
    // Without hedging this takes a third of the request timeout.
    assert!((HEDGE..Duration::from_secs(15)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let requested = first.connections();
    for _ in 0..5 {
        cluster.ping().unwrap();
        cluster.refresh(&name("t"), AutoCreate::Never).unwrap();
    }
    assert_eq!(first.connections(), requested, "it is avoided for a while");
}

#[test]
fn a_slow_broker_is_waited_for_if_no_other_responds() {
    let first = testing::Impostor::start(move |mut stream| {
        while let Some(requested) = testing::next_request(&mut stream) {
            let versions = requested.key == testing::API_VERSIONS;
            let body = if versions { testing::api_versions() } else { metadata(&[], &[]) };
            std::thread::sleep(if versions { Duration::ZERO } else { HEDGE * 3 / 2 });
            testing::respond_to(&mut stream, requested.correlation, &body);
        }
    });
    let settings = WireSettings {
        bootstrap: vec![first.address.clone(), closed_address()],
        request_timeout: Duration::from_secs(60),
        ..first.settings()
    };
    let cluster = ClusterClient::new(settings);
    cluster.ping().unwrap();
    let opened = first.connections();
    cluster.ping().unwrap();
    assert_eq!(first.connections(), opened, "a broker that is usually slow is given the time");
}

#[test]
fn requests_for_leaders_rotate_over_the_brokers() {
    let requested: Arc<Mutex<Vec<usize>>> = Arc::default();
    let addresses: Arc<OnceLock<Vec<String>>> = Arc::default();
    let brokers: Vec<_> = (0..3usize)
        .map(|number| {
            let (requested, addresses) = (requested.clone(), addresses.clone());
            broker(move |_| {
                requested.lock().unwrap().push(number);
                let nodes: Vec<_> = (1..).zip(addresses.get().unwrap().iter().map(String::as_str)).collect();
                Some(metadata(&nodes, &[("t", 0, &[1])]))
            })
        })
        .collect();
    addresses.set(brokers.iter().map(|b| b.address.clone()).collect()).unwrap();
    let cluster = ClusterClient::new(brokers[0].settings());
    for _ in 0..9 {
        cluster.refresh(&name("t"), AutoCreate::Never).unwrap();
    }
    let requested = requested.lock().unwrap().clone();
    for three in requested[1..].windows(3) {
        let different: std::collections::BTreeSet<_> = three.iter().collect();
        assert_eq!(different.len(), 3, "{requested:?}");
    }
    assert_eq!(brokers.iter().map(testing::Impostor::connections).sum::<usize>(), 3, "each connection is kept");
}

#[test]
fn a_ping_goes_to_the_broker_that_responded_last() {
    let second = broker(|_| Some(metadata(&[], &[("t", 0, &[2])])));
    let address = second.address.clone();
    let first = broker(move |_| Some(metadata(&[(2, &address)], &[])));
    let cluster = ClusterClient::new(first.settings());
    for _ in 0..5 {
        cluster.ping().unwrap();
    }
    assert_eq!((first.connections(), second.connections()), (1, 0));
}

#[test]
fn a_recreated_topic_stays_so_in_spite_of_a_broker_that_is_cut_off() {
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::protocol::StrBytes;
    let cluster = ClusterClient::new(testing::settings(&[]));
    let number = std::cell::Cell::new(0);
    let response = |broker: i32, id: Option<u128>| {
        number.set(number.get() + 1);
        let topic = id.map(|id| {
            MetadataResponseTopic::default()
                .with_name(Some(kafka_protocol::messages::TopicName("t".into())))
                .with_topic_id(uuid::Uuid::from_u128(id))
                .with_partitions(vec![MetadataResponsePartition::default().with_leader_id(1.into())])
        });
        let host = |node| StrBytes::from_string(format!("broker-{node}"));
        let node =
            |node: i32| MetadataResponseBroker::default().with_node_id(node.into()).with_host(host(node)).with_port(9);
        let brokers = (1..=4).map(node).collect();
        let response = MetadataResponse::default().with_brokers(brokers).with_topics(topic.into_iter().collect());
        MetadataReply { response, address: format!("broker-{broker}:9").into(), number: number.get() }
    };
    // The result of one request to these brokers.
    let learned = |reports: &[(i32, Option<u128>)]| {
        let topic = name("t");
        let mut lookups = [TopicLookup::new(&topic)];
        reports.iter().for_each(|(broker, id)| cluster.apply_reply(&mut lookups, &response(*broker, *id)));
        let [TopicLookup { result, certainty, .. }] = lookups;
        (result.map(|info| info.id.unwrap().as_u128()), certainty)
    };
    let certain = |id| (Ok(id), Certainty::Certain);
    let missing = || Err(BrokerError::UnknownTopic(name("t")));
    assert_eq!(learned(&[(1, Some(7)), (2, Some(7))]), certain(7));
    assert_eq!(learned(&[(2, None)]), (missing(), Certainty::Doubtful));
    assert_eq!(learned(&[(2, Some(8))]), certain(8));
    assert_eq!(learned(&[(1, Some(7))]), certain(8));
    assert_eq!(learned(&[(3, Some(8))]), certain(8));
    assert_eq!(learned(&[(1, Some(7))]), certain(8));
    assert_eq!(learned(&[(4, Some(9))]), (Ok(8), Certainty::Doubtful));
    assert_eq!(cluster.cached(&name("t")).unwrap().id.unwrap().as_u128(), 8);
    // After a deletion the old topic must not return either.
    assert_eq!(learned(&[(3, None), (2, None)]), (missing(), Certainty::Certain));
    assert!(matches!(learned(&[(1, Some(7))]), (Err(BrokerError::StaleMetadata(_)), Certainty::Certain)));
}

#[test]
fn a_broker_that_has_just_started_does_not_say_that_topics_are_gone() {
    let has_restarted = Arc::new(AtomicBool::new(false));
    let restarted = has_restarted.clone();
    let alive = broker(move |_| {
        let topic: (_, _, &[i32]) = if restarted.load(Ordering::SeqCst) { ("t", 3, &[]) } else { ("t", 0, &[1]) };
        Some(metadata(&[], &[topic]))
    });
    let cluster = ClusterClient::new(alive.settings());
    let before = cluster.refresh(&name("t"), AutoCreate::Never).unwrap();
    has_restarted.store(true, Ordering::SeqCst);
    let again = cluster.refresh(&name("t"), AutoCreate::Never);
    assert!(matches!(again, Err(BrokerError::StaleMetadata(_))), "{again:?}");
    assert_eq!(cluster.cached(&name("t")), Some(before));
}

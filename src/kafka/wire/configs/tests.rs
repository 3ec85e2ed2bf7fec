#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::settings::WireSettings;
use crate::kafka::wire::testing::{self, DESCRIBE_CONFIGS, Impostor, METADATA, ReceivedRequest, broker_with, metadata};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const VERSIONS: &[(i16, i16)] = &[(DESCRIBE_CONFIGS, 1)];

/// Whether a setting is sensitive, as in DescribeConfigs.
const SENSITIVE: u8 = 1;
const PUBLIC: u8 = 0;

/// A DescribeConfigs v1 response for topic `t`.
fn described(error: i16, configs: &[(&str, &str, u8)]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    body.extend(error.to_be_bytes());
    body.extend([0xff, 0xff, TOPIC as u8]);
    testing::text(&mut body, "t");
    body.extend((configs.len() as i32).to_be_bytes());
    for (name, value, sensitive) in configs {
        testing::text(&mut body, name);
        testing::text(&mut body, value);
        body.extend([0, 1, *sensitive, 0, 0, 0, 0]);
    }
    body
}

/// Starts broker 1, which answers DescribeConfigs with `respond`, beside a broker 2 at `other`.
fn broker_beside(
    other: &str,
    respond: impl Fn(&ReceivedRequest) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (Impostor, Arc<ClusterClient>) {
    let (address, other) = (Arc::<OnceLock<String>>::default(), other.to_owned());
    let known = address.clone();
    let broker = broker_with(VERSIONS, move |request| match request.key {
        METADATA => Some(metadata(&[(1, known.get()?.as_str()), (2, other.as_str())], &[])),
        _ => respond(request),
    });
    address.set(broker.address.clone()).unwrap();
    let settings = WireSettings { request_timeout: Duration::from_secs(1), ..broker.settings() };
    (broker, Arc::new(ClusterClient::new(settings)))
}

fn describe(cluster: &Arc<ClusterClient>) -> Result<TopicConfigs, BrokerError> {
    describe_topic(cluster, &ConnectionPool::new(cluster.clone()), &TopicName::new("t").unwrap())
}

#[test]
fn the_value_of_a_sensitive_setting_is_never_returned() {
    let configs = [("a", "1", PUBLIC), ("secret", "hush", SENSITIVE)];
    let (_broker, cluster) = broker_beside("127.0.0.1:1", move |_| Some(described(0, &configs)));
    let expected: TopicConfigs = [("a".to_owned(), Some("1".to_owned())), ("secret".to_owned(), None)].into();
    assert_eq!(describe(&cluster), Ok(expected));
    let (_broker, cluster) = broker_beside("127.0.0.1:1", |_| Some(described(29, &[])));
    let denied = describe(&cluster).unwrap_err();
    assert!(matches!(denied, BrokerError::Denied(_)) && denied.to_string().contains("DescribeConfigs"), "{denied}");
}

#[test]
fn a_frozen_broker_does_not_delay_the_description_of_a_topic() {
    let frozen = Impostor::start(|mut stream| while testing::next_request(&mut stream).is_some() {});
    let (_broker, cluster) = broker_beside(&frozen.address, |_| Some(described(0, &[])));
    for _ in 0..16 {
        assert_eq!(describe(&cluster), Ok(TopicConfigs::new()));
    }
    assert_eq!(frozen.connections(), 0);
}

#[test]
fn a_broker_that_has_just_responded_is_asked_without_further_metadata() {
    let (address, asked) = (Arc::<OnceLock<String>>::default(), Arc::<AtomicUsize>::default());
    let (known, count) = (address.clone(), asked.clone());
    let broker = broker_with(VERSIONS, move |request| match request.key {
        METADATA => {
            count.fetch_add(1, Ordering::SeqCst);
            Some(metadata(&[(1, known.get()?.as_str())], &[("t", 0, &[1])]))
        }
        _ => Some(described(0, &[])),
    });
    address.set(broker.address.clone()).unwrap();
    let cluster = Arc::new(ClusterClient::new(broker.settings()));
    cluster.brokers().unwrap();
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(describe(&cluster), Ok(TopicConfigs::new()));
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn another_broker_describes_a_topic_if_the_first_closes_the_connection() {
    let other = broker_with(VERSIONS, |_| Some(described(0, &[("a", "1", PUBLIC)])));
    let (_broker, cluster) = broker_beside(&other.address, |_| None);
    assert_eq!(describe(&cluster).map(|configs| configs.len()), Ok(1));
}

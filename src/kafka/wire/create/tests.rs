#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::{self, CREATE_TOPICS, METADATA, broker_with, metadata};
use crate::record::TopicName;
use std::sync::{Arc, OnceLock};

/// Creates topic `t` on a broker that answers CreateTopics with `reply`, an error code, or closes the connection. Its
/// Metadata responses have the error code `listed` for the topic.
fn create(reply: Option<i16>, listed: i16) -> Result<CreatedTopic, BrokerError> {
    let address = Arc::<OnceLock<String>>::default();
    let known = address.clone();
    let broker = broker_with(&[(CREATE_TOPICS, 4)], move |request| match request.key {
        METADATA => Some(metadata(&[(1, known.get()?.as_str())], &[("t", listed, &[1])])),
        _ => {
            let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
            testing::text(&mut body, "t");
            body.extend(reply?.to_be_bytes());
            body.extend([0xff, 0xff]);
            Some(body)
        }
    });
    address.set(broker.address.clone()).unwrap();
    create_topic(&ClusterClient::new(broker.settings()), &NewTopic::named(TopicName::new("t").unwrap()))
}

#[test]
fn only_an_error_after_which_the_topic_may_exist_says_so() {
    const REQUEST_TIMED_OUT: i16 = 7;
    assert_eq!(create(Some(0), 0), Ok(CreatedTopic { partitions: None, replication_factor: None }));
    for reply in [None, Some(REQUEST_TIMED_OUT)] {
        let error = create(reply, 0).unwrap_err();
        assert!(matches!(error, BrokerError::CreationUnconfirmed(..)), "{reply:?} became {error:?}");
        assert!(error.to_string().contains("which may exist now"), "{error}");
    }
    let (not_controller, throttled, exists) = (Some(41), Some(89), Some(36));
    assert!(matches!(create(not_controller, 0), Err(BrokerError::StaleMetadata(_))));
    assert!(matches!(create(throttled, 0), Err(BrokerError::NotNow(_))));
    assert!(matches!(create(exists, 0), Err(BrokerError::TopicExists(_))));
}

#[test]
fn a_created_topic_that_the_client_may_not_see_is_reported_at_once() {
    const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
    let began = Instant::now();
    assert!(create(Some(0), TOPIC_AUTHORIZATION_FAILED).is_ok());
    assert!(began.elapsed() < VISIBLE_WITHIN);
}

#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::security::{Sasl, Security};
use crate::kafka::wire::testing::{self, Impostor, api_versions, next_request};
use crate::secret::Secret;
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest};
use proptest::prelude::*;
use std::io::Write;
use std::sync::mpsc;

fn impatient(settings: WireSettings) -> WireSettings {
    WireSettings { connect_timeout: Duration::from_millis(200), ..settings }
}

/// Returns the error from a broker that answers the first request with `bytes` and then closes the connection or stays
/// silent.
fn open_after(bytes: Vec<u8>, then: Then) -> BrokerError {
    let impostor = Impostor::start(move |mut stream| {
        let _ = next_request(&mut stream);
        let _ = stream.write_all(&bytes);
        if then == Then::Silence {
            while next_request(&mut stream).is_some() {}
        }
    });
    BrokerConnection::open(&impostor.address, &impatient(impostor.settings())).err().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Silence,
}

fn framed(correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as i32 + 4).to_be_bytes().to_vec();
    frame.extend(correlation.to_be_bytes());
    frame.extend(body);
    frame
}

#[test]
fn a_server_that_is_not_kafka_is_an_error_that_describes_it() {
    let versions = framed(0, &api_versions());
    let cases = [
        ("corrupt", Vec::from(i32::MAX.to_be_bytes()), Then::Silence, "announces a response of 2147483647 bytes"),
        ("corrupt", vec![0xff; 20], Then::Silence, "announces a response of -1 bytes"),
        ("corrupt", vec![0; 20], Then::Silence, "announces a response of 0 bytes"),
        ("corrupt", vec![0, 0, 0, 3, 1, 1, 1], Then::Silence, "announces a response of 3 bytes"),
        ("corrupt", b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Then::Close, "HTTP"),
        ("untrusted", vec![0x15, 3, 3, 0, 2, 2, 70], Then::Close, "requires TLS"),
        ("corrupt", framed(7, &api_versions()), Then::Silence, "answers request 7 where 0 was next"),
        (
            "corrupt",
            framed(0, &[0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Then::Silence,
            "malformed response to ApiVersions",
        ),
        ("corrupt", framed(0, &[0, 41, 1, 0, 0, 0, 0, 0]), Then::Silence, "error 41"),
        ("unavailable", versions[..20].to_vec(), Then::Close, "closed the connection"),
        ("unavailable", versions[..20].to_vec(), Then::Silence, "no answer in time"),
        ("unavailable", framed(0, &vec![0; 900_000])[..9].to_vec(), Then::Silence, "no answer in time"),
        ("unavailable", Vec::new(), Then::Close, "closed the connection"),
        ("unavailable", Vec::new(), Then::Close, "or is older than 0.11, which driver crate is for"),
        ("unavailable", Vec::new(), Then::Silence, "no answer in time"),
    ];
    for (kind, bytes, then, words) in cases {
        let error = open_after(bytes.clone(), then);
        let variant = match &error {
            BrokerError::Corrupt(_) => "corrupt",
            BrokerError::Unavailable(_) => "unavailable",
            BrokerError::Untrusted(_) => "untrusted",
            _ => "something else",
        };
        assert!(variant == kind && error.to_string().contains(words), "{bytes:?} then {then:?}: {error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let error = open_after(framed(0, &bytes), Then::Close);
        prop_assert!(matches!(error, BrokerError::Corrupt(_) | BrokerError::Unavailable(_)), "{error:?}");
    }
}

#[test]
fn a_trickling_response_does_not_extend_the_deadline() {
    let impostor = Impostor::start(|mut stream| {
        let _ = next_request(&mut stream);
        for byte in framed(0, &[0; 1000]) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let began = Instant::now();
    let error = BrokerConnection::open(&impostor.address, &impatient(impostor.settings())).err().unwrap();
    assert!(error.to_string().contains("in time"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_failed_connection_is_reported_with_its_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = BrokerConnection::open(&free, &WireSettings::default()).err().unwrap();
    assert!(matches!(&error, BrokerError::Unavailable(why) if why.to_string().contains(&free)), "{error:?}");
    let error = BrokerConnection::open("no-such-host.invalid:9092", &WireSettings::default()).err().unwrap();
    assert!(
        matches!(&error, BrokerError::Unavailable(why) if why.to_string().contains("no such address")),
        "{error:?}"
    );
}

#[test]
fn the_newest_common_version_is_used() {
    let broker = testing::broker(|_| None);
    let connection = BrokerConnection::open(&broker.address, &broker.settings()).unwrap();
    assert_eq!(connection.version_for::<MetadataRequest>(12), Ok(4));
    assert_eq!(connection.version_for::<MetadataRequest>(3), Ok(3));
    assert_eq!(connection.version_for::<ListOffsetsRequest>(7), Ok(2));
    assert!(connection.versions().supports_wire());
    let error = connection.version_for::<InitProducerIdRequest>(4).unwrap_err();
    assert!(error.to_string().contains("does not support InitProducerId"), "{error}");
}

#[test]
fn a_broker_that_is_too_old_is_named_with_its_versions() {
    let response = ApiVersionsResponse::default().with_api_keys(vec![
        kafka_protocol::messages::api_versions_response::ApiVersion::default().with_api_key(1).with_max_version(3),
    ]);
    let versions = ApiVersions::from_response("old:9092", &response);
    assert!(!versions.supports_wire());
    let error = versions.common::<FetchRequest>(12).unwrap_err();
    assert_eq!(
        error.to_string(),
        "old:9092 supports Fetch versions 0..3, driver wire 4..12; driver crate is for brokers before Kafka 0.11"
    );
}

#[test]
fn a_broker_that_rejects_the_version_of_api_versions_is_asked_in_version_0() {
    let impostor = Impostor::start(|mut stream| {
        let first = next_request(&mut stream).unwrap();
        testing::respond_to(&mut stream, first.correlation, &[0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 0]);
        let second = next_request(&mut stream).unwrap();
        assert_eq!((second.key, second.version), (18, 0));
        testing::respond_to(&mut stream, second.correlation, &[0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5]);
        while next_request(&mut stream).is_some() {}
    });
    let connection = BrokerConnection::open(&impostor.address, &impostor.settings()).unwrap();
    assert_eq!(connection.version_for::<FetchRequest>(12), Ok(5));
}

#[test]
fn another_thread_can_interrupt_a_call() {
    let (received, waits) = mpsc::channel();
    let impostor = Impostor::start(move |mut stream| {
        while let Some(request) = next_request(&mut stream) {
            match request.key {
                testing::API_VERSIONS => testing::respond_to(&mut stream, request.correlation, &api_versions()),
                _ => received.send(()).unwrap(),
            }
        }
    });
    let mut connection = BrokerConnection::open(&impostor.address, &impostor.settings()).unwrap();
    let interrupter = connection.interrupter();
    let ending = std::thread::spawn(move || {
        waits.recv().unwrap();
        interrupter.interrupt();
    });
    let began = Instant::now();
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    let error = connection.call(&request, 4, Duration::from_secs(60)).unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    ending.join().unwrap();
}

#[test]
fn requests_in_flight_are_answered_in_order() {
    let impostor = Impostor::start(|mut stream| {
        let first = next_request(&mut stream).unwrap();
        testing::respond_to(&mut stream, first.correlation, &api_versions());
        let requests: Vec<_> = (0..3).map(|_| next_request(&mut stream).unwrap()).collect();
        for (request, controller) in requests.iter().zip(10u8..) {
            let mut body = vec![0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, controller];
            body.extend([0; 4]);
            testing::respond_to(&mut stream, request.correlation, &body);
        }
    });
    let (mut sender, mut receiver, _) =
        BrokerConnection::open(&impostor.address, &impostor.settings()).unwrap().split();
    let deadline = Instant::now() + Duration::from_secs(5);
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    let tickets: Vec<_> = (0..3).map(|_| sender.send(&request, 4, deadline).unwrap()).collect();
    let receiving = std::thread::spawn(move || {
        let receive = |ticket| receiver.receive::<MetadataRequest>(ticket, deadline).unwrap().controller_id.0;
        tickets.into_iter().map(receive).collect::<Vec<_>>()
    });
    assert_eq!(receiving.join().unwrap(), [10, 11, 12]);
}

#[test]
fn a_broker_without_sasl_authenticate_is_untrusted() {
    let old = testing::broker(|_| None);
    let sasl = Sasl::Plain { username: "alice".to_owned(), password: Secret::new("hunter2") };
    let security = Security { sasl: Some(Arc::new(sasl)), ..Security::default() };
    let error = BrokerConnection::open(&old.address, &WireSettings { security, ..old.settings() }).err().unwrap();
    assert!(matches!(&error, BrokerError::Untrusted(why) if why.to_string().contains("before Kafka 1.0")), "{error:?}");
}

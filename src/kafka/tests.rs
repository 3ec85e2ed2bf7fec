#![allow(clippy::unwrap_used)]

use super::doctor::examine;
use super::wire::testing::{API_VERSIONS, Impostor, METADATA, next_request, respond_to};
use super::*;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use std::time::Duration;

/// A server that claims to be the oldest Kafka, and announces more brokers than fit into memory.
fn liar() -> Impostor {
    Impostor::start(|mut stream| {
        while let Some(request) = next_request(&mut stream)
            && request.key != API_VERSIONS
        {
            assert_eq!((request.key, request.version), (METADATA, 0));
            respond_to(&mut stream, request.correlation, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        }
    })
}

fn default_driver(address: &str) -> KafkaSettings {
    let driver = Driver::from_str("auto", false).unwrap();
    assert_eq!(driver, Driver::from_str("wire", false).unwrap());
    KafkaSettings::plain(&[address], driver)
}

#[test]
fn a_server_that_claims_to_be_old_does_not_change_the_driver() {
    let liar = liar();
    let broker = connect(&default_driver(&liar.address));
    for error in [broker.ready().unwrap_err(), broker.list_topics().unwrap_err()] {
        assert!(error.to_string().contains("closed the connection"), "{error}");
        assert!(error.to_string().contains("driver crate"), "{error}");
    }
}

#[test]
fn the_doctor_recognizes_an_old_broker_without_trusting_its_lengths() {
    let liar = liar();
    let mut found = Vec::new();
    let (timeout, produce_timeout) = (Duration::from_secs(5), Duration::from_secs(30));
    let kafka = default_driver(&liar.address);
    examine(&kafka, timeout, &[], produce_timeout, &mut |finding: Diagnosis| found.push(finding));
    let versions = found.iter().find(|finding| finding.step == DiagnosisStep::ApiVersions).unwrap();
    let said = format!("{versions:?}");
    assert!(said.contains("does answer the protocol before Kafka 0.10") && said.contains("driver crate"), "{said}");
}

//! Code shared by several tests.
#![allow(dead_code)]

// Shared with the unit tests of the Kafka client.
#[path = "../../src/kafka/wire/testing/damage.rs"]
pub mod damage;
pub mod documented;
pub mod exposition;
pub mod fake_catalog;
pub mod frames;
pub mod memory_broker;
pub mod served;
pub mod wait;
// The test oracle for event streams, shared with the unit tests and the integration tests.
#[path = "../../src/http/event/whatwg.rs"]
pub mod whatwg;

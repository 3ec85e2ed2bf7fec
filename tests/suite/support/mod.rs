//! What several tests share.
#![allow(dead_code)]

// Shared with the tests beside the code of the wire.
#[path = "../../../src/kafka/wire/testing/damage.rs"]
pub mod damage;
pub mod documented;
pub mod exposition;
pub mod frames;
pub mod memory_broker;
pub mod served;
// The oracle for event streams, which the tests beside the code and the integration tests use too.
#[path = "../../../src/http/event/whatwg.rs"]
pub mod whatwg;

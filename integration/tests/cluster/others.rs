//! Kafka's Java client at brokers 2 and 3, while broker 1 is cut off from the controller.

use crate::LONG;
use curlew_integration::eventually;
use curlew_integration::java_client::JavaClient;
use curlew_integration::kafka::Kafka;
use serde_json::{Value, json};

const OTHERS: [usize; 2] = [2, 3];

/// Sends commands about one topic. Broker 1 would respond with outdated metadata, or never forward them.
pub struct OtherBrokers<'k> {
    kafka: &'k Kafka,
    topic: String,
}

impl<'k> OtherBrokers<'k> {
    pub fn new(kafka: &'k Kafka, topic: &str) -> Self {
        Self { kafka, topic: topic.to_owned() }
    }

    /// Waits until both brokers know that this many brokers are up. Until then, they may refer a client to broker 1.
    #[track_caller]
    pub fn wait_for_brokers(&self, count: u64) {
        for broker in OTHERS {
            eventually("the others know which brokers are up", LONG, || {
                match self.call_at(&[broker], json!({"do": "ready", "brokers": 0}))? {
                    up if up == count => Ok(()),
                    up => Err(format!("broker {broker} says that {up} brokers are up")),
                }
            });
        }
        // The client of an earlier test has older metadata.
        self.call(json!({"do": "close_admin"}));
    }

    pub fn try_call(&self, command: Value) -> Result<Value, String> {
        self.call_at(&OTHERS, command)
    }

    #[track_caller]
    pub fn call(&self, command: Value) -> Value {
        let text = command.to_string();
        self.try_call(command).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn call_at(&self, brokers: &[usize], mut command: Value) -> Result<Value, String> {
        command["bootstrap"] = json!(self.kafka.bootstrap_of(brokers));
        command["topic"] = json!(self.topic);
        JavaClient::shared().try_call(command)
    }
}

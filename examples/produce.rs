//! Produces each line of standard input as a record, and prints where it was written:
//! `seq 3 | cargo run --example produce 127.0.0.1:9092 readings`.

use curlew::broker::{Acks, AutoCreate, DeliveryReport, Submission};
use curlew::kafka::{self, Driver, KafkaSettings};
use curlew::record::{NewRecord, TopicName};
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = &args[..] else { return Err("usage: produce HOST:PORT TOPIC".into()) };
    let topic = TopicName::new(topic).map_err(|error| error.to_string())?;
    let broker = kafka::connect(&KafkaSettings::plain(&[bootstrap], Driver::Wire));
    let (submissions, queue) = crossbeam_channel::bounded(16);
    let producer = std::thread::spawn(move || broker.write_all(queue));
    for line in std::io::stdin().lines() {
        submissions.send(Submission {
            topic: topic.clone(),
            acks: Acks::All,
            auto_create: AutoCreate::Ask,
            records: vec![NewRecord { value: Some(line?.into()), ..NewRecord::default() }],
            deadline: Instant::now() + Duration::from_secs(30),
            receipts: DeliveryReport::new(1, |outcomes| println!("{outcomes:?}")),
        })?;
    }
    // Closing the channel ends the producer once every record is settled.
    drop(submissions);
    producer.join().map_err(|_| "the producer panicked".into())
}

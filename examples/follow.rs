//! Follows partition 0 of a topic from its beginning, and prints offset and value of each record:
//! `cargo run --example follow 127.0.0.1:9092 readings`.

use curlew::broker::{FetchLimits, FetchPosition, OffsetAt};
use curlew::kafka::{self, Driver, KafkaSettings};
use curlew::record::{TopicName, TopicPartition};
use curlew::sync::memory_budget::MemoryBudget;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = &args[..] else { return Err("usage: follow HOST:PORT TOPIC".into()) };
    let topic = TopicName::new(topic).map_err(|error| error.to_string())?;
    let broker = kafka::connect(&KafkaSettings::plain(&[bootstrap], Driver::Wire));
    let info = broker.topics(std::slice::from_ref(&topic))?.pop().ok_or("no metadata")??;
    let leadership = info.partitions.first().ok_or("no partition")?;
    let start = TopicPartition { topic: topic.clone(), partition: 0 };
    let start = broker.positions(&[(start, OffsetAt::Earliest)]).pop().ok_or("no offset")??;
    let leader_epoch = leadership.leader_epoch;
    let (offset, last_epoch) = (start.next, start.epoch);
    let mut position = FetchPosition { topic, topic_id: info.id, partition: 0, offset, leader_epoch, last_epoch };
    let mut reader = broker.reader(leadership.leader.ok_or("no leader")?, &MemoryBudget::default().live);
    let limits = FetchLimits { wait: Duration::from_secs(1), max_bytes: 1 << 20, partition_max_bytes: 1 << 20 };
    loop {
        for fetched in reader.fetch(std::slice::from_ref(&position), limits)? {
            let data = fetched.result?;
            for record in data.batches.iter().flat_map(|batch| batch.iter()) {
                println!("{} {}", record.offset, String::from_utf8_lossy(record.value.unwrap_or_default()));
            }
            position.last_epoch = data.epochs.before(data.next_offset).unwrap_or(position.last_epoch);
            position.offset = data.next_offset;
        }
    }
}

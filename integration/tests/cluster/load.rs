//! Publishes records continuously, one per request, and tracks the outcome of each.

use super::LONG;
use curlew_integration::java_client::ConsumedRecord;
use curlew_integration::kafka::Kafka;
use curlew_integration::sse::SseEvent;
use curlew_integration::{eventually, http};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The outcome that the bridge reported for a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged {
        offset: i64,
    },
    /// It may have been written.
    Unconfirmed,
    /// Rejected with this status: not written.
    Rejected(u16),
}

#[derive(Debug, Clone)]
struct Published {
    sent: Instant,
    answered: Instant,
    outcome: Outcome,
}

/// Records by partition, ordered by number.
type Ledger = BTreeMap<i64, Vec<Published>>;

/// Publishes `{"p":partition,"n":number}` to every partition, one record after the other, until dropped.
pub struct Load {
    ledger: Arc<Mutex<Ledger>>,
    ending: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(port: u16, topic: &str, partitions: i64) -> Self {
        let (ledger, ending) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
        let publishers = (0..partitions).map(|partition| {
            let (ledger, ending) = (ledger.clone(), ending.clone());
            let target = format!("/topics/{topic}?partition={partition}");
            std::thread::spawn(move || {
                for number in 0.. {
                    if ending.load(Ordering::Relaxed) {
                        return;
                    }
                    let value = json!({"p": partition, "n": number}).to_string();
                    let sent = Instant::now();
                    let response = http::post(port, &target, "application/json", value);
                    let outcome = match response.status {
                        200 => Outcome::Acknowledged {
                            offset: response.json()["offsets"][0]["offset"].as_i64().expect("an offset"),
                        },
                        504 if response.text().contains("may have been written") => Outcome::Unconfirmed,
                        status => Outcome::Rejected(status),
                    };
                    let published = Published { sent, answered: Instant::now(), outcome };
                    ledger.lock().expect("lock").entry(partition).or_default().push(published);
                    // About a hundred per second, to leave CPU for the rest of the test.
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        });
        let publishers = publishers.collect();
        Self { ledger, ending, publishers }
    }

    /// Waits for `count` acknowledgements of records of `partition` that were sent at `after` or later.
    #[track_caller]
    fn wait_for(&self, partition: i64, count: usize, after: Instant, limit: Duration) {
        eventually("records are acknowledged", limit, || {
            let ledger = self.ledger.lock().expect("lock");
            let all = ledger.get(&partition).map(Vec::as_slice).unwrap_or_default();
            let is_acknowledged = |p: &&Published| matches!(p.outcome, Outcome::Acknowledged { .. });
            let since = all.iter().filter(|p| p.sent >= after).filter(is_acknowledged).count();
            if since >= count { Ok(()) } else { Err(format!("partition {partition}: {:?}", all.last())) }
        });
    }

    /// Waits for `count` acknowledgements on every partition.
    #[track_caller]
    pub fn wait_for_all(&self, count: usize, after: Instant, limit: Duration) {
        for partition in 0..self.publishers.len() as i64 {
            self.wait_for(partition, count, after, limit);
        }
    }

    /// Returns the longest time since `after` without an acknowledgement of a record of `partition`.
    pub fn longest_silence(&self, partition: i64, after: Instant) -> Duration {
        let ledger = self.ledger.lock().expect("lock");
        let acknowledged = ledger[&partition].iter().filter(|p| matches!(p.outcome, Outcome::Acknowledged { .. }));
        let mut last = after;
        let mut longest = Duration::ZERO;
        for answered in acknowledged.map(|p| p.answered).filter(|at| *at >= after) {
            longest = longest.max(answered - last);
            last = answered;
        }
        longest
    }

    pub fn stop(mut self) -> BTreeMap<i64, Vec<Outcome>> {
        self.end();
        let ledger = self.ledger.lock().expect("lock");
        let outcomes = |all: &Vec<Published>| all.iter().map(|p| p.outcome.clone()).collect();
        ledger.iter().map(|(partition, all)| (*partition, outcomes(all))).collect()
    }

    fn end(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.publishers.drain(..).for_each(|publisher| drop(publisher.join()));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the log as Kafka's own consumer reads it, once it reaches the last acknowledged offset of each partition. A
/// broker that returns after it was cut off from the controller leads in its own metadata for a moment, and the consumer
/// may ask it where the log ends.
#[track_caller]
pub fn read_log(kafka: &Kafka, topic: &str, outcomes: &BTreeMap<i64, Vec<Outcome>>) -> Vec<ConsumedRecord> {
    let acknowledged = |outcome: &Outcome| match outcome {
        Outcome::Acknowledged { offset } => Some(*offset),
        Outcome::Unconfirmed | Outcome::Rejected(_) => None,
    };
    eventually("the log reaches the last acknowledged records", LONG, || {
        let log = kafka.consume(topic);
        for (partition, outcomes) in outcomes {
            let end = last_offset(&log, *partition);
            let last = outcomes.iter().filter_map(acknowledged).max();
            if end < last {
                return Err(format!("partition {partition} ends at {end:?}, acknowledged up to {last:?}"));
            }
        }
        Ok(log)
    })
}

fn last_offset(log: &[ConsumedRecord], partition: i64) -> Option<i64> {
    log.iter().filter(|record| record.partition == partition).map(|record| record.offset).max()
}

/// Number of records per outcome.
#[derive(Debug, Default)]
pub struct Summary {
    pub acknowledged: usize,
    pub unconfirmed: usize,
    pub missing: usize,
}

/// Checks `log`, as Kafka's own consumer read it, against the outcomes: every acknowledged record is at its offset,
/// no record is duplicated, no rejected record is present, and each partition is in publishing order.
#[track_caller]
pub fn check_log(outcomes: &BTreeMap<i64, Vec<Outcome>>, log: &[ConsumedRecord]) -> Summary {
    let mut summary = Summary::default();
    for (partition, outcomes) in outcomes {
        let mut at: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        let end = last_offset(log, *partition);
        for record in log.iter().filter(|record| record.partition == *partition) {
            at.entry(number(&record.text())).or_default().push(record.offset);
        }
        for (n, outcome) in outcomes.iter().enumerate() {
            let found = at.remove(&n).unwrap_or_default();
            let what = format!(
                "record {n} of {} in partition {partition} was {outcome:?} and is at {found:?}; the last offset is {end:?}",
                outcomes.len()
            );
            match outcome {
                Outcome::Acknowledged { offset } => {
                    summary.acknowledged += 1;
                    assert_eq!(found, [*offset], "{what}");
                }
                Outcome::Unconfirmed => {
                    summary.unconfirmed += 1;
                    assert!(found.len() <= 1, "{what}");
                }
                Outcome::Rejected(_) => {
                    summary.missing += 1;
                    assert!(found.is_empty(), "{what}");
                }
            }
        }
        assert!(at.is_empty(), "{at:?} were never published");
        let numbers = numbers(log.iter().filter(|r| r.partition == *partition).map(ConsumedRecord::text));
        assert!(numbers.is_sorted(), "partition {partition} is out of order");
    }
    summary
}

/// Checks that a stream brought every record of `log` once and in order, and nothing else.
#[track_caller]
pub fn check_stream(events: &[SseEvent], log: &[ConsumedRecord], partitions: i64) {
    let others: Vec<_> = events.iter().filter(|e| e.kind != "message").collect();
    assert!(others.is_empty(), "{others:?}");
    for partition in 0..partitions {
        let brought = events.iter().filter(|e| e.json()["p"] == partition).map(|e| e.data.clone());
        let logged = log.iter().filter(|r| r.partition == partition).map(ConsumedRecord::text);
        assert_eq!(numbers(brought), numbers(logged), "partition {partition}");
    }
}

fn numbers(values: impl Iterator<Item = String>) -> Vec<usize> {
    values.map(|value| number(&value)).collect()
}

fn number(value: &str) -> usize {
    let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
    value["n"].as_u64().expect("a number") as usize
}

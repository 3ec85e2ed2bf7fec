//! `GET /topics?last=true&history=true` on a broker in memory.

use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::BrokerError;
use curlew::http::{self, App, BindScope, OriginPolicy, Origins, routes};
use curlew::hub::{self, Hub};
use curlew::record::NewRecord;
use curlew::sync::memory_budget::{MIN, MemoryBudget};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const ALL: &str = "last=true&history=true";

struct OverviewApp {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
}

fn world() -> OverviewApp {
    world_with(MemoryBroker::new(), MemoryBudget::default())
}

fn world_with(broker: Arc<MemoryBroker>, memory: MemoryBudget) -> OverviewApp {
    let sample_interval = Duration::from_millis(50);
    let settings = hub::Settings { memory: memory.clone(), sample_interval, ..hub::Settings::default() };
    let hub = Arc::new(Hub::start(broker.clone(), settings).unwrap());
    let origin_policy = OriginPolicy { origins: Origins::Any, scope: BindScope::Loopback };
    OverviewApp { broker, app: App::new(hub, http::Settings { origin_policy, memory, ..http::Settings::default() }) }
}

impl OverviewApp {
    async fn get(&self, query: &str) -> (u16, Value) {
        let path = format!("/topics?{query}");
        let routes = routes(self.app.clone());
        let request = warp::test::request().path(&path).header("host", "localhost:8080");
        let answer = tokio::time::timeout(LONG, request.reply(&routes)).await.expect("the response ends");
        is_documented("GET", &path, answer.status());
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// Returns the topics by name.
    async fn topics(&self, query: &str) -> BTreeMap<String, Value> {
        let (status, topics) = self.get(query).await;
        assert_eq!(status, 200, "{topics}");
        let topics = topics.as_array().unwrap().iter();
        topics.map(|topic| (topic["name"].as_str().unwrap().to_owned(), topic.clone())).collect()
    }

    /// Repeats the request until a state that was looked up after this call has such a topic.
    async fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let topic = self.topics(ALL).await.remove(name).unwrap_or_default();
            if is_so(&topic) {
                return topic;
            }
            assert!(tokio::time::Instant::now() < deadline, "{topic}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_status(&self, status: u16) {
        let deadline = tokio::time::Instant::now() + LONG;
        while self.get(ALL).await.0 != status {
            assert!(tokio::time::Instant::now() < deadline, "no response has the status {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn append(&self, topic: &str, partition: usize, record: (i64, Option<&str>, Option<Vec<u8>>)) {
        let (timestamp, key, value) = record;
        let key = key.map(|key| key.to_owned().into());
        let (value, timestamp) = (value.map(Into::into), Some(timestamp));
        let record = NewRecord { key, value, timestamp, ..NewRecord::default() };
        self.broker.append_record(topic, partition, record);
    }
}

#[tokio::test]
async fn the_newest_record_of_every_topic_comes_with_the_list() {
    let world = world();
    world.broker.create("empty", 2);
    world.broker.create("machines", 3);
    world.append("machines", 0, (10, Some("a"), Some(b"{\"t\": 1}".to_vec())));
    world.append("machines", 2, (30, Some("c"), Some(b"{\"t\": 3}".to_vec())));
    world.append("machines", 1, (20, Some("b"), Some(b"{\"t\": 2}".to_vec())));
    world.broker.create("raw", 1);
    world.append("raw", 0, (-1, None, Some(vec![0xff, 0])));
    world.broker.create("deleted", 1);
    world.append("deleted", 0, (5, Some("k"), None));
    let topics = world.topics("last=true").await;
    assert_eq!(topics["empty"]["last"], Value::Null);
    let newest = json!({"partition": 2, "offset": 0, "timestamp": 30, "key": "c", "value": {"t": 3}});
    assert_eq!(topics["machines"]["last"], newest);
    let partition = json!({"partition": 1, "leader": 1, "earliest": 0, "latest": 1});
    assert_eq!(topics["machines"]["partitions"][1], partition);
    assert!(topics["machines"].get("history").is_none() && topics["machines"]["age"].is_u64());
    let raw =
        json!({"partition": 0, "offset": 0, "timestamp": null, "key": null, "value": "/wA=", "encoding": "base64"});
    assert_eq!(topics["raw"]["last"], raw);
    assert_eq!(topics["deleted"]["last"]["value"], Value::Null);
    // A record that has arrived later is newer, even if its timestamp is older.
    world.append("machines", 1, (15, Some("b"), Some(b"4".to_vec())));
    world.until("machines", |topic| topic["last"]["value"] == json!(4)).await;
}

#[tokio::test]
async fn a_large_newest_record_is_cut() {
    let world = world();
    world.broker.create("t", 1);
    let value = format!("{{\"text\":\"{}\"}}", "€".repeat(300_000));
    world.append("t", 0, (1, Some(&"k".repeat(1000)), Some(value.clone().into_bytes())));
    let last = world.topics("last=true").await["t"]["last"].clone();
    assert_eq!((&last["key_bytes"], &last["value_bytes"]), (&json!(1000), &json!(value.len())));
    assert!(value.starts_with(last["value"].as_str().unwrap()), "{last}");
    assert!(last.to_string().len() < 1000, "{last}");
    world.append("t", 0, (1, None, Some([0xff; 5000].to_vec())));
    let last = world.until("t", |topic| topic["last"]["offset"] == json!(1)).await["last"].clone();
    assert_eq!((&last["encoding"], &last["value_bytes"]), (&json!("base64"), &json!(5000)));
}

#[tokio::test]
async fn transaction_markers_after_the_newest_record_are_skipped() {
    let world = world();
    world.broker.create("t", 1);
    world.append("t", 0, (1, None, Some(b"5".to_vec())));
    world.broker.skip("t", 0, 3);
    world.broker.create("aborted", 1);
    world.broker.skip("aborted", 0, 500);
    let topics = world.topics("last=true").await;
    assert_eq!(topics["t"]["last"]["value"], json!(5));
    assert!(topics["aborted"]["last"]["problem"].as_str().unwrap().contains("no records"));
}

#[tokio::test]
async fn the_newest_record_before_markers_is_found_if_one_fetch_does_not_reach_it() {
    let world = world();
    world.broker.create("t", 1);
    // Three records fill a fetch.
    for number in 0..8 {
        world.append("t", 0, (100 - number, None, Some(format!("{number}{}", "x".repeat(30_000)).into_bytes())));
    }
    world.broker.skip("t", 0, 3);
    let topics = world.topics("last=true").await;
    let last = &topics["t"]["last"];
    assert_eq!((&last["offset"], &last["timestamp"]), (&json!(7), &json!(93)), "{last}");
}

#[tokio::test]
async fn the_history_is_there_before_the_first_request() {
    let world = world();
    world.broker.create("t", 2);
    // Rounds without requests see the records.
    for count in 1..=3 {
        world.broker.append("t", count % 2, "x");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let topic = world.topics("history=true").await.remove("t").unwrap();
    assert!(topic.get("last").is_none());
    let history: Vec<(u64, u64)> = serde_json::from_value(topic["history"].clone()).unwrap();
    assert!(history.len() > 3, "{history:?}");
    assert!(history.is_sorted_by(|before, after| before.0 > after.0 && before.1 <= after.1), "{history:?}");
    assert_eq!(history.last().unwrap().1, 3, "{history:?}");
    assert!(history.iter().any(|(_, written)| *written == 2), "{history:?}");
    // A topic of the same name has its own history.
    world.broker.delete("t");
    world.broker.create("t", 2);
    (0..5).for_each(|_| _ = world.broker.append("t", 0, "y"));
    let is_new = |topic: &Value| {
        topic["history"]
            .as_array()
            .is_some_and(|history| !history.is_empty() && history.iter().all(|sample| sample[1] == json!(5)))
    };
    world.until("t", is_new).await;
}

#[tokio::test]
async fn many_clients_share_what_is_read() {
    let world = world();
    for number in 0..300 {
        let name = format!("topic-{number}");
        world.broker.create(&name, 1);
        world.broker.append(&name, 0, number.to_string());
    }
    let before = world.broker.fetches.load(Ordering::Relaxed);
    let requests = (0..50).map(|_| world.topics(ALL));
    for topics in futures_util::future::join_all(requests).await {
        assert_eq!(topics.len(), 300);
        assert_eq!(topics["topic-299"]["last"]["value"], json!(299));
    }
    let fetches = world.broker.fetches.load(Ordering::Relaxed) - before;
    // A round reads 300 partitions with two fetches. On a busy machine, the requests may need more than one round.
    assert!((2..20).contains(&fetches), "{fetches} fetches");
    // Partitions without new records are not read again.
    let all_read = world.broker.fetches.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.topics(ALL).await;
    assert_eq!(world.broker.fetches.load(Ordering::Relaxed), all_read);
}

#[tokio::test]
async fn a_failure_of_the_broker_is_reported_and_leaves_a_gap() {
    let world = world();
    world.broker.create("t", 1);
    world.until("t", |topic| topic["history"].as_array().is_some_and(|history| history.len() > 1)).await;
    world.broker.fail_with(Some(BrokerError::Unavailable("down".into())));
    world.until_status(503).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.broker.fail_with(None);
    world.until_status(200).await;
    let topic = world.topics(ALL).await.remove("t").unwrap();
    let history: Vec<(u64, u64)> = serde_json::from_value(topic["history"].clone()).unwrap();
    let largest = history.windows(2).map(|pair| pair[0].0 - pair[1].0).max();
    assert!(largest >= Some(400), "{history:?}");
}

#[tokio::test]
async fn the_memory_of_the_overview_is_bounded() {
    let broker = MemoryBroker::new();
    for number in 0..300 {
        let name = format!("topic-{number}");
        broker.create(&name, 1);
        broker.append(&name, 0, vec![b'x'; 1000]);
    }
    let memory = MemoryBudget::new(MIN);
    let world = world_with(broker, memory.clone());
    let topics = world.topics(ALL).await;
    let unread = topics.values().filter(|topic| topic["last"]["problem"].is_string()).count();
    assert!(topics.len() == 300 && (1..300).contains(&unread), "{unread} of {}", topics.len());
    assert!(memory.topics.used() <= memory.topics.limit());
    // Records for which there is no memory are not read again and again.
    let fetches = world.broker.fetches.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.topics(ALL).await;
    assert_eq!(world.broker.fetches.load(Ordering::Relaxed), fetches);
    world.broker.create("large", 100_000);
    world.until_status(413).await;
    world.broker.delete("large");
    world.until_status(200).await;
    drop(world);
    assert_eq!(memory.topics.used(), 0);
}

#[tokio::test]
async fn a_list_that_needs_most_of_the_memory_is_looked_up_again() {
    let broker = MemoryBroker::new();
    // Each list needs about two thirds of the memory.
    broker.create("a", 1750);
    broker.create("b", 1750);
    let memory = MemoryBudget::new(MIN);
    let world = world_with(broker, memory.clone());
    for latest in 1..=3 {
        world.broker.append("a", 0, "x");
        let topics = world.topics("history=true").await;
        assert_eq!(topics["a"]["partitions"][0]["latest"], json!(latest));
        assert!(memory.topics.used() > memory.topics.limit() / 2, "{}", memory.topics.used());
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn topics_that_are_too_many_for_a_history_are_not_sampled_without_clients() {
    let few = world();
    few.broker.create("t", 1);
    let many = MemoryBroker::new();
    (0..300).for_each(|number| many.create(&format!("topic-{number}"), 1));
    let many = world_with(many, MemoryBudget::new(MIN));
    let look_ups = |world: &OverviewApp| world.broker.end_look_ups.load(Ordering::Relaxed);
    let deadline = tokio::time::Instant::now() + LONG;
    while look_ups(&few) < 5 {
        assert!(tokio::time::Instant::now() < deadline, "the topic is sampled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(look_ups(&many), 0);
    assert_eq!(many.topics("history=true").await["topic-7"]["history"], json!([]));
}

#[tokio::test]
async fn the_ends_of_partitions_without_a_leader_are_unknown_and_delay_no_other_topic() {
    let broker = MemoryBroker::new();
    for name in ["offline", "t"] {
        broker.create(name, 2);
        broker.append(name, 1, "x");
    }
    // The Kafka client waits 5 s for an election when it looks up such a partition.
    broker.remove_leader("offline", 0);
    broker.remove_leader("offline", 1);
    let world = world_with(broker, MemoryBudget::default());
    let topics = world.topics(ALL).await;
    let unknown = |partition: u64| json!({"partition": partition, "leader": null, "earliest": null, "latest": null});
    assert_eq!(topics["offline"]["partitions"], json!([unknown(0), unknown(1)]));
    assert_eq!(topics["offline"]["history"], json!([]));
    assert_eq!((&topics["t"]["last"]["value"], &topics["t"]["partitions"][1]["latest"]), (&json!("x"), &json!(1)));
    world.broker.delete("t");
    let before = world.broker.end_look_ups.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world.topics(ALL).await;
    assert_eq!(world.broker.end_look_ups.load(Ordering::Relaxed), before);
}

//! What the clients of Kafka's REST proxies look up: brokers, partitions, replicas, configurations and offsets.

use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::BrokerError;
use curlew::http::{self, App, routes};
use curlew::hub::{self, Hub};
use curlew::record::TopicName;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::Response;
use warp::hyper::body::Bytes;

const V2: &str = "application/vnd.kafka.v2+json";

struct RestBridge {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
}

/// A bridge with topic `t`: two partitions, with two records in partition 1.
fn world() -> RestBridge {
    let broker = MemoryBroker::new();
    broker.create("t", 2);
    broker.append("t", 1, "a");
    broker.append("t", 1, "b");
    let hub = Arc::new(Hub::start(broker.clone(), hub::Settings::default()).unwrap());
    let settings = http::Settings { creation: http::Creation::Allowed, ..http::Settings::default() };
    RestBridge { broker, app: App::new(hub, settings) }
}

impl RestBridge {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut request = warp::test::request().method(method).path(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).reply(&routes(self.app.clone())).await;
        is_documented(method, path, answer.status());
        answer
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[("accept", V2)], "").await;
        assert_eq!((answer.status().as_u16(), content_type(&answer)), (200, V2), "{path}: {:?}", answer.body());
        json_of(&answer)
    }
}

fn content_type(answer: &Response<Bytes>) -> &str {
    answer.headers()["content-type"].to_str().unwrap()
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|e| panic!("{e}: {:?}", answer.body()))
}

fn replicas(leader: bool) -> Value {
    json!([{"broker": 1, "leader": leader, "in_sync": leader}, {"broker": 2, "leader": false, "in_sync": false}])
}

#[tokio::test]
async fn brokers_and_partitions_are_described_as_by_the_rest_proxies() {
    let world = world();
    let partition = |number: i32, leader: Option<i32>| json!({"partition": number, "leader": leader, "replicas": replicas(leader.is_some())});
    assert_eq!(world.get("/brokers").await, json!({"brokers": [1, 2]}));
    assert_eq!(world.get("/topics").await, json!(["t"]));
    assert_eq!(world.get("/topics/t/partitions").await, json!([partition(0, Some(1)), partition(1, Some(1))]));
    assert_eq!(world.get("/topics/t/partitions/1/").await, partition(1, Some(1)));
    assert_eq!(world.get("/topics/t/partitions/1/offsets").await, json!({"beginning_offset": 0, "end_offset": 2}));
    world.broker.trim("t", 1, 1);
    assert_eq!(world.get("/topics/t/partitions/1/offsets").await, json!({"beginning_offset": 1, "end_offset": 2}));
    world.broker.remove_leader("t", 0);
    assert_eq!(world.get("/topics/t/partitions/0").await, partition(0, None));
    let head = world.ask("HEAD", "/topics/t/partitions", &[], "").await;
    assert_eq!((head.status().as_u16(), head.body().len(), content_type(&head)), (200, 0, "application/json"));
    world.broker.limit_replicas(1);
    for path in ["/topics/t/partitions", "/topics/t/partitions/1"] {
        let answer = world.ask("GET", path, &[], "").await;
        let problem = json_of(&answer);
        assert_eq!((answer.status().as_u16(), &problem["error_code"]), (503, &json!(50003)), "{path}: {problem}");
    }
    let topic = world.get("/topics/t").await;
    assert_eq!((&topic["partitions"][1]["replicas"], &topic["partitions"][1]["latest"]), (&Value::Null, &json!(2)));
}

#[tokio::test]
async fn a_topic_has_replicas_and_configs_beside_its_offsets() {
    let world = world();
    let partition = |number: i32, latest: i32| json!({"partition": number, "leader": 1, "earliest": 0, "latest": latest, "replicas": replicas(true)});
    let expected = json!({
        "name": "t",
        "partitions": [partition(0, 0), partition(1, 2)],
        "configs": {"retention.ms": "604800000", "secret": null},
    });
    assert_eq!(world.get("/topics/t").await, expected);
    world.broker.hide_configs(BrokerError::Unsupported("no configurations here".into()));
    let topic = world.get("/topics/t").await;
    assert_eq!((&topic["configs"], &topic["configs_error"]), (&Value::Null, &json!("no configurations here")));
    assert_eq!(topic["partitions"], expected["partitions"]);
}

#[tokio::test]
async fn records_go_to_the_partition_in_the_path() {
    let world = world();
    let post = async |path: &str, kind: &str, body: &str| {
        let answer = world.ask("POST", path, &[("content-type", kind), ("accept", V2)], body).await;
        (answer.status().as_u16(), json_of(&answer))
    };
    let json_v2 = "application/vnd.kafka.json.v2+json";
    let path = "/topics/t/partitions/1";
    let envelope = |second: &str| format!(r#"{{"records":[{{"key":"k","value":1}},{{"value":2{second}}}]}}"#);
    let offsets = |offsets: &[i32]| {
        let offsets: Vec<_> = offsets.iter().map(|offset| json!({"partition": 1, "offset": offset})).collect();
        (200, json!({"offsets": offsets}))
    };
    assert_eq!(post(path, json_v2, &envelope("")).await, offsets(&[2, 3]));
    assert_eq!(post(path, json_v2, &envelope(r#","partition":1"#)).await, offsets(&[4, 5]));
    assert_eq!(post(path, "application/vnd.kafka.v1+json", r#"{"records":[{"value":"AA=="}]}"#).await, offsets(&[6]));
    assert_eq!(post(&format!("{path}?key=k"), "text/plain", "x").await, offsets(&[7]));
    assert_eq!(post(&format!("{path}?partition=1"), "text/plain", "x").await, offsets(&[8]));
    let (status, lines) = post(path, "application/x-ndjson", "1\n2\n").await;
    assert_eq!((status, &lines["offsets"]), (200, &json!([{"partition": 1, "first": 9, "last": 10}])));
    let (status, some) = post(path, json_v2, &envelope(r#","partition":0"#)).await;
    assert_eq!(
        (status, &some["offsets"][0]["offset"], &some["offsets"][1]["error_code"]),
        (207, &json!(11), &json!(422))
    );
    let (status, other) = post(&format!("{path}?partition=0"), "text/plain", "x").await;
    assert_eq!((status, other["detail"].as_str().unwrap().contains("path is for partition 1")), (422, true), "{other}");
    for (path, status, code) in [("/topics/t/partitions/2", 404, 40402), ("/topics/t/partitions/x", 400, 400)] {
        let (answered, problem) = post(path, json_v2, &envelope("")).await;
        assert_eq!((answered, &problem["error_code"]), (status, &json!(code)), "{problem}");
    }
    assert!(world.broker.records("t", 0).is_empty());
}

#[tokio::test]
async fn messages_are_those_of_version_1_of_the_rest_proxy() {
    let world = world();
    world.broker.append("t", 1, r#"{"n": 1}"#);
    let message = |value: Value, offset: i64| json!({"key": null, "value": value, "partition": 1, "offset": offset});
    let (binary, v1) = ("application/vnd.kafka.binary.v1+json", "application/vnd.kafka.v1+json");
    for (accept, query, is, expected) in [
        (v1, "offset=0", v1, json!([message(json!("YQ=="), 0)])),
        ("*/*", "offset=0&count=0", "application/json", json!([])),
        (binary, "offset=1&count=9", binary, json!([message(json!("Yg=="), 1), message(json!("eyJuIjogMX0="), 2)])),
        (binary, "offset=3", binary, json!([])),
        (
            "application/vnd.kafka.json.v1+json",
            "offset=1&count=2",
            "application/vnd.kafka.json.v1+json",
            json!([message(json!("b"), 1), message(json!({"n": 1}), 2)]),
        ),
    ] {
        let path = format!("/topics/t/partitions/1/messages?{query}");
        let answer = world.ask("GET", &path, &[("accept", accept)], "").await;
        assert_eq!((answer.status().as_u16(), content_type(&answer), json_of(&answer)), (200, is, expected), "{path}");
    }
}

#[tokio::test]
async fn missing_topics_and_partitions_have_the_error_codes_of_the_rest_proxies() {
    let world = world();
    for (path, status, code) in [
        ("/topics/none", 404, 40401),
        ("/topics/none/partitions", 404, 40401),
        ("/topics/none/partitions/0", 404, 40401),
        ("/topics/none/partitions/0/offsets", 404, 40401),
        ("/topics/none/partitions/0/messages?offset=0", 404, 40401),
        ("/topics/t/partitions/2/messages?offset=0", 404, 40402),
        ("/topics/t/partitions/1/messages", 400, 400),
        ("/topics/t/partitions/1/messages?offset=3", 400, 400),
        ("/topics/t/partitions/1/messages?offset=0&count=10001", 400, 400),
        ("/topics/t/partitions/2", 404, 40402),
        ("/topics/t/partitions/2/offsets", 404, 40402),
        ("/topics/t/partitions/-1", 400, 400),
        ("/topics/t/partitions/x/offsets", 400, 400),
        ("/topics/t/partitions?offsets=true", 400, 400),
        ("/topics/a b/partitions", 422, 422),
    ] {
        let answer = world.ask("GET", &path.replace(' ', "%20"), &[("accept", V2)], "").await;
        let problem = json_of(&answer);
        assert_eq!((answer.status().as_u16(), &problem["error_code"]), (status, &json!(code)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_topic_is_created_as_by_the_strimzi_bridge() {
    let world = world();
    let create = async |body: Value| {
        let answer =
            world.ask("POST", "/admin/topics", &[("content-type", V2), ("accept", V2)], &body.to_string()).await;
        let type_is_v2 = content_type(&answer) == V2;
        assert_eq!(type_is_v2, answer.status() == 201, "{:?}", answer.body());
        (answer.status().as_u16(), json_of(&answer))
    };
    let new = json!({"topic_name": "new", "partitions_count": 3, "replication_factor": 1});
    assert_eq!(create(new.clone()).await, (201, new.clone()));
    let floats = json!({"topic_name": "floats", "partitions_count": 3.0, "replication_factor": 1e0});
    assert_eq!(create(floats).await.1["partitions_count"], 3);
    assert_eq!(world.get("/topics/new/partitions").await.as_array().unwrap().len(), 3);
    let configs = json!({"retention.ms": 1000, "cleanup.policy": "compact", "preallocate": true});
    let (status, created) = create(json!({"topic_name": "set", "configs": configs})).await;
    assert_eq!((status, created), (201, json!({"topic_name": "set", "partitions_count": 1, "replication_factor": 2})));
    let found = world.get("/topics/set").await["configs"].clone();
    assert_eq!([&found["retention.ms"], &found["cleanup.policy"], &found["preallocate"]], ["1000", "compact", "true"]);
    for (body, status, word) in [
        (new, 409, "\"new\" exists already"),
        (json!({"topic_name": "x", "replication_factor": 3}), 422, "only 2 brokers"),
        (json!({"topic_name": "x", "partitions_count": 0}), 422, "partitions_count is 0"),
        (json!({"topic_name": "x", "partitions_count": 3_000_000_000_u32}), 422, "3000000000"),
        (json!({"topic_name": "x", "replication_factor": -1}), 422, "replication_factor is -1"),
        (json!({"topic_name": "x", "partitions": 2}), 422, "partitions"),
        (json!({"topic_name": "x", "configs": {"a": null}}), 422, "a string, a number or a boolean"),
        (json!({"topic_name": "a b"}), 422, "a b"),
        (json!({}), 422, "topic_name"),
    ] {
        let (answered, problem) = create(body.clone()).await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    assert_eq!(world.ask("GET", "/topics/x", &[], "").await.status(), 404);
}

#[tokio::test]
async fn errors_of_kafka_have_a_code_that_says_whether_a_retry_may_help() {
    let world = world();
    world.broker.fail_with(Some(BrokerError::Unavailable("nobody there".into())));
    for (method, path) in [("GET", "/brokers"), ("GET", "/topics/t/partitions/0"), ("POST", "/topics/t")] {
        let answer = world.ask(method, path, &[("content-length", "1")], "1").await;
        assert_eq!((answer.status().as_u16(), &json_of(&answer)["error_code"]), (503, &json!(50003)), "{path}");
    }
    world.broker.fail_with(Some(BrokerError::LostTrack));
    let answer = world.ask("POST", "/topics/t", &[], "1").await;
    assert_eq!((answer.status().as_u16(), &json_of(&answer)["error_code"]), (504, &json!(50002)));
    let unconfirmed = BrokerError::CreationUnconfirmed(TopicName::new("new").unwrap(), "no answer in time".into());
    world.broker.fail_with(Some(unconfirmed));
    let answer = world.ask("POST", "/admin/topics", &[], r#"{"topic_name":"new"}"#).await;
    let problem = json_of(&answer);
    assert_eq!((answer.status().as_u16(), &problem["error_code"]), (504, &json!(50002)));
    assert!(problem["detail"].as_str().unwrap().contains("\"new\", which may exist now"), "{problem}");
}

#[tokio::test]
async fn a_client_of_consumer_instances_is_told_what_to_use_instead() {
    let world = world();
    for (method, path) in [
        ("POST", "/consumers/group"),
        ("GET", "/consumers/group/instances/one/records"),
        ("DELETE", "/consumers/group/instances/one"),
    ] {
        let answer = world.ask(method, path, &[], "{}").await;
        let problem = json_of(&answer);
        assert_eq!((answer.status().as_u16(), &problem["error_code"]), (404, &json!(40403)), "{problem}");
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains("/topics/NAME/events") && message.contains("application/x-ndjson"), "{message}");
    }
}

#[test]
fn both_routes_to_produce_are_documented_alike() {
    let document: Value = serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap();
    let [topic, partition] =
        ["/topics/{topic}", "/topics/{topic}/partitions/{partition}"].map(|path| &document["paths"][path]["post"]);
    let parameters = |operation: &Value| {
        let all = operation["parameters"].as_array().unwrap().iter();
        all.filter(|parameter| parameter["name"] != "partition").cloned().collect::<Vec<_>>()
    };
    assert_eq!(parameters(partition), parameters(topic));
    assert_eq!(partition["responses"], topic["responses"]);
}

//! The requests of Karapace's suite for its REST proxy, without those for consumer instances, and the answers that it expects:
//! `tests/integration/kafka_rest_apis/test_rest.py` in Aiven-Open/karapace. Those about data that does not fit its schema are
//! rows of `produce_encoded`. `/_health` and the sizes of bodies are Karapace's own.

use crate::support::documented::is_documented;
use crate::support::fake_catalog::FakeCatalog;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::AutoCreate;
use curlew::http::produce::{self, SchemaEncoder};
use curlew::http::{self, App, routes};
use curlew::hub::{self, Hub};
use curlew::schemas::source::{SchemaKind, SchemaSource};
use serde_json::{Value, json};
use std::sync::Arc;

const V1: &str = "application/vnd.kafka.v1+json";
const BINARY: &str = "application/vnd.kafka.binary.v2+json";
const JSON: &str = "application/vnd.kafka.json.v2+json";
const AVRO: &str = "application/vnd.kafka.avro.v2+json";

/// What Karapace's suite asserts.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Success,
    /// An error with any status.
    Failure,
    Status(u16),
    /// A status and an error code.
    Code(u16, u64),
}

use Expected::{Code, Failure, Status, Success};

/// The answer here.
#[derive(Debug, Clone, Copy)]
enum Here {
    Same,
    /// Another status and error code on purpose; 0 without an error.
    Differs(u16, u64),
}

use Here::{Differs, Same};

struct KarapaceWorld {
    app: Arc<App>,
    catalog: Arc<FakeCatalog>,
}

impl KarapaceWorld {
    /// A bridge with topic `t` of two partitions and without automatic creation, and a schema of another topic with the id 1.
    fn new() -> Self {
        let (broker, catalog) = (MemoryBroker::new(), FakeCatalog::new());
        broker.create("t", 2);
        let text = r#"{"type": "record", "name": "S", "fields": [{"name": "temperature", "type": "int"}]}"#;
        let source = SchemaSource { kind: SchemaKind::Avro, text: text.to_owned(), references: Vec::new() };
        catalog.add("some-other-subject-value", source);
        let hub = Arc::new(Hub::start(broker, hub::Settings::default()).unwrap());
        let schemas = Some(SchemaEncoder::new(catalog.clone()));
        let produce = produce::Settings { schemas, auto_create: AutoCreate::Never, ..produce::Settings::default() };
        Self { app: App::new(hub, http::Settings { produce, ..http::Settings::default() }), catalog }
    }

    async fn check(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        (expected, here): (Expected, Here),
    ) {
        let mut request = warp::test::request().method(method).path(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).reply(&routes(self.app.clone())).await;
        is_documented(method, path, answer.status());
        let status = answer.status().as_u16();
        let shown = format!("{method} {path} {headers:?} {body}: {status} {:?}", answer.body());
        let code = serde_json::from_slice::<Value>(answer.body()).unwrap()["error_code"].as_u64().unwrap_or(0);
        let is_same = match expected {
            Success => status == 200,
            Failure => status >= 400,
            Status(asserted) => status == asserted,
            Code(asserted, asserted_code) => (status, code) == (asserted, asserted_code),
        };
        match here {
            Same => assert!(is_same, "{expected:?}, {shown}"),
            Differs(..) if is_same => panic!("as in Karapace: {shown}"),
            Differs(other, other_code) => assert_eq!((status, code), (other, other_code), "{shown}"),
        }
    }

    async fn post(&self, path: &str, content_type: &str, body: &Value, outcome: (Expected, Here)) {
        self.check("POST", path, &[("content-type", content_type)], &body.to_string(), outcome).await;
    }

    async fn get(&self, path: &str, outcome: (Expected, Here)) {
        self.check("GET", path, &[], "", outcome).await;
    }
}

fn one(part: &str, value: Value) -> Value {
    json!({"records": [{ part: value }]})
}

/// A record with a name, as text or by the id of its schema.
fn named(part: &str, schema: (&str, Value)) -> Value {
    json!({ format!("{part}_{}", schema.0): schema.1, "records": [{ part: {"name": "First Foo"} }] })
}

fn name_schema() -> Value {
    Value::from(r#"{"type": "record", "name": "Obj", "fields": [{"name": "name", "type": "string"}]}"#)
}

#[tokio::test]
async fn content_types_are_those_of_karapace() {
    let world = KarapaceWorld::new();
    let (binary, values) = (one("value", json!("Zm9v")), one("value", json!({"foo": "bar"})));
    let avro = named("value", ("schema", name_schema()));
    for (content_type, body, outcome) in [
        (V1, &binary, (Success, Same)),
        ("application/vnd.kafka.binary.v1+json", &binary, (Success, Same)),
        ("application/vnd.kafka.avro.v1+json", &avro, (Success, Same)),
        ("application/vnd.kafka.json+json", &values, (Success, Same)),
        ("application/vnd.kafka+json", &binary, (Success, Same)),
        ("application/json", &binary, (Success, Same)),
        ("application/octet-stream", &binary, (Success, Same)),
        ("application/vnd.kafka.v3+json", &binary, (Failure, Same)),
        ("application/vnd.kafka.binary.v1+foo", &binary, (Failure, Same)),
        ("application/vnd.kafka.avro.v0+json", &avro, (Failure, Same)),
        ("application/vnd.kafka.json+avro", &values, (Failure, Same)),
        ("application/vnd.kafka", &binary, (Failure, Same)),
        ("application/vnd.kafka+binary", &binary, (Failure, Same)),
        // A body of any other type is one record.
        ("application/text", &binary, (Failure, Differs(200, 0))),
        ("bar/baz", &binary, (Failure, Differs(200, 0))),
    ] {
        world.post("/topics/t", content_type, body, outcome).await;
    }
    for (accept, outcome) in [
        (V1, (Success, Same)),
        ("application/vnd.kafka+json", (Success, Same)),
        ("application/json", (Success, Same)),
        ("application/*", (Success, Same)),
        ("*/json", (Success, Same)),
        ("*/*", (Success, Same)),
        // The answer is JSON whatever the client asks for, which RFC 9110 allows.
        ("application/octet-stream", (Failure, Differs(200, 0))),
        ("application/vnd.kafka+foo", (Failure, Differs(200, 0))),
        ("application/text", (Failure, Differs(200, 0))),
        ("foo/*", (Failure, Differs(200, 0))),
        ("bar/json", (Failure, Differs(200, 0))),
        ("*/baz", (Failure, Differs(200, 0))),
    ] {
        world.check("GET", "/brokers", &[("accept", accept)], "", outcome).await;
    }
}

#[tokio::test]
async fn topics_and_partitions_are_those_of_karapace() {
    let world = KarapaceWorld::new();
    for (path, outcome) in [
        ("/topics", (Success, Same)),
        ("/topics/t", (Success, Same)),
        // Confluent's code of a missing topic is 40401.
        ("/topics/foo", (Code(404, 40403), Differs(404, 40401))),
        ("/brokers", (Success, Same)),
        ("/topics/t/partitions", (Success, Same)),
        ("/topics/t/partitions/0", (Success, Same)),
        ("/topics/fooo/partitions", (Code(404, 40401), Same)),
        ("/topics/fooo/partitions/0", (Code(404, 40401), Same)),
        ("/topics/t/partitions/10", (Code(404, 40402), Same)),
        ("/topics/t/partitions/0/offsets", (Success, Same)),
        ("/topics/fooo/partitions/0/offsets", (Code(404, 40401), Same)),
        // The topic exists; what is wrong is the number.
        ("/topics/t/partitions/foo/offsets", (Code(404, 404), Differs(400, 400))),
    ] {
        world.get(path, outcome).await;
    }
}

#[tokio::test]
async fn records_and_malformed_requests_are_answered_as_by_karapace() {
    let world = KarapaceWorld::new();
    for path in ["/topics/t", "/topics/t/partitions/0"] {
        for (content_type, body, outcome) in [
            (JSON, one("value", json!({"foo": "bar"})), (Success, Same)),
            (BINARY, one("value", json!("Zm9vCg==")), (Success, Same)),
            (JSON, json!({"records": []}), (Status(422), Same)),
            (JSON, json!({"foo": "bar"}), (Status(422), Same)),
            (JSON, one("valur", json!({"foo": "bar"})), (Status(422), Same)),
            (AVRO, one("value", json!({"foo": "bar"})), (Code(422, 42202), Same)),
            (AVRO, one("key", json!({"foo": "bar"})), (Code(422, 42201), Same)),
            (AVRO, one("value", json!("YmFzZTY0")), (Status(422), Same)),
            (AVRO, one("value", json!("not b64")), (Status(422), Same)),
            // The body is JSON, and is not valid as an envelope: 422, as Confluent's proxy answers.
            (BINARY, one("value", json!("not base64")), (Code(400, 400), Differs(422, 422))),
            (BINARY, json!({"records": "should be an array"}), (Status(400), Differs(422, 422))),
            (BINARY, json!({"records": ["object with value"]}), (Status(400), Differs(422, 422))),
            (BINARY, one("value", json!({"a": 1})), (Status(400), Differs(422, 422))),
        ] {
            world.post(path, content_type, &body, outcome).await;
        }
    }
}

#[tokio::test]
async fn records_with_schemas_are_answered_as_by_karapace() {
    let world = KarapaceWorld::new();
    for path in ["/topics/t", "/topics/t/partitions/0"] {
        for part in ["key", "value"] {
            world.post(path, AVRO, &named(part, ("schema", name_schema())), (Success, Same)).await;
            world.post(path, AVRO, &named(part, ("schema_id", json!(2))), (Success, Same)).await;
            world.post(path, AVRO, &named(part, ("schema_id", json!(666))), (Status(422), Same)).await;
        }
    }
    assert_eq!(world.catalog.subjects()[1..], ["t-key", "t-value"]);
    for path in ["/topics/none", "/topics/none/partitions/0"] {
        for part in ["key", "value"] {
            world.post(path, AVRO, &named(part, ("schema", name_schema())), (Code(404, 40401), Same)).await;
        }
    }
    // Karapace compares the subjects, unless name_strategy_validation is off. Here and in Confluent's proxy the id is enough.
    let other = json!({"value_schema_id": 1, "records": [{"value": {"temperature": 25}}]});
    world.post("/topics/t", AVRO, &other, (Code(422, 42205), Differs(200, 0))).await;
}

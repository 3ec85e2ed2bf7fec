//! The client of schema registries: what it asks, what it keeps, and what it does when a registry fails or lies.

use crate::support::fake_registry::{FakeRegistry, RegistryReply, RegistryRequest};
use curlew::schemas::framing::SchemaId;
use curlew::schemas::registry::{
    Lookup, RegistryCredentials, RegistryError, RegistrySettings, RegistryUrl, SchemaRegistry,
};
use curlew::schemas::source::{SchemaKind, SchemaSource};
use curlew::sync::memory_budget::{MIN, MemoryBudget};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(urls: &[String]) -> SchemaRegistry {
    with_credentials(urls, RegistryCredentials::Anonymous)
}

fn with_credentials(urls: &[String], credentials: RegistryCredentials) -> SchemaRegistry {
    let urls = urls.iter().map(|url| RegistryUrl::parse(url).unwrap()).collect();
    let settings = RegistrySettings { urls, credentials, tls: None, timeout: Duration::from_secs(2) };
    SchemaRegistry::start(settings, &MemoryBudget::default().schemas).unwrap()
}

/// A registry in which every id has the Avro schema `"string"`.
fn strings() -> FakeRegistry {
    FakeRegistry::start(|_| RegistryReply::json(200, json!({"id": 1, "schema": "\"string\""})))
}

/// Looks up an id until it is no longer pending.
fn settled(registry: &SchemaRegistry, id: u32) -> Lookup {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match registry.lookup(SchemaId::Id(id)) {
            Lookup::Pending => assert!(Instant::now() < deadline, "{id} is still pending"),
            settled => return settled,
        }
        std::thread::yield_now();
    }
}

fn eventually_ready(registry: &SchemaRegistry, id: u32) {
    let deadline = Instant::now() + PATIENCE;
    while !matches!(registry.lookup(SchemaId::Id(id)), Lookup::Ready(_)) {
        assert!(Instant::now() < deadline, "{id} never becomes ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn error(registry: &SchemaRegistry, id: u32) -> String {
    registry.by_id(SchemaId::Id(id)).unwrap_err().to_string()
}

#[test]
fn an_id_is_fetched_once_however_many_ask() {
    let fake = strings();
    let registry = connect(&[fake.url()]);
    assert!(matches!(registry.lookup(SchemaId::Id(7)), Lookup::Pending), "a lookup does not wait");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| registry.by_id(SchemaId::Id(7)).unwrap());
            scope.spawn(|| assert!(matches!(settled(&registry, 7), Lookup::Ready(_))));
        }
    });
    assert_eq!(fake.count("GET /schemas/ids/7"), 1);
    assert_eq!(registry.usage().cached, 1);
}

#[test]
fn an_unknown_id_is_remembered() {
    let fake = FakeRegistry::start(|_| RegistryReply::not_found());
    let registry = connect(&[fake.url()]);
    for _ in 0..3 {
        assert_eq!(error(&registry, 9), "the schema registry has no schema with id 9");
        assert!(matches!(settled(&registry, 9), Lookup::Failed(_)));
    }
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn a_full_queue_loses_no_lookup() {
    let fake = strings();
    let registry = connect(&[fake.url()]);
    let ids = 0..1_000;
    ids.clone().for_each(|id| drop(registry.lookup(SchemaId::Id(id))));
    ids.for_each(|id| assert!(matches!(settled(&registry, id), Lookup::Ready(_)), "{id}"));
    assert_eq!(fake.requests().len(), 1_000);
}

#[test]
fn shutdown_does_not_wait_for_queued_lookups() {
    let fake = FakeRegistry::start(|_| {
        std::thread::sleep(Duration::from_millis(50));
        RegistryReply::not_found()
    });
    let registry = connect(&[fake.url()]);
    (0..200).for_each(|id| drop(registry.lookup(SchemaId::Id(id))));
    drop(registry);
    assert!(fake.requests().len() < 50, "{}", fake.requests().len());
}

#[test]
fn answers_that_cannot_be_used_are_explained() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cyclic = |subject: &str| json!({"schema": "\"string\"", "references": [{"name": "x", "subject": subject, "version": 1}]});
    let rows: [(RegistryReply, &str); 9] = [
        (RegistryReply::json(401, r#"{"error_code":40101,"message":"who are\nyou"}"#), "answers 401: who are you"),
        (RegistryReply::json(403, ""), "answers 403"),
        (RegistryReply::json(500, "<html>"), "answers 500"),
        (RegistryReply::json(200, "[]"), "the schema registry's answer is malformed"),
        (RegistryReply::json(200, deep), "the schema registry's answer is malformed"),
        (RegistryReply(200, String::new(), vec![b'x'; 5 << 20]), "larger than 4 MiB"),
        (RegistryReply(200, String::new(), vec![0xff]), "not UTF-8"),
        (
            RegistryReply::json(200, json!({"schema": "{}", "schemaType": "XML"})),
            "schemas of type \"XML\" are not supported",
        ),
        (RegistryReply::json(200, cyclic("again")), "its references form a cycle"),
    ];
    for (reply, words) in rows {
        let fake = FakeRegistry::start(move |_| reply.clone());
        let error = error(&connect(&[fake.url()]), 1);
        assert!(error.contains(words) && !error.contains('\n'), "{words}: {error}");
    }
}

#[test]
fn redirects_are_not_followed() {
    let other = strings();
    let location = format!("Location: {}/schemas/ids/1\r\n", other.url());
    let fake = FakeRegistry::start(move |_| RegistryReply(302, location.clone(), Vec::new()));
    let login = RegistryCredentials::Basic { user: "me".to_owned(), password: curlew::secret::Secret::new("hush") };
    let error = error(&with_credentials(&[fake.url()], login), 1);
    assert!(
        error.contains("redirects to 127.0.0.1 (302), which is not followed") && !error.contains("hush"),
        "{error}"
    );
    assert!(other.requests().is_empty());
}

#[test]
fn credentials_go_only_to_the_url_that_has_them() {
    let (with_user, without) = (strings(), strings());
    let url = with_user.url().replace("http://", "http://me:hush@");
    connect(&[url]).by_id(SchemaId::Id(1)).unwrap();
    assert_eq!(with_user.requests()[0].authorization.as_deref(), Some("Basic bWU6aHVzaA=="));
    connect(&[without.url()]).by_id(SchemaId::Id(1)).unwrap();
    assert_eq!(without.requests()[0].authorization, None);
    let token = RegistryCredentials::Bearer(curlew::secret::Secret::new("t.o.k"));
    with_credentials(&[without.url()], token).by_id(SchemaId::Id(1)).unwrap();
    assert_eq!(without.requests()[1].authorization.as_deref(), Some("Bearer t.o.k"));
}

#[test]
fn replicas_are_tried_in_turn_and_the_last_good_one_first() {
    let (broken, good) = (FakeRegistry::start(|_| RegistryReply::json(503, "")), strings());
    let registry = connect(&[broken.url(), good.url()]);
    for id in 1..=3 {
        registry.by_id(SchemaId::Id(id)).unwrap();
    }
    assert_eq!((broken.requests().len(), good.requests().len()), (1, 3));
}

#[test]
fn an_outage_fails_lookups_at_once_and_ends_by_itself() {
    let address = strings().address;
    let registry = connect(&[format!("http://{address}")]);
    let Lookup::Failed(error) = settled(&registry, 1) else { panic!("nothing listens") };
    assert!(matches!(*error, RegistryError::Unreachable(_)), "{error}");
    let began = Instant::now();
    for id in 2..50 {
        assert!(registry.by_id(SchemaId::Id(id)).is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "an outage is remembered");
    let fake = FakeRegistry::start_at(address, |_| RegistryReply::json(200, json!({"schema": "\"string\""})));
    for id in [1, 2, 99] {
        eventually_ready(&registry, id);
    }
    assert!(fake.requests().len() < 20, "{}", fake.requests().len());
}

#[test]
fn a_silent_registry_stops_no_lookup() {
    let silent = Arc::new(AtomicBool::new(true));
    let is_silent = silent.clone();
    let fake = FakeRegistry::start(move |_| {
        let deadline = Instant::now() + PATIENCE;
        while is_silent.load(Ordering::SeqCst) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        RegistryReply::json(200, json!({"schema": "\"string\""}))
    });
    let registry = connect(&[fake.url()]);
    assert!(matches!(settled(&registry, 1), Lookup::Failed(_)), "a request has a time limit");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(matches!(registry.lookup(SchemaId::Id(1)), Lookup::Failed(_)), "the error stays in use meanwhile");
        assert!(asked.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(20));
    }
    silent.store(false, Ordering::SeqCst);
    eventually_ready(&registry, 1);
}

#[test]
fn references_are_fetched_with_encoded_names() {
    let fake = FakeRegistry::start(|request| match request.line.as_str() {
        "GET /schemas/ids/1" => {
            let schema = json!({"type": "record", "name": "A", "fields": [{"name": "b", "type": "B"}]}).to_string();
            let references = json!([{"name": "B", "subject": "a/b c?", "version": 3}]);
            RegistryReply::json(200, json!({"schema": schema, "references": references}))
        }
        "GET /subjects/a%2Fb%20c%3F/versions/3" => {
            let schema = json!({"type": "fixed", "name": "B", "size": 1}).to_string();
            RegistryReply::json(200, json!({"schema": schema}))
        }
        _ => RegistryReply::not_found(),
    });
    connect(&[fake.url()]).by_id(SchemaId::Id(1)).unwrap();
}

#[test]
fn the_ids_of_apicurio_are_looked_up_in_its_native_api() {
    let fake = FakeRegistry::start(|request| {
        let avro = || "X-Registry-ArtifactType: AVRO\r\n".to_owned();
        match request.line.trim_start_matches("GET /x/apis/registry/v3") {
            "/search/versions?limit=1&contentId=8" => RegistryReply::json(200, json!({"versions": [{"globalId": 5}]})),
            "/search/versions?limit=1&contentId=9" => RegistryReply::json(200, json!({"versions": []})),
            "/ids/globalIds/5?returnArtifactType=true" => {
                let schema = json!({"type": "array", "items": "B"}).to_string();
                RegistryReply(200, avro(), schema.into_bytes())
            }
            "/ids/globalIds/5/references" => {
                RegistryReply::json(200, json!([{"groupId": "g", "artifactId": "b", "version": "2", "name": "B"}]))
            }
            "/groups/g/artifacts/b/versions/2/content" => {
                RegistryReply::json(200, json!({"type": "fixed", "name": "B", "size": 1}))
            }
            "/groups/g/artifacts/b/versions/2/references" => RegistryReply::json(200, "[]"),
            _ => RegistryReply::not_found(),
        }
    });
    let registry = connect(&[format!("{}/x/apis/ccompat/v7", fake.url())]);
    registry.by_id(SchemaId::GlobalId(5)).unwrap();
    registry.by_id(SchemaId::ContentId(8)).unwrap();
    let missing = registry.by_id(SchemaId::ContentId(9)).unwrap_err().to_string();
    assert_eq!(missing, "the schema registry has no schema with content id 9");
    let confluent = connect(&[fake.url()]).by_id(SchemaId::GlobalId(5)).unwrap_err();
    assert!(matches!(confluent, RegistryError::NotFound(_)), "{confluent}");
}

#[test]
fn a_guid_is_looked_up_in_confluents_api() {
    let guid = uuid::Uuid::try_parse("6da336d8-f1d3-0f98-4c47-d03ee8a141a1").unwrap();
    let fake = FakeRegistry::start(|request| match request.line.as_str() {
        "GET /schemas/guids/6da336d8-f1d3-0f98-4c47-d03ee8a141a1" => {
            let references = json!([{"name": "B", "subject": "b", "version": 2}]);
            let schema = json!({"type": "array", "items": "B"}).to_string();
            RegistryReply::json(200, json!({"schema": schema, "references": references, "guid": "ignored"}))
        }
        "GET /subjects/b/versions/2" => {
            RegistryReply::json(200, json!({"schema": r#"{"type": "fixed", "name": "B", "size": 1}"#}))
        }
        _ => RegistryReply::not_found(),
    });
    let registry = connect(&[fake.url()]);
    registry.by_id(SchemaId::Guid(guid)).unwrap();
    assert!(matches!(registry.lookup(SchemaId::Guid(guid)), Lookup::Ready(_)));
    assert_eq!(fake.requests().len(), 2, "it is kept");
    let missing = registry.by_id(SchemaId::Guid(uuid::Uuid::nil())).unwrap_err().to_string();
    assert_eq!(missing, "the schema registry has no schema with GUID 00000000-0000-0000-0000-000000000000");
}

fn source(text: &str) -> SchemaSource {
    SchemaSource { kind: SchemaKind::Avro, text: text.to_owned(), references: Vec::new() }
}

#[test]
fn a_schema_is_registered_once_and_not_fetched_again() {
    let fake = FakeRegistry::start(|_| RegistryReply::json(200, json!({"id": 4})));
    let registry = connect(&[fake.url()]);
    for _ in 0..2 {
        assert_eq!(registry.register("t-value", &source("\"string\"")).unwrap().0, SchemaId::Id(4));
    }
    registry.by_id(SchemaId::Id(4)).unwrap();
    let requests: Vec<RegistryRequest> = fake.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].line, "POST /subjects/t-value/versions");
    assert_eq!(requests[0].body, json!({"schema": "\"string\""}).to_string());
    assert!(matches!(registry.register("t-value", &source("{")), Err(RegistryError::Invalid(_))));
    assert_eq!(fake.requests().len(), 1, "what cannot be used is not registered");
}

#[test]
fn an_id_that_was_looked_up_too_early_can_be_used_once_it_exists() {
    let exists = Arc::new(AtomicBool::new(false));
    let is_there = exists.clone();
    let fake = FakeRegistry::start(move |request| match request.line.as_str() {
        "POST /subjects/t-value/versions" => RegistryReply::json(200, json!({"id": 4})),
        "GET /subjects/t-value/versions/latest" => RegistryReply::json(200, json!({"id": 5, "schema": ""})),
        _ if is_there.load(Ordering::SeqCst) => RegistryReply::json(200, json!({"schema": "\"string\""})),
        _ => RegistryReply::not_found(),
    });
    let registry = connect(&[fake.url()]);
    for id in [4, 5] {
        assert_eq!(error(&registry, id), format!("the schema registry has no schema with id {id}"));
    }
    exists.store(true, Ordering::SeqCst);
    assert_eq!(registry.register("t-value", &source("\"string\"")).unwrap().0, SchemaId::Id(4));
    assert_eq!(registry.latest("t-value").unwrap().0, SchemaId::Id(5));
    assert!(matches!(registry.lookup(SchemaId::Id(4)), Lookup::Ready(_)));
}

#[test]
fn a_refused_schema_has_the_words_of_the_registry() {
    let fake = FakeRegistry::start(|_| RegistryReply::json(409, json!({"error_code": 409, "message": "incompatible"})));
    let error = connect(&[fake.url()]).register("t-value", &source("\"string\"")).unwrap_err();
    assert!(matches!(&error, RegistryError::Refused(why) if why.ends_with("answers 409: incompatible")), "{error}");
}

#[test]
fn the_latest_schema_is_kept_for_a_short_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let fake = FakeRegistry::start(move |request| match request.line.as_str() {
        "GET /subjects/t-value/versions/latest" => {
            count.fetch_add(1, Ordering::SeqCst);
            RegistryReply::json(200, json!({"subject": "t-value", "version": 2, "id": 6, "schema": "\"string\""}))
        }
        "GET /schemas/ids/6" => RegistryReply::json(200, json!({"schema": "\"string\""})),
        _ => RegistryReply::json(404, json!({"error_code": 40401, "message": "Subject not found"})),
    });
    let registry = connect(&[fake.url()]);
    for _ in 0..3 {
        assert_eq!(registry.latest("t-value").unwrap().0, SchemaId::Id(6));
    }
    assert_eq!((asked.load(Ordering::SeqCst), fake.requests().len()), (1, 2));
    let error = registry.latest("u-value").unwrap_err().to_string();
    assert_eq!(error, "the schema registry has no subject \"u-value\"");
}

#[test]
fn many_unknown_ids_do_not_become_many_requests() {
    let fake = FakeRegistry::start(|_| RegistryReply::not_found());
    let registry = connect(&[fake.url()]);
    // These are ids of an API that this registry does not have.
    for id in 0..1_500 {
        let error = registry.by_id(SchemaId::GlobalId(id)).unwrap_err();
        assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    }
    assert!(fake.requests().is_empty());
    for id in 0..1_500 {
        assert!(registry.by_id(SchemaId::Id(id)).is_err());
    }
    assert_eq!(fake.requests().len(), 1_000);
    let limited = registry.by_id(SchemaId::Id(1_400)).unwrap_err();
    assert!(
        matches!(limited, RegistryError::TooManyUnknown { retry_after } if retry_after <= Duration::from_secs(60)),
        "{limited}"
    );
    assert_eq!(registry.usage().cached, 1_000, "errors without a request displace no schema");
}

#[test]
fn schemas_are_kept_within_the_memory_budget() {
    let registry_of = |memory: &MemoryBudget| {
        // Distinct JSON Schemas that take about 30 kB each, and a large one.
        let fake = FakeRegistry::start(|request| {
            let id: usize = request.line.rsplit('/').next().unwrap().parse().unwrap();
            let member = |i: usize| format!("\"m{i}\":{{\"type\":\"string\"}}");
            let members: Vec<_> = (0..if id == 1 { 5_000 } else { 10 }).map(member).collect();
            let schema = format!("{{\"title\":\"{id}\",\"properties\":{{{}}}}}", members.join(","));
            RegistryReply::json(200, json!({"schema": schema, "schemaType": "JSON"}))
        });
        let urls = vec![RegistryUrl::parse(&fake.url()).unwrap()];
        let settings =
            RegistrySettings { urls, credentials: RegistryCredentials::Anonymous, tls: None, timeout: PATIENCE };
        (SchemaRegistry::start(settings, &memory.schemas).unwrap(), fake)
    };
    for total in [MIN, 4 * MIN] {
        let memory = MemoryBudget::new(total);
        let (registry, _fake) = registry_of(&memory);
        for id in 2..400 {
            assert!(registry.by_id(SchemaId::Id(id)).is_ok(), "{id}");
            assert!(registry.known(SchemaId::Id(id)).is_some(), "the newest one is kept");
            assert!(memory.schemas.used() <= memory.schemas.limit());
        }
        assert!(registry.known(SchemaId::Id(2)).is_none(), "the oldest one is not");
        let usage = registry.usage();
        assert_eq!(usage.cached_bytes, memory.schemas.used(), "{usage:?}");
        assert!(usage.cached_bytes > memory.schemas.limit() / 2, "{usage:?}");
        // Values of a JSON Schema are read without it.
        let large = registry.by_id(SchemaId::Id(1)).unwrap();
        let mut out = Vec::new();
        assert_eq!(large.decode(b"[1]", &mut out, 100), Ok(()));
        let error = large.encode(b"[1]", &mut out, 100).unwrap_err().to_string();
        assert!(error.contains("--memory-budget"), "{error}");
        drop((registry, large));
        assert_eq!(memory.schemas.used(), 0);
    }
}

#[test]
fn unknown_ids_of_readers_and_of_producers_have_a_limit_each() {
    let answered = || RegistryReply::json(200, json!({"id": 1, "schema": "\"string\""}));
    let registries = || {
        let fake = FakeRegistry::start(move |request| match request.line.as_str() {
            "GET /schemas/ids/7" => answered(),
            _ => RegistryReply::not_found(),
        });
        (connect(&[fake.url()]), fake)
    };
    let (read, _fake) = registries();
    for id in 1_000..2_100 {
        assert!(matches!(settled(&read, id), Lookup::Failed(_)), "{id}");
    }
    let Lookup::Failed(error) = read.lookup(SchemaId::Id(7)) else { panic!("readers have used up their limit") };
    assert!(matches!(*error, RegistryError::TooManyUnknown { .. }), "{error}");
    assert!(read.by_id(SchemaId::Id(7)).is_ok(), "producers have not");
    assert!(matches!(read.lookup(SchemaId::Id(7)), Lookup::Ready(_)), "what producers fetched is known to readers");
    let (written, _fake) = registries();
    for id in 1_000..2_100 {
        assert!(written.by_id(SchemaId::Id(id)).is_err());
    }
    assert!(matches!(written.by_id(SchemaId::Id(7)), Err(RegistryError::TooManyUnknown { .. })));
    eventually_ready(&written, 7);
}

#[test]
fn credentials_that_do_not_work_are_no_refusal_of_the_request() {
    let replies = [
        RegistryReply::json(401, json!({"error_code": 401, "message": "Unauthorized"})),
        RegistryReply::json(403, json!({"error_code": 40301, "message": "User is denied operation Read"})),
    ];
    let unauthorized = replies.map(|reply| FakeRegistry::start(move |_| reply.clone()));
    for fake in &unauthorized {
        let registry = connect(&[fake.url()]);
        for result in [
            registry.by_id(SchemaId::Id(1)).map(drop),
            registry.latest("t-value").map(drop),
            registry.register("t-value", &source("\"int\"")).map(drop),
        ] {
            assert!(matches!(result, Err(RegistryError::Credentials(_))), "{result:?}");
        }
    }
    let missing = RegistryCredentials::File("/nonexistent/curlew".into());
    let unread = with_credentials(&[strings().url()], missing).by_id(SchemaId::Id(1)).unwrap_err().to_string();
    assert!(
        unread.starts_with("the bridge's credentials for the schema registry do not work: ")
            && unread.ends_with(": this bridge cannot read its credentials for it"),
        "{unread}"
    );
}

//! Authentication and authorization through the routes: keys, sessions, tickets and their revocation.

use crate::support::documented::is_documented;
use crate::support::memory_broker::MemoryBroker;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curlew::auth::{AuthWatcher, Authenticator, Digest};
use curlew::broker::BrokerError;
use curlew::http::{self, App, BindScope, OriginPolicy, Origins, routes};
use curlew::hub::{self, Hub};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use warp::http::Response;
use warp::hyper::body::Bytes;

const PATIENCE: Duration = Duration::from_secs(10);
const PAGE: &str = "https://page.example";

/// A bridge with an auth file that tests can rewrite.
struct SecuredBridge {
    broker: Arc<MemoryBroker>,
    auth: Authenticator,
    app: Arc<App>,
    file: PathBuf,
}

/// `reader` may consume a and b, `writer` may produce to a, `admin` may do everything.
fn file() -> String {
    let reader = key("reader", "r-secret", r#"consume = ["a", "b"]"#);
    let writer = key("writer", "w-secret", r#"produce = ["a"]"#);
    let all = r#"consume = ["*"]"#.to_owned() + "\n" + r#"produce = ["*"]"# + "\n" + r#"manage = ["*"]"#;
    reader + &writer + &key("admin", "a-secret", &(all + "\nmetrics = true"))
}

fn key(name: &str, secret: &str, rest: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{rest}\n", Digest::of(secret).hex())
}

fn world() -> SecuredBridge {
    world_on(BindScope::Network)
}

fn world_on(listens: BindScope) -> SecuredBridge {
    let broker = MemoryBroker::new();
    for topic in ["a", "b", "c"] {
        broker.create(topic, 1);
        broker.append(topic, 0, topic);
    }
    let settings = hub::Settings { metadata_refresh: Duration::from_millis(50), ..hub::Settings::default() };
    let hub = Arc::new(Hub::start(broker.clone(), settings).unwrap());
    let path = std::env::temp_dir().join(format!("curlew-access-{}-{:x}", std::process::id(), fastrand::u64(..)));
    std::fs::write(&path, file()).unwrap();
    let auth = Authenticator::from_file(&path).unwrap();
    let guard = OriginPolicy { origins: Origins::Listed(vec![PAGE.into()]), scope: listens };
    let settings = http::Settings {
        origin_policy: guard,
        auth: auth.clone(),
        creation: http::Creation::Allowed,
        deletion: http::Deletion::Allowed,
        ..http::Settings::default()
    };
    SecuredBridge { broker, auth, app: App::new(hub, settings), file: path }
}

impl Drop for SecuredBridge {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl SecuredBridge {
    fn rewrite(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
        self.auth.reload();
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut request = warp::test::request().method(method).path(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let routes = routes(self.app.clone());
        let answer = tokio::time::timeout(PATIENCE, request.body(body).reply(&routes)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} {path} does not end"));
        is_documented(method, path, answer.status());
        let text = format!("{:?}", String::from_utf8_lossy(answer.body()));
        assert!(!text.contains("-secret"), "{method} {path} reveals a secret: {text}");
        answer
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.ask("GET", path, headers, "").await
    }

    async fn status(&self, method: &str, path: &str, key: &str) -> u16 {
        let bearer = format!("Bearer {key}");
        self.ask(method, path, &[("authorization", &bearer)], "1").await.status().as_u16()
    }

    /// Signs in and returns the session cookie.
    async fn login(&self, key: &str) -> String {
        let answer = self.ask("POST", "/login", &[], &json!({"token": key}).to_string()).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn ticket(&self, key: &str, topics: &[&str]) -> String {
        let bearer = format!("Bearer {key}");
        let wanted = json!({"topics": topics}).to_string();
        let answer = self.ask("POST", "/tickets", &[("authorization", &bearer)], &wanted).await;
        assert_eq!(answer.status(), 201, "{:?}", answer.body());
        json_of(&answer)["ticket"].as_str().unwrap().to_owned()
    }

    /// Opens a stream, waits for its first record, calls `meanwhile`, and returns the rest of the stream.
    async fn stream(&self, path: &str, headers: &[(&str, &str)], meanwhile: impl AsyncFnOnce(&mut Body)) -> String {
        let mut request = warp::test::request().path(path).header("host", "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.filter(&routes(self.app.clone())).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let mut body = Body(answer);
        body.until("data: ").await;
        meanwhile(&mut body).await;
        let mut rest = String::new();
        while let Some(more) = body.next().await {
            rest += &more;
        }
        rest
    }
}

/// A response body that is read frame by frame.
struct Body(warp::reply::Response);

impl Body {
    async fn next(&mut self) -> Option<String> {
        let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await.expect("a frame before the deadline")?;
        let data = frame.ok().and_then(|frame| frame.into_data().ok()).expect("data");
        Some(String::from_utf8_lossy(&data).into_owned())
    }

    async fn until(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen += &self.next().await.unwrap_or_else(|| panic!("the body ends without {text:?}: {seen}"));
        }
    }
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_else(|e| panic!("{e}: {:?}", answer.body()))
}

/// Parses the `problem` event at the end of a stream.
fn problem_of(text: &str) -> Value {
    let data = text.strip_suffix("\n\n").and_then(|text| text.rsplit_once("event: problem\ndata: ")).expect(text).1;
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn a_right_permits_what_it_names_and_nothing_else() {
    let world = world();
    // The statuses for reader, writer, admin and an unknown key.
    let cases = [
        ("GET", "/topics/a/events?from=earliest&until=end", [200, 403, 200, 401]),
        ("GET", "/topics/c/events?from=earliest&until=end", [403, 403, 200, 401]),
        ("GET", "/events?topic=a&topic=b&until=end", [200, 403, 200, 401]),
        ("GET", "/events?topic=a&topic=c&until=end", [403, 403, 200, 401]),
        ("GET", "/topics/a/partitions/0/records", [200, 403, 200, 401]),
        ("GET", "/topics/a/partitions/0/messages?offset=0", [200, 403, 200, 401]),
        ("GET", "/topics/a", [200, 200, 200, 401]),
        ("GET", "/topics/c", [403, 403, 200, 401]),
        ("GET", "/topics/none", [403, 403, 404, 401]),
        ("GET", "/brokers", [200, 200, 200, 401]),
        ("GET", "/topics/a/partitions/0/offsets", [200, 200, 200, 401]),
        ("GET", "/topics/c/partitions", [403, 403, 200, 401]),
        ("GET", "/topics/c/partitions/0", [403, 403, 200, 401]),
        ("GET", "/topics/c/partitions/0/offsets", [403, 403, 200, 401]),
        ("GET", "/topics/c/partitions/0/messages?offset=0", [403, 403, 200, 401]),
        ("GET", "/topics/none/partitions", [403, 403, 404, 401]),
        ("GET", "/topics", [200, 200, 200, 401]),
        ("HEAD", "/topics/c/events", [403, 403, 200, 401]),
        ("POST", "/topics/a", [403, 200, 200, 401]),
        ("POST", "/topics/b", [403, 403, 200, 401]),
        ("POST", "/topics/a/partitions/0", [403, 200, 200, 401]),
        ("POST", "/topics/c/partitions/0", [403, 403, 200, 401]),
        ("DELETE", "/topics/a?key=k", [403, 200, 200, 401]),
        ("GET", "/metrics", [403, 403, 200, 401]),
        ("PUT", "/topics/a", [405, 405, 405, 401]),
        ("DELETE", "/topics/a?records=all", [403, 403, 204, 401]),
    ];
    for (method, path, expected) in cases {
        let mut statuses = Vec::new();
        for key in ["r-secret", "w-secret", "a-secret", "x-secret"] {
            statuses.push(world.status(method, path, key).await);
        }
        assert_eq!(statuses, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_topic_is_created_by_clients_that_may_manage_it() {
    let world = world();
    let team = key("team", "t-secret", r#"manage = ["team.*"]"#);
    world.rewrite(&(file() + &team));
    let create = async |topic: &str, key: &str| {
        let (bearer, body) = (format!("Bearer {key}"), json!({"topic_name": topic}).to_string());
        let answer = world.ask("POST", "/admin/topics", &[("authorization", &bearer)], &body).await;
        (answer.status().as_u16(), json_of(&answer)["detail"].to_string())
    };
    for (topic, expected) in [("a", [403, 403, 403, 409, 401]), ("team.x", [403, 403, 201, 409, 401])] {
        let mut statuses = Vec::new();
        for key in ["r-secret", "w-secret", "t-secret", "a-secret", "x-secret"] {
            statuses.push(create(topic, key).await.0);
        }
        assert_eq!(statuses, expected, "{topic}");
    }
    assert!(create("a", "w-secret").await.1.contains("lacks the right manage"));
    let foreign = [("origin", "https://evil.example"), ("authorization", "Bearer a-secret")];
    let answer = world.ask("POST", "/admin/topics", &foreign, r#"{"topic_name": "b2"}"#).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn some_pages_are_public_and_the_others_say_how_to_authenticate() {
    let world = world();
    for path in ["/", "/dashboard/main.js", "/client.js", "/health", "/ready", "/openapi.json", "/login"] {
        assert_eq!(world.get(path, &[]).await.status(), 200, "{path}");
    }
    assert_eq!(world.get("/nothing", &[]).await.status(), 404);
    let requested = async |headers: &[(&str, &str)]| {
        let answer = world.get("/topics", headers).await;
        let challenge = answer.headers().get("www-authenticate").map(|c| c.to_str().unwrap().to_owned());
        (answer.status().as_u16(), challenge.unwrap_or_default(), json_of(&answer)["detail"].to_string())
    };
    let (status, challenge, detail) = requested(&[]).await;
    assert_eq!((status, challenge.as_str()), (401, r#"Bearer realm="curlew", Basic realm="curlew", charset="UTF-8""#));
    assert!(detail.contains("Authorization: Bearer KEY"), "{detail}");
    for page in [("sec-fetch-mode", "cors"), ("accept-language", "en")] {
        assert_eq!(requested(&[page]).await.1, r#"Bearer realm="curlew""#, "a browser would open a password dialog");
    }
    // The response is the same for every kind of wrong credential.
    let unknown = requested(&[("authorization", "Bearer nobody")]).await;
    assert!(unknown.0 == 401 && unknown.1.contains("error=\"invalid_token\""), "{unknown:?}");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for wrong in [basic("reader:nobody"), basic("nobody:r-secret"), basic("writer:r-secret"), "Bearer a.b.c".into()] {
        assert_eq!(requested(&[("authorization", &wrong)]).await, unknown, "{wrong}");
    }
    assert_eq!(requested(&[("cookie", "curlew-session-8080=abc.def")]).await, unknown);
    assert_eq!(requested(&[("authorization", "Digest x")]).await.0, 401);
    assert_eq!(requested(&[("authorization", &basic("reader:r-secret"))]).await.0, 200);
}

#[tokio::test]
async fn only_authenticated_clients_learn_the_address_and_the_errors_of_the_broker() {
    let world = world();
    let right = [("authorization", "Bearer w-secret")];
    let strangers: [&[(&str, &str)]; 2] = [&[], &[("authorization", "Bearer nobody")]];
    for stranger in strangers {
        assert_eq!(json_of(&world.get("/ready", stranger).await), json!({"status": "ready"}));
    }
    assert!(json_of(&world.get("/ready", &right).await)["broker"].is_string());
    world.broker.fail_with(Some(BrokerError::Unavailable("10.0.0.7:9092 is away".into())));
    let text = async |headers: &[(&str, &str)]| {
        let answer = world.get("/ready", headers).await;
        assert_eq!(answer.status(), 503);
        json_of(&answer)["detail"].as_str().unwrap().to_owned()
    };
    for stranger in strangers {
        let text = text(stranger).await;
        assert!(text.starts_with("the broker is unavailable") && !text.contains("10.0.0.7"), "{text}");
    }
    assert!(text(&right).await.contains("10.0.0.7"));
}

#[tokio::test]
async fn topics_without_any_right_are_not_listed() {
    let world = world();
    for (key, topics) in
        [("r-secret", json!(["a", "b"])), ("w-secret", json!(["a"])), ("a-secret", json!(["a", "b", "c"]))]
    {
        let bearer = format!("Bearer {key}");
        let listed = world.get("/topics", &[("authorization", &bearer)]).await;
        assert_eq!(json_of(&listed), topics);
        let described = world.get("/topics?offsets=true", &[("authorization", &bearer)]).await;
        let described: Vec<Value> = json_of(&described).as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
        assert_eq!(json!(described), topics);
    }
}

#[tokio::test]
async fn the_newest_record_is_left_out_without_the_right_to_consume_the_topic() {
    let world = world();
    let newest = async |key: &str| {
        let bearer = format!("Bearer {key}");
        let answer = world.get("/topics?last=true&history=true", &[("authorization", &bearer)]).await;
        let topics: Vec<Value> = serde_json::from_slice(answer.body()).unwrap();
        topics.into_iter().map(|topic| (topic["name"].clone(), topic["last"].clone())).collect::<Vec<_>>()
    };
    let values =
        |topics: Vec<(Value, Value)>| topics.into_iter().map(|(name, last)| json!([name, last["value"]])).collect();
    let read: Vec<Value> = values(newest("r-secret").await);
    assert_eq!(read, [json!(["a", "a"]), json!(["b", "b"])]);
    let written = newest("w-secret").await;
    assert_eq!(written.len(), 1);
    let (name, last) = &written[0];
    assert_eq!((name, last.as_object().unwrap().len()), (&json!("a"), 1));
    assert!(last["problem"].as_str().unwrap().contains("lacks the right consume"), "{last}");
}

#[tokio::test]
async fn a_rejection_names_the_missing_right() {
    let world = world();
    let answer = world.get("/topics/c/events", &[("authorization", "Bearer r-secret")]).await;
    let detail = json_of(&answer)["detail"].to_string();
    assert!(detail.contains("reader") && detail.contains("lacks the right consume"), "{detail}");
}

#[tokio::test]
async fn login_sets_a_session_cookie_and_logout_deletes_it() {
    let world = world();
    for (content_type, body) in [
        ("application/json", r#"{"token":"r-secret"}"#),
        ("application/x-www-form-urlencoded", "token=reader%3Ar-secret"),
    ] {
        let answer = world.ask("POST", "/login", &[("content-type", content_type)], body).await;
        assert_eq!(answer.status(), 200, "{body}");
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        let (session, attributes) = cookie.split_once("; ").unwrap();
        // A second may have passed since the login.
        let attributes = attributes.replace("43199", "43200");
        assert_eq!(attributes, "Max-Age=43200; HttpOnly; SameSite=Strict");
        let text = json_of(&answer);
        assert_eq!((&text["name"], &text["rights"]["consume"]), (&json!("reader"), &json!(["a", "b"])), "{text}");
        assert_eq!(world.get("/topics/a/partitions/0/records", &[("cookie", session)]).await.status(), 200);
        assert_eq!(world.get("/topics/c/partitions/0/records", &[("cookie", session)]).await.status(), 403);
        let who = json_of(&world.get("/login", &[("cookie", session)]).await);
        assert_eq!((&who["required"], &who["name"]), (&json!(true), &json!("reader")));
    }
    assert_eq!(json_of(&world.get("/login", &[]).await), json!({"required": true, "name": null, "rights": null}));
    for (body, status) in [(r#"{"token":"x-secret"}"#, 401), (r#"{"token":""}"#, 422), ("x-secret", 422), ("", 422)] {
        assert_eq!(world.ask("POST", "/login", &[], body).await.status(), status, "{body}");
    }
    let over_tls = [("origin", PAGE)];
    let answer = world.ask("POST", "/login", &over_tls, r#"{"token":"r-secret"}"#).await;
    assert!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let out = world.ask("POST", "/logout", &[], "").await;
    assert_eq!(out.status(), 204);
    assert!(out.headers()["set-cookie"].to_str().unwrap().starts_with("curlew-session-8080=; Max-Age=0; "));
}

#[tokio::test]
async fn the_bodies_of_login_and_tickets_are_limited_and_errors_name_the_limit() {
    let app = |body_timeout| {
        let hub = Arc::new(Hub::start(MemoryBroker::new(), hub::Settings::default()).unwrap());
        let produce = http::produce::Settings { body_timeout, ..http::produce::Settings::default() };
        App::new(hub, http::Settings { produce, ..http::Settings::default() })
    };
    let brief = TowerToHyperService::new(warp::service(routes(app(Duration::from_millis(50)))));
    let patient = TowerToHyperService::new(warp::service(routes(app(PATIENCE))));
    for path in ["/login", "/tickets"] {
        let post = || warp::http::Request::post(format!("http://localhost{path}")).header("host", "localhost");
        let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let answer = tokio::time::timeout(PATIENCE, brief.call(post().body(never).unwrap())).await.unwrap().unwrap();
        is_documented("POST", path, answer.status());
        let (status, text) = (answer.status(), Body(answer).next().await.unwrap());
        assert!(status == 408 && text.contains("within 50ms"), "{path}: {status} {text}");
        let large = http_body_util::Full::new(Bytes::from(vec![b' '; 70_000]));
        let answer = patient.call(post().body(large).unwrap()).await.unwrap();
        let (status, text) = (answer.status(), Body(answer).next().await.unwrap());
        assert!(status == 413 && text.contains("65536 bytes") && !text.contains("--max-body"), "{path}: {text}");
        let odd = post().header("content-encoding", "br").body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let answer = patient.call(odd).await.unwrap();
        is_documented("POST", path, answer.status());
        assert_eq!(answer.status(), 415);
    }
}

#[tokio::test]
async fn bridges_on_two_ports_of_a_host_have_separate_sessions() {
    let world = world();
    let requested = async |method: &str, host: &str, cookie: &str| {
        let request = warp::test::request().method(method).path("/login").header("host", host).header("cookie", cookie);
        request.body(r#"{"token":"r-secret"}"#).reply(&routes(world.app.clone())).await
    };
    for (host, name) in
        [("box", "curlew-session="), ("box:8081", "curlew-session-8081="), ("[::1]:82", "curlew-session-82=")]
    {
        let answer = requested("POST", host, "").await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
        assert!(cookie.starts_with(name), "{host}: {cookie}");
        for (host, who) in [(host, json!("reader")), ("box:9000", Value::Null)] {
            assert_eq!(json_of(&requested("GET", host, cookie).await)["name"], who, "{host}: {cookie}");
        }
    }
}

#[tokio::test]
async fn a_cookie_is_accepted_only_from_the_bridges_own_pages_and_listed_origins() {
    let world = world();
    let cookie = world.login("a-secret").await;
    let with = async |method: &str, headers: &[(&str, &str)]| {
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        world.ask(method, "/topics/a", &headers, "x").await.status().as_u16()
    };
    assert_eq!(with("GET", &[]).await, 200);
    assert_eq!(with("GET", &[("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(with("GET", &[("sec-fetch-site", "none")]).await, 200);
    assert_eq!(with("GET", &[("sec-fetch-site", "same-site")]).await, 401, "an image in a page on another port");
    assert_eq!(with("GET", &[("sec-fetch-site", "cross-site")]).await, 401);
    assert_eq!(with("POST", &[("origin", "http://localhost:8080")]).await, 200);
    assert_eq!(with("POST", &[("origin", PAGE)]).await, 200);
    assert_eq!(with("POST", &[("origin", "http://localhost:9000")]).await, 403, "a form in a page on another port");
    assert_eq!(with("POST", &[("origin", "null")]).await, 403);
}

#[tokio::test]
async fn credentials_are_allowed_to_listed_origins_and_never_to_all() {
    let listed = world();
    let broker = MemoryBroker::new();
    broker.create("a", 1);
    let hub = Arc::new(Hub::start(broker, hub::Settings::default()).unwrap());
    let guard = OriginPolicy { origins: Origins::Any, scope: BindScope::Network };
    let app =
        App::new(hub, http::Settings { origin_policy: guard, auth: listed.auth.clone(), ..http::Settings::default() });
    let any = SecuredBridge { broker: MemoryBroker::new(), auth: listed.auth.clone(), app, file: PathBuf::new() };
    let cookie = listed.login("a-secret").await;
    let headers = [("origin", PAGE), ("cookie", cookie.as_str())];
    let cors = |answer: &Response<Bytes>| {
        let get = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        (get("access-control-allow-origin"), get("access-control-allow-credentials"))
    };
    let answer = listed.get("/topics/a", &headers).await;
    assert_eq!((answer.status().as_u16(), cors(&answer)), (200, (Some(PAGE.into()), Some("true".into()))));
    let answer = any.get("/topics/a", &headers).await;
    assert_eq!((answer.status().as_u16(), cors(&answer)), (401, (Some("*".into()), None)), "the cookie does not count");
    let answer = any.get("/topics/a", &[("origin", PAGE), ("authorization", "Bearer a-secret")]).await;
    assert_eq!(answer.status(), 200, "a header that the page sets does");
    let answer = any.ask("POST", "/login", &[("origin", PAGE)], r#"{"token":"a-secret"}"#).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (403, None));
    let requested = [
        ("origin", PAGE),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization,last-event-id"),
    ];
    for (world, expected) in
        [(&listed, (Some(PAGE.to_owned()), Some("true".to_owned()))), (&any, (Some("*".into()), None))]
    {
        let answer = world.ask("OPTIONS", "/topics/a/events", &requested, "").await;
        assert_eq!((answer.status().as_u16(), cors(&answer)), (204, expected), "a preflight needs no credentials");
        let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
        assert!(allowed.contains("authorization") && allowed.contains("last-event-id"), "{allowed}");
    }
}

#[tokio::test]
async fn a_ticket_opens_only_streams_of_its_topics() {
    let world = world();
    let ticket = world.ticket("r-secret", &["a"]).await;
    let status = async |path: &str| world.get(path, &[]).await.status().as_u16();
    let cases = [
        (format!("/topics/a/events?from=earliest&until=end&ticket={ticket}"), 200),
        (format!("/events?topic=a&until=end&ticket={ticket}"), 200),
        (format!("/topics/b/events?until=end&ticket={ticket}"), 403),
        (format!("/events?topic=a&topic=b&until=end&ticket={ticket}"), 403),
        (format!("/topics/a/events?until=end&ticket={}", &ticket[1..]), 401),
        (format!("/topics/a/events?until=end&ticket={}", &ticket[..ticket.len() - 1]), 401),
        ("/topics/a/events?until=end&ticket=".to_owned(), 401),
        ("/topics/a/events?until=end&ticket=r-secret".to_owned(), 401),
        (format!("/topics/a/partitions/0/records?ticket={ticket}"), 401),
        (format!("/topics?ticket={ticket}"), 401),
    ];
    for (path, expected) in cases {
        assert_eq!(status(&path).await, expected, "{path}");
    }
    let session = world.login("r-secret").await;
    let session = session.split_once('=').unwrap().1;
    assert_eq!(status(&format!("/topics/a/events?until=end&ticket={session}")).await, 401, "a session is not a ticket");
    let bearer = [("authorization", "Bearer r-secret")];
    for (body, expected) in [
        (r#"{"topics":["c"]}"#, 403),
        (r#"{"topics":["a","c"]}"#, 403),
        (r#"{"topics":[]}"#, 422),
        (r#"{"topics":["a/b"]}"#, 422),
        (r#"{"topic":"a"}"#, 422),
        ("", 422),
    ] {
        assert_eq!(world.ask("POST", "/tickets", &bearer, body).await.status(), expected, "{body}");
    }
    assert_eq!(world.ask("POST", "/tickets", &[], r#"{"topics":["a"]}"#).await.status(), 401);
}

#[tokio::test]
async fn without_an_auth_file_a_ticket_is_null_and_streams_accept_null() {
    let broker = MemoryBroker::new();
    broker.create("a", 1);
    let hub = Arc::new(Hub::start(broker.clone(), hub::Settings::default()).unwrap());
    let app = App::new(hub, http::Settings::default());
    let world = SecuredBridge { broker, auth: Authenticator::disabled(), app, file: PathBuf::new() };
    let answer = world.ask("POST", "/tickets", &[], r#"{"topics":["a"]}"#).await;
    assert_eq!((answer.status().as_u16(), &json_of(&answer)["ticket"]), (201, &Value::Null));
    assert_eq!(world.get("/topics/a/events?until=end&ticket=null", &[]).await.status(), 200);
    assert_eq!(json_of(&world.get("/login", &[]).await)["required"], json!(false));
    let answer = world.ask("POST", "/login", &[], r#"{"token":"whatever"}"#).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (200, None));
}

#[tokio::test]
async fn a_stream_ends_with_a_problem_when_its_key_is_revoked() {
    let world = world();
    let ticket = world.ticket("r-secret", &["a"]).await;
    let cookie = world.login("r-secret").await;
    let path = "/topics/a/events?from=earliest";
    let ways: [(String, Vec<(&str, &str)>); 3] = [
        (path.to_owned(), vec![("authorization", "Bearer r-secret")]),
        (path.to_owned(), vec![("cookie", &cookie)]),
        (format!("{path}&ticket={ticket}"), vec![]),
    ];
    for (number, (path, headers)) in ways.into_iter().enumerate() {
        world.rewrite(&file());
        let rest = world
            .stream(&path, &headers, async |body| {
                world.rewrite("this is no TOML");
                world.rewrite(&(file() + "# the rights have not changed\n"));
                let still_here = format!("still here {number}");
                world.broker.append("a", 0, still_here.as_str());
                body.until(&still_here).await;
                world.rewrite(&key("other", "o", r#"consume = ["*"]"#));
            })
            .await;
        let problem = problem_of(&rest);
        assert_eq!((&problem["status"], rest.contains("revoked")), (&json!(401), true), "{path}: {rest}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_a_problem_when_its_key_may_no_longer_read_the_topic() {
    let world = world();
    let headers = [("authorization", "Bearer r-secret"), ("accept", "text/event-stream")];
    let narrower = key("reader", "r-secret", r#"consume = ["b"]"#);
    let rest = world.stream("/topics/a/events?from=earliest", &headers, async |_| world.rewrite(&narrower)).await;
    assert_eq!(problem_of(&rest)["status"], json!(403), "{rest}");
}

#[tokio::test]
async fn a_stream_ends_with_a_problem_when_its_key_expires() {
    let world = world();
    let ends = (curlew::record::now() / 1000 + 2) * 1000;
    let at = time::OffsetDateTime::from_unix_timestamp(ends / 1000).unwrap();
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    world.rewrite(&key("reader", "r-secret", &format!("consume = [\"*\"]\nexpires = {at}")));
    let ticket = world.ticket("r-secret", &["a"]).await;
    let rest = world.stream(&format!("/topics/a/events?from=earliest&ticket={ticket}"), &[], async |_| {}).await;
    assert!(curlew::record::now() >= ends);
    assert_eq!((&problem_of(&rest)["status"], rest.contains("has expired")), (&json!(401), true), "{rest}");
}

#[tokio::test]
async fn a_busy_stream_ends_when_its_key_is_revoked() {
    let world = world();
    let headers = [("authorization", "Bearer r-secret")];
    let broker = world.broker.clone();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_done = done.clone();
    let busy = std::thread::spawn(move || {
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            broker.append("a", 0, "x");
        }
    });
    let rest =
        world.stream("/topics/a/events?from=earliest", &headers, async |_| world.rewrite(&key("o", "o", ""))).await;
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
    assert_eq!(problem_of(&rest)["status"], json!(401));
}

#[tokio::test]
async fn an_endless_body_is_cut_off_when_its_key_is_revoked() {
    let world = world();
    let (send, mut lines) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(4);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| lines.poll_recv(cx)));
    let request = warp::http::Request::post("http://localhost:8080/topics/a?receipts=stream");
    let request = request.header("host", "localhost:8080");
    let request = request.header("authorization", "Bearer w-secret").header("content-type", "application/x-ndjson");
    let service = TowerToHyperService::new(warp::service(routes(world.app.clone())));
    let mut receipts = Body(service.call(request.body(body).unwrap()).await.unwrap());
    assert_eq!(receipts.0.status(), 200);
    send.send(Ok(Frame::data(Bytes::from_static(b"1\n")))).await.unwrap();
    assert_eq!(receipts.next().await.unwrap(), "{\"partition\":0,\"offset\":1}\n");
    world.rewrite(&key("other", "o", ""));
    let last = receipts.next().await.unwrap();
    assert!(last.contains("\"error_code\":401") && last.contains("revoked"), "{last}");
    assert_eq!(receipts.next().await, None);
}

#[test]
fn a_changed_file_is_reloaded_and_an_invalid_one_is_rejected() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(async { world() });
    let watch = AuthWatcher::start(world.auth.clone()).unwrap();
    let status = |key: &str| runtime.block_on(world.status("GET", "/topics/a", key));
    let until = |key: &str, expected: u16| {
        let deadline = std::time::Instant::now() + PATIENCE;
        while status(key) != expected {
            assert!(std::time::Instant::now() < deadline, "{key} is not {expected}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let write = |text: &str| std::fs::write(&world.file, text).unwrap();
    assert_eq!((status("r-secret"), status("n-secret")), (200, 401));
    write(&key("new", "n-secret", r#"consume = ["*"]"#));
    until("n-secret", 200);
    assert_eq!(status("r-secret"), 401);
    write("[[key]]\nname = \"cut\"\nsha2");
    watch.reload_soon();
    std::fs::remove_file(&world.file).unwrap();
    watch.reload_soon();
    assert_eq!(status("n-secret"), 200, "the previous keys stay valid");
    // Editors and Kubernetes replace the file instead of writing to it.
    let replacement = world.file.with_extension("new");
    std::fs::write(&replacement, key("last", "l-secret", r#"consume = ["*"]"#)).unwrap();
    std::fs::rename(&replacement, &world.file).unwrap();
    until("l-secret", 200);
    until("n-secret", 401);
}

#[test]
fn an_auth_file_that_becomes_a_pipe_or_a_device_does_not_block_reloading() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(async { world() });
    let watch = AuthWatcher::start(world.auth.clone()).unwrap();
    let status = |key: &str| runtime.block_on(world.status("GET", "/topics/a", key));
    let replacement = world.file.with_extension("new");
    let replace = || {
        std::fs::rename(&replacement, &world.file).unwrap();
        watch.reload_soon();
    };
    // A plain open of a pipe blocks until there is a writer, and reading /dev/zero never ends.
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &replacement, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    replace();
    std::os::unix::fs::symlink("/dev/zero", &replacement).unwrap();
    replace();
    assert_eq!(status("r-secret"), 200, "the previous keys stay valid");
    std::fs::write(&replacement, key("new", "n-secret", r#"consume = ["*"]"#)).unwrap();
    replace();
    let deadline = std::time::Instant::now() + PATIENCE;
    while (status("n-secret"), status("r-secret")) != (200, 401) {
        assert!(std::time::Instant::now() < deadline, "a key is not revoked any more");
        std::thread::yield_now();
    }
    // Joins the thread, as the shutdown of the program does.
    drop(watch);
}

#[tokio::test]
async fn a_missing_key_file_is_read_when_it_is_created() {
    let world = world();
    let keys = world.file.with_extension("pem");
    let named = format!("[[jwt]]\nname = \"idp\"\npublic_key_file = {:?}\n", keys.file_name().unwrap());
    world.rewrite(&(key("new", "n-secret", r#"consume = ["*"]"#) + &named));
    let status = async |key: &str| world.status("GET", "/topics/a", key).await;
    assert_eq!((status("r-secret").await, status("n-secret").await), (200, 401), "the previous keys stay valid");
    assert!(!world.auth.has_changed(), "the invalid file is read only once");
    std::fs::write(&keys, include_str!("../../src/auth/jwt/testing/ec.pub.pem")).unwrap();
    assert!(world.auth.has_changed());
    world.auth.reload();
    std::fs::remove_file(&keys).unwrap();
    assert_eq!((status("r-secret").await, status("n-secret").await), (401, 200));
}

#[tokio::test]
async fn metrics_of_a_loopback_bridge_need_no_credentials() {
    assert_eq!(world_on(BindScope::Loopback).get("/metrics", &[]).await.status(), 200);
    assert_eq!(world().get("/metrics", &[]).await.status(), 401);
}

#[tokio::test]
async fn metrics_through_a_local_proxy_need_credentials() {
    let world = world_on(BindScope::Loopback);
    let public = PAGE.strip_prefix("https://").unwrap();
    let ways = [
        vec![("host", public)],
        vec![("host", "localhost:8080"), ("x-forwarded-for", "127.0.0.1")],
        vec![("host", "localhost:8080"), ("x-forwarded-proto", "https")],
        vec![("host", "localhost:8080"), ("forwarded", "for=127.0.0.1")],
        vec![("host", "localhost:8080"), ("via", "1.1 proxy")],
    ];
    for headers in ways {
        for (key, status) in [("", 401), ("Bearer r-secret", 403), ("Bearer a-secret", 200)] {
            let mut request = warp::test::request().path("/metrics").header("authorization", key);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let answer = request.reply(&routes(world.app.clone())).await;
            assert_eq!(answer.status(), status, "{headers:?} {key}");
        }
    }
}

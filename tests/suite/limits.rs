//! Limits for each client, through the routes: each rejection names its setting, and other clients are not affected.

use crate::support::memory_broker::MemoryBroker;
use curlew::auth::{Authenticator, Digest};
use curlew::cel;
use curlew::http::limits::Settings;
use curlew::http::{self, App, Network, TrustedProxies, routes};
use curlew::hub::{self, Hub};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use warp::http::Response;
use warp::hyper::body::Bytes;

const ME: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";

fn app(limits: Settings) -> Arc<App> {
    app_for(limits, Authenticator::disabled())
}

fn app_for(limits: Settings, auth: Authenticator) -> Arc<App> {
    app_on(MemoryBroker::new(), limits, auth)
}

fn app_on(broker: Arc<MemoryBroker>, limits: Settings, auth: Authenticator) -> Arc<App> {
    broker.create("t", 1);
    let hub = Arc::new(Hub::start(broker, hub::Settings::default()).unwrap());
    // Requests without a socket come from loopback, as if from a proxy there.
    let proxies = TrustedProxies(vec![Network::new("127.0.0.1".parse().unwrap(), None).unwrap()]);
    App::new(hub, http::Settings { limits, proxies, auth, ..http::Settings::default() })
}

fn request(method: &str, path: &str, from: &str) -> warp::test::RequestBuilder {
    let request = warp::test::request().method(method).path(path).header("host", "localhost");
    request.header("x-forwarded-for", from)
}

async fn get(app: &Arc<App>, path: &str, from: &str) -> Response<Bytes> {
    request("GET", path, from).reply(&routes(app.clone())).await
}

fn rejection(answer: &Response<Bytes>) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_cannot_appear_as_loopback_through_invalid_proxy_headers() {
    for (header, value) in [("forwarded", "for=x"), ("forwarded", "for=127.0.0.1"), ("x-forwarded-for", "unknown")] {
        let app = app(Settings { requests_per_second: 1, ..Settings::default() });
        let mut rejected = 0;
        for _ in 0..10 {
            let request = request("GET", "/topics", ME).header(header, value);
            rejected += usize::from(request.reply(&routes(app.clone())).await.status() == 429);
        }
        assert!((7..=8).contains(&rejected), "{header}: {value}: {rejected}");
    }
}

#[tokio::test]
async fn health_checks_are_not_rate_limited_and_other_requests_are() {
    let app = app(Settings { requests_per_second: 1, ..Settings::default() });
    for (method, all_are_admitted) in [("GET", true), ("HEAD", true), ("POST", false), ("OPTIONS", false)] {
        let mut rejected = 0;
        for _ in 0..10 {
            let answer = request(method, "/health", OTHER).reply(&routes(app.clone())).await;
            rejected += usize::from(answer.status() == 429);
        }
        assert_eq!(rejected == 0, all_are_admitted, "{method}: {rejected} of 10");
    }
}

#[tokio::test]
async fn requests_beyond_the_rate_get_retry_after_and_other_clients_are_not_affected() {
    let app = app(Settings { requests_per_second: 1, ..Settings::default() });
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(get(&app, "/topics", ME).await);
    }
    let rejected: Vec<_> = answers.iter().filter(|answer| answer.status() != 200).collect();
    assert!((7..=8).contains(&rejected.len()), "{}", rejected.len());
    let (status, detail) = rejection(rejected[0]);
    assert_eq!(status, 429);
    assert!(detail.contains("192.0.2.1") && detail.contains("--max-requests-per-second"), "{detail}");
    assert_eq!(rejected[0].headers()["retry-after"], "1");
    assert_eq!(get(&app, "/topics", OTHER).await.status(), 200);
    assert_eq!(get(&app, "/health", ME).await.status(), 200);
    // Loopback clients are exempt by default.
    for _ in 0..10 {
        assert_eq!(get(&app, "/topics", "127.0.0.1").await.status(), 200);
    }
}

#[tokio::test]
async fn streams_of_an_address_count_until_they_end() {
    let app = app(Settings { streams_per_address: 2, ..Settings::default() });
    let routes = routes(app.clone());
    let open = |from| request("GET", "/topics/t/events", from).filter(&routes);
    let (first, second) = (open(ME).await.unwrap(), open(ME).await.unwrap());
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let (status, detail) = rejection(&get(&app, "/topics/t/events", ME).await);
    assert_eq!(status, 429);
    assert!(detail.contains("has 2 streams") && detail.contains("--max-streams-per-address"), "{detail}");
    let other = open(OTHER).await.unwrap();
    assert_eq!(other.status(), 200);
    drop(first);
    assert_eq!(open(ME).await.unwrap().status(), 200);
}

/// An authenticator for an auth file with this text.
fn auth(text: &str) -> Authenticator {
    let file = std::env::temp_dir().join(format!("curlew-limits-{}-{:x}", std::process::id(), fastrand::u64(..)));
    std::fs::write(&file, text).unwrap();
    let auth = Authenticator::from_file(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    auth
}

fn page() -> Authenticator {
    let digest = Digest::of("s").hex();
    auth(&format!("[[key]]\nname=\"page\"\nsha256=\"{digest}\"\nconsume=[\"*\"]\nproduce=[\"*\"]"))
}

#[tokio::test]
async fn streams_of_a_key_reconnect_at_once_whatever_its_request_rate() {
    let limits = Settings { requests_per_second: 1, streams_per_key: 20, ..Settings::default() };
    let routes = routes(app_for(limits, page()));
    let ask = |path| request("GET", path, ME).header("authorization", "Bearer s").filter(&routes);
    let mut open: Vec<Response<_>> = Vec::new();
    for _ in 0..20 {
        open.push(ask("/topics/t/events").await.unwrap());
    }
    assert!(open.iter().all(|answer| answer.status() == 200));
    assert_eq!(ask("/topics/t/events").await.unwrap().status(), 429);
    let mut rejected = 0;
    for _ in 0..5 {
        rejected += usize::from(ask("/topics").await.unwrap().status() == 429);
    }
    assert!(rejected >= 2, "{rejected}");
}

#[tokio::test]
async fn a_request_that_opens_no_stream_is_counted_whatever_its_topic_is_called() {
    for (method, path) in [
        ("POST", "/topics/events"),
        ("GET", "/topics/events"),
        ("POST", "/topics/t/events"),
        ("PUT", "/events"),
        ("HEAD", "/topics/t/events"),
    ] {
        let app = app_for(Settings { requests_per_second: 1, ..Settings::default() }, page());
        let mut rejected = 0;
        for _ in 0..10 {
            let ask =
                request(method, path, ME).header("authorization", "Bearer s").header("content-type", "text/plain");
            rejected += usize::from(ask.body("x").reply(&routes(app.clone())).await.status() == 429);
        }
        assert!(rejected >= 6, "{method} {path}: {rejected}");
    }
}

#[tokio::test]
async fn a_client_that_guesses_passwords_must_wait_and_others_log_in() {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let quick = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = |password: &str| {
        let hash: argon2::password_hash::phc::PasswordHash =
            quick.hash_password_with_salt(password.as_bytes(), b"somesaltsomesalt").unwrap();
        hash.to_string()
    };
    let key = |name: &str, password: &str| format!("[[key]]\nname = {name:?}\nargon2 = {:?}\n", hash(password));
    let app = app_for(Settings::default(), auth(&(key("ann", "horse") + &key("bob", "cow"))));
    let sign_in = async |from: &str, token: &str| {
        let body = serde_json::json!({ "token": token }).to_string();
        request("POST", "/login", from).body(body).reply(&routes(app.clone())).await
    };
    for from in [ME, "127.0.0.1"] {
        assert_eq!(sign_in(from, "ann:horse").await.status(), 200);
        let guesses = (0..50).map(|guess| sign_in(from, if guess % 2 == 0 { "ann:hors" } else { "nobody:x" }));
        // On a slow machine some more are checked.
        let begin = std::time::Instant::now();
        let mut answers = Vec::new();
        for guess in guesses {
            answers.push(guess.await);
        }
        let most = 5 + 2 * begin.elapsed().as_secs() as usize;
        let tried = answers.iter().filter(|answer| answer.status() == 401).count();
        assert!((4..=most).contains(&tried), "{from}: {tried}");
        let rejected = answers.iter().find(|answer| answer.status() != 401).unwrap();
        let (status, detail) = rejection(rejected);
        assert!(status == 429 && detail.contains("too many passwords"), "{status} {detail}");
        assert_eq!(rejected.headers()["retry-after"], "1");
        assert_eq!(
            sign_in(from, "ann:horse").await.status(),
            200,
            "a password that was right before is not checked again"
        );
    }
    assert_eq!(sign_in(OTHER, "bob:cow").await.status(), 200);
    // The right password may be sent any number of times.
    for _ in 0..20 {
        assert_eq!(sign_in("192.0.2.3", "bob:cow").await.status(), 200);
    }
}

#[tokio::test]
async fn each_limit_of_a_request_names_its_setting() {
    let app = app(Settings {
        max_header: 1000,
        topics_per_stream: 2,
        filter: cel::CelLimits { length: 20, steps: 100 },
        ..Settings::default()
    });
    let cases = [
        (format!("/topics?{}", "x".repeat(1000)), 431, "--max-header"),
        ("/events?topic=a&topic=b&topic=c".to_owned(), 400, "--max-topics-per-stream"),
        ("/topics/t/events?where=key+%3D%3D+%22aaaaaaaaaaaaaaaaaaaa%22".to_owned(), 400, "at most 20 characters"),
    ];
    for (path, expected, word) in cases {
        let (status, detail) = rejection(&get(&app, &path, ME).await);
        assert_eq!(status, expected, "{path}: {detail}");
        assert!(detail.contains(word), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_gzip_body_is_decompressed_before_it_is_produced() {
    let app = app(Settings::default());
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let post = |content_type: &'static str, encoding: &'static str, body: Vec<u8>| {
        let request = request("POST", "/topics/t", ME).header("content-type", content_type);
        let routes = routes(app.clone());
        async move { request.header("content-encoding", encoding).body(body).reply(&routes).await }
    };
    assert_eq!(post("application/json", "gzip", gzip("{\"a\": 1}")).await.status(), 200);
    let lines = post("application/x-ndjson", "gzip", gzip("1\n2\n3")).await;
    let summary: serde_json::Value = serde_json::from_slice(lines.body()).unwrap();
    assert_eq!((lines.status().as_u16(), &summary["written"]), (200, &serde_json::json!(3)), "{summary}");
    let damaged = post("application/x-ndjson", "gzip", b"1\n2\n".to_vec()).await;
    assert!(String::from_utf8_lossy(damaged.body()).contains("not gzip"), "{damaged:?}");
    let unknown = post("text/plain", "br", b"x".to_vec()).await;
    assert_eq!(unknown.headers()["accept-encoding"], "gzip");
    assert_eq!(rejection(&unknown).0, 415);
    let seen = get(&app, "/topics/t/partitions/0/records?offset=0", ME).await;
    let seen: serde_json::Value = serde_json::from_slice(seen.body()).unwrap();
    assert_eq!(seen["records"].as_array().map(Vec::len), Some(4), "{seen}");
}

#[tokio::test]
async fn pages_that_wait_for_records_do_not_block_other_pages() {
    const WAITING: usize = 800;
    const DEADLINE: Duration = Duration::from_secs(60);
    let broker = MemoryBroker::new();
    let app =
        app_on(broker.clone(), Settings { streams_per_address: 2, ..Settings::default() }, Authenticator::disabled());
    let wait = |from: &'static str| {
        let app = app.clone();
        tokio::spawn(async move { get(&app, "/topics/t/partitions/0/records?offset=0&timeout=30000", from).await })
    };
    let waiting: Vec<_> = (0..WAITING).map(|_| wait("127.0.0.1")).collect();
    let until_waiting = async |count: usize| {
        let count_is_reached = async {
            while app.hub.streams() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, count_is_reached).await.expect("all of them wait");
    };
    until_waiting(WAITING).await;
    // Each waits for longer than a page may queue.
    let other = get(&app, "/topics/t/partitions/0/records", OTHER).await;
    assert_eq!(other.status(), 200);
    // Waiting pages count as streams of their address.
    let mine: Vec<_> = (0..4).map(|_| wait(ME)).collect();
    until_waiting(WAITING + 2).await;
    broker.append("t", 0, "first");
    for answer in waiting {
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("an answer").unwrap();
        let page: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!((answer.status().as_u16(), &page["records"][0]["value"]), (200, &"first".into()));
    }
    let mut statuses = Vec::new();
    for answer in mine {
        statuses.push(answer.await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

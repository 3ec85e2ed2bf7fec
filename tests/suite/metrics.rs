//! Monitoring: `/metrics`, `/health`, `/ready`.

use crate::support::exposition::Metrics;
use crate::support::memory_broker::MemoryBroker;
use curlew::broker::{AutoCreate, Backlog, BrokerError};
use curlew::http::{self, App, routes};
use curlew::hub::{self, Hub};
use curlew::record::{NewRecord, TopicName, now};
use serde_json::Value;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use warp::http::Response;
use warp::hyper::body::Bytes;

struct MonitoredBridge {
    broker: Arc<MemoryBroker>,
    app: Arc<App>,
}

fn world() -> MonitoredBridge {
    let broker = MemoryBroker::new();
    let settings = hub::Settings {
        metadata_refresh: Duration::from_millis(50),
        queued_bytes: 2 << 20,
        catch_up_held: 64 << 10,
        ..hub::Settings::default()
    };
    let hub = Arc::new(Hub::start(broker.clone(), settings).unwrap());
    let settings = http::Settings { heartbeat: Duration::from_secs(15), ..http::Settings::default() };
    MonitoredBridge { broker, app: App::new(hub, settings) }
}

impl MonitoredBridge {
    async fn ask(&self, method: &str, path: &str, accept: &str, body: &str) -> Response<Bytes> {
        let request = warp::test::request().method(method).path(path).header("host", "localhost");
        let routes = routes(self.app.clone());
        let reply = request.header("accept", accept).body(body).reply(&routes);
        tokio::time::timeout(Duration::from_secs(10), reply).await.expect("an answer that ends")
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        self.ask("GET", path, "*/*", "").await
    }

    fn subscribe(&self, start: hub::Start) -> hub::Mailbox {
        self.subscribe_to(start, None)
    }

    fn subscribe_to(&self, start: hub::Start, limit: Option<NonZeroU64>) -> hub::Mailbox {
        let subscription = hub::Subscription {
            topics: vec![TopicName::new("t").unwrap()],
            selection: curlew::cursor::Selection::All,
            start,
            filter: hub::Filter::default(),
            missing: hub::Missing::Refuse,
            until: hub::Until::Forever,
            limit,
            format: http::event::format(http::event::EventFormat::SseValue),
        };
        self.app.hub.subscribe(subscription).unwrap()
    }

    /// Reads a stream until the hub shuts down.
    fn read(&self, start: hub::Start) -> mpsc::Receiver<Bytes> {
        let mut mailbox = self.subscribe(start);
        let (frames, taken) = mpsc::channel();
        std::thread::spawn(move || {
            while let Some(frame) = mailbox.wait_next() {
                let _ = frames.send(frame);
            }
        });
        taken
    }

    async fn metrics(&self) -> Metrics {
        Metrics::read(std::str::from_utf8(self.get("/metrics").await.body()).unwrap())
    }

    /// Waits until the series has this value.
    async fn eventually(&self, series: &str, expected: f64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let value = self.metrics().await.value(series);
            if value == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is {value} and never {expected}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn requests_and_records_are_counted_by_their_outcome() {
    let world = world();
    world.ask("POST", "/topics/t?key=k", "*/*", "twelve bytes").await;
    world.ask("POST", "/topics/t?acks=0", "*/*", "6 more").await;
    world.ask("POST", "/topics/t", "*/*", &"x".repeat((1 << 20) + 1)).await;
    world.ask("POST", "/topics/not+a+name", "*/*", "").await;
    world.ask("MADE-UP", "/topics/t", "*/*", "").await;
    world.get("/nothing/here").await;
    world.get("/topics/t/events?from=earliest&until=end").await;
    let metrics = world.metrics().await;
    for (series, value) in [
        (r#"curlew_produced_records_total{outcome="acknowledged"}"#, 1.0),
        (r#"curlew_produced_bytes_total{outcome="acknowledged"}"#, 13.0),
        (r#"curlew_produced_records_total{outcome="sent"}"#, 1.0),
        (r#"curlew_produced_records_total{outcome="failed"}"#, 1.0),
        (r#"curlew_produced_records_total{outcome="unconfirmed"}"#, 0.0),
        (r#"curlew_broker_errors_total{asked="produce",kind="too_large"}"#, 1.0),
        ("curlew_produce_latency_seconds_count", 3.0),
        ("curlew_delivered_records_total", 2.0),
        ("curlew_untaken_records_total", 0.0),
        ("curlew_queued_bytes", 0.0),
        ("curlew_queued_bytes_max", f64::from(2 << 20)),
        (r#"curlew_http_requests_total{route="/topics/{topic}",method="POST",status="2xx"}"#, 2.0),
        (r#"curlew_http_requests_total{route="/topics/{topic}",method="POST",status="4xx"}"#, 2.0),
        (r#"curlew_http_requests_total{route="/topics/{topic}",method="(other)",status="4xx"}"#, 1.0),
        (r#"curlew_http_requests_total{route="(none)",method="GET",status="4xx"}"#, 1.0),
        (r#"curlew_http_requests_total{route="/topics/{topic}/events",method="GET",status="2xx"}"#, 1.0),
        (concat!(r#"curlew_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}");
    }
    assert!(metrics.value("process_resident_memory_bytes") > 1e6);
    assert!(metrics.value("process_open_fds") > 3.0);
}

#[tokio::test]
async fn records_that_a_full_queue_rejects_are_counted_as_refused() {
    let world = world();
    // A record larger than the queue is accepted if the queue is empty; no other record is accepted while it waits.
    let (hub, topic) = (&world.app.hub, TopicName::new("t").unwrap());
    let record = |bytes| NewRecord { value: Some(vec![0; bytes].into()), ..NewRecord::default() };
    let produce = |bytes: &[usize]| {
        let records = bytes.iter().map(|bytes| record(*bytes)).collect();
        hub.produce(topic.clone(), curlew::broker::Acks::All, AutoCreate::Ask, records, |_| {
            std::thread::sleep(Duration::from_millis(300));
        })
    };
    produce(&[100]).unwrap();
    produce(&[(2 << 20) - 300]).unwrap();
    assert!(produce(&[200, 300]).is_err());
    let metrics = world.metrics().await;
    assert_eq!(metrics.value(r#"curlew_produced_records_total{outcome="refused"}"#), 2.0);
    assert_eq!(metrics.value(r#"curlew_produced_bytes_total{outcome="refused"}"#), 500.0);
    assert!(metrics.value("curlew_queued_bytes") > f64::from(1 << 20));
    world.eventually("curlew_queued_bytes", 0.0).await;
}

#[tokio::test]
async fn open_metrics_is_sent_on_request() {
    let world = world();
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, content_type, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", ""),
        (prometheus, "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
    ] {
        let answer = world.ask("GET", "/metrics", accept, "").await;
        assert_eq!(answer.headers()["content-type"], content_type);
        let text = std::str::from_utf8(answer.body()).unwrap();
        assert!(text.ends_with(end));
        let metrics = Metrics::read(text);
        assert_eq!(metrics.families.contains_key("curlew_gaps_total"), end.is_empty());
    }
}

#[tokio::test]
async fn live_catching_up_and_stalled_streams_are_counted_separately() {
    let world = world();
    world.broker.create("t", 1);
    let value = "x".repeat(10_000);
    for _ in 0..200 {
        world.broker.append("t", 0, value.clone());
    }
    let live = world.read(hub::Start::Latest);
    let mut stalled = world.subscribe(hub::Start::Earliest);
    let taken = [stalled.wait_next(), stalled.wait_next()].into_iter().flatten();
    let taken: usize = taken.map(|frames| std::str::from_utf8(&frames).unwrap().matches("data: ").count()).sum();
    world.eventually(r#"curlew_streams{state="live"}"#, 1.0).await;
    world.eventually(r#"curlew_streams{state="stalled"}"#, 1.0).await;
    let lag = world.metrics().await.value(r#"curlew_stream_lag_records{flow="behind"}"#);
    assert!((100.0..200.0).contains(&lag), "{lag}");

    let before = world.metrics().await.value("curlew_delivered_records_total");
    let record = NewRecord { value: Some("now".into()), timestamp: Some(now() - 40), ..NewRecord::default() };
    world.broker.append_record("t", 0, record);
    let frame = live.iter().find(|frame| frame.starts_with(b"data: now\n"));
    assert!(frame.is_some());
    // Counted after the record was delivered to the streams.
    world.eventually("curlew_delivery_latency_seconds_count", 1.0).await;
    let metrics = world.metrics().await;
    assert_eq!(metrics.value("curlew_delivered_records_total"), before + 1.0);
    let latency = metrics.value("curlew_delivery_latency_seconds_sum");
    assert!((0.04..10.0).contains(&latency), "{latency}");
    assert_eq!(metrics.value(r#"curlew_topic_lag_records{topic="t"}"#), 0.0);
    let old = NewRecord { value: Some("old".into()), timestamp: Some(0), ..NewRecord::default() };
    world.broker.append_record("t", 0, old);
    assert!(live.iter().any(|frame| frame.starts_with(b"data: old\n")));
    let metrics = world.metrics().await;
    assert_eq!(
        metrics.value("curlew_delivery_latency_seconds_count"),
        1.0,
        "an old record says nothing about the bridge"
    );

    drop(stalled);
    let metrics = world.metrics().await;
    assert_eq!(metrics.value("curlew_untaken_records_total"), before - taken as f64);
    assert!(taken > 0);
    world.eventually(r#"curlew_streams{state="stalled"}"#, 0.0).await;
}

#[tokio::test]
async fn a_gap_is_counted_by_its_reason() {
    let world = world();
    world.broker.create("t", 1);
    for n in 0..20 {
        world.broker.append("t", 0, format!("{n}"));
    }
    world.broker.trim("t", 0, 10);
    world.get("/topics/t/events?from=t:0:3&limit=1").await;
    world.get("/topics/t/events?from=t:0:4&limit=1").await;
    let metrics = world.metrics().await;
    assert_eq!(metrics.value(r#"curlew_gaps_total{reason="retention"}"#), 2.0);
    assert_eq!(metrics.value(r#"curlew_gaps_total{reason="truncated"}"#), 0.0);
}

#[tokio::test]
async fn an_outage_is_shown_while_it_lasts_and_counted_when_it_is_over() {
    let world = world();
    world.broker.create("t", 1);
    let stream = world.read(hub::Start::Latest);
    world.eventually(r#"curlew_streams{state="live"}"#, 1.0).await;
    world.broker.fail_with(Some(BrokerError::Unavailable("it is away".into())));
    world.eventually("curlew_broker_outages", 1.0).await;
    assert!(world.metrics().await.value(r#"curlew_broker_errors_total{asked="fetch",kind="unavailable"}"#) >= 1.0);

    let not_ready = world.get("/ready").await;
    assert_eq!(not_ready.status(), 503);
    assert!(detail(&not_ready).contains("it is away"), "{not_ready:?}");
    assert_eq!(world.get("/health").await.status(), 200, "the bridge itself is healthy");

    world.broker.fail_with(None);
    world.eventually("curlew_broker_outages", 0.0).await;
    assert_eq!(world.metrics().await.value("curlew_broker_recoveries_total"), 1.0);
    assert_eq!(world.get("/ready").await.status(), 200);
    drop(stream);
}

#[tokio::test]
async fn an_outage_is_over_once_no_stream_reads_the_broker() {
    let world = world();
    world.broker.create("t", 1);
    // A stream with a limit has a private feed, which ends with the stream.
    let mut stream = world.subscribe_to(hub::Start::Latest, NonZeroU64::new(9));
    assert!(stream.wait_next().is_some());
    // A stream is live only while it waits for more records.
    while stream.poll_next(&mut Context::from_waker(Waker::noop())).is_ready() {}
    world.eventually(r#"curlew_streams{state="live"}"#, 1.0).await;
    world.broker.fail_with(Some(BrokerError::Unavailable("it is away".into())));
    world.eventually("curlew_broker_outages", 1.0).await;
    drop(stream);
    world.eventually("curlew_broker_outages", 0.0).await;
    assert_eq!(world.metrics().await.value("curlew_broker_recoveries_total"), 0.0);
}

fn detail(answer: &Response<Bytes>) -> String {
    let problem: Value = serde_json::from_slice(answer.body()).unwrap();
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn metrics_name_the_topics_whose_partitions_cannot_be_written() {
    let world = world();
    let now = Instant::now();
    let backlog = |topic: &str, unwritable, first_deadline| Backlog {
        topic: TopicName::new(topic).unwrap(),
        unwritable,
        first_deadline,
    };
    let stuck = backlog("stuck", 3, Some(now));
    // Of 150 topics, 100 are reported, those that cannot be written first.
    let busy = (0..149).map(|n| backlog(&format!("busy-{n:03}"), 0, Some(now + Duration::from_secs(3600))));
    *world.broker.backlogs.lock().unwrap() = busy.chain([stuck]).collect();
    let metrics = world.metrics().await;
    assert_eq!(metrics.value(r#"curlew_unwritable_partitions{topic="stuck"}"#), 3.0);
    assert_eq!(metrics.value(r#"curlew_unwritable_partitions{topic="busy-000"}"#), 0.0);
    let longest = metrics.value(r#"curlew_oldest_waiting_record_seconds{topic="stuck"}"#);
    assert!(longest > 0.0, "its deadline has passed: {longest}");
    assert_eq!(metrics.value(r#"curlew_oldest_waiting_record_seconds{topic="busy-000"}"#), 0.0);
    assert_eq!(metrics.value(r#"curlew_unwritable_partitions{topic="(other)"}"#), 0.0);
    let named = metrics.samples.keys().filter(|series| series.starts_with("curlew_unwritable_partitions"));
    assert_eq!(named.count(), 101);

    world.broker.backlogs.lock().unwrap().clear();
    assert!(!world.metrics().await.names().contains("curlew_unwritable_partitions"));
}

#[tokio::test]
async fn a_thread_that_ended_unexpectedly_makes_the_bridge_unhealthy() {
    let world = world();
    assert_eq!(world.get("/health").await.status(), 200);
    world.broker.ends_write_all.store(true, Ordering::Relaxed);
    world.ask("POST", "/topics/t", "*/*", "the last one").await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.get("/health").await.status() == 200 {
        assert!(Instant::now() < deadline, "the dead thread is not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for path in ["/health", "/ready"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status(), 503);
        assert!(detail(&answer).starts_with("thread writer has ended"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_bridge_that_shuts_down_is_not_ready() {
    let world = world();
    world.app.hub.shut_down();
    let answer = world.get("/ready").await;
    assert_eq!(answer.status(), 503);
    assert!(detail(&answer).contains("shutting down"), "{answer:?}");
    assert_eq!(world.get("/health").await.status(), 200);
}

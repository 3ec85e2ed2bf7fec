//! Resuming through the routes: a stream is cut at random bytes, and in the end each record was received once and in
//! order.

use crate::support::memory_broker::MemoryBroker;
use crate::support::whatwg::{EventSource, SseEvent};
use curlew::broker::Broker;
use curlew::http::{self, App, BindScope, OriginPolicy, Origins, routes};
use curlew::hub::{self, Hub};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;
use std::time::Duration;
use warp::http::Response;
use warp::hyper::body::Bytes;

const PARTITIONS: usize = 3;

/// Starts a bridge. To clients that reconnect, each bridge is a separate process.
pub fn bridge(broker: &Arc<impl Broker>) -> Arc<App> {
    bridge_with(broker, http::limits::Settings::default())
}

pub fn bridge_with(broker: &Arc<impl Broker>, limits: http::limits::Settings) -> Arc<App> {
    let settings = hub::Settings { catch_up_threads: 1, ..hub::Settings::default() };
    let settings_of_http = http::Settings {
        origin_policy: OriginPolicy { origins: Origins::Any, scope: BindScope::Loopback },
        heartbeat: Duration::from_secs(60),
        limits,
        ..http::Settings::default()
    };
    App::new(Arc::new(Hub::start(broker.clone(), settings).unwrap()), settings_of_http)
}

/// Requests a path, and reads the response to its end.
pub async fn get(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let request = warp::test::request().path(path).header("host", "localhost");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = tokio::time::timeout(Duration::from_secs(20), request.reply(&routes(app.clone()))).await;
    answer.expect("the response ends")
}

/// Reads a stream that ends at the current end of the log.
async fn read(app: &Arc<App>, path: &str, last_event_id: &str) -> Vec<u8> {
    let answer = if last_event_id.ends_with('~') {
        // The stream was complete. Only a client that passes the id in the URL continues.
        get(app, &format!("{path}&last_event_id={last_event_id}"), &[]).await
    } else if last_event_id.is_empty() {
        get(app, path, &[]).await
    } else {
        get(app, path, &[("last-event-id", last_event_id)]).await
    };
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    answer.body().to_vec()
}

/// The events between two connections.
#[derive(Debug, Clone)]
struct Meanwhile {
    appended: Vec<(usize, Vec<u8>)>,
    /// The byte at which the connection is cut.
    cut: Index,
    /// Whether the client reconnects to another bridge.
    restarted: bool,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    let value = vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..12);
    let appended = vec((0..PARTITIONS, value), 0..6);
    (appended, any::<Index>(), any::<bool>()).prop_map(|(appended, cut, restarted)| Meanwhile {
        appended,
        cut,
        restarted,
    })
}

/// Returns a record's data as a browser sees it, with LF as line ends; `None` if it is not UTF-8.
fn as_seen(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// A client that reconnects, and the events of all its connections.
#[derive(Default)]
struct ReconnectingClient {
    events: Vec<SseEvent>,
    last_event_id: String,
}

impl ReconnectingClient {
    /// Reads what arrived on one connection. An incomplete frame is ignored.
    fn connection(&mut self, stream: &[u8]) {
        let mut source = EventSource::resuming_at(&self.last_event_id);
        self.events.extend(source.feed(stream));
        self.last_event_id = source.last_id;
    }
}

fn resumes(steps: Vec<Meanwhile>, filter: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = MemoryBroker::new();
    broker.create("t", PARTITIONS);
    let mut app = bridge(&broker);
    let path = format!("/topics/t/events?from=earliest&until=end{filter}");
    let mut client = ReconnectingClient::default();
    let mut sent = vec![Vec::new(); PARTITIONS];
    let mut number = 0;
    for Meanwhile { appended, cut, restarted } in steps {
        for (partition, tail) in appended {
            let value = [format!("{partition}/{number} ").as_bytes(), &tail].concat();
            number += 1;
            broker.append("t", partition, value.clone());
            sent[partition].push(value);
        }
        if restarted {
            app = bridge(&broker);
        }
        let stream = runtime.block_on(read(&app, &path, &client.last_event_id));
        client.connection(&stream[..cut.index(stream.len() + 1)]);
    }
    client.connection(&runtime.block_on(read(&app, &path, &client.last_event_id)));
    for (partition, sent) in sent.iter().enumerate() {
        let texts: Vec<_> = sent.iter().filter_map(|value| as_seen(value)).collect();
        let own = format!("{partition}/");
        let seen: Vec<_> =
            client.events.iter().filter(|event| event.kind == "message" && event.data.starts_with(&own)).collect();
        assert_eq!(seen.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), texts, "partition {partition}");
    }
    // Remove the `end` events of connections whose last frame was not a record.
    client.events.retain(|event| (event.kind.as_str(), event.data.as_str()) != ("end", "{}"));
    let binary = client.events.iter().filter(|event| event.kind == "binary").count();
    assert_eq!(client.events.len(), number, "each record is one event");
    assert_eq!(binary, sent.iter().flatten().filter(|value| as_seen(value).is_none()).count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_stream_cut_at_any_byte_resumes_without_loss_or_duplicates(steps in vec(meanwhile(), 1..6)) {
        resumes(steps, "");
    }

    #[test]
    fn a_filtered_stream_cut_at_any_byte_resumes_without_loss_or_duplicates(steps in vec(meanwhile(), 1..6)) {
        resumes(steps, "&where=offset%20%3E%3D%200");
    }
}

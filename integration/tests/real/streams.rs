//! Many streams, one fetch session; many producers, one connection.

use crate::SOON;
use curlew_integration::bridge::Bridge;
use curlew_integration::follow::Numbered;
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::proxy::{CountingProxy, FETCH, PRODUCE};
use curlew_integration::sse::Stream;
use std::time::{Duration, Instant};

#[test]
fn five_hundred_streams_cost_the_broker_one_fetch_session() {
    let kafka = Kafka::start(Options { proxied: true, ..Options::default() });
    let proxied = kafka.proxied()[0];
    let broker = CountingProxy::start(proxied.listen, proxied.upstream);
    let bridge = Bridge::start(&format!("127.0.0.1:{}", proxied.listen));
    kafka.create("many", 4);
    let mut streams: Vec<Stream> = (0..500).map(|_| bridge.events("/topics/many/events")).collect();
    streams.iter_mut().for_each(|s| drop(s.first_id()));

    let fetches = broker.requests(FETCH);
    let quiet = Instant::now();
    std::thread::sleep(Duration::from_secs(3));
    let (idle, silence) = (broker.requests(FETCH) - fetches, quiet.elapsed());
    println!("idle for {silence:?} with 500 streams: {idle} fetch requests");
    // A sleep takes longer on a busy machine.
    assert!((idle as f64) < 10.0 * silence.as_secs_f64(), "{idle} fetch requests in {silence:?} of silence");

    let mut numbered = Numbered::default();
    let fetches = broker.requests(FETCH);
    for _ in 0..20 {
        kafka.produce("many", numbered.records(&[0, 1, 2, 3], 1));
    }
    for stream in &mut streams {
        let events: Vec<_> = (0..80).map(|_| stream.event()).collect();
        assert_eq!(numbered.check(&events), Default::default());
    }
    let busy = broker.requests(FETCH) - fetches;
    let connections = broker.connections(FETCH);
    println!("80 records to 500 streams: {busy} fetch requests on {connections} connection(s)");
    assert!(busy < 200, "{busy} fetch requests for 80 records");
    assert_eq!(connections, 1, "one fetch session");
}

#[test]
fn many_http_producers_share_one_connection() {
    let kafka = Kafka::start(Options { proxied: true, ..Options::default() });
    let proxied = kafka.proxied()[0];
    let broker = CountingProxy::start(proxied.listen, proxied.upstream);
    let bridge = Bridge::start(&format!("127.0.0.1:{}", proxied.listen));
    kafka.create("devices", 1);
    std::thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(|| {
                for _ in 0..50 {
                    bridge.post("/topics/devices", "text/plain", "reading").expect(200);
                }
            });
        }
    });
    println!(
        "800 posts: {} produce requests on {} connection(s)",
        broker.requests(PRODUCE),
        broker.connections(PRODUCE)
    );
    assert_eq!(kafka.consume("devices").len(), 800);
    assert_eq!(broker.connections(PRODUCE), 1);
}

#[test]
fn a_slow_reader_loses_nothing_and_delays_no_other() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("slow", 1);
    let bridge = crate::bridge();
    let mut slow = bridge.events(&format!("/topics/{topic}/events"));
    let mut quick = bridge.events(&format!("/topics/{topic}/events"));
    let (_, _) = (slow.first_id(), quick.first_id());
    // More than sockets and mailboxes can buffer.
    let value = "x".repeat(10_000);
    for _ in 0..40 {
        kafka.produce(&topic, (0..50).map(|_| serde_json::json!({"value": value})).collect());
    }
    let started = Instant::now();
    assert!(quick.take(2000).iter().all(|v| *v == value));
    assert!(started.elapsed() < SOON);
    assert!(slow.take(2000).iter().all(|v| *v == value), "the slow one gets all of it too");
}

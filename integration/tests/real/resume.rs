//! Connections are cut at random bytes; in the end every record was received exactly once.
//!
//! Only some of the four partitions get records before the first cut: a cursor without the empty partitions would lose
//! the records written there while the client is disconnected.

use crate::bridge;
use curlew_integration::eventually;
use curlew_integration::follow::{Follower, Numbered, ReceivedEvents, ThirdPartyClient};
use curlew_integration::kafka::Kafka;
use curlew_integration::proxy::CutProxy;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// Produces until the proxy has made `cuts` cuts, and then without further cuts.
fn produce_while_cutting(topic: &str, proxy: &CutProxy, cuts: usize, seen: &ReceivedEvents) -> Numbered {
    let kafka = Kafka::shared();
    let mut numbered = Numbered::default();
    let mut before_the_first_cut = true;
    eventually("so many cuts", LONG, || {
        before_the_first_cut &= proxy.cuts() == 0;
        let partitions: &[usize] = if before_the_first_cut { &[0, 1] } else { &[0, 1, 2, 3] };
        kafka.produce(topic, numbered.records(partitions, 4));
        match proxy.cuts() {
            enough if enough >= cuts => Ok(()),
            few => Err(format!("{few} of {cuts}, {} seen", seen.events().len())),
        }
    });
    proxy.stop_cutting();
    // The connection that is open now is still cut; the records after its cut must arrive too.
    for _ in 0..40 {
        kafka.produce(topic, numbered.records(&[0, 1, 2, 3], 2));
    }
    seen.wait_for_records(numbered.total(), LONG);
    numbered
}

#[test]
fn two_hundred_random_cuts_lose_nothing_and_repeat_nothing() {
    let topic = Kafka::shared().fresh("cuts", 4);
    let proxy = CutProxy::start(bridge().port, 5000, 42);
    let follower = Follower::start(proxy.port(), &format!("/topics/{topic}/events"));
    follower.wait_for_id();
    let numbered = produce_while_cutting(&topic, &proxy, 200, &follower.seen);
    let verdict = numbered.check(&follower.seen.events());
    println!(
        "{} cuts, {} connections with a head, {} records: {} lost, {} twice, {} out of order",
        proxy.cuts(),
        follower.connections(),
        numbered.total(),
        verdict.lost,
        verdict.duplicated,
        verdict.out_of_order
    );
    numbered.assert_exactly_once(&follower.seen);
}

#[test]
fn npms_eventsource_sees_every_record_once() {
    let topic = Kafka::shared().fresh("eventsource", 4);
    let proxy = CutProxy::start(bridge().port, 20_000, 1);
    let url = format!("http://127.0.0.1:{}/topics/{topic}/events?from=earliest", proxy.port());
    let client = ThirdPartyClient::eventsource(&url);
    let numbered = produce_while_cutting(&topic, &proxy, 10, &client.seen);
    numbered.assert_exactly_once(&client.seen);
}

#[test]
fn pypis_httpx_sse_sees_every_record_once() {
    let topic = Kafka::shared().fresh("httpx-sse", 4);
    let proxy = CutProxy::start(bridge().port, 10_000, 2);
    let url = format!("http://127.0.0.1:{}/topics/{topic}/events?from=earliest", proxy.port());
    let client = ThirdPartyClient::httpx_sse(&url);
    let numbered = produce_while_cutting(&topic, &proxy, 40, &client.seen);
    numbered.assert_exactly_once(&client.seen);
}

#[test]
fn a_stream_resumes_at_any_id_that_was_sent() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("ids", 3);
    let mut numbered = Numbered::default();
    kafka.produce(&topic, numbered.records(&[0, 1, 2], 20));
    let events = bridge().events(&format!("/topics/{topic}/events?from=earliest&until=end")).rest();
    assert_eq!(events.len(), 60);
    for (index, event) in events.iter().enumerate().step_by(7) {
        let target = format!("/topics/{topic}/events?until=end&from={}", event.id);
        let mut rest: Vec<String> = bridge().events(&target).rest().into_iter().map(|e| e.data).collect();
        let mut expected: Vec<String> = events[index + 1..].iter().map(|e| e.data.clone()).collect();
        rest.sort();
        expected.sort();
        assert_eq!(rest, expected, "after event {index}");
    }
}

#[test]
fn a_filtered_stream_resumes_without_loss() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("rare", 2);
    let proxy = CutProxy::start(bridge().port, 3000, 3);
    let follower = Follower::start(proxy.port(), &format!("/topics/{topic}/events?key=rare"));
    follower.wait_for_id();
    let mut numbered = Numbered::default();
    eventually("twenty cuts", LONG, || {
        let mut record = numbered.record(0);
        record["key"] = "rare".into();
        let noise = serde_json::json!({"partition": 1, "key": "common", "value": "noise"});
        kafka.produce(&topic, serde_json::Value::from([vec![noise; 20], vec![record]].concat()));
        if proxy.cuts() >= 20 { Ok(()) } else { Err(format!("{}", proxy.cuts())) }
    });
    proxy.stop_cutting();
    follower.seen.wait_for_records(numbered.total(), LONG);
    numbered.assert_exactly_once(&follower.seen);
}

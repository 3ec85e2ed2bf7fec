//! A topic is created while one broker is cut off from the controller and does not know it.

use crate::others::OtherBrokers;
use crate::{SharedCluster, shared_cluster};
use curlew_integration::bridge::Bridge;
use serde_json::json;

#[test]
fn a_topic_unknown_to_a_broker_that_is_cut_off_is_never_missing() {
    let SharedCluster { kafka, .. } = &mut *shared_cluster();
    let bridge = Bridge::start(&kafka.bootstrap());
    // The client knows all brokers from here on.
    bridge.get("/ready").expect(200);
    kafka.cut_off(1);
    let topic = curlew_integration::fresh_topic("unknown");
    let others = OtherBrokers::new(kafka, &topic);
    others.wait_for_brokers(2);
    others.call(json!({"do": "create", "assignment": [[2, 3], [3, 2]], "config": {}}));
    others.call(json!({"do": "produce", "compression": "none", "records": [{"partition": 0, "value": "first"}]}));

    // Lookups rotate over the brokers.
    let page = format!("/topics/{topic}/partitions/0/records?offset=0&limit=1");
    for n in 0..12 {
        let record = format!("{{\"n\":{n}}}");
        bridge.post(&format!("/topics/{topic}?partition=0"), "application/json", record).expect(200);
        bridge.get(&format!("/topics/{topic}")).expect(200);
        assert_eq!(bridge.request("HEAD", &format!("/topics/{topic}"), &[], b"").status, 200);
        bridge.get(&page).expect(200);
        let listed = bridge.get("/topics").expect(200).json();
        assert!(listed.as_array().is_some_and(|names| names.contains(&json!(topic))), "{listed}");
        let mut stream = bridge.events(&format!("/topics/{topic}/events?from=earliest&limit=1"));
        assert_eq!(stream.event().data, "first");
    }
    let missing = bridge.get(&format!("/topics/{topic}-not")).status;
    assert_eq!(missing, 404, "a topic that no broker knows is missing");

    kafka.reconnect(1);
    others.wait_for_brokers(3);
}

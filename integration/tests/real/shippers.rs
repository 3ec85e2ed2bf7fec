//! Real log shippers, with the configuration in `examples/shippers`, before the bridge and a real Kafka.

mod collectd;
mod otelcol;
mod syslog_ng;
mod telegraf;

use self::collectd::Collectd;
use self::otelcol::Otelcol;
use self::syslog_ng::SyslogNg;
use self::telegraf::Telegraf;
use crate::{SOON, bridge};
use curlew_integration::bridge::Bridge;
use curlew_integration::kafka::{Kafka, Options};
use curlew_integration::process::Process;
use curlew_integration::{EndOnDrop, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Returns an example with the address of this bridge and another topic.
fn example(name: &str, port: u16, topic: &str) -> String {
    let text =
        std::fs::read_to_string(curlew_integration::file(&format!("../examples/shippers/{name}"))).expect("example");
    let start = text.find("127.0.0.1:8080/topics/").expect("a URL");
    let end = start + text[start..].find(['?', '\n']).expect("the end of the path");
    format!("{}127.0.0.1:{port}/topics/{topic}{}", &text[..start], &text[end..])
}

/// A shipper with its configuration in a temporary directory.
struct Shipper {
    /// Dropped first, because it prints the log of a failed test.
    process: Process,
    directory: TempDir,
}

impl Shipper {
    fn start(program: &Path, config: impl FnOnce(&str) -> String, arguments: impl FnOnce(&str) -> Vec<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("curlew-shipper-").tempdir().expect("temporary directory");
        let path = directory.path().to_str().expect("UTF-8").to_owned();
        std::fs::write(directory.path().join("config"), config(&path)).expect("configuration");
        let mut command = Command::new(program);
        command.args(arguments(&path));
        let process = Process::start(&program.display().to_string(), command, &directory.path().join("log"));
        Self { process, directory }
    }

    /// Counts the lines of the log that contain `text`.
    fn logged(&self, text: &str) -> usize {
        self.process.log().lines().filter(|line| line.contains(text)).count()
    }
}

/// Waits until `topic` has `count` different messages, which `names` finds in its records, and returns all, in order.
fn records<N>(kafka: &Kafka, topic: &str, count: usize, names: impl Fn(&[u8]) -> N) -> Vec<String>
where
    N: IntoIterator<Item = String>,
{
    eventually("all records have arrived", SOON, || {
        let records = kafka.consume(topic);
        let names: Vec<String> =
            records.iter().flat_map(|record| names(record.value.as_deref().unwrap_or_default())).collect();
        let found = names.iter().collect::<BTreeSet<_>>().len();
        if found >= count { Ok(names) } else { Err(format!("{found} of {count}")) }
    })
}

fn json(value: &[u8]) -> Value {
    serde_json::from_slice(value).expect("JSON")
}

#[test]
fn each_value_of_collectd_and_each_message_of_syslog_ng_is_a_record() {
    let kafka = Kafka::shared();
    let (metrics, logs) = (kafka.fresh("metrics", 1), kafka.fresh("logs", 1));
    let (collectd, syslog_ng) = (Collectd::start(bridge().port, &metrics), SyslogNg::start(bridge().port, &logs));
    collectd.put(0..200);
    collectd.flush();
    syslog_ng.log(0..1200);
    // The write threads of collectd may send values in another order.
    let mut written = numbers(records(kafka, &metrics, 200, collectd::number));
    written.sort_unstable();
    assert_eq!(written, (0..200).collect::<Vec<_>>());
    let values: Vec<Value> =
        kafka.consume(&metrics).iter().map(|record| json(record.value.as_deref().expect("a value"))).collect();
    let first = values.iter().find(|value| value["type_instance"] == "0").expect("the value of the first number");
    assert_eq!(
        (&first["values"][0], &first["host"], &first["dsnames"][0]),
        (&0.5.into(), &"hall-3".into(), &"value".into())
    );
    assert_eq!(records(kafka, &logs, 1200, syslog_ng::text), (0..1200).map(syslog_ng::message).collect::<Vec<_>>());
    eventually("syslog-ng has counted", SOON, || match syslog_ng.counters()? {
        [1200, 0, 0] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn each_metric_of_telegraf_is_a_record() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("metrics", 1);
    let telegraf = Telegraf::start(bridge().port, &topic);
    telegraf.send(0..200);
    assert_eq!(records(kafka, &topic, 200, telegraf::line), (0..200).map(telegraf::metric).collect::<Vec<_>>());
}

#[test]
fn each_request_of_the_opentelemetry_collector_is_a_record() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("logs", 1);
    let otelcol = Otelcol::start(bridge().port, &topic);
    otelcol.log(0..200);
    assert_eq!(records(kafka, &topic, 200, otelcol::texts), (0..200).map(otelcol::text).collect::<Vec<_>>());
    assert_eq!(kafka.consume(&topic).len(), 1);
    eventually("the Collector has counted", SOON, || match otelcol.counters() {
        [200, 0, 0] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn numbers(names: Vec<String>) -> Vec<usize> {
    names.iter().map(|name| name.parse().expect("a number")).collect()
}

/// The names in the order in which they were first written.
fn without_repetitions(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// While Kafka is silent, a batch may or may not be in the log after a 504. A shipper sends it again, so that its messages
/// may be in the log twice; nothing else may. While no broker answers, the bridge responds with 503.
#[test]
fn shippers_that_retry_lose_nothing_while_kafka_is_silent_or_down() {
    let mut kafka = Kafka::start(Options::default());
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--produce-timeout", "1s"]);
    ["logs", "metrics", "requests"].iter().for_each(|topic| kafka.create(topic, 1));
    let (syslog_ng, telegraf) = (SyslogNg::start(bridge.port, "logs"), Telegraf::start(bridge.port, "metrics"));
    let otelcol = Otelcol::start(bridge.port, "requests");
    let send = |first: usize| {
        syslog_ng.log(first..first + 50);
        telegraf.send(first..first + 50);
        otelcol.log(first..first + 50);
    };
    let fail = |status: u16| {
        // Without `response-action`, syslog-ng drops a batch after the third 504.
        eventually("the shippers have failed repeatedly", SOON, || {
            match (syslog_ng.responses(status), telegraf.responses(status), otelcol.responses(status)) {
                (4.., 2.., 2..) => Ok(()),
                failures => Err(format!("{failures:?}")),
            }
        });
    };
    send(0);
    let before = (records(&kafka, "logs", 50, syslog_ng::text), records(&kafka, "metrics", 50, telegraf::line));
    kafka.freeze(1);
    send(50);
    fail(504);
    send(100);
    kafka.thaw(1);
    records(&kafka, "logs", 150, syslog_ng::text);
    records(&kafka, "metrics", 150, telegraf::line);
    records(&kafka, "requests", 150, otelcol::texts);
    kafka.kill(1);
    send(150);
    fail(503);
    send(200);
    kafka.restart(1);
    send(250);
    let logs = records(&kafka, "logs", 300, syslog_ng::text);
    let metrics = records(&kafka, "metrics", 300, telegraf::line);
    assert_eq!((&logs[..50], &metrics[..50]), (&before.0[..], &before.1[..]));
    assert_eq!(without_repetitions(logs), (0..300).map(syslog_ng::message).collect::<Vec<_>>());
    assert_eq!(without_repetitions(metrics), (0..300).map(telegraf::metric).collect::<Vec<_>>());
    eventually("syslog-ng has counted", SOON, || match syslog_ng.counters()? {
        [300, 0, 0] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Its queue has several consumers, which do not keep the order of requests.
    let requests: BTreeSet<String> = records(&kafka, "requests", 300, otelcol::texts).into_iter().collect();
    assert_eq!(requests, (0..300).map(otelcol::text).collect());
    eventually("the Collector has counted", SOON, || match otelcol.counters() {
        [300, 0, 0] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually("Telegraf has counted", SOON, || match telegraf.counters()? {
        [written, 0, 0] if written >= 300 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// collectd sends a buffer once, and discards it whatever the response is. It has no counter of that, only its log.
#[test]
fn collectd_loses_only_what_the_bridge_rejects_while_no_broker_answers() {
    let mut kafka = Kafka::start(Options::default());
    let bridge = Bridge::start(&kafka.bootstrap());
    ["metrics", "probe"].iter().for_each(|topic| kafka.create(topic, 1));
    let collectd = Collectd::start(bridge.port, "metrics");
    collectd.put(0..50);
    all_stored(&collectd, &kafka, 0..50);
    kafka.freeze(1);
    collectd.put(50..100);
    let thawed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = EndOnDrop(&thawed);
        scope.spawn(|| {
            while !thawed.load(Ordering::Relaxed) {
                collectd.flush();
            }
        });
        eventually("the bridge waits for Kafka", SOON, || match metric(&bridge, "curlew_queued_bytes ") {
            Some(bytes) if bytes != "0" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        // These wait in collectd's queue.
        collectd.put(100..150);
        kafka.thaw(1);
        drop(end);
    });
    all_stored(&collectd, &kafka, 0..150);
    assert_eq!(collectd.failures(), 0, "{}", collectd.log());

    kafka.kill(1);
    collectd.put(150..200);
    eventually("collectd has discarded values", SOON, || {
        collectd.flush();
        if collectd.failures() > 0 { Ok(()) } else { Err(collectd.log()) }
    });
    kafka.restart(1);
    eventually("the bridge writes again", SOON, || match bridge.post("/topics/probe", "text/plain", "x").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    collectd.put(200..250);
    let stored = all_stored(&collectd, &kafka, 200..250);
    let missing: Vec<usize> = (0..250).filter(|number| !stored.contains(number)).collect();
    assert!(!missing.is_empty() && missing.iter().all(|number| (150..200).contains(number)), "{missing:?}");
    let acknowledged = metric(&bridge, "curlew_produced_records_total{outcome=\"acknowledged\"} ");
    assert_eq!(acknowledged, Some((kafka.consume("metrics").len() + 1).to_string()));
}

/// Flushes until all values with these numbers are in the topic, and returns the numbers of all that are.
fn all_stored(collectd: &Collectd, kafka: &Kafka, expected: Range<usize>) -> BTreeSet<usize> {
    eventually("collectd has sent its values", SOON, || {
        // A flush sends nothing until the values have reached the buffer.
        collectd.flush();
        let stored: BTreeSet<usize> = numbers(records(kafka, "metrics", 0, collectd::number)).into_iter().collect();
        let missing = expected.clone().filter(|number| !stored.contains(number)).count();
        if missing == 0 { Ok(stored) } else { Err(format!("{missing} are missing")) }
    })
}

/// Returns a value of the bridge's metrics.
fn metric(bridge: &Bridge, name: &str) -> Option<String> {
    bridge.get("/metrics").text().lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
}

//! `select`, `sample`, `until` a time and `format=csv` against Apache Kafka, by HTTP and by `curlew consume`.

use crate::{SOON, bridge};
use curlew_integration::bridge::{Bridge, run};
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use std::process::{Command, Stdio};

/// Timestamps of partition 0, which are out of order.
const TIMES: [i64; 6] = [1_000, 3_000, 2_000, 61_000, 59_000, 62_000];

/// Writes readings of two machines into a fresh topic.
fn readings(name: &str) -> String {
    let topic = Kafka::shared().fresh(name, 2);
    for (number, time) in TIMES.iter().enumerate() {
        let key = if number % 2 == 0 { "a" } else { "b" };
        let target = format!("/topics/{topic}?partition=0&key={key}&timestamp={time}");
        bridge().post(&target, "application/json", format!(r#"{{"t":{number}.50,"note":"x, y"}}"#)).expect(200);
    }
    bridge().post(&format!("/topics/{topic}?partition=1&timestamp=5000"), "text/plain", "text").expect(200);
    topic
}

fn data(query: &str) -> Vec<String> {
    let mut data: Vec<_> = bridge().events(query).rest().into_iter().map(|event| event.data).collect();
    data.retain(|data| data != "{}");
    data.sort();
    data
}

#[test]
fn until_a_time_and_from_it_each_record_is_there_once() {
    let topic = readings("until");
    let all = data(&format!("/topics/{topic}/events?from=earliest&until=end"));
    assert_eq!(all.len(), TIMES.len() + 1);
    for seconds in [0, 2, 3, 60, 90] {
        let time = format!("1970-01-01T00:{:02}:{:02}Z", seconds / 60, seconds % 60);
        let before = data(&format!("/topics/{topic}/events?from=earliest&until={time}"));
        let after = data(&format!("/topics/{topic}/events?from={time}&until=end"));
        let end = TIMES.iter().position(|at| *at >= seconds * 1_000).unwrap_or(TIMES.len());
        assert_eq!(before.len(), end + usize::from(seconds > 5), "{time}: {before:?}");
        let mut both = [before, after].concat();
        both.sort();
        assert_eq!(both, all, "{time}");
    }
}

#[test]
fn a_sample_has_the_latest_record_of_each_key_and_interval() {
    let topic = readings("sample");
    let sampled =
        data(&format!("/topics/{topic}/events?from=earliest&until=end&sample=1m&select=offset,partition,key"));
    let expected = [
        r#"{"offset":0,"partition":1,"key":null}"#,
        r#"{"offset":1,"partition":0,"key":"b"}"#,
        r#"{"offset":2,"partition":0,"key":"a"}"#,
        r#"{"offset":4,"partition":0,"key":"a"}"#,
        r#"{"offset":5,"partition":0,"key":"b"}"#,
    ];
    assert_eq!(sampled, expected);
}

#[test]
fn a_table_is_the_same_by_http_through_the_bridge_and_from_kafka() {
    let topic = readings("table");
    let select = "partition,key,value.t,value.note";
    let query = format!("/topics/{topic}/events?from=earliest&until=1970-01-01T00:00:03Z&format=csv&select={select}");
    let answer = bridge().get(&query).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let mut by_http: Vec<_> = answer.text().lines().map(str::to_owned).collect();
    by_http.sort();
    assert_eq!(by_http, ["0,a,0.50,\"x, y\"", "partition,key,value.t,value.note"]);
    let url = format!("http://127.0.0.1:{}", bridge().port);
    let bootstrap = Kafka::shared().bootstrap();
    for source in [["--url", &url], ["--kafka", &bootstrap]] {
        let until = ["--from", "earliest", "--until", "1970-01-01T00:00:03Z", "--select", select];
        let csv = run(&[&["consume", &topic][..], &source, &until, &["--output", "csv"]].concat());
        let mut table: Vec<_> = String::from_utf8_lossy(&csv.stdout).lines().map(str::to_owned).collect();
        table.sort();
        assert_eq!(table, by_http, "{source:?}: {}", String::from_utf8_lossy(&csv.stderr));
        let objects = run(&[&["consume", &topic][..], &source, &until].concat());
        let objects = String::from_utf8_lossy(&objects.stdout).into_owned();
        let expected = r#"{"partition":0,"key":"a","value":{"t":0.50,"note":"x, y"}}"#;
        assert_eq!(objects.trim_end(), expected, "{source:?}");
        let sampled = run(&[
            &["consume", &topic, "--from", "earliest", "--until-end"][..],
            &source,
            &["--sample", "1m"],
        ]
        .concat());
        let sampled = String::from_utf8_lossy(&sampled.stdout).into_owned();
        assert_eq!(sampled.lines().count(), 5, "{source:?}: {sampled}");
    }
}

#[test]
fn a_table_that_is_cut_off_fails_in_curl() {
    let folder = tempfile::tempdir().expect("temp folder");
    let mut bridge = Bridge::embedded(&folder.path().join("data"), &[]);
    bridge.post("/topics/t?key=a", "text/plain", "first").expect(200);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let file = folder.path().join("table.csv");
        let url = format!("http://127.0.0.1:{}/topics/t/events?from=earliest&format=csv&select=key,value", bridge.port);
        let curl =
            Command::new("curl").args(["-sSN", version, "-o"]).arg(&file).arg(&url).stderr(Stdio::piped()).spawn();
        let curl = curl.expect("curl");
        eventually("the record is in the file", SOON, || {
            let table = std::fs::read_to_string(&file).unwrap_or_default();
            if table == "key,value\r\na,first\r\n" { Ok(()) } else { Err(table) }
        });
        bridge.stop();
        let output = curl.wait_with_output().expect("curl ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{version}: an incomplete table is an error: {said}");
        println!("{version}: curl exits with {:?}: {said}", output.status.code());
        bridge = Bridge::embedded(&folder.path().join("data"), &[]);
    }
}

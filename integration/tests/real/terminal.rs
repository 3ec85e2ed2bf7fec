//! `curlew consume` and `curlew produce`, directly with Kafka and through a bridge.

use crate::{SOON, bridge};
use curlew_integration::bridge::{Bridge, binary, curlew, run, run_with_input};
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::Process;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn both_ways() -> [[String; 2]; 2] {
    [["--kafka".into(), Kafka::shared().bootstrap()], ["--url".into(), format!("http://127.0.0.1:{}", bridge().port)]]
}

#[track_caller]
fn stdout(output: Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn consume_prints_in_the_requested_format() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("terminal", 1);
    kafka.produce(
        &topic,
        json!([
            {"key": "k", "value": "{\"n\":1}", "timestamp": 1_700_000_000_000_i64, "headers": [["h", "x"]]},
            {"value": "two", "timestamp": 1_700_000_000_001_i64},
        ]),
    );
    for way in both_ways() {
        let read = |more: &[&str]| {
            let fixed = ["consume", &topic, &way[0], &way[1], "--from", "earliest", "--until-end"];
            stdout(run(&[&fixed, more].concat()))
        };
        assert_eq!(read(&[]), "Message: {\"n\":1}\nMessage: two\n", "{way:?}");
        assert_eq!(read(&["--output", "value"]), "{\"n\":1}\ntwo\n", "{way:?}");
        assert_eq!(read(&["--limit", "1"]), "Message: {\"n\":1}\n", "{way:?}");
        let condition = r#"value.n < 1.5 && key == "k" && headers.h == "x""#;
        assert_eq!(read(&["--where", condition]), "Message: {\"n\":1}\n", "{way:?}");
        assert_eq!(read(&["--where", "value + 'é' == 'twoé'"]), "Message: two\n", "{way:?}");
        let formatted = read(&["--output", "%t %p %o %k %v %T\n"]);
        assert_eq!(formatted, format!("{topic} 0 0 k {{\"n\":1}} 1700000000000\n{topic} 0 1  two 1700000000001\n"));
        let line = read(&["--output", "json", "--limit", "1"]);
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&record["key"], &record["value"], &record["offset"]), (&json!("k"), &json!({"n": 1}), &json!(0)));
    }
}

#[test]
fn consume_reports_once_that_no_broker_responds() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let command = curlew(&["consume", "t", "--kafka", "127.0.0.1:1"]);
    let mut consume = Process::start("curlew consume", command, &directory.path().join("log"));
    eventually("it reports why it waits", Duration::from_secs(20), || match consume.log() {
        log if log.contains("trying again") => Ok(()),
        log => Err(log),
    });
    consume.signal("INT");
    consume.wait(Duration::from_secs(20));
    let log = consume.log();
    assert!(log.starts_with("curlew: no broker answers: 127.0.0.1:1: "), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_missing_topic_ends_a_bounded_consume() {
    let kafka = Kafka::shared();
    let there = kafka.fresh("there", 1);
    let topic = format!("{there}-missing");
    for way in both_ways() {
        let output = run(&["consume", &there, &topic, &way[0], &way[1], "--from", "earliest", "--until-end"]);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{way:?}: {printed}");
        assert!(printed.contains(&topic), "{way:?}: {printed}");
    }
}

#[test]
fn produce_sends_lines() {
    let kafka = Kafka::shared();
    for way in both_ways() {
        let topic = kafka.fresh("lines", 1);
        let input: String = (0..1000).map(|n| format!("k{n}:v:{n}\n")).collect();
        let arguments = ["produce", &topic, &way[0], &way[1], "--key-separator", ":"];
        stdout(run_with_input(&arguments, input.as_bytes()));
        let seen = kafka.consume(&topic);
        assert_eq!(seen.len(), 1000, "{way:?}");
        let last = &seen[999];
        assert_eq!((last.key.as_deref(), last.text().as_str()), (Some(&b"k999"[..]), "v:999"), "{way:?}");
    }
}

#[test]
fn a_line_without_an_acknowledgement_causes_exit_code_1() {
    let topic = curlew_integration::fresh_topic("refused");
    Kafka::shared().create_with(&topic, 1, json!({"max.message.bytes": "1000"}));
    let large: String = std::iter::repeat_with(fastrand::alphanumeric).take(5000).collect();
    for way in both_ways() {
        let output = run_with_input(&["produce", &topic, &way[0], &way[1]], format!("a\n{large}\nb\n").as_bytes());
        assert_eq!(output.status.code(), Some(1), "{way:?} {output:?}");
        assert!(!output.stderr.is_empty());
    }
    let texts: Vec<String> = Kafka::shared().consume(&topic).iter().map(|r| r.text()).collect();
    assert_eq!(texts, ["a", "b", "a", "b"]);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("pipe", 1);
    kafka.produce(&topic, (0..20_000).map(|n| json!({"value": format!("{n:0100}")})).collect());
    for way in both_ways() {
        let script = format!(
            "set -o pipefail; '{}' consume {topic} {} {} --from earliest | head -n 1",
            binary().display(),
            way[0],
            way[1]
        );
        let output = Command::new("timeout").args(["60", "bash", "-c", &script]).output().expect("bash");
        assert!(output.status.success() && output.stderr.is_empty(), "{way:?} {output:?}");
        assert_eq!(output.stdout.len(), "Message: ".len() + 101);
    }
}

#[test]
fn a_pipe_that_is_closed_ends_consume_without_another_record() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("head", 1);
    kafka.produce(&topic, json!([{"value": "only"}]));
    for [flag, address] in both_ways() {
        let script = format!("'{}' tail {topic} {flag} {address} | head -n 1", binary().display());
        let output =
            Command::new("timeout").args(["60", "bash", "-o", "pipefail", "-c", &script]).output().expect("bash");
        assert_eq!(stdout(output), "only\n", "{flag}");
    }
}

#[test]
fn tail_prints_the_last_values_and_new_ones() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("tail", 1);
    kafka.produce(&topic, (0..30).map(|n| json!({"value": n.to_string()})).collect());
    for (n, [flag, address]) in (30..).zip(both_ways()) {
        let mut tail = Command::new(binary());
        let mut tail =
            tail.args(["tail", "-n", "3", &topic, &flag, &address]).stdout(Stdio::piped()).spawn().expect("tail");
        let mut lines = BufReader::new(tail.stdout.take().expect("stdout")).lines().map(|line| line.expect("UTF-8"));
        assert_eq!(
            lines.by_ref().take(3).collect::<Vec<_>>(),
            [n - 3, n - 2, n - 1].map(|n: i32| n.to_string()),
            "{flag}"
        );
        kafka.produce(&topic, json!([{"value": n.to_string()}]));
        assert_eq!(lines.next(), Some(n.to_string()), "{flag}");
        tail.kill().expect("killed");
        tail.wait().expect("ended");
    }
}

#[test]
fn short_options_mean_what_they_mean_in_kcat() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("short", 1);
    for [flag, address] in both_ways() {
        let written =
            run_with_input(&["produce", "-t", &topic, &flag, &address, "-K:", "-k", "usual", "-p", "0"], b"a:1\n2\n");
        stdout(written);
        let read = |more: &[&str]| stdout(run(&[&["consume", "-t", &topic, &flag, &address, "-e"], more].concat()));
        assert_eq!(read(&["-o", "-2", "-K", "="]), "a=1\nusual=2\n", "{flag}");
        assert_eq!(read(&["-o", "beginning", "-c", "1", "-f", "%s\n"]), "1\n", "{flag}");
        assert_eq!(read(&["-o", "-2", "-k", "usual", "-f", "%k\n"]), "usual\n", "{flag}");
        assert_eq!(read(&["-o", "end"]), "", "{flag}");
        assert_eq!(read(&["-o", "s@0", "-p", "0", "-c", "1"]), "Message: 1\n", "{flag}");
    }
}

#[test]
fn topics_are_described_and_deleted_directly_and_through_a_bridge() {
    let kafka = Kafka::shared();
    let bridge = Bridge::start_with(&kafka.bootstrap(), &["--allow-delete"]);
    let ways =
        [["--kafka".to_owned(), kafka.bootstrap()], ["--url".to_owned(), format!("http://127.0.0.1:{}", bridge.port)]];
    let mut descriptions = Vec::new();
    for [flag, address] in &ways {
        let topic = kafka.fresh("described", 2);
        kafka.produce(&topic, json!([{"value": "a", "partition": 1}]));
        let topics = |arguments: &[&str]| run(&[&["topics"], arguments, &[&topic, flag, address]].concat());
        let described = stdout(topics(&["describe"]));
        assert!(described.starts_with(&format!("topic {topic}, partitions: 2\n")), "{described}");
        assert!(described.contains("\ncleanup.policy=delete\n"), "{described}");
        let rows: Vec<_> =
            described.lines().skip(2).take(2).map(|row| row.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(rows, [["0", "1", "0", "0", "1", "(1)"], ["1", "1", "0", "1", "1", "(1)"]], "{flag}");
        descriptions.push(described.replace(&topic, "TOPIC"));
        let unconfirmed = topics(&["delete"]);
        assert_eq!(unconfirmed.status.code(), Some(2), "{unconfirmed:?}");
        assert_eq!(stdout(topics(&["delete", "--yes"])), format!("deleted topic {topic}\n"), "{flag}");
        eventually("the topic is gone", SOON, || match topics(&["describe"]).status.code() {
            Some(1) => Ok(()),
            code => Err(format!("{code:?}")),
        });
    }
    assert_eq!(descriptions[0], descriptions[1]);
}

/// Returns the output of a command on a terminal, provided by Python's `pty`.
fn on_terminal(arguments: &[&str]) -> String {
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let mut command = Command::new("timeout");
    command.args(["60", "python3", "-c", script]).arg(binary()).args(arguments).stdin(std::process::Stdio::null());
    let output = command.output().expect("python3");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn escapes_of_a_publisher_reach_a_pipe_but_not_a_terminal() {
    let kafka = Kafka::shared();
    let topic = kafka.fresh("escapes", 1);
    let title = "\u{1b}]0;owned\u{7}x\nMessage: forged\u{9b}2J\u{202e}";
    kafka.produce(&topic, json!([{"key": "\u{1b}[2Jk", "value": title, "headers": [["h", "\u{1b}]52;c;eA==\u{7}"]]}]));
    for way in both_ways() {
        let fixed = ["consume", &topic, &way[0], &way[1], "--from", "earliest", "--until-end", "--output"];
        for output in ["Message: %v\\n", "%k %h %v\\n", "value", "json", "exact"] {
            let arguments = [&fixed[..], &[output]].concat();
            let shown = on_terminal(&arguments);
            let harmful = |c: char| (c.is_control() && !matches!(c, '\r' | '\n')) || c == '\u{202e}';
            assert!(!shown.contains(harmful) && shown.lines().count() == 1, "{way:?} {output}: {shown:?}");
        }
        let raw = stdout(run(&[&fixed[..], &["value"]].concat()));
        assert_eq!(raw, format!("{title}\n"), "{way:?}");
    }
}

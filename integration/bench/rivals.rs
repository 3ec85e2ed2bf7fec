//! Other programs for the same tasks. This file runs kcat and Kafka's performance tools.

pub mod flask;
pub mod nchan;
pub mod plain_consumer;
pub mod sqlite;

use crate::record;
use curlew_integration::cache;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs a program, for at most two minutes. Returns the seconds it took, and its output.
fn run(program: &Path, arguments: &[&str], input: Stdio, output: Stdio) -> (f64, String) {
    let started = Instant::now();
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).args(arguments).stdin(input).stdout(output).stderr(Stdio::piped());
    let ended = command.output().expect("timeout");
    let took = started.elapsed().as_secs_f64();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?} exited with {}: {stderr}", ended.status);
    (took, String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Returns records per second from the start to the exit of the program. Discards its output.
pub fn records_per_second(program: &Path, arguments: &[&str], input: Option<&Path>, records: usize) -> f64 {
    let input = input.map_or_else(Stdio::null, |path| File::open(path).expect("input").into());
    records as f64 / run(program, arguments, input, Stdio::null()).0
}

/// Returns the rate that the tool reports, which excludes the start of the JVM.
pub fn producer_performance(bootstrap: &str, topic: &str, records: usize) -> f64 {
    let (size, records) = (record::LENGTH.to_string(), records.to_string());
    let server = format!("bootstrap.servers={bootstrap}");
    let stdout = java_tool(
        "ProducerPerformance",
        &[
            "--topic",
            topic,
            "--num-records",
            &records,
            "--record-size",
            &size,
            "--throughput",
            "-1",
            "--command-property",
            &server,
            "acks=all",
        ],
    );
    // 500000 records sent, 137000.1 records/sec (26.1 MB/sec), …
    let total = stdout.lines().rfind(|line| line.contains("99.9th")).expect("a summary");
    let rate = total.split(", ").find_map(|part| part.split_once(" records/sec")).expect("a rate").0;
    rate.parse().expect("a number")
}

/// Returns the rate that the tool reports, which excludes the start of the JVM and joining the group.
pub fn consumer_performance(bootstrap: &str, topic: &str, records: usize) -> f64 {
    let records = records.to_string();
    let stdout = java_tool(
        "ConsumerPerformance",
        &["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", &records],
    );
    // The last column is fetch.nMsg.sec.
    let rate = stdout.lines().rfind(|line| line.contains(", ")).and_then(|line| line.rsplit(", ").next());
    rate.expect("a summary").trim().parse().expect("a number")
}

fn java_tool(name: &str, arguments: &[&str]) -> String {
    let classes = cache().join("kafka-tools/*").display().to_string();
    let class = format!("org.apache.kafka.tools.{name}");
    let all = [&["-Xmx512m", "-cp", &classes, &class], arguments].concat();
    run(Path::new("java"), &all, Stdio::null(), Stdio::piped()).1
}

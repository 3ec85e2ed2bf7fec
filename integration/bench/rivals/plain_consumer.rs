//! A program with only Kafka's Java consumer: `PlainConsumer.java`.

use curlew_integration::process::Process;
use curlew_integration::{cache, file};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

pub struct PlainConsumer {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Process,
    _directory: TempDir,
}

impl PlainConsumer {
    /// Returns once it reads from the end of the topic.
    pub fn start(bootstrap: &str, topic: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(cache().join("kafka-4.4.0/*"))
            .arg(file("bench/rivals/PlainConsumer.java"))
            .args([bootstrap, topic])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start_with_stdio("plain consumer", command, &directory.path().join("log"));
        let stdin = process.child().stdin.take().expect("stdin");
        let stdout = BufReader::new(process.child().stdout.take().expect("stdout"));
        let mut consumer = Self { stdin, stdout, _process: process, _directory: directory };
        assert_eq!(consumer.line(), "ready");
        consumer
    }

    /// Starts measuring the delays of the next `many` records.
    pub fn expect(&mut self, many: u64) {
        writeln!(self.stdin, "{many}").expect("plain consumer");
    }

    /// Returns the 50th and 99th percentile of these delays in milliseconds.
    pub fn delays(&mut self) -> [f64; 2] {
        let line = self.line();
        let mut micros = line.split(' ').map(|micros| micros.parse::<f64>().expect("a number"));
        std::array::from_fn(|_| micros.next().expect("two numbers") / 1000.0)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("plain consumer");
        line.trim().to_owned()
    }
}

//! Kafka's own Java consumer, and nothing else: `PlainConsumer.java`.

use curlew_integration::process::Process;
use curlew_integration::{cache, file};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

pub struct PlainConsumer {
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Process,
    _folder: TempDir,
}

impl PlainConsumer {
    /// Returns when it reads from the topic's end.
    pub fn start(bootstrap: &str, topic: &str) -> Self {
        let folder = tempfile::tempdir().expect("temp folder");
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(cache().join("kafka-4.4.0/*"))
            .arg(file("bench/rivals/PlainConsumer.java"))
            .args([bootstrap, topic])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start_with_own_output("plain consumer", command, &folder.path().join("log"));
        let asked = process.child().stdin.take().expect("stdin");
        let answers = BufReader::new(process.child().stdout.take().expect("stdout"));
        let mut consumer = Self { asked, answers, _process: process, _folder: folder };
        assert_eq!(consumer.line(), "ready");
        consumer
    }

    /// From now on counts the delays of the next `many` records.
    pub fn expect(&mut self, many: u64) {
        writeln!(self.asked, "{many}").expect("plain consumer");
    }

    /// The 50th and 99th percentile of what was expected, in milliseconds.
    pub fn delays(&mut self) -> [f64; 2] {
        let line = self.line();
        let mut micros = line.split(' ').map(|micros| micros.parse::<f64>().expect("a number"));
        std::array::from_fn(|_| micros.next().expect("two numbers") / 1000.0)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("plain consumer");
        line.trim().to_owned()
    }
}

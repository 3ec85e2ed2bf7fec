//! Telegraf, with the plugins of the example, and those through which a test feeds it and reads its counters.

use super::{Shipper, example};
use crate::SOON;
use curlew_integration::{cache, eventually};
use serde_json::Value;
use std::io::Write;
use std::ops::Range;
use std::os::unix::net::UnixStream;

pub struct Telegraf(Shipper);

impl Telegraf {
    pub fn start(port: u16, topic: &str) -> Self {
        let config = |path: &str| {
            format!(
                "[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\nomit_hostname = true\n\
                 [[inputs.socket_listener]]\nservice_address = \"unix://{path}/socket\"\ndata_format = \"influx\"\n\
                 [[inputs.internal]]\n\
                 [[outputs.file]]\nfiles = [\"{path}/counters\"]\nnamepass = [\"internal_write\"]\ndata_format = \"json\"\n{}",
                example("telegraf.conf", port, topic)
            )
        };
        let program = cache().join("telegraf-1.36.4/telegraf");
        let telegraf =
            Self(Shipper::start(&program, config, |path| vec!["--config".to_owned(), format!("{path}/config")]));
        eventually("Telegraf is up", SOON, || telegraf.connect().map_err(|error| error.to_string()));
        telegraf
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.0.directory.path().join("socket"))
    }

    /// Passes one metric with each of these numbers to Telegraf.
    pub fn send(&self, numbers: Range<usize>) {
        let mut socket = self.connect().expect("socket");
        numbers.for_each(|number| writeln!(socket, "{}", metric(number)).expect("write"));
    }

    /// Returns the latest counters of `internal_write` for the output: written, dropped, rejected.
    pub fn counters(&self) -> Result<[usize; 3], String> {
        let text = std::fs::read_to_string(self.0.directory.path().join("counters")).map_err(|e| e.to_string())?;
        let mut latest = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let counters = latest.find(|counters| counters["tags"]["output"] == "http").ok_or_else(|| text.clone())?;
        let counter = |name: &str| {
            counters["fields"][name].as_u64().map(|number| number as usize).ok_or_else(|| format!("{name}: {counters}"))
        };
        Ok([counter("metrics_written")?, counter("metrics_dropped")?, counter("metrics_rejected")?])
    }

    /// Returns how many responses had this status, one of an error.
    pub fn responses(&self, status: u16) -> usize {
        self.0.logged(&format!("received status code: {status}"))
    }
}

/// A metric in the line protocol.
pub fn metric(number: usize) -> String {
    format!("boiler,hall=3 number={number}i,state=\"zu heiß, {{a}}\" 17356896000000{number:05}")
}

/// Returns a metric of the test. Telegraf sends its own metrics, too.
pub fn line(value: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(value);
    line.starts_with("boiler,").then(|| line.into_owned())
}

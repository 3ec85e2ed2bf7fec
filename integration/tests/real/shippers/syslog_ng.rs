//! syslog-ng from Debian, which follows a file.

use super::{Shipper, example, json};
use crate::SOON;
use curlew_integration::eventually;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

pub struct SyslogNg(Shipper);

impl SyslogNg {
    pub fn start(port: u16, topic: &str) -> Self {
        let config = |path: &str| {
            format!(
                "@version: 3.38\nsource s_file {{ file(\"{path}/in\" follow-freq(0.1) flags(no-parse)); }};\n{}\n\
                 log {{ source(s_file); destination(d_curlew); flags(flow-control); }};\n",
                example("syslog-ng.conf", port, topic)
            )
        };
        let arguments = |path: &str| {
            let mut arguments = ["-F", "-e", "--no-caps"].map(String::from).to_vec();
            for (flag, name) in [("-f", "config"), ("-R", "persist"), ("-c", "control"), ("-p", "pid")] {
                arguments.extend([flag.to_owned(), format!("{path}/{name}")]);
            }
            arguments
        };
        let shipper = Self(Shipper::start(Path::new("/usr/sbin/syslog-ng"), config, arguments));
        eventually("syslog-ng is up", SOON, || shipper.counters());
        shipper
    }

    /// Logs one message with each of these numbers.
    pub fn log(&self, numbers: Range<usize>) {
        let mut lines = String::new();
        numbers.for_each(|number| writeln!(lines, "{}", message(number)).expect("text"));
        let path = self.0.directory.path().join("in");
        let mut file = File::options().create(true).append(true).open(path).expect("file");
        file.write_all(lines.as_bytes()).expect("write");
    }

    /// Returns syslog-ng's counters of its destination: written, dropped, queued.
    pub fn counters(&self) -> Result<[usize; 3], String> {
        let control = self.0.directory.path().join("control");
        let output = Command::new("/usr/sbin/syslog-ng-ctl").arg("stats").arg("-c").arg(control).output();
        let text = String::from_utf8_lossy(&output.expect("syslog-ng-ctl").stdout).into_owned();
        let counter = |name: &str| {
            let line = text.lines().find(|line| line.starts_with("dst.http;") && line.contains(&format!(";{name};")));
            line.and_then(|line| line.rsplit(';').next()?.parse().ok()).ok_or_else(|| format!("{name}: {text}"))
        };
        Ok([counter("written")?, counter("dropped")?, counter("queued")?])
    }

    /// Returns how many responses had this status, one of an error.
    pub fn responses(&self, status: u16) -> usize {
        self.0.logged(&format!("status_code='{status}'"))
    }
}

/// A message that JSON and a Kafka record must carry unchanged.
pub fn message(number: usize) -> String {
    format!("Kessel {number}: \"zu heiß\", [alarm] {{a\\b}}")
}

pub fn text(value: &[u8]) -> Option<String> {
    Some(json(value)["MESSAGE"].as_str().expect("a message").to_owned())
}

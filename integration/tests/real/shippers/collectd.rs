//! collectd from Debian, whose values come through its unixsock plugin.

use super::{Shipper, example, json};
use crate::SOON;
use curlew_integration::eventually;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub struct Collectd(Shipper);

impl Collectd {
    pub fn start(port: u16, topic: &str) -> Self {
        let config = |path: &str| {
            format!(
                "Hostname \"hall-3\"\nFQDNLookup false\nBaseDir \"{path}\"\nPIDFile \"{path}/pid\"\n\
                 TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin logfile\nLoadPlugin unixsock\n\
                 <Plugin logfile>\nLogLevel info\nFile stdout\n</Plugin>\n\
                 <Plugin unixsock>\nSocketFile \"{path}/socket\"\n</Plugin>\n{}",
                example("collectd.conf", port, topic)
            )
        };
        let collectd = Self(Shipper::start(Path::new("/usr/sbin/collectd"), config, |path| {
            ["-f", "-C", &format!("{path}/config")].map(String::from).to_vec()
        }));
        eventually("collectd is up", SOON, || collectd.connect().map_err(|error| error.to_string()));
        collectd
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.0.directory.path().join("socket"))
    }

    /// Sends a command of collectd-unixsock(5), and returns its status line.
    fn command(mut socket: &UnixStream, command: &str) -> String {
        writeln!(socket, "{command}").expect("write");
        let mut status = String::new();
        BufReader::new(socket).read_line(&mut status).expect("read");
        status
    }

    /// Passes one value with each of these numbers to collectd.
    pub fn put(&self, numbers: Range<usize>) {
        let socket = self.connect().expect("socket");
        for number in numbers {
            let status =
                Self::command(&socket, &format!("PUTVAL \"hall-3/boiler/gauge-{number}\" interval=10 N:{number}.5"));
            assert!(status.starts_with("0 Success"), "{status}");
        }
    }

    /// Makes collectd send its buffer; it responds when the bridge has, with a success whatever the response is.
    pub fn flush(&self) {
        let status = Self::command(&self.connect().expect("socket"), "FLUSH plugin=write_http/curlew");
        assert!(status.starts_with("0 Done: 1 successful"), "{status}");
    }

    /// Returns how many buffers collectd has discarded. Only its log has this, with `LogHttpError`.
    pub fn failures(&self) -> usize {
        self.0.logged("HTTP Error code") + self.0.logged("curl_easy_perform failed")
    }

    pub fn log(&self) -> String {
        self.0.process.log()
    }
}

/// Returns the number of a value.
pub fn number(value: &[u8]) -> Option<String> {
    let value = json(value);
    assert_eq!(value["plugin"], "boiler");
    Some(value["type_instance"].as_str().expect("a type instance").to_owned())
}

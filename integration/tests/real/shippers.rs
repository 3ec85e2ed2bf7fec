//! Real log shippers, with the configuration in `examples/shippers`, before the bridge and a real Kafka.

use crate::{SOON, bridge};
use curlew_integration::eventually;
use curlew_integration::kafka::Kafka;
use curlew_integration::process::Process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::process::Command;
use tempfile::TempDir;

/// Returns an example with the address of this bridge and another topic.
fn example(name: &str, port: u16, topic: &str) -> String {
    let text =
        std::fs::read_to_string(curlew_integration::file(&format!("../examples/shippers/{name}"))).expect("example");
    let start = text.find("127.0.0.1:8080/topics/").expect("a URL");
    let end = start + text[start..].find('?').expect("a query");
    format!("{}127.0.0.1:{port}/topics/{topic}{}", &text[..start], &text[end..])
}

/// A shipper with its configuration in a temporary directory.
struct Shipper {
    directory: TempDir,
    _process: Process,
}

impl Shipper {
    fn start(program: &str, config: impl FnOnce(&str) -> String, arguments: impl FnOnce(&str) -> Vec<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("curlew-shipper-").tempdir().expect("temporary directory");
        let path = directory.path().to_str().expect("UTF-8").to_owned();
        std::fs::write(directory.path().join("config"), config(&path)).expect("configuration");
        let mut command = Command::new(program);
        command.args(arguments(&path));
        let process = Process::start(program, command, &directory.path().join("log"));
        Self { directory, _process: process }
    }
}

struct Collectd(Shipper);

impl Collectd {
    fn start(port: u16, topic: &str) -> Self {
        let config = |path: &str| {
            format!(
                "Hostname \"hall-3\"\nFQDNLookup false\nBaseDir \"{path}\"\nPIDFile \"{path}/pid\"\n\
                 TypesDB \"/usr/share/collectd/types.db\"\nLoadPlugin logfile\nLoadPlugin unixsock\n\
                 <Plugin logfile>\nLogLevel info\nFile stdout\n</Plugin>\n\
                 <Plugin unixsock>\nSocketFile \"{path}/socket\"\n</Plugin>\n{}",
                example("collectd.conf", port, topic)
            )
        };
        let collectd = Self(Shipper::start("/usr/sbin/collectd", config, |path| {
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
    fn put(&self, numbers: Range<usize>) {
        let socket = self.connect().expect("socket");
        for number in numbers {
            let status =
                Self::command(&socket, &format!("PUTVAL \"hall-3/boiler/gauge-{number}\" interval=10 N:{number}.5"));
            assert!(status.starts_with("0 Success"), "{status}");
        }
    }

    /// Makes collectd send its buffer; it responds when the bridge has.
    fn flush(&self) {
        let status = Self::command(&self.connect().expect("socket"), "FLUSH plugin=write_http/curlew");
        assert!(status.starts_with("0 Done: 1 successful"), "{status}");
    }
}

struct SyslogNg(Shipper);

impl SyslogNg {
    fn start(port: u16, topic: &str) -> Self {
        let config = |path: &str| {
            format!(
                "@version: 3.38\noptions {{ time-reopen(1); }};\nsource s_file {{ file(\"{path}/in\" follow-freq(0.1) flags(no-parse)); }};\n{}\n\
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
        let shipper = Self(Shipper::start("/usr/sbin/syslog-ng", config, arguments));
        eventually("syslog-ng is up", SOON, || shipper.counters());
        shipper
    }

    /// Logs one message with each of these numbers.
    fn log(&self, numbers: Range<usize>) {
        let mut lines = String::new();
        numbers.for_each(|number| writeln!(lines, "{}", message(number)).expect("text"));
        let path = self.0.directory.path().join("in");
        let mut file = File::options().create(true).append(true).open(path).expect("file");
        file.write_all(lines.as_bytes()).expect("write");
    }

    /// Returns syslog-ng's counters of its destination: written, dropped, queued.
    fn counters(&self) -> Result<[usize; 3], String> {
        let control = self.0.directory.path().join("control");
        let output = Command::new("/usr/sbin/syslog-ng-ctl").arg("stats").arg("-c").arg(control).output();
        let text = String::from_utf8_lossy(&output.expect("syslog-ng-ctl").stdout).into_owned();
        let counter = |name: &str| {
            let line = text.lines().find(|line| line.starts_with("dst.http;") && line.contains(&format!(";{name};")));
            line.and_then(|line| line.rsplit(';').next()?.parse().ok()).ok_or_else(|| format!("{name}: {text}"))
        };
        Ok([counter("written")?, counter("dropped")?, counter("queued")?])
    }
}

/// A message that JSON and a Kafka record must carry unchanged.
fn message(number: usize) -> String {
    format!("Kessel {number}: \"zu heiß\", [alarm] {{a\\b}}")
}

/// Waits until `topic` has `count` different records, and returns what `name` selects of each, in order.
fn records(kafka: &Kafka, topic: &str, count: usize, name: impl Fn(&Value) -> String) -> Vec<String> {
    eventually("all records have arrived", SOON, || {
        let records = kafka.consume(topic);
        let value =
            |value: &Option<Vec<u8>>| serde_json::from_slice(value.as_deref().unwrap_or_default()).expect("JSON");
        let names: Vec<String> = records.iter().map(|record| name(&value(&record.value))).collect();
        let found = names.iter().collect::<BTreeSet<_>>().len();
        if found >= count { Ok(names) } else { Err(format!("{found} of {count}")) }
    })
}

fn type_instance(value: &Value) -> String {
    value["type_instance"].as_str().expect("a type instance").to_owned()
}

fn text(value: &Value) -> String {
    value["MESSAGE"].as_str().expect("a message").to_owned()
}

#[test]
fn each_value_of_collectd_and_each_message_of_syslog_ng_is_a_record() {
    let kafka = Kafka::shared();
    let (metrics, logs) = (kafka.fresh("metrics", 1), kafka.fresh("logs", 1));
    let (collectd, syslog_ng) = (Collectd::start(bridge().port, &metrics), SyslogNg::start(bridge().port, &logs));
    collectd.put(0..200);
    collectd.flush();
    syslog_ng.log(0..1200);
    let numbers: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let boiler = |value: &Value| match value["plugin"].as_str() {
        Some("boiler") => type_instance(value),
        _ => panic!("{value}"),
    };
    // The write threads of collectd may send values in another order.
    let mut written = records(kafka, &metrics, 200, boiler);
    written.sort_by_key(|number| number.parse::<usize>().ok());
    assert_eq!(written, numbers);
    let stored = kafka.consume(&metrics);
    let mut values = stored
        .iter()
        .map(|record| serde_json::from_slice::<Value>(record.value.as_deref().expect("a value")).expect("JSON"));
    let first = values.find(|value| type_instance(value) == "0").expect("the value of the first number");
    assert_eq!(
        (&first["values"][0], &first["host"], &first["dsnames"][0]),
        (&0.5.into(), &"hall-3".into(), &"value".into())
    );
    assert_eq!(records(kafka, &logs, 1200, text), (0..1200).map(message).collect::<Vec<_>>());
    eventually("syslog-ng has counted", SOON, || match syslog_ng.counters()? {
        [1200, 0, 0] => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

//! HTTPS with curl and Node as clients, and with certificates made by `openssl`.

use crate::alone;
use curlew_integration::bridge::{Bridge, curlew, run, run_with_input};
use curlew_integration::crowd::{Crowd, ReadMode};
use curlew_integration::{cache, eventually, file, http};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A temporary directory for certificates and the bridge's data.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Creates a self-signed certificate: `NAME.pem` and `NAME.key`.
    fn own(&self, name: &str, subject: &str, constraint: &str) {
        let (pem, key) = (format!("{name}.pem"), format!("{name}.key"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &pem,
            "-subj",
            subject,
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            constraint,
        ]);
    }

    pub fn server(&self, name: &str) {
        self.own(name, "/CN=localhost", "basicConstraints=critical,CA:FALSE");
    }

    fn authority(&self, name: &str) {
        self.own(name, &format!("/CN={name}"), "basicConstraints=critical,CA:TRUE");
    }

    /// Creates `NAME.pem` and `NAME.key`, signed by a CA.
    fn client(&self, name: &str, authority: &str) {
        // Without extensions openssl would create an X.509 version 1 certificate, which rustls rejects.
        std::fs::write(self.path("extensions"), "basicConstraints=critical,CA:FALSE\n").expect("a file");
        self.signed(name, authority, &["-extfile", "extensions"]);
    }

    fn signed(&self, name: &str, authority: &str, extensions: &[&str]) {
        let (pem, key, request) = (format!("{name}.pem"), format!("{name}.key"), format!("{name}.csr"));
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &request,
            "-subj",
            &format!("/CN={name}"),
        ]);
        let (ca, ca_key) = (format!("{authority}.pem"), format!("{authority}.key"));
        let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-days", "2", "-out", &pem];
        self.openssl(&[&sign, extensions].concat());
    }

    pub fn serve(&self, certificate: &str, options: &[&str]) -> Bridge {
        let (pem, key) = (self.text(&format!("{certificate}.pem")), self.text(&format!("{certificate}.key")));
        Bridge::embedded(&self.path("data"), &[&["--tls-cert", &pem, "--tls-key", &key], options].concat())
    }

    pub fn curl(&self, bridge: &Bridge, authority: &str, path: &str, arguments: &[&str]) -> Result<String, String> {
        let url = format!("https://localhost:{}{path}", bridge.port);
        let authority = self.text(authority);
        let format = "%{http_version} %{http_code}";
        let output = Command::new("curl")
            .args(["-sS", "-m", "20", "--cacert", &authority, "-w", format])
            .args(arguments)
            .arg(&url)
            .output()
            .expect("curl");
        let printed = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
        if output.status.success() { Ok(printed.into_owned()) } else { Err(printed.into_owned()) }
    }
}

#[test]
fn curl_produces_and_consumes_with_each_http_version() {
    let files = Files::new();
    files.server("server");
    let bridge = files.serve("server", &[]);
    let cases: [(&[&str], &str); 4] = [
        (&["--http2"], "2"),
        (&["--http1.1"], "1.1"),
        (&["--tls-max", "1.2"], "2"),
        (&["--http2-prior-knowledge"], "2"),
    ];
    for (number, (arguments, version)) in cases.into_iter().enumerate() {
        let printed =
            files.curl(&bridge, "server.pem", "/topics/t", &[arguments, &["-d", "21.5"]].concat()).expect("an answer");
        assert_eq!(printed, format!("{{\"offsets\":[{{\"partition\":0,\"offset\":{number}}}]}}\n{version} 200"));
        let path = "/topics/t/events?from=earliest&until=end";
        let printed = files.curl(&bridge, "server.pem", path, arguments).expect("a stream");
        assert_eq!(printed.matches("data: 21.5\n").count(), number + 1, "{printed}");
        assert!(printed.ends_with(&format!("\n{version} 200")), "{printed}");
    }
    // Bodies of several TLS records in both directions.
    let large = "x".repeat(1_000_000);
    std::fs::write(files.path("large"), &large).expect("a file");
    for version in ["--http2", "--http1.1"] {
        let body = format!("@{}", files.text("large"));
        let printed = files.curl(&bridge, "server.pem", "/topics/large", &[version, "--data-binary", &body]);
        assert!(printed.as_ref().is_ok_and(|printed| printed.ends_with(" 200")), "{printed:?}");
        let path = "/topics/large/events?from=earliest&until=end";
        let printed = files.curl(&bridge, "server.pem", path, &[version]).expect("a stream");
        assert!(printed.contains(&format!("data: {large}\n")), "{} bytes", printed.len());
    }
}

#[test]
fn plain_http_on_a_tls_port_is_rejected_and_http_pages_are_foreign_origins() {
    let files = Files::new();
    files.server("server");
    let bridge = files.serve("server", &[]);
    let rejected = http::get(bridge.port, "/topics").expect(400);
    assert!(rejected.text().contains("https://"), "{}", rejected.text());
    for (scheme, status) in [("https", "200"), ("http", "403")] {
        let origin = format!("Origin: {scheme}://localhost:{}", bridge.port);
        let printed = files.curl(&bridge, "server.pem", "/topics", &["-H", &origin]).expect("an answer");
        assert!(printed.ends_with(status), "{origin}: {printed}");
    }
}

#[test]
fn a_new_certificate_is_used_for_new_connections_and_an_invalid_one_is_rejected() {
    let files = Files::new();
    ["first", "second"].iter().for_each(|name| files.server(name));
    let copy = |from: &str, to: &str| assert!(std::fs::copy(files.path(from), files.path(to)).expect("a copy") > 0);
    copy("first.pem", "server.pem");
    copy("first.key", "server.key");
    let bridge = files.serve("server", &[]);
    files.curl(&bridge, "first.pem", "/topics/t", &["-d", "before"]).expect("an answer");
    let mut stream = Command::new("curl")
        .args(["-sSN", "-m", "60", "--cacert", &files.text("first.pem")])
        .arg(format!("https://localhost:{}/topics/t/events?from=earliest", bridge.port))
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    let mut lines = BufReader::new(stream.stdout.take().expect("stdout")).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line == "data: before"));

    std::fs::write(files.path("server.pem"), "no certificate").expect("a file");
    eventually("the rejection is logged", SOON, || match bridge.log() {
        log if log.contains("rejected the new certificate, keeping the previous one") => Ok(()),
        log => Err(log),
    });
    files.curl(&bridge, "first.pem", "/health", &[]).expect("the previous certificate");

    copy("second.key", "server.key");
    copy("second.pem", "server.pem");
    eventually("the new certificate", SOON, || files.curl(&bridge, "second.pem", "/health", &[]));
    assert!(files.curl(&bridge, "first.pem", "/health", &[]).is_err());
    files.curl(&bridge, "second.pem", "/topics/t", &["-d", "after"]).expect("an answer");
    assert!(lines.any(|line| line == "data: after"), "the open stream continues");
    stream.kill().expect("curl runs");
    let _ = stream.wait();
}

#[test]
fn client_certificates_are_required_or_optional_as_configured() {
    let files = Files::new();
    files.server("server");
    ["plant", "stranger"].iter().for_each(|name| files.authority(name));
    files.client("boiler-7", "plant");
    files.client("burglar", "stranger");
    let authority = files.text("plant.pem");
    for (required, without) in [("requested", true), ("required", false)] {
        let options = ["--tls-client-ca", &authority, "--tls-client-auth", required, "--log-level", "debug"];
        let mut bridge = files.serve("server", &options);
        let ask = |name: &str| {
            let (pem, key) = (files.text(&format!("{name}.pem")), files.text(&format!("{name}.key")));
            files.curl(&bridge, "server.pem", "/topics", &["--cert", &pem, "--key", &key])
        };
        assert!(ask("boiler-7").expect("an answer").ends_with(" 200"));
        eventually("the name is in the log", SOON, || {
            if bridge.log().contains("(boiler-7)") { Ok(()) } else { Err(bridge.log()) }
        });
        assert!(ask("burglar").is_err());
        assert_eq!(files.curl(&bridge, "server.pem", "/topics", &[]).is_ok(), without, "{required}");
        bridge.stop();
    }
}

#[test]
fn a_rejected_client_certificate_is_logged_once_with_advice() {
    let files = Files::new();
    files.server("server");
    ["plant", "stranger"].iter().for_each(|name| files.authority(name));
    files.client("burglar", "stranger");
    files.signed("old", "plant", &[]);
    let bridge = files.serve("server", &["--tls-client-ca", &files.text("plant.pem"), "--tls-client-auth", "required"]);
    let log_count = |reason: &str| bridge.log().matches(reason).count();
    for (name, reason) in
        [("burglar", "no authority in --tls-client-ca"), ("old", "X.509 version 1"), ("", "the client sent none")]
    {
        for _ in 0..3 {
            let (pem, key) = (files.text(&format!("{name}.pem")), files.text(&format!("{name}.key")));
            let shown = ["--cert", &pem, "--key", &key];
            let shown = if name.is_empty() { &[][..] } else { &shown };
            assert!(files.curl(&bridge, "server.pem", "/topics", shown).is_err(), "{name}");
        }
        eventually("the reason is in the log", SOON, || if log_count(reason) > 0 { Ok(()) } else { Err(bridge.log()) });
        assert_eq!(log_count(reason), 1, "{}", bridge.log());
    }
}

#[test]
fn eventsource_and_fetch_of_node_and_http_2_work() {
    let files = Files::new();
    files.server("server");
    let bridge = files.serve("server", &[]);
    files.curl(&bridge, "server.pem", "/topics/t", &["-d", "hello"]).expect("an answer");
    let url = format!("https://localhost:{}", bridge.port);
    let node = |script: &str, argument: &str| {
        let mut node = Command::new("node");
        node.arg(script)
            .arg(argument)
            .env("CURLEW_CACHE", cache())
            .env("NODE_EXTRA_CA_CERTS", files.path("server.pem"));
        node.stdout(Stdio::piped()).spawn().expect("node")
    };
    let eventsource = file("clients/eventsource.mjs").to_str().expect("UTF-8").to_owned();
    let mut followed = node(&eventsource, &format!("{url}/topics/t/events?from=earliest"));
    let mut first = String::new();
    BufReader::new(followed.stdout.take().expect("stdout")).read_line(&mut first).expect("a line");
    assert!(first.contains("\"data\":\"hello\""), "{first}");
    followed.kill().expect("it runs");
    let _ = followed.wait();

    let script = file("clients/http2.mjs").to_str().expect("UTF-8").to_owned();
    let mut streams = node(&script, &url);
    let mut printed = String::new();
    streams.stdout.take().expect("stdout").read_to_string(&mut printed).expect("text");
    assert!(streams.wait().expect("an end").success());
    assert_eq!(printed.trim(), "h2 50 streams, each with hello");
}

#[test]
fn the_terminal_connects_only_to_trusted_https_servers() {
    let files = Files::new();
    ["server", "other"].iter().for_each(|name| files.server(name));
    let bridge = files.serve("server", &[]);
    let url = format!("https://localhost:{}", bridge.port);
    let produce =
        |url: &str, more: &[&str]| run_with_input(&[&["produce", "t", "--url", url], more].concat(), b"21.5\n");
    let (server, other) = (files.text("server.pem"), files.text("other.pem"));
    let output = produce(&url, &["--cacert", &server]);
    assert!(output.status.success(), "{output:?}");
    let read = run(&["consume", "t", "--url", &url, "--cacert", &server, "--from", "earliest", "--until-end"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout), "Message: 21.5\n", "{read:?}");
    let plain = format!("http://localhost:{}", bridge.port);
    let unknown = Bridge::embedded(&files.path("plain"), &[]);
    let not_secured = format!("https://localhost:{}", unknown.port);
    for (url, more, advice) in [
        (&url, &["--cacert", &other][..], "with --cacert FILE"),
        (&url, &[], "with --cacert FILE"),
        (&url, &["--cacert", "nowhere.pem"], "cannot read nowhere.pem"),
        (&plain, &[], "use https://"),
        (&not_secured, &["--cacert", &server], "use http://"),
    ] {
        let output = produce(url, more);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && printed.contains(advice), "{url} {more:?}: {printed}");
    }
}

#[test]
fn stalled_handshakes_time_out_and_delay_no_other_client() {
    let files = Files::new();
    files.server("server");
    let bridge = files.serve("server", &["--header-timeout", "2s"]);
    let mut halves: Vec<_> = (0..500).map(|_| http::connect(bridge.port)).collect();
    for (number, half) in halves.iter_mut().enumerate() {
        // Nothing, the first byte of a record, or an incomplete ClientHello.
        let begun: &[u8] = [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]][number % 3];
        std::io::Write::write_all(half, begun).expect("bytes are sent");
    }
    files.curl(&bridge, "server.pem", "/health", &[]).expect("a response meanwhile");
    for mut half in halves {
        let mut printed = Vec::new();
        let _ = half.read_to_end(&mut printed);
        assert!(printed.len() < 64, "{printed:?}");
    }
}

#[test]
fn unusable_certificates_are_reported_at_startup() {
    let files = Files::new();
    ["server", "other"].iter().for_each(|name| files.server(name));
    let printed = |certificate: &str, key: &str| {
        let (certificate, key) = (files.text(certificate), files.text(key));
        let output = curlew(&[
            "--listen",
            "127.0.0.1:0",
            "--data",
            &files.text("d"),
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ])
        .output()
        .expect("curlew");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(printed("server.pem", "other.key").contains("keys may not be consistent"));
    assert!(printed("nowhere.pem", "server.key").contains("cannot read"));
    assert!(printed("server.key", "server.key").contains("holds no certificates"));
    assert!(printed("server.pem", "server.pem").contains("holds no private key"));
}

#[test]
fn a_client_certificate_has_the_rights_of_its_name_in_the_auth_file() {
    let files = Files::new();
    files.server("server");
    files.authority("plant");
    ["boiler-7", "pump-1"].iter().for_each(|name| files.client(name, "plant"));
    let rules = "[[key]]\nname = \"boiler-7\"\ncertificate = true\nproduce = [\"readings.*\"]\n";
    std::fs::write(files.path("auth.toml"), rules).expect("a file");
    let (authority, auth) = (files.text("plant.pem"), files.text("auth.toml"));
    let bridge = files.serve("server", &["--tls-client-ca", &authority, "--auth-file", &auth]);
    let ask = |arguments: &[&str], topic: &str| {
        let printed =
            files.curl(&bridge, "server.pem", &format!("/topics/{topic}"), &[arguments, &["-d", "21.5"]].concat());
        printed.expect("an answer").rsplit(' ').next().expect("a status").to_owned()
    };
    let (boiler, boiler_key) = (files.text("boiler-7.pem"), files.text("boiler-7.key"));
    let (pump, pump_key) = (files.text("pump-1.pem"), files.text("pump-1.key"));
    let boiler = ["--cert", &boiler, "--key", &boiler_key];
    assert_eq!(ask(&boiler, "readings.a"), "200");
    assert_eq!(ask(&boiler, "orders"), "403");
    assert_eq!(ask(&["--cert", &pump, "--key", &pump_key], "readings.a"), "401");
    assert_eq!(ask(&[], "readings.a"), "401");
    // A page of another site cannot use the certificate that the browser attaches.
    assert_eq!(ask(&[&boiler[..], &["-H", "Sec-Fetch-Site: cross-site"]].concat(), "readings.a"), "401");
}

/// Measures without asserting: README states what TLS costs.
#[test]
fn the_cost_of_a_stream_with_and_without_tls_is_printed() {
    let _alone = alone();
    const STREAMS: usize = 1000;
    let files = Files::new();
    files.server("server");
    for tls in [false, true] {
        let mut bridge = if tls { files.serve("server", &[]) } else { Bridge::embedded(&files.path("plain"), &[]) };
        let produce = |bridge: &Bridge, body: &Path| {
            let scheme = if tls { "https" } else { "http" };
            let url = format!("{scheme}://localhost:{}/topics/t", bridge.port);
            let body = format!("@{}", body.display());
            let curl =
                ["-sS", "-m", "60", "--cacert", &files.text("server.pem"), "-H", "Content-Type: application/x-ndjson"];
            let output = Command::new("curl").args(curl).args(["--data-binary", &body, &url]).output().expect("curl");
            assert!(output.status.success(), "{output:?}");
        };
        std::fs::write(files.path("first"), "\"first\"\n").expect("a file");
        produce(&bridge, &files.path("first"));
        let before = bridge.process().resident();
        let trust = tls.then(|| files.path("server.pem"));
        let crowd = Crowd::open_tls(bridge.port, "/topics/t/events", STREAMS, ReadMode::Reads, trust.as_deref());
        let each = (bridge.process().resident() - before) as f64 / STREAMS as f64;
        let busy = bridge.process().ticks();
        const RECORDS: u64 = 5000;
        let records: String = (0..RECORDS).map(|number| format!("{number:<9}{}\n", " ".repeat(190))).collect();
        std::fs::write(files.path("records"), records).expect("a file");
        produce(&bridge, &files.path("records"));
        crowd.wait_for_records(RECORDS, Duration::from_secs(120));
        let seconds = (bridge.process().ticks() - busy) as f64 / 100.0;
        let million = seconds * 1e6 / (RECORDS as f64 * STREAMS as f64);
        println!(
            "{}: {each:.1} KiB a stream, {million:.2} s of CPU for a million deliveries",
            if tls { "TLS" } else { "plain" }
        );
    }
}

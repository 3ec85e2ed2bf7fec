//! Tokens of an identity provider behind HTTPS, and reloading of the auth file.

use crate::tls::Files;
use curlew_integration::bridge::{Bridge, binary};
use curlew_integration::process::Process;
use curlew_integration::{eventually, file, free_port, http};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

struct Provider {
    url: String,
    token: String,
    _process: Process,
}

impl Provider {
    fn start(files: &Files, certificate: &str) -> Self {
        let mut node = Command::new("node");
        node.arg(file("clients/identity_provider.mjs"))
            .args(["pem", "key"].map(|kind| files.path(&format!("{certificate}.{kind}"))))
            .stdout(Stdio::piped());
        let mut process = Process::start_with_stdio("the identity provider", node, &files.path("provider.log"));
        let stdout = process.child().stdout.take().expect("stdout");
        let mut lines = BufReader::new(stdout).lines().map(|line| line.expect("a line"));
        let (url, token) = (lines.next().expect("its URL"), lines.next().expect("a token"));
        Self { url, token, _process: process }
    }
}

#[test]
fn the_keys_of_a_provider_are_fetched_once_its_ca_is_trusted() {
    let files = Files::new();
    ["server", "other"].iter().for_each(|name| files.server(name));
    let provider = Provider::start(&files, "server");
    let rules = format!("[[jwt]]\nname = \"idp\"\njwks_url = \"{}\"\njwks_ca_file = \"ca.pem\"\n", provider.url);
    std::fs::write(files.path("auth.toml"), rules).expect("a file");
    let trust = |name: &str| std::fs::copy(files.path(name), files.path("ca.pem")).expect("a copy");
    trust("other.pem");
    let bridge = Bridge::embedded(&files.path("data"), &["--auth-file", &files.text("auth.toml")]);
    let bearer = format!("Bearer {}", provider.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
    let ask =
        |bridge: &Bridge, topic: &str| bridge.request("POST", &format!("/topics/{topic}"), &headers, b"21.5").status;
    assert_eq!(ask(&bridge, "readings.a"), 503, "without keys, the token may be valid");
    eventually("the reason is in the log", SOON, || match bridge.log() {
        log if log.contains("cannot fetch keys from https://localhost:") && log.contains("ertificate") => Ok(()),
        log => Err(log),
    });
    trust("server.pem");
    eventually("the token is accepted", SOON, || match ask(&bridge, "readings.a") {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(ask(&bridge, "orders"), 403);
    assert!(!bridge.log().contains(&provider.token));
}

#[test]
fn sighup_reloads_the_auth_file_and_ends_a_bridge_without_one() {
    let files = Files::new();
    std::fs::write(files.path("auth.toml"), "").expect("a file");
    let mut bridge = Bridge::embedded(&files.path("data"), &["--auth-file", &files.text("auth.toml")]);
    let complaints = |bridge: &Bridge, times| {
        eventually("the rejection is logged", SOON, || {
            match bridge.log().matches("keeping the previous one").count() {
                count if count == times => Ok(()),
                count => Err(count.to_string()),
            }
        });
    };
    // A change is noticed without a signal, and logged once.
    std::fs::write(files.path("auth.toml"), "[[key]]\nname = 5\n").expect("a file");
    complaints(&bridge, 1);
    bridge.process().signal("HUP");
    complaints(&bridge, 2);
    http::get(bridge.port, "/health").expect(200);
    assert_eq!(bridge.stop(), Some(0));

    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    // Child processes inherit an ignored signal, and the test runner may ignore SIGHUP.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(binary());
    command.args(["serve", "--listen", &listen, "--data", &files.text("other-data")]);
    let mut open = Process::start("curlew serve", command, &files.path("open.log"));
    eventually("the bridge accepts connections", SOON, || http::try_connect(port).map_err(|e| e.to_string()));
    open.signal("HUP");
    assert_eq!(open.wait(SOON).code(), None, "the signal ends the process");
}

#[test]
fn a_key_is_revoked_during_the_shutdown_delay_too() {
    let files = Files::new();
    // The key is `test`.
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let rules = format!("[[key]]\nname = \"sensor\"\nsha256 = \"{digest}\"\nproduce = [\"*\"]\n");
    std::fs::write(files.path("auth.toml"), rules).expect("a file");
    let options = ["--auth-file", &files.text("auth.toml"), "--shutdown-delay", "10m"];
    let mut bridge = Bridge::embedded(&files.path("data"), &options);
    let produce = |bridge: &Bridge| {
        let headers = [("Authorization", "Bearer test"), ("Content-Type", "text/plain")];
        bridge.request("POST", "/topics/readings", &headers, b"21.5").status
    };
    bridge.process().signal("TERM");
    eventually("the delay begins", SOON, || match bridge.log() {
        log if log.contains("still serving") => Ok(()),
        log => Err(log),
    });
    assert_eq!(produce(&bridge), 200);
    std::fs::write(files.path("auth.toml"), "").expect("a file");
    eventually("the key is revoked", SOON, || match produce(&bridge) {
        401 => Ok(()),
        status => Err(status.to_string()),
    });
    bridge.process().signal("TERM");
    assert_eq!(bridge.process().wait(SOON).code(), Some(1), "a second signal ends it at once");
}
